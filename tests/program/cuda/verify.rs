//! Every layer and phase against double precision.

use std::path::{Path, PathBuf};

use softcuda::Fault;

use super::soft;
use crate::program::{Program, records, stdout};

fn assert_right(arguments: &str) {
    let output = soft::output(&Program::new(), &format!("verify --device cuda {arguments}"), &soft::gpu());
    let text = stdout(&output) + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("PASS"), "{arguments}\n{text}");
}

#[test]
fn tiny_in_every_precision_layout_and_batch() {
    for precision in ["f32", "tf32", "f16", "bf16"] {
        for layout in ["nchw", "nhwc"] {
            for batch in [1, 5] {
                assert_right(&format!("--model tiny --precision {precision} --layout {layout} --batch {batch}"));
            }
        }
    }
    assert_right("--model tiny --input-gradient --algorithms heuristic --deterministic");
    assert_right("--model tiny --workspace-limit 0");
}

#[test]
fn legacy_algorithms_in_every_precision_and_layout() {
    for precision in ["f32", "tf32", "f16", "bf16"] {
        for layout in ["nchw", "nhwc"] {
            let options = format!("--precision {precision} --layout {layout} --cudnn legacy --input-gradient");
            assert_right(&format!("--model tiny --batch 3 {options}"));
        }
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference");
    for name in ["groups", "asymmetric", "padding", "transposed"] {
        let (model, file) = (folder.join(format!("models/{name}.toml")), folder.join(format!("{name}.safetensors")));
        let (model, file) = (model.display(), file.display());
        assert_right(&format!("--model {model} --reference {file} --input-gradient --precision f16 --cudnn legacy"));
    }
}

/// Kinds that tiny has not, with gradients that others add to.
#[test]
fn other_kinds_in_every_precision_and_layout() {
    for name in
        ["activations", "multiply", "padding", "heads", "layernorm", "channels", "encoder", "transposed", "unpooling"]
    {
        let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/models").join(name);
        for precision in ["f32", "tf32", "f16", "bf16"] {
            for layout in ["nchw", "nhwc"] {
                let options = format!("--precision {precision} --layout {layout} --batch 3 --input-gradient");
                assert_right(&format!("--model {}.toml {options}", model.display()));
            }
        }
    }
}

/// Enough places per channel that sums over them are made in slices, in either layout.
#[test]
fn sums_in_slices() {
    for layout in ["nchw", "nhwc"] {
        assert_right(&format!("--model tiny --batch 40 --precision f16 --layout {layout}"));
    }
}

/// cuDNN refuses NHWC for the first convolution, one direction at a time and all three: it goes by way of NCHW, adding to a gradient
/// that is there already (conv2's and conv3's go to pool1) included.
#[test]
fn nhwc_that_cudnn_lacks_goes_by_way_of_nchw() {
    let refuse = |direction: &str, nth: u64| {
        Fault::call(format!("cudnnFindConvolution{direction}AlgorithmEx"))
            .nth(nth)
            .returns("CUDNN_STATUS_NOT_SUPPORTED")
    };
    // A refused search is one call, an accepted one three.
    let all = ["Forward", "BackwardFilter", "BackwardData"]
        .map(|direction| (1..9).map(|nth| refuse(direction, 4 * nth - 3)).collect::<Vec<_>>());
    for faults in [all[0].clone(), all[1].clone(), all[2].clone(), all.concat()] {
        let gpu = soft::gpu().faults(faults.clone());
        for precision in ["f32", "f16"] {
            let program = Program::new();
            let options = format!("--layout nhwc --precision {precision} --cudnn legacy");
            let verify = format!("verify --device cuda --model tiny --batch 3 {options}");
            let output = soft::output(&program, &verify, &gpu);
            assert!(output.status.success(), "{faults:?}: {}", stdout(&output));
            let run = format!("{} --batch 1 {options}", soft::QUICK);
            assert!(soft::output(&program, &run, &gpu).status.success());
            let rows = records(&program.run_folder().join("phases.csv"));
            let around = rows.iter().filter(|row| row["algorithm"].ends_with(" by way of NCHW")).count();
            assert!(around >= 2, "{faults:?}: {around}");
        }
    }
}

/// The way around NHWC is searched with scratch of its own size, also where cuDNN's guesses say nothing of NHWC.
#[test]
fn the_way_around_nhwc_has_workspace() {
    let refuse = |call: String| move |nth: u64| Fault::call(&call).nth(nth).returns("CUDNN_STATUS_NOT_SUPPORTED");
    // A convolution's guesses are for NHWC and NCHW in turn; a refused search is one call, an accepted one three.
    let faults = ["Forward", "BackwardFilter", "BackwardData"].map(|direction| {
        let guesses = (1..9).step_by(2).map(refuse(format!("cudnnGetConvolution{direction}Algorithm_v7")));
        let searches = (1..17).step_by(4).map(refuse(format!("cudnnFindConvolution{direction}AlgorithmEx")));
        guesses.chain(searches).collect::<Vec<_>>()
    });
    let program = Program::new();
    let run = format!("{} --batch 1 --layout nhwc --cudnn legacy", soft::QUICK);
    assert!(soft::output(&program, &run, &soft::gpu().faults(faults.concat())).status.success());
    let rows = records(&program.run_folder().join("phases.csv"));
    let winograd = |name: &str| name.contains("WINOGRAD") && name.ends_with(" by way of NCHW");
    assert!(rows.iter().any(|row| winograd(&row["algorithm"])), "{rows:?}");
}

/// Layers that no built-in has: uneven windows and strides, ceil and adaptive pooling, an LRN that is not cuDNN's, three
/// summands, a branch that is read twice, layers behind a flatten.
const ODD: &str = r#"
name = "odd"
input = [4, 13, 11]
layer = [
    { name = "conv1", kind = "conv", channels = 6, kernel = [3, 2], stride = [2, 1], pad = [1, 0], groups = 2 },
    { name = "norm1", kind = "lrn", size = 4, alpha = 0.3, beta = 0.5, k = 2.0 },
    { name = "pool1", kind = "maxpool", kernel = 3, stride = 2, ceil = true },
    { name = "conv2", kind = "conv", channels = 6, kernel = 1, bias = false },
    { name = "conv3", kind = "conv", channels = 6, kernel = 3, pad = 1, inputs = ["pool1"] },
    { name = "add4", kind = "add", inputs = ["conv2", "conv3", "pool1", "conv3"] },
    { name = "pool4", kind = "avgpool", kernel = 2, stride = 1, pad = 1, ceil = true },
    { name = "pool5", kind = "avgpool", output = [3, 2] },
    { name = "flat5", kind = "flatten" },
    { name = "bn5", kind = "batchnorm" },
    { name = "drop5", kind = "dropout", p = 0.3 },
    { name = "conv6", kind = "conv", channels = 12, kernel = 1, inputs = ["drop5"] },
    { name = "join6", kind = "concat", inputs = ["conv6", "drop5"] },
    { name = "fc7", kind = "fc", outputs = 7, bias = false },
    { name = "loss", kind = "softmax_loss" },
]
"#;

#[test]
fn odd_shapes() {
    let program = Program::new();
    program.model("odd.toml", ODD);
    let model = program.folder.path().join("odd.toml");
    for precision in ["f32", "f16"] {
        for layout in ["nchw", "nhwc"] {
            assert_right(&format!("--model {} --batch 3 --precision {precision} --layout {layout}", model.display()));
        }
    }
}

/// Every file that PyTorch made, with its odd shapes, in single and half precision and both layouts.
#[test]
fn pytorch_agrees() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference");
    let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let references: Vec<PathBuf> =
        files.filter(|file| file.extension().is_some_and(|end| end == "safetensors")).collect();
    assert!(references.len() >= 9, "{references:?}");
    for file in references {
        let name = file.file_stem().unwrap().to_str().unwrap();
        let own = folder.join("models").join(format!("{name}.toml"));
        let model = if own.exists() { own.display().to_string() } else { name.to_owned() };
        for options in ["--precision f32", "--precision f32 --layout nhwc", "--precision f16"] {
            let file = file.display();
            assert_right(&format!("--model {model} --reference {file} --input-gradient {options}"));
        }
    }
}

#[test]
fn alexnet() {
    let program = Program::new();
    assert_right(&format!("--model {} --batch 1 --algorithms heuristic", program.narrow_alexnet().display()));
}
