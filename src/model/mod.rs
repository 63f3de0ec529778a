//! A CNN as its author describes it: layers, their parameters and who feeds whom.
//!
//! Descriptions are TOML, read by [`Model::named`] (built in), [`Model::read`] (a file) or [`Model::parse`] (text).
//! Nothing here knows a batch size: shapes and costs are [`crate::plan`]'s.

mod activation;
mod builtin;
mod draft;
mod dropout;
pub mod kind;
mod networks;
mod norm;
mod onnx;
mod padding;
pub(crate) mod parse;
mod pick;
mod pool;
mod prototxt;
pub(crate) mod range;
mod spelling;
mod transposed;
mod write;

use std::io::{Read, Seek};
use std::path::Path;

pub use kind::Kind;

/// The name by which a layer's `inputs` mean the image itself.
pub const IMAGE: &str = "input";

/// Letters of the longest name of a layer or model.
const LONGEST_NAME: usize = 64;

/// Tells if a name may hold the character. Names stand in CSV fields, charts and names of folders.
fn is_name_letter(letter: char) -> bool {
    letter.is_alphanumeric() || "_-./+".contains(letter)
}

/// A described network. Layers are in an order in which each comes after its inputs.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// The name that reports carry.
    pub name: String,
    /// Channels, height and width of one image.
    pub input: [usize; 3],
    /// The loss is the last.
    pub layers: Vec<Layer>,
    /// The description's name in errors: a path, or `built-in alexnet`.
    pub file: String,
    /// The description's text, kept for `run.json`; of an imported network in our own form.
    pub source: String,
    /// Notes on what an import could not take over, one sentence each.
    pub notes: Vec<String>,
}

/// One layer of a [`Model`].
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// Unique in the model.
    pub name: String,
    /// Kind and parameters.
    pub kind: Kind,
    /// One input; of add and concat two or more.
    pub inputs: Vec<Source>,
    /// Line of the description on which the layer begins; `None` in imported networks.
    pub line: Option<usize>,
}

/// The origin of a layer's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// The batch of images.
    Image,
    /// Index into [`Model::layers`], always smaller than the reader's own.
    Layer(usize),
}

/// Why a model cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A fault in a description.
    #[error("{file}:{line}: {message}")]
    Description {
        /// Path of the description.
        file: String,
        /// Line of the fault, from 1.
        line: usize,
        /// The fault in words.
        message: String,
    },
    /// No built-in model has that name.
    #[error("no model is named `{name}`: give one of {known}, or the path of a .toml, .onnx or .prototxt file")]
    Unknown {
        /// The name that was asked for.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// A file of another program that cannot be taken over.
    #[error("{file}: {message}")]
    Import {
        /// Path of the file.
        file: String,
        /// The reason in words.
        message: String,
    },
    /// The file cannot be read.
    #[error("cannot read the model file {file}")]
    Unreadable {
        /// Path of the file.
        file: String,
        /// The system's reason.
        source: std::io::Error,
    },
}

impl Model {
    /// A built-in model by name, or a file by path: whatever ends in `.toml`, `.onnx` or `.prototxt` or holds a
    /// path separator is a path.
    pub fn open(name_or_path: &str) -> Result<Model, ModelError> {
        let ending = [".toml", ".onnx", ".prototxt"].iter().any(|ending| name_or_path.ends_with(ending));
        if ending || name_or_path.contains(std::path::MAIN_SEPARATOR) {
            Model::read(Path::new(name_or_path))
        } else {
            Model::named(name_or_path)
        }
    }

    /// Names of the built-in models.
    pub fn names() -> impl Iterator<Item = &'static str> {
        builtin::names().chain(networks::names())
    }

    /// One of the built-in models.
    pub fn named(name: &str) -> Result<Model, ModelError> {
        let file = format!("built-in {name}");
        if let Some(text) = builtin::text(name) {
            return Model::parse(text, &file);
        }
        match networks::build(name) {
            Some(built) => {
                let imported = built.map_err(|message| ModelError::Import { file: file.clone(), message })?;
                Ok(Model::imported(name, imported, &file))
            }
            None => {
                Err(ModelError::Unknown { name: name.into(), known: Model::names().collect::<Vec<_>>().join(", ") })
            }
        }
    }

    /// A user's file: ONNX or Caffe's prototxt if its name ends so, else a description in TOML.
    pub fn read(path: &Path) -> Result<Model, ModelError> {
        let file = path.display().to_string();
        let unreadable = |source| ModelError::Unreadable { file: file.clone(), source };
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("onnx") => {
                let stem = path.file_stem().unwrap_or_default().to_string_lossy();
                Model::from_onnx(std::fs::File::open(path).map_err(unreadable)?, &stem, &file)
            }
            Some("prototxt") => Model::from_prototxt(&std::fs::read_to_string(path).map_err(unreadable)?, &file),
            _ => Model::parse(&std::fs::read_to_string(path).map_err(unreadable)?, &file),
        }
    }

    /// Reads a description; `file` is what errors call it.
    pub fn parse(text: &str, file: &str) -> Result<Model, ModelError> {
        parse::model(text, file).map_err(|error| ModelError::Description {
            file: file.into(),
            line: error.line,
            message: error.message,
        })
    }

    /// Takes a network over from ONNX; `name` is what reports call it, `file` what errors do.
    ///
    /// Sizes and layers come from the file, numbers do not: weights are drawn as for every model.
    pub fn from_onnx(source: impl Read + Seek, name: &str, file: &str) -> Result<Model, ModelError> {
        let imported = onnx::read(source)
            .map_err(|message| ModelError::Import { file: file.into(), message: one_line(&message) })?;
        Ok(Model::imported(name, imported, file))
    }

    /// Takes a network over from Caffe's prototxt, as its TRAIN phase is; `file` is what errors call it.
    pub fn from_prototxt(text: &str, file: &str) -> Result<Model, ModelError> {
        let (name, imported) = prototxt::read(text).map_err(|(line, message)| ModelError::Description {
            file: file.into(),
            line,
            message: one_line(&message),
        })?;
        let stem = Path::new(file).file_stem().unwrap_or_default().to_string_lossy();
        Ok(Model::imported(if name.is_empty() { &stem } else { &name }, imported, file))
    }

    fn imported(name: &str, imported: draft::Imported, file: &str) -> Model {
        let draft::Imported { input, layers, notes } = imported;
        let name = draft::name(name);
        let mut model = Model { name, input, layers, file: file.into(), source: String::new(), notes };
        model.source = model.to_toml();
        model
    }

    /// The network as a description, which [`Model::parse`] reads back.
    pub fn to_toml(&self) -> String {
        write::toml(self)
    }
}

/// A message of another crate or with another program's names in it, on one line of reasonable length.
fn one_line(message: &str) -> String {
    let line: String = message.chars().map(|c| if c.is_control() { ' ' } else { c }).take(400).collect();
    if line.len() < message.len() { line + "…" } else { line }
}
