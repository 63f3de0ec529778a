//! The files that PyTorch wrote (tests/reference/export.py) against a device made of the f64 reference: right as they are, and wrong
//! where a tensor is changed, missing or misshapen.

use std::collections::HashMap;
use std::path::PathBuf;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView, serialize};
use tempfile::TempDir;

use crate::device::Training;
use crate::plan::Phase;
use crate::plan::Precision;
use crate::verify::test_session::TestDevice;
use crate::verify::{Report, Request, run};

const SMALL: [&str; 9] = ["asymmetric", "branches", "edges", "groups", "lrn", "mlp", "no-bias", "pooling", "vanishing"];

fn committed(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "reference", name].iter().collect()
}

fn request(model: Option<PathBuf>, file: PathBuf) -> Request {
    // Constants that no file has: the file's own must be taken.
    let training = Training { learning_rate: 7.0, momentum: 0.1, weight_decay: 3.0, seed: 1, dropout: true };
    Request {
        model: model.map(|path| path.to_str().unwrap().into()),
        batch: 77,
        image: None,
        precision: Precision::F32,
        input_gradient: true,
        training,
        reference: Some(file),
    }
}

fn small(name: &str) -> Request {
    request(Some(committed(&format!("models/{name}.toml"))), committed(&format!("{name}.safetensors")))
}

fn verify(request: &Request) -> anyhow::Result<Report> {
    run(&TestDevice::with_fault(None), request)
}

/// A file's tensors, to be changed and written again.
struct Edited {
    metadata: HashMap<String, String>,
    tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)>,
    folder: TempDir,
}

impl Edited {
    fn new(name: &str) -> Edited {
        let bytes = std::fs::read(committed(name)).unwrap();
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let tensors = file
            .iter()
            .map(|(name, view)| (name.to_owned(), view.dtype(), view.shape().to_vec(), view.data().to_vec()));
        let mut tensors: Vec<_> = tensors.collect();
        tensors.sort_by(|a, b| a.0.cmp(&b.0));
        Edited { metadata: header.metadata().clone().unwrap(), tensors, folder: tempfile::tempdir().unwrap() }
    }

    fn names(&self) -> Vec<String> {
        self.tensors.iter().map(|(name, ..)| name.clone()).collect()
    }

    fn tensor(&mut self, name: &str) -> &mut (String, Dtype, Vec<usize>, Vec<u8>) {
        self.tensors.iter_mut().find(|(known, ..)| known == name).unwrap()
    }

    /// Changes the largest element of an f32 tensor by 1 %, or one label to another.
    fn perturb(&mut self, name: &str) {
        let (_, dtype, _, bytes) = self.tensor(name);
        if *dtype == Dtype::I64 {
            bytes[0] ^= 1;
            return;
        }
        let elements = bytes.as_chunks_mut::<4>().0;
        let size = |bytes: &[u8; 4]| f32::from_le_bytes(*bytes).abs();
        let largest = elements.iter_mut().max_by(|a, b| size(a).total_cmp(&size(b))).unwrap();
        *largest = (f32::from_le_bytes(*largest) * 1.01).to_le_bytes();
    }

    fn write(&self) -> PathBuf {
        let views = self
            .tensors
            .iter()
            .map(|(name, dtype, sizes, bytes)| (name.as_str(), TensorView::new(*dtype, sizes.clone(), bytes).unwrap()));
        let path = self.folder.path().join("edited.safetensors");
        std::fs::write(&path, serialize(views, Some(self.metadata.clone())).unwrap()).unwrap();
        path
    }

    fn verify(&self) -> anyhow::Result<Report> {
        verify(&request(None, self.write()))
    }

    /// The one line of a file that is refused.
    fn refused(&self) -> String {
        let message = format!("{:#}", self.verify().unwrap_err());
        assert!(!message.contains('\n'), "{message}");
        message
    }
}

#[test]
fn pytorch_agrees_on_every_kind_and_option() {
    for name in SMALL {
        let report = verify(&small(name)).unwrap();
        assert!(report.passes(), "{name}: {:?}", report.failures().collect::<Vec<_>>());
        assert_eq!((report.batch, report.model.as_str()), (3, name));
    }
    let report = verify(&request(None, committed("tiny.safetensors"))).unwrap();
    assert!(report.passes(), "tiny: {:?}", report.failures().collect::<Vec<_>>());
}

/// With all tensors there, nothing but the loss and the updated parameters waits for the whole step.
#[test]
fn every_exported_tensor_is_compared_by_itself() {
    let edited = Edited::new("branches.safetensors");
    let report = verify(&small("branches")).unwrap();
    for name in edited.names() {
        let own_input = name == "input" || name == "labels" || name.starts_with("param.");
        let found = report.rows.iter().any(|row| row.tensor == name && row.phase.is_some());
        assert!(found != own_input, "{name}");
    }
}

