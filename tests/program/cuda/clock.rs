//! A scripted device clock: every duration that the program reports is known beforehand.

use std::collections::HashMap;

use softcuda::Clock;

use super::soft;
use crate::program::{Program, Record, number, records, stdout};

/// Microseconds per operation, in the order in which a step of tiny enqueues operations of that name.
const SCRIPT: &str = "
cudnnBatchNormalizationForwardTraining 50
cudnnActivationForward 11 12 13
cudnnLRNCrossChannelForward 60
cudnnPoolingForward 20
add_f32 7
copy_rows_f32 1 2 3 4
avgpool_forward_f32 21
cublasGemmEx 40 41
bias_add_f32 3 4 5 6
dropout_forward_f32 8
softmax_loss_forward_f32 9
softmax_loss_backward_f32 10
bias_gradient_f32 14 15 25 26
dropout_backward_f32 16
cudnnActivationBackward 17 18 19
avgpool_backward_f32 22
cuMemcpyDtoDAsync_v2 23
accumulate_f32 24
cudnnPoolingBackward 27
cudnnLRNCrossChannelBackward 61
batchnorm_backward_weights_f32 51
batchnorm_backward_data_f32 52
sgd_f32 70 71 72 73 74 75
cuEventRecord 0.25
";

/// The convolutions of a step, as each part of cuDNN enqueues them. Engines are not run before the step, which would use up their times.
const PARTS: [(&str, &str); 2] = [
    ("--cudnn graph --algorithms heuristic", "cudnnBackendExecute 100 200 300 400 500 410 510 420\n"),
    (
        "--cudnn legacy",
        "cudnnConvolutionForward 100 200 300
cudnnConvolutionBackwardFilter 400 410 420
cudnnConvolutionBackwardData 500 510
",
    ),
];

/// By layer and phase, from the script: backward meets the layers in reverse, so the first BackwardFilter is conv3's.
const EXPECTED: [(&str, [f64; 4]); 16] = [
    ("conv1", [100.0, 0.0, 420.0, 70.0]),
    ("bn1", [50.0, 52.0, 51.0, 71.0]),
    ("relu1", [11.0, 19.0, 0.0, 0.0]),
    ("norm1", [60.0, 61.0, 0.0, 0.0]),
    ("pool1", [20.0, 27.0, 0.0, 0.0]),
    ("conv2", [200.0 + 3.0, 510.0, 410.0 + 26.0, 72.0]),
    ("conv3", [300.0 + 4.0, 500.0, 400.0 + 25.0, 73.0]),
    // To conv2 the gradient is copied, to pool1 it is too, or added where conv3 came before.
    ("add3", [7.0, ADD, 0.0, 0.0]),
    ("relu3", [12.0, 18.0, 0.0, 0.0]),
    ("concat4", [1.0 + 2.0, 3.0 + 4.0, 0.0, 0.0]),
    ("pool4", [21.0, 22.0, 0.0, 0.0]),
    // The step's six products take turns: fc5 40, fc6 41; then fc6's weights 40 and data 41, fc5's likewise.
    ("fc5", [40.0 + 5.0, 41.0, 40.0 + 15.0, 74.0]),
    ("relu5", [13.0, 17.0, 0.0, 0.0]),
    ("drop6", [8.0, 16.0, 0.0, 0.0]),
    ("fc6", [41.0 + 6.0, 41.0, 40.0 + 14.0, 75.0]),
    ("loss", [9.0, 10.0, 0.0, 0.0]),
];

/// relu3's gradient reaches conv2 and pool1 through add3, which runs before conv3's and conv2's backward_data: two copies.
const ADD: f64 = 23.0 + 23.0;

const MARK: f64 = 0.25;

const PHASES: [&str; 4] = ["forward", "backward_data", "backward_weights", "weight_update"];

fn scripted(program: &Program, (options, convolutions): (&str, &str)) -> String {
    let arguments = format!("run --model tiny --device cuda --batch 1 --samples --seed 3 {options}");
    let script = format!("{SCRIPT}{convolutions}").parse().unwrap();
    let output = soft::output(program, &arguments, &soft::gpu().clock(Clock::Script(script)));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    std::fs::read_to_string(program.run_folder().join("phases.csv")).unwrap()
}

#[test]
fn scripted_durations_come_back_exactly() {
    for part in PARTS {
        assert_exact(part);
    }
}

