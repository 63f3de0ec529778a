//! `verify` against double precision and against tensors that PyTorch made (tests/reference/export.py).

use std::path::{Path, PathBuf};

use layertime::device::cpu::compute::simd::Isa;

use crate::program::{Program, assert_refused, stdout};

fn references() -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference");
    let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let references = files.filter(|file| file.extension().is_some_and(|end| end == "safetensors")).map(|file| {
        let name = file.file_stem().unwrap().to_str().unwrap();
        let model = folder.join("models").join(format!("{name}.toml"));
        let model = if model.exists() { model.display().to_string() } else { name.to_owned() };
        (file, model)
    });
    references.collect()
}

#[test]
fn every_reference_agrees() {
    let references = references();
    assert!(references.len() >= 9, "{references:?}");
    for (file, model) in references {
        let arguments = format!("verify --device cpu --model {model} --reference {}", file.display());
        for arguments in [arguments.clone(), format!("{arguments} --input-gradient --threads 1")] {
            let output = Program::new().output(&arguments);
            assert!(output.status.success() && stdout(&output).contains("PASS"), "{arguments}\n{}", stdout(&output));
        }
    }
}

/// `LAYERTIME_INSTRUCTIONS` forces slower instructions than the CPU has; the run says which. With direct convolutions too.
#[test]
fn the_references_agree_by_all_instructions() {
    let references = || references().into_iter().filter(|(_, model)| !model.contains("alexnet"));
    for instructions in Isa::supported().map(Isa::name) {
        let program = Program::new();
        for (file, model) in references() {
            for algorithms in ["", " --algorithms direct"] {
                let arguments =
                    format!("verify --device cpu --model {model} --reference {}{algorithms}", file.display());
                let output = program.command(&arguments).env("LAYERTIME_INSTRUCTIONS", instructions).output().unwrap();
                let text = stdout(&output);
                assert!(output.status.success() && text.contains("PASS"), "{instructions}: {arguments}\n{text}");
                let named =
                    if instructions == "portable" { "im2col_gemm".into() } else { format!("direct_{instructions}") };
                assert!(model != "tiny" || text.contains(&named), "{instructions}: {arguments}\n{text}");
            }
        }
    }
    let unknown = Program::new().command("verify --device cpu").env("LAYERTIME_INSTRUCTIONS", "mmx").output().unwrap();
    assert_refused(&unknown, 2, &["LAYERTIME_INSTRUCTIONS", "mmx", "portable"]);
}

/// The position of a tensor's first byte in a safetensors file.
fn start_of(bytes: &[u8], tensor: &str) -> usize {
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let table: serde_json::Value = serde_json::from_slice(&bytes[8..8 + header]).unwrap();
    8 + header + table[tensor]["data_offsets"][0].as_u64().unwrap() as usize
}

/// One element of one expected tensor is moved by one: that layer and phase must be named.
#[test]
fn a_perturbed_reference_fails_and_names_the_layer() {
    for (tensor, words) in [
        ("output.conv2", ["conv2", "forward"]),
        ("grad.fc5.weight", ["fc5", "backward_weights"]),
        ("grad_output.pool1", ["pool1", "backward_data"]),
        ("updated.conv3.bias", ["conv3", "weight_update"]),
    ] {
        let program = Program::new();
        let (file, _) = references().into_iter().find(|(file, _)| file.ends_with("tiny.safetensors")).unwrap();
        let mut bytes = std::fs::read(file).unwrap();
        let at = start_of(&bytes, tensor);
        let value = f32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        bytes[at..at + 4].copy_from_slice(&(value + 1.0).to_le_bytes());
        std::fs::write(program.folder.path().join("bad.safetensors"), bytes).unwrap();
        let output = program.output("verify --device cpu --reference bad.safetensors");
        assert_eq!(output.status.code(), Some(1), "{tensor}");
        let text = stdout(&output);
        let named = |line: &str| line.contains("FAIL") && words.iter().all(|word| line.contains(word));
        assert!(text.lines().any(named), "{tensor}\n{text}");
        assert!(text.lines().last().unwrap().starts_with("FAIL"), "{text}");
    }
}

#[test]
fn a_broken_reference_is_one_clear_line() {
    let program = Program::new();
    let (file, model) = references().remove(0);
    let bytes = std::fs::read(file).unwrap();
    let refuse = |contents: &[u8], words: &[&str]| {
        std::fs::write(program.folder.path().join("bad.safetensors"), contents).unwrap();
        let arguments = format!("verify --device cpu --model {model} --reference bad.safetensors");
        assert_refused(&program.output(&arguments), 1, words);
    };
    for length in [0, 4, 8, 100, bytes.len() / 2, bytes.len() - 1] {
        refuse(&bytes[..length], &["bad.safetensors"]);
    }
    refuse(b"PK\x03\x04 this is a zip archive and no safetensors file at all", &["bad.safetensors"]);
    assert_refused(&program.output("verify --device cpu --reference nowhere.safetensors"), 1, &["nowhere.safetensors"]);
}

#[test]
fn double_precision_agrees_at_every_thread_count() {
    for threads in [1, 2, 3] {
        for batch in [1, 5] {
            let output =
                Program::new().output(&format!("verify --model tiny --device cpu --batch {batch} --threads {threads}"));
            assert!(output.status.success(), "{}", stdout(&output));
        }
    }
    let program = Program::new();
    let alexnet = program.narrow_alexnet();
    let options = "--device cpu --batch 1 --image 63 --input-gradient";
    let output = program.output(&format!("verify --model {} {options}", alexnet.display()));
    assert!(output.status.success(), "{}", stdout(&output));
}