#[test]
fn any_perturbed_tensor_fails_and_is_named() {
    for name in Edited::new("tiny.safetensors").names() {
        let mut edited = Edited::new("tiny.safetensors");
        edited.perturb(&name);
        let report = edited.verify().unwrap();
        assert!(!report.passes(), "{name}");
        let given = name == "input" || name == "labels" || name.starts_with("param.");
        assert!(given || report.failures().any(|row| row.tensor == name && row.phase.is_some()), "{name}");
    }
}

/// The failure stays where it is made: at the tensor, and at what reads it.
#[test]
fn a_perturbed_parameter_fails_in_its_own_layer() {
    let mut edited = Edited::new("tiny.safetensors");
    edited.perturb("param.fc5.weight");
    let report = edited.verify().unwrap();
    let by_phase: Vec<_> = report.failures().filter(|row| row.phase.is_some()).collect();
    assert!(by_phase.iter().all(|row| row.layer == "fc5"), "{by_phase:?}");
    assert!(by_phase.iter().any(|row| row.phase == Some(Phase::Forward) && row.tensor == "output.fc5"));
}

#[test]
fn any_subset_will_do() {
    for keep in ["loss", "grad.", "updated.", "output.", "grad_output.", "output.relu3", "grad.conv1.weight"] {
        let mut edited = Edited::new("tiny.safetensors");
        let kept =
            |name: &str| name.starts_with(keep) || ["input", "labels"].contains(&name) || name.starts_with("param.");
        edited.tensors.retain(|(name, ..)| kept(name));
        let report = edited.verify().unwrap();
        assert!(report.passes(), "{keep}: {:?}", report.failures().collect::<Vec<_>>());
        for (name, ..) in edited.tensors.iter().filter(|(name, ..)| name.starts_with(keep)) {
            assert!(report.rows.iter().any(|row| row.tensor == *name), "{keep}: {name} is not compared");
        }
    }
    let mut edited = Edited::new("tiny.safetensors");
    edited.tensors.retain(|(name, ..)| name.starts_with("param.") || ["input", "labels"].contains(&name.as_str()));
    assert!(edited.refused().contains("nothing to compare"));
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    type Edit = fn(&mut Edited);
    let cases: [(Edit, &str); 9] = [
        (|it| it.tensors.retain(|(name, ..)| name != "labels"), "no tensor `labels`"),
        (|it| it.tensors.retain(|(name, ..)| name != "param.bn1.bias"), "no tensor `param.bn1.bias`"),
        (|it| it.tensor("param.fc6.weight").2 = vec![16, 10], "`param.fc6.weight` is [16, 10], but must be [10, 16]"),
        (|it| it.tensor("output.relu3").1 = Dtype::I32, "`output.relu3` is I32, but must be F32"),
        (|it| it.tensor("output.relu3").0 = "output.relu9".into(), "`output.relu9` is no tensor of tiny"),
        (|it| it.tensor("labels").3[0] = 10, "`labels` holds 10, but there are 10 classes"),
        (|it| it.tensor("input").2 = vec![2, 1, 16, 48], "tiny takes [N, 3, H, W]"),
        (|it| drop(it.metadata.insert("dropout".into(), "on".into())), "dropout is `on`"),
        (|it| drop(it.metadata.insert("momentum".into(), "fast".into())), "`momentum` is `fast`"),
    ];
    for (edit, expected) in cases {
        let mut edited = Edited::new("tiny.safetensors");
        edit(&mut edited);
        let message = edited.refused();
        assert!(message.contains(expected) && message.contains("edited.safetensors"), "{message}");
    }
}

#[test]
fn the_model_is_named_or_given() {
    let mut edited = Edited::new("tiny.safetensors");
    edited.metadata.remove("model");
    assert!(edited.refused().contains("give --model"));
    let request = Request { model: Some("tiny".into()), ..request(None, edited.write()) };
    assert!(verify(&request).unwrap().passes());
}

#[test]
fn files_of_other_kinds_are_refused() {
    let whole = std::fs::read(committed("tiny.safetensors")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let longer = [whole.as_slice(), b"!"].concat();
    let foreign: [&[u8]; 6] =
        [b"", b"abc", &whole[..100], &whole[..whole.len() - 1], &longer, b"\x89PNG\r\n\x1a\n and more"];
    for bytes in foreign {
        std::fs::write(&path, bytes).unwrap();
        let message = format!("{:#}", verify(&request(None, path.clone())).unwrap_err());
        assert!(message.contains("no whole safetensors file") && !message.contains('\n'), "{message}");
    }
    let missing = format!("{:#}", verify(&request(None, folder.path().join("absent"))).unwrap_err());
    assert!(missing.contains("cannot open the reference"), "{missing}");
}
