//! Running out of memory is a result: the sweep goes on with what fits.

use softcuda::Clock;

use super::soft::{self, QUICK};
use crate::program::{Program, records};

fn statuses(program: &Program) -> Vec<(String, String)> {
    let rows = records(&program.run_folder().join("summary.csv"));
    let steps = rows.iter().filter(|row| row["group"] == "all" && row["phase"] == "all");
    steps.map(|row| (row["batch"].clone(), row["status"].clone())).collect()
}

/// tiny holds 1.4 MB per 16 images; 64 MB are far from enough for a batch of 16384.
#[test]
fn what_does_not_fit_is_a_row_and_the_rest_goes_on() {
    let program = Program::new();
    let output = soft::output(&program, &format!("{QUICK} --batch 2,16384"), &soft::gpu().memory(64 << 20));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let statuses = statuses(&program);
    assert_ne!(statuses[0].1, "out_of_memory");
    assert_eq!(statuses[1], ("16384".into(), "out_of_memory".into()));
    let rows = records(&program.run_folder().join("summary.csv"));
    let row = rows.iter().rfind(|row| row["batch"] == "16384").unwrap();
    assert!(row["mean_us"].is_empty() && row["planned_bytes"].parse::<u64>().unwrap() > 64_000_000, "{row:?}");
}

/// Wherever a library runs out: allocating, searching, inside a step. The ceilings measure with less; they have 146 products.
#[test]
fn it_may_run_out_anywhere() {
    for fault in [
        "cuMemAlloc_v2@1=CUDA_ERROR_OUT_OF_MEMORY",
        "cuMemAlloc_v2@12=CUDA_ERROR_OUT_OF_MEMORY",
        "cuMemHostAlloc@1=CUDA_ERROR_OUT_OF_MEMORY",
        "cudnnBackendExecute@2=CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
        "cudnnBackendFinalize@40=CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
        "cudnnConvolutionForward@7=CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
        "cublasGemmEx@160=CUBLAS_STATUS_ALLOC_FAILED",
        "cublasGemmEx@200=CUBLAS_STATUS_ALLOC_FAILED",
    ] {
        let program = Program::new();
        let gpu = soft::gpu().fault(fault.parse().unwrap()).clock(Clock::Virtual);
        let legacy = if fault.starts_with("cudnnConvolution") { "--cudnn legacy" } else { "" };
        let output = soft::output(&program, &format!("{QUICK} --batch 1,2 {legacy}"), &gpu);
        assert_eq!(output.status.code(), Some(0), "{fault}: {output:?}");
        let statuses = statuses(&program);
        assert_eq!(statuses.len(), 2, "{fault}");
        assert_ne!(statuses[1].1, "out_of_memory", "{fault}: the second batch fits");
        if !fault.starts_with("cuMemAlloc_v2@1=") {
            assert_eq!(statuses[0].1, "out_of_memory", "{fault}");
        }
    }
}

/// When memory is all but used up, failures that name no cause are taken for it; otherwise they end the run.
#[test]
fn unclear_failures_are_of_memory_where_there_is_none() {
    for fault in [
        "cudnnBackendExecute@7=CUDNN_STATUS_EXECUTION_FAILED",
        "cudnnConvolutionBackwardData@7=CUDNN_STATUS_INTERNAL_ERROR",
    ] {
        let run = |memory| {
            let program = Program::new();
            let gpu = soft::gpu().fault(fault.parse().unwrap()).memory(memory);
            let part = if fault.contains("Backend") { "--algorithms heuristic" } else { "--cudnn legacy" };
            let output = soft::output(&program, &format!("{QUICK} --batch 1,2 {part}"), &gpu);
            (program, output)
        };
        let (program, output) = run(200 << 20);
        assert_eq!(output.status.code(), Some(0), "{fault}: {output:?}");
        assert_eq!(statuses(&program)[0].1, "out_of_memory", "{fault}");
        assert_eq!(run(8 << 30).1.status.code(), Some(1), "{fault}");
    }
}

/// The batch fits without its largest workspace: another algorithm is taken.
#[test]
fn workspaces_are_no_larger_than_the_memory() {
    for how in ["search", "heuristic"] {
        let arguments = format!("{QUICK} --batch 16 --algorithms {how}");
        let largest = |program: &Program| {
            let rows = records(&program.run_folder().join("phases.csv"));
            rows.iter().filter_map(|row| row["workspace_bytes"].parse::<u64>().ok()).max().unwrap()
        };
        // All engines take as long, and the first has the largest workspace.
        let gpu = || soft::gpu().clock(Clock::Virtual);
        let program = Program::new();
        assert!(soft::output(&program, &arguments, &gpu()).status.success());
        let rows = records(&program.run_folder().join("summary.csv"));
        let planned: u64 = rows.iter().find_map(|row| row["planned_bytes"].parse().ok()).unwrap();
        let small = Program::new();
        let output = soft::output(&small, &arguments, &gpu().memory(planned + 1024));
        assert!(output.status.success(), "{how}: {output:?}");
        assert_ne!(statuses(&small)[0].1, "out_of_memory", "{how}");
        assert!(largest(&small) < largest(&program), "{how}");
    }
}

/// A batch that cuDNN cannot count is no reason to lose the others.
#[test]
fn what_cannot_be_counted_is_a_row_and_the_rest_goes_on() {
    let program = Program::new();
    let gpu = soft::gpu().memory(9000 << 30);
    let output = soft::output(&program, &format!("{QUICK} --batch 1,1048576 --image 64"), &gpu);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(statuses(&program)[1], ("1048576".into(), "out_of_memory".into()));
    assert_ne!(statuses(&program)[0].1, "out_of_memory");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("note: batch 1048576, image 64x64: `conv1` has more elements than cuDNN"), "{text}");
}

#[test]
fn nothing_that_fits_is_an_error() {
    let program = Program::new();
    let output = soft::output(&program, &format!("{QUICK} --batch 16384"), &soft::gpu().memory(64 << 20));
    soft::assert_refused(&output, 1, &["no batch could be measured", "--batch"]);
}
