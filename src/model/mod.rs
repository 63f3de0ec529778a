//! A CNN as its author describes it: layers, their parameters and who feeds whom.
//!
//! Descriptions are TOML, read by [`Model::named`] (built in), [`Model::read`] (a file) or [`Model::parse`] (text).
//! Nothing here knows a batch size: shapes and costs are [`crate::plan`]'s.

mod builtin;
pub mod kind;
pub(crate) mod parse;

use std::path::Path;

pub use kind::Kind;

/// The name by which a layer's `inputs` mean the image itself.
pub const IMAGE: &str = "input";

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
    /// The description's own text, kept for `run.json`.
    pub source: String,
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
    /// Line of the description on which the layer begins.
    pub line: usize,
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
    #[error("no model is named `{name}`: give one of {known}, or the path of a .toml description")]
    Unknown {
        /// The name that was asked for.
        name: String,
        /// The names that there are.
        known: String,
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
    /// A built-in model by name, or a description by path: whatever ends in `.toml` or holds a path separator is a path.
    pub fn open(name_or_path: &str) -> Result<Model, ModelError> {
        if name_or_path.ends_with(".toml") || name_or_path.contains(std::path::MAIN_SEPARATOR) {
            Model::read(Path::new(name_or_path))
        } else {
            Model::named(name_or_path)
        }
    }

    /// One of the built-in models.
    pub fn named(name: &str) -> Result<Model, ModelError> {
        match builtin::text(name) {
            Some(text) => Model::parse(text, &format!("built-in {name}")),
            None => {
                Err(ModelError::Unknown { name: name.into(), known: builtin::names().collect::<Vec<_>>().join(", ") })
            }
        }
    }

    /// A user's description.
    pub fn read(path: &Path) -> Result<Model, ModelError> {
        let file = path.display().to_string();
        let text =
            std::fs::read_to_string(path).map_err(|source| ModelError::Unreadable { file: file.clone(), source })?;
        Model::parse(&text, &file)
    }

    /// Reads a description; `file` is what errors call it.
    pub fn parse(text: &str, file: &str) -> Result<Model, ModelError> {
        parse::model(text, file).map_err(|error| ModelError::Description {
            file: file.into(),
            line: error.line,
            message: error.message,
        })
    }
}