fn assert_exact(part: (&str, &str)) {
    let program = Program::new();
    scripted(&program, part);
    let rows = records(&program.run_folder().join("phases.csv"));
    let expected: HashMap<&str, [f64; 4]> = HashMap::from(EXPECTED);
    for row in &rows {
        let phase = PHASES.iter().position(|&phase| phase == row["phase"]).unwrap();
        let us = expected[row["layer"].as_str()][phase] + MARK;
        for column in ["median_us", "ci95_low_us", "ci95_high_us", "mean_us", "min_us", "q1_us", "q3_us", "max_us"] {
            assert_eq!(number(row, column), us, "{} {} {column}", row["layer"], row["phase"]);
        }
        assert_eq!(number(row, "stddev_us"), 0.0);
    }
    let durations: f64 = EXPECTED.iter().flat_map(|(_, phases)| phases).sum();
    let phases = EXPECTED.iter().flat_map(|(_, phases)| phases).filter(|&&us| us > 0.0).count();
    assert_eq!(rows.len(), phases);
    let summary = records(&program.run_folder().join("summary.csv"));
    let step: &Record = summary.iter().find(|row| row["group"] == "all" && row["phase"] == "all").unwrap();
    // A timed step has a mark behind each phase, a plain one at its end alone: what marking costs is seen in closure.
    let (timed, plain) = (durations + phases as f64 * MARK, durations + MARK);
    assert_eq!((number(step, "mean_us"), number(step, "plain_step_us")), (timed, plain));
    assert_eq!(number(step, "mark_us"), MARK);
    assert_eq!(number(step, "closure"), (timed / plain * 1e6).round() / 1e6);
    // The host's clock follows the device's; a live step's first mark is before the plain one's begins to count.
    assert_eq!(number(step, "wall_step_us"), plain + MARK);
}

/// Marks of 30 µs stretch a timed step by a quarter. A grouped step has one behind each of its runs of conv, fc or other: forward conv, other
/// (bn1 to pool1), conv (conv2, conv3), other (add3 to pool4), fc5, other, fc6, loss; backward likewise, the loss's in one with its forward; the
/// updates of conv1, in one with its backward, bn1, conv2 with conv3, fc5 with fc6.
#[test]
fn grouped_steps_come_back_exactly() {
    const RUNS: [(&str, f64); 3] = [("conv", 2.0 + 2.0 + 1.0), ("fc", 2.0 + 2.0 + 1.0), ("other", 4.0 + 3.0 + 1.0)];
    let program = Program::new();
    let (options, convolutions) = PARTS[0];
    let script = SCRIPT.replace("cuEventRecord 0.25", "cuEventRecord 30") + convolutions;
    let arguments = format!("run --model tiny --device cuda --batch 1 --seed 3 {options}");
    let output = soft::output(&program, &arguments, &soft::gpu().clock(Clock::Script(script.parse().unwrap())));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let of = |group: &str| -> f64 {
        let holds = |layer: &str| {
            let kind = ["conv1", "conv2", "conv3"].contains(&layer).then_some("conv");
            kind.or(layer.starts_with("fc").then_some("fc")).unwrap_or("other") == group
        };
        EXPECTED.iter().filter(|(layer, _)| holds(layer)).flat_map(|(_, phases)| phases).sum()
    };
    let marked: Vec<(&str, f64)> = RUNS.iter().map(|&(group, runs)| (group, of(group) + 30.0 * runs)).collect();
    let step: f64 = marked.iter().map(|(_, us)| us).sum();
    let plain = ["conv", "fc", "other"].map(of).iter().sum::<f64>() + 30.0;
    let summary = records(&program.run_folder().join("summary.csv"));
    let row = |group: &str| summary.iter().find(|row| row["group"] == group && row["phase"] == "all").unwrap();
    let exact = |value: f64| (value * 1e6).round() / 1e6;
    for (group, us) in marked {
        assert_eq!(number(row(group), "grouped_us"), exact(us), "{group}");
        assert_eq!(number(row(group), "grouped_share_pct"), exact(100.0 * us / step), "{group}");
    }
    assert_eq!(number(row("all"), "grouped_us"), step);
    assert_eq!(number(row("all"), "grouped_closure"), exact(step / plain));
    let text = stdout(&output);
    assert!(text.contains("shares of conv, fc and other are from steps marked between these alone"), "{text}");
    assert!(text.contains(&format!("fc {:.1} %", number(row("fc"), "grouped_share_pct"))), "{text}");
}

#[test]
fn the_whole_run_is_reproducible_to_the_byte() {
    let [first, second] = [Program::new(), Program::new()].map(|program| {
        let phases = scripted(&program, PARTS[0]);
        let file = |name: &str| std::fs::read_to_string(program.run_folder().join(name)).unwrap();
        [phases, file("summary.csv"), file("samples.csv")]
    });
    assert!(first == second);
    assert!(first[0].contains("20260101T"), "softcuda's calendar begins with 2026");
}
