//! Literal measurements for the reports' tests.

use super::json::{Cpu, Machine, Measuring, Run, Setup};
use crate::device::{Algorithm, Ceilings, Training};
use crate::model::Model;
use crate::plan::{Options, Plan};
use crate::profile::conditions::{Conditions, Observed};
use crate::profile::{Measured, Status};
use crate::step::{Sample, Step};

const SMALL: &str = r#"
name = "small"
input = [1, 4, 4]
[[layer]]
name = "conv1"
kind = "conv"
channels = 2
kernel = 3
[[layer]]
name = "relu1"
kind = "relu"
[[layer]]
name = "fc2"
kind = "fc"
outputs = 3
[[layer]]
name = "loss"
kind = "softmax_loss"
"#;

/// Two steps of a network with one layer of each group and a loss, 50 µs each.
pub fn measured(batch: usize) -> Measured {
    let model = Model::parse(SMALL, "small").unwrap();
    let step = Step::new(Plan::new(&model, Options::of_batch(batch)).unwrap());
    let sample = |conv1: f64, fc2: f64| Sample {
        phases_us: vec![conv1, 2.0, fc2, 1.0, 1.0, 6.0, 5.0, 3.0, 12.0, 2.0, 4.0],
        mark_us: 0.5,
    };
    let mut algorithms = vec![None; step.ops.len()];
    algorithms[0] = Some(Algorithm { name: "direct".into(), workspace_bytes: 64 });
    Measured {
        plan: step.plan,
        ops: step.ops,
        status: Status::Ok,
        algorithms,
        samples: vec![sample(10.0, 4.0), sample(12.0, 2.0)],
        plain_us: vec![50.0, 40.0],
        wall_us: vec![80.0, 120.0],
        observed: Observed {
            conditions: Conditions { temperature_c: Some(61.0), ..Conditions::default() },
            ..Observed::default()
        },
        planned_bytes: 4096,
        measured_bytes: Some(5000),
    }
}

pub fn out_of_memory(batch: usize) -> Measured {
    Measured {
        status: Status::OutOfMemory,
        samples: Vec::new(),
        plain_us: Vec::new(),
        wall_us: Vec::new(),
        observed: Observed::default(),
        measured_bytes: None,
        ..measured(batch)
    }
}

pub fn run(samples: bool) -> Run {
    let setup = Setup {
        model: "small".into(),
        model_file: SMALL.into(),
        device: "A processor, with a comma".into(),
        precision: "f32".into(),
        layout: "nchw".into(),
        launch: "direct".into(),
        threads: 2,
        training: Some(Training { learning_rate: 0.01, momentum: 0.9, weight_decay: 5e-4, seed: 1, dropout: true }),
        input_gradient: false,
        samples,
        options: Default::default(),
    };
    let measuring = Measuring { target: 0.01, max_time_s: 15.0, min_samples: 10 };
    let machine = Machine { cpu: Cpu { model: "A processor".into(), threads: 4 }, ..Machine::default() };
    // 1 µs for 1000 operations or for 100 bytes.
    let ceilings = Ceilings { gemm_flops_per_s: 1e9, copy_bytes_per_s: 1e8 };
    Run::new(setup, Some(measuring), machine, ceilings)
}
