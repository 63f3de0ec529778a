//! Convolutions through cuDNN's graph API: the same numbers, engines that the rules permit, nothing left behind.

use std::path::Path;

use softcuda::{Clock, Fault};

use super::soft::{self, QUICK};
use crate::program::{Program, Record, records, stdout};

fn assert_right(arguments: &str) {
    let output =
        soft::output(&Program::new(), &format!("verify --device cuda --cudnn graph {arguments}"), &soft::gpu());
    let text = stdout(&output) + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("PASS"), "{arguments}\n{text}");
}

/// Gradients that are added to (conv2's and conv3's go to pool1) and transposes around NHWC included.
#[test]
fn tiny_in_every_precision_and_layout() {
    for precision in ["f32", "tf32", "f16", "bf16"] {
        for layout in ["nchw", "nhwc"] {
            assert_right(&format!("--model tiny --precision {precision} --layout {layout} --batch 3"));
        }
    }
    assert_right("--model tiny --input-gradient --algorithms heuristic --deterministic");
    assert_right("--model tiny --workspace-limit 0");
}

/// Grouped and asymmetric convolutions against PyTorch's own numbers. Mode A has nothing for grouped f32 forward: the fallback serves.
#[test]
fn pytorch_agrees() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference");
    for name in ["groups", "asymmetric", "branches"] {
        let (model, file) = (folder.join(format!("models/{name}.toml")), folder.join(format!("{name}.safetensors")));
        for options in ["--precision f32", "--precision f16"] {
            let (model, file) = (model.display(), file.display());
            assert_right(&format!("--model {model} --reference {file} --input-gradient {options}"));
        }
    }
}

/// The rows of convolutions, but for their updates, of a run of a network.
fn convolutions(model: &str, options: &str) -> Vec<Record> {
    let program = Program::new();
    let gpu = soft::gpu().clock(Clock::Virtual).trace(program.folder.path().join("trace"));
    let quick = QUICK.replace("--model tiny", &format!("--model {model}"));
    let output = soft::output(&program, &format!("{quick} --batch 2 --cudnn graph {options}"), &gpu);
    assert!(output.status.success(), "{options}: {output:?}");
    let trace = std::fs::read_to_string(program.folder.path().join("trace")).unwrap();
    assert!(trace.contains("cudnnBackendExecute") && !trace.contains("cudnnConvolutionForward"), "{options}");
    let rows = records(&program.run_folder().join("phases.csv")).into_iter();
    rows.filter(|row| row["kind"] == "conv" && row["phase"] != "weight_update").collect()
}

/// softcuda's engines: from 100 on they use tensor cores, 200 converts to half precision, backward's 0 and 3 sum in no fixed order.
#[test]
fn engines_keep_the_rules() {
    let groups = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/models/groups.toml");
    for model in ["tiny", groups.to_str().unwrap()] {
        for options in ["--precision f32", "--precision tf32", "--precision f16 --deterministic", "--deterministic"] {
            let rows = convolutions(model, options);
            assert!(!rows.is_empty());
            for row in rows {
                let engine: u32 = row["algorithm"].split(' ').nth(1).unwrap().parse().unwrap();
                assert!(row["algorithm"].starts_with("engine ") && engine != 200, "{options}: {row:?}");
                assert!(options.contains("tf32") || options.contains("f16") || engine < 100, "{options}: {row:?}");
                let varies = row["phase"].starts_with("backward") && [0, 3].contains(&engine);
                assert!(!options.contains("--deterministic") || !varies, "{options}: {row:?}");
            }
        }
    }
}

#[test]
fn the_workspace_is_within_the_limit() {
    let rows = convolutions("tiny", "--workspace-limit 0");
    assert!(rows.iter().all(|row| row["workspace_bytes"] == "0"), "{rows:?}");
    let free = convolutions("tiny", "");
    assert!(free.iter().any(|row| row["workspace_bytes"] != "0"), "{free:?}");
}

/// A plan that cannot be made is passed over; anything else that fails ends the run in one line, and nothing is left behind.
#[test]
fn every_call_may_fail() {
    let run = |fault: Fault| {
        let program = Program::new();
        soft::output(&program, &format!("{QUICK} --batch 2 --cudnn graph"), &soft::gpu().fault(fault))
    };
    for call in ["CreateDescriptor", "SetAttribute", "Finalize", "GetAttribute", "Execute"] {
        let call = format!("cudnnBackend{call}");
        let output = run(Fault::call(&call).returns("CUDNN_STATUS_INTERNAL_ERROR"));
        soft::assert_refused(&output, 1, &[&call, "CUDNN_STATUS_INTERNAL_ERROR", "conv"]);
        let late = run(Fault::call(&call).nth(40).returns("CUDNN_STATUS_INTERNAL_ERROR"));
        soft::assert_refused(&late, 1, &[&call, "CUDNN_STATUS_INTERNAL_ERROR"]);
    }
    let output = run(Fault::call("cudnnBackendExecute").nth(3).work_fails("CUDA_ERROR_ILLEGAL_ADDRESS"));
    assert_ne!(output.status.code(), Some(0), "{output:?}");
}
