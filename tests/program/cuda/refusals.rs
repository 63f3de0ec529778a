//! A request that cannot be met gets one clear line.

use super::soft::{self, QUICK, assert_refused};
use crate::program::{Program, stdout};

#[test]
fn arithmetic_that_the_device_lacks() {
    let old = soft::gpu().capability(7, 0).driver(12, 9).cudnn(9, 10);
    for (precision, instead) in [("tf32", "f16"), ("bf16", "f16")] {
        let output = soft::output(&Program::new(), &format!("{QUICK} --batch 1 --precision {precision}"), &old);
        assert_refused(&output, 2, &["softcuda", precision, "7.0", instead]);
    }
    assert!(soft::output(&Program::new(), &format!("{QUICK} --batch 1 --precision f16"), &old).status.success());
    let output = soft::output(&Program::new(), &format!("{QUICK} --batch 1"), &soft::gpu().capability(5, 2));
    assert_refused(&output, 1, &["5.2", "P100"]);
}

/// CUDA 13 and cuDNN 9.11 begin with Turing.
#[test]
fn libraries_too_new_for_the_gpu() {
    for (major, minor) in [(13, 0), (12, 9)] {
        let gpu = soft::gpu().capability(6, 1).driver(major, minor);
        let output = soft::output(&Program::new(), &format!("{QUICK} --batch 1"), &gpu);
        let fix = "pip install nvidia-cublas-cu12 \"nvidia-cudnn-cu12<9.11\"";
        assert_refused(&output, 1, &["softcuda", "6.1", fix]);
    }
}

#[test]
fn f32_that_would_not_be_f32() {
    for variable in ["NVIDIA_TF32_OVERRIDE", "CUBLAS_EMULATE_SINGLE_PRECISION"] {
        let program = Program::new();
        let run = |precision: &str| {
            let arguments = format!("{QUICK} --batch 1 --precision {precision}");
            soft::command(&program, &arguments, &soft::gpu()).env(variable, "1").output().unwrap()
        };
        assert_refused(&run("f32"), 2, &[variable, "unset"]);
        assert!(run("tf32").status.success());
    }
}

/// 0 switches TF32 off: f32 is f32 all the same, and tf32 is no longer what it says.
#[test]
fn tf32_that_would_be_f32() {
    let program = Program::new();
    let run = |precision: &str| {
        let arguments = format!("{QUICK} --batch 1 --precision {precision}");
        soft::command(&program, &arguments, &soft::gpu()).env("NVIDIA_TF32_OVERRIDE", "0").output().unwrap()
    };
    assert!(run("f32").status.success());
    assert_refused(&run("tf32"), 2, &["NVIDIA_TF32_OVERRIDE=0", "unset"]);
}

#[test]
fn devices_that_are_not_there() {
    let output = soft::output(&Program::new(), "run --model tiny --device cuda:3", &soft::gpu());
    assert_refused(&output, 2, &["cuda:3", "one GPU"]);
    let output = soft::output(&Program::new(), "run --model tiny --device cuda", &soft::gpu().no_device(true));
    assert_refused(&output, 1, &["CUDA_ERROR_NO_DEVICE"]);
}

/// Among softcuda's algorithms for the gradient of weights only one is deterministic, and it wants a workspace.
#[test]
fn limits_that_no_algorithm_keeps() {
    let output =
        soft::output(&Program::new(), &format!("{QUICK} --batch 1 --deterministic --workspace-limit 0"), &soft::gpu());
    assert_refused(&output, 1, &["backward_weights", "deterministic", "within 0 bytes", "--workspace-limit"]);
}

#[test]
fn threads_are_the_cpus() {
    assert_refused(&soft::output(&Program::new(), &format!("{QUICK} --threads 2"), &soft::gpu()), 2, &["--threads"]);
}

/// Without a GPU `auto` is the CPU, and says why; with one it is the GPU.
#[test]
fn auto_takes_the_gpu_or_says_why_not() {
    let arguments = "run --model tiny --device auto --max-time 1ms --min-samples 1 --batch 1";
    let output = soft::output(&Program::new(), arguments, &soft::gpu());
    assert!(output.status.success() && stdout(&output).starts_with("tiny on softcuda"), "{output:?}");
    // Options that change a GPU's f32 mean nothing to the CPU.
    let program = Program::new();
    let mut command = soft::command(&program, arguments, &soft::gpu().no_device(true));
    let output = command.env("NVIDIA_TF32_OVERRIDE", "1").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(stdout(&output).contains("nhwc") && soft::own_lines(&output).len() == 1, "{output:?}");
    assert!(soft::own_lines(&output)[0].contains("CUDA_ERROR_NO_DEVICE"), "{output:?}");
}
