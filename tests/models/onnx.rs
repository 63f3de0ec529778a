//! ONNX files that PyTorch's exporters wrote, see `export_onnx.py`, and damaged ones.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use layertime::model::Model;
use layertime::plan::{Options, Phase, Plan};
use proptest::prelude::*;

fn folder() -> PathBuf {
    // Other files of the same script: LAYERTIME_ONNX=FOLDER.
    std::env::var_os("LAYERTIME_ONNX")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models/onnx"), PathBuf::from)
}

/// Parameters and forward multiply-adds of one image.
pub fn counts(model: &Model) -> (u64, u64) {
    let plan = Plan::new(model, Options::of_batch(1)).unwrap();
    (plan.parameters(), plan.layers.iter().map(|layer| layer.cost(Phase::Forward).macs).sum())
}

/// Of files for inference PyTorch's count is that with batch norms folded, too.
#[test]
fn exported_networks_have_the_parameters_and_multiply_adds_that_pytorch_counts() {
    let mut failures = Vec::new();
    for line in std::fs::read_to_string(folder().join("counts.csv")).unwrap().lines().skip(1) {
        let [file, parameters, macs] = line.split(',').collect::<Vec<_>>()[..] else { panic!("{line}") };
        match Model::read(&folder().join(file)) {
            Ok(model) => {
                let expected: (u64, u64) = (parameters.parse().unwrap(), macs.parse().unwrap());
                let found = counts(&model);
                if found != expected {
                    failures.push(format!("{file}: {found:?} in place of {expected:?}"));
                }
                assert_eq!(
                    Model::parse(&model.to_toml(), "t.toml").unwrap().layers.len(),
                    model.layers.len(),
                    "{file}"
                );
            }
            Err(error) => failures.push(error.to_string()),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn read(bytes: &[u8]) -> Result<Model, String> {
    Model::from_onnx(Cursor::new(bytes), "t", "t.onnx").map_err(|error| error.to_string())
}

fn committed(file: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models/onnx").join(file)).unwrap()
}

/// torchvision's ResNet-18 has 20 convolutions, each with a batch norm.
#[test]
fn folded_batch_norms_are_noted_and_layers_have_the_names_of_modules() {
    let eval = read(&committed("resnet18.torchscript-eval.onnx")).unwrap();
    assert_eq!(
        eval.notes,
        ["exported for inference: 20 batch norms are missing; export with training=… to measure them"]
    );
    for file in ["resnet18.torchscript-train.onnx", "resnet18.dynamo-train.onnx"] {
        let model = read(&committed(file)).unwrap();
        let names: Vec<&str> = model.layers.iter().map(|layer| layer.name.as_str()).collect();
        assert_eq!(names[..6], ["conv1", "bn1", "relu", "maxpool", "layer1.0.conv1", "layer1.0.bn1"], "{file}");
        assert!(names.contains(&"layer4.0.downsample.1") && names.contains(&"layer2.1.add"), "{file}: {names:?}");
        assert_eq!(names[names.len() - 3..], ["avgpool", "fc", "loss"], "{file}");
        assert_eq!(model.notes, Vec::<String>::new());
    }
}

/// A length of 2⁶² bytes, a varint without an end, a message that is not there, a text.
#[test]
fn what_is_no_onnx_file_is_refused_in_one_line() {
    let huge = [&[0x3a][..], &[0xff; 8], &[0x3f]].concat();
    for bytes in [&b""[..], b"name = \"t\"\n", &[0x3a], &[0xff; 40], &huge] {
        let error = read(bytes).unwrap_err();
        assert!(error.starts_with("t.onnx: is no ONNX file") && error.lines().count() == 1, "{error}");
    }
    // Ten million empty nodes.
    let nodes = [0x0a, 0].repeat(10_000_000);
    let mut graph = vec![0x3a];
    prost::encode_length_delimiter(nodes.len(), &mut graph).unwrap();
    graph.extend(nodes);
    assert_eq!(read(&graph).unwrap_err(), "t.onnx: has more than four million fields");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Bytes changed, taken out or doubled: an error of one line, or a network that can be planned.
    #[test]
    fn damaged_files_are_refused_or_read(
        file in prop::sample::select(vec!["resnet18.torchscript-train.onnx", "alexnet.dynamo-train.onnx"]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4u8), 1..12),
    ) {
        let mut bytes = committed(file);
        for (at, value, change) in changes {
            let at = at.index(bytes.len());
            match change {
                0 => bytes[at] = value,
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, value),
                _ => bytes.truncate(at.max(bytes.len() - usize::from(value))),
            }
        }
        match read(&bytes) {
            Ok(model) => prop_assert!(Model::parse(&model.to_toml(), "t.toml").is_ok(), "{}", model.to_toml()),
            Err(error) => prop_assert_eq!(error.lines().count(), 1, "{}", error),
        }
    }
}
