//! The fit: each network gives each constant the value at which the prediction meets what was measured on it, and the constant
//! is the geometric mean over the networks.

use layertime::plan::Phase;
use layertime::predict::Fractions;
use layertime::predict::fractions::{ConvFractions, Convolutions, Gemm, LaunchCost, Memory, Tile};

use super::published::{Network, ms};

const BACKWARD: [Phase; 2] = [Phase::BackwardData, Phase::BackwardWeights];

/// One constant (or two that cannot be told apart).
struct Constant {
    set: fn(&mut Fractions, f64),
    /// By how many ms a network's prediction exceeds what was measured.
    excess: fn(&Network, &Fractions) -> f64,
}

/// In an order in which each needs those before it only. First what moves data: ReLU and max pooling forward, then pooling's
/// gradient; fully connected layers; convolutions in Caffe, which times both gradients together; convolutions in Torch, which times
/// whole nets by phase.
const CONSTANTS: [Constant; 9] = [
    Constant { set: |fractions, value| fractions.memory.streaming = value, excess: streaming },
    Constant {
        set: |fractions, value| fractions.memory.pooling_backward = value,
        excess: |network, trial| ms(&network.in_caffe(trial), "pool", &BACKWARD) - network.caffe_ms("pool")[1],
    },
    Constant {
        set: |fractions, value| fractions.gemm.forward = value,
        excess: |network, trial| ms(&network.in_caffe(trial), "fc", &[Phase::Forward]) - network.caffe_ms("fc")[0],
    },
    Constant {
        set: |fractions, value| fractions.gemm.backward = value,
        excess: |network, trial| ms(&network.in_caffe(trial), "fc", &BACKWARD) - network.caffe_ms("fc")[1],
    },
    Constant {
        set: |fractions, value| fractions.conv.heuristic.forward = value,
        excess: |network, trial| ms(&network.in_caffe(trial), "conv", &[Phase::Forward]) - network.caffe_ms("conv")[0],
    },
    Constant {
        set: |fractions, value| {
            fractions.conv.heuristic.backward_data = value;
            fractions.conv.heuristic.backward_weights = value;
        },
        excess: |network, trial| ms(&network.in_caffe(trial), "conv", &BACKWARD) - network.caffe_ms("conv")[1],
    },
    Constant {
        set: |fractions, value| fractions.conv.search.forward = value,
        excess: |network, trial| ms(&network.in_torch(trial), "", &[Phase::Forward]) - network.torch.forward,
    },
    Constant {
        set: |fractions, value| fractions.conv.search.backward_data = value,
        excess: |network, trial| ms(&network.in_torch(trial), "", &[Phase::BackwardData]) - network.torch.backward_data,
    },
    Constant {
        set: |fractions, value| fractions.conv.search.backward_weights = value,
        excess: |network, trial| {
            ms(&network.in_torch(trial), "", &[Phase::BackwardWeights]) - network.torch.backward_weights
        },
    },
];

/// Of ReLU only the layers that Caffe timed: those behind fully connected layers were not.
fn streaming(network: &Network, trial: &Fractions) -> f64 {
    let predicted = network.in_caffe(trial);
    let timed = network.caffe.iter().filter(|row| row.layer.starts_with("relu"));
    let relu: f64 = timed.map(|row| ms(&predicted, &row.layer, &[Phase::Forward, Phase::BackwardData])).sum();
    let measured: f64 = network.caffe_ms("relu").iter().sum();
    relu + ms(&predicted, "pool", &[Phase::Forward]) - measured - network.caffe_ms("pool")[0]
}

/// From these networks alone. The launch and the tile are assumed, not fitted.
pub fn fit(networks: &[&Network]) -> Fractions {
    let one = ConvFractions { forward: 1.0, backward_data: 1.0, backward_weights: 1.0 };
    let mut fitted = Fractions {
        conv: Convolutions { heuristic: one, search: one },
        gemm: Gemm { forward: 1.0, backward: 1.0 },
        memory: Memory { streaming: 1.0, pooling_backward: 1.0 },
        launch: LaunchCost { us: 5.0 },
        tile: Tile { side: 64 },
    };
    for Constant { set, excess } in CONSTANTS {
        let with = |value: f64| {
            let mut trial = fitted;
            set(&mut trial, value);
            trial
        };
        let values = networks.iter().map(|network| root(|value| excess(network, &with(value))));
        fitted = with(geometric_mean(values));
    }
    fitted
}

/// The zero of a falling function of a positive number, by bisection on the logarithm.
fn root(falling: impl Fn(f64) -> f64) -> f64 {
    let (mut low, mut high) = (1e-2, 1e2);
    assert!(falling(low) > 0.0 && falling(high) < 0.0, "no value makes the prediction meet the measurement");
    for _ in 0..50 {
        let middle = f64::sqrt(low * high);
        if falling(middle) > 0.0 { low = middle } else { high = middle }
    }
    f64::sqrt(low * high)
}

fn geometric_mean(values: impl Iterator<Item = f64>) -> f64 {
    let logarithms: Vec<f64> = values.map(f64::ln).collect();
    (logarithms.iter().sum::<f64>() / logarithms.len() as f64).exp()
}
