//! The fit: each network gives each constant the value at which the prediction meets what was measured on it, and the constant
//! is the geometric mean over the networks.

use layertime::plan::Phase;
use layertime::predict::Fractions;
use layertime::predict::fractions::{Conv, Convolutions, Gemm, Launch, Memory, Tile};

use super::published::{Network, ms};

const BACKWARD: [Phase; 2] = [Phase::BackwardData, Phase::BackwardWeights];

/// From these networks alone. The launch and the tile are assumed, not fitted.
pub fn fit(networks: &[&Network]) -> Fractions {
    let one = Conv { forward: 1.0, backward_data: 1.0, backward_weights: 1.0 };
    let mut fitted = Fractions {
        conv: Convolutions { heuristic: one, search: one },
        gemm: Gemm { forward: 1.0, backward: 1.0 },
        memory: Memory { streaming: 1.0, pooling_backward: 1.0 },
        launch: Launch { us: 5.0 },
        tile: Tile { side: 64 },
    };
    let mut constant = |set: fn(&mut Fractions, f64), misses: fn(&Network, &Fractions) -> f64| {
        let start = fitted;
        let of_network = |network: &&Network| {
            root(|value| {
                let mut trial = start;
                set(&mut trial, value);
                misses(network, &trial)
            })
        };
        set(&mut fitted, geometric_mean(networks.iter().map(of_network)));
    };
    // What only moves data: ReLU, and max pooling forward. Then pooling's gradient.
    constant(
        |fractions, value| fractions.memory.streaming = value,
        |network, trial| {
            let predicted = network.in_caffe(trial);
            let relu = network.caffe_ms("relu");
            let measured = relu[0] + relu[1] + network.caffe_ms("pool")[0];
            // Only the layers that Caffe timed: the fc layers' ReLUs were not.
            let relu = network.caffe.iter().filter(|row| row.layer.starts_with("relu"));
            let relu: f64 = relu.map(|row| ms(&predicted, &row.layer, &[Phase::Forward, Phase::BackwardData])).sum();
            relu + ms(&predicted, "pool", &[Phase::Forward]) - measured
        },
    );
    constant(
        |fractions, value| fractions.memory.pooling_backward = value,
        |network, trial| ms(&network.in_caffe(trial), "pool", &BACKWARD) - network.caffe_ms("pool")[1],
    );
    constant(
        |fractions, value| fractions.gemm.forward = value,
        |network, trial| ms(&network.in_caffe(trial), "fc", &[Phase::Forward]) - network.caffe_ms("fc")[0],
    );
    constant(
        |fractions, value| fractions.gemm.backward = value,
        |network, trial| ms(&network.in_caffe(trial), "fc", &BACKWARD) - network.caffe_ms("fc")[1],
    );
    constant(
        |fractions, value| fractions.conv.heuristic.forward = value,
        |network, trial| ms(&network.in_caffe(trial), "conv", &[Phase::Forward]) - network.caffe_ms("conv")[0],
    );
    // Caffe times both gradients together.
    constant(
        |fractions, value| {
            fractions.conv.heuristic.backward_data = value;
            fractions.conv.heuristic.backward_weights = value;
        },
        |network, trial| ms(&network.in_caffe(trial), "conv", &BACKWARD) - network.caffe_ms("conv")[1],
    );
    // Torch times whole nets by phase; what is not convolution is as fitted above.
    constant(
        |fractions, value| fractions.conv.search.forward = value,
        |network, trial| ms(&network.in_torch(trial), "", &[Phase::Forward]) - network.torch.forward,
    );
    constant(
        |fractions, value| fractions.conv.search.backward_data = value,
        |network, trial| ms(&network.in_torch(trial), "", &[Phase::BackwardData]) - network.torch.backward_data,
    );
    constant(
        |fractions, value| fractions.conv.search.backward_weights = value,
        |network, trial| ms(&network.in_torch(trial), "", &[Phase::BackwardWeights]) - network.torch.backward_weights,
    );
    fitted
}

/// Where a falling function of a positive number is zero, by bisection on the logarithm.
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
