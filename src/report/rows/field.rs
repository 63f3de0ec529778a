//! The fields of a row: how a value becomes the text of a CSV file, and that text a value.

use serde::de::IntoDeserializer;
use serde::de::value::{Error, StrDeserializer};
use serde::{Deserialize, Serialize};

use super::StatusWord;
use crate::model::kind::Group;
use crate::plan::{Bound, Phase};
use crate::profile::Status;

/// A field as it is written.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Written {
    /// Not applicable, or not measured.
    Empty,
    /// A word or a name.
    Text(String),
    /// A whole number.
    Whole(u64),
    /// A number with decimals.
    Real(f64),
}

/// Why a text is no value of its column, where more is to be said than that.
pub type Refusal = Option<String>;

/// A field of a row, which may be empty.
pub trait CsvField {
    /// The field as it is written.
    fn written(&self) -> Written;

    /// Takes the value from a file's text.
    fn set(&mut self, text: &str) -> Result<(), Refusal>;
}

/// A value that is never empty.
pub trait CsvValue: Sized {
    /// The value as it is written.
    fn written(&self) -> Written;

    /// Reads the value from a file's text.
    fn parse(text: &str) -> Result<Self, Refusal>;

    /// Puts the value that a text holds in place of this one.
    fn replace(&mut self, text: &str) -> Result<(), Refusal> {
        *self = Self::parse(text)?;
        Ok(())
    }
}

impl<T: CsvValue> CsvField for T {
    fn written(&self) -> Written {
        CsvValue::written(self)
    }

    fn set(&mut self, text: &str) -> Result<(), Refusal> {
        self.replace(text)
    }
}

/// `None` is an empty field.
impl<T: CsvValue> CsvField for Option<T> {
    fn written(&self) -> Written {
        self.as_ref().map_or(Written::Empty, CsvValue::written)
    }

    fn set(&mut self, text: &str) -> Result<(), Refusal> {
        *self = if text.is_empty() { None } else { Some(T::parse(text)?) };
        Ok(())
    }
}

/// A word, or `all` for `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrAll<T>(pub Option<T>);

const ALL: &str = "all";

impl<T: CsvValue> CsvValue for OrAll<T> {
    fn written(&self) -> Written {
        self.0.as_ref().map_or(Written::Text(ALL.into()), CsvValue::written)
    }

    fn parse(text: &str) -> Result<Self, Refusal> {
        if text == ALL { Ok(OrAll(None)) } else { T::parse(text).map(|word| OrAll(Some(word))) }
    }
}

/// Names keep an apostrophe before what a spreadsheet would take for a formula, as in `'=1+1`; reading takes it away.
impl CsvValue for String {
    fn written(&self) -> Written {
        Written::Text(if is_formula(self) { format!("'{self}") } else { self.clone() })
    }

    fn parse(text: &str) -> Result<Self, Refusal> {
        Ok(without_guard(text).to_owned())
    }

    /// Keeps the memory, for files of a million rows.
    fn replace(&mut self, text: &str) -> Result<(), Refusal> {
        self.clear();
        self.push_str(without_guard(text));
        Ok(())
    }
}

/// Tells if a spreadsheet would compute a text, behind any apostrophes.
fn is_formula(text: &str) -> bool {
    text.trim_start_matches('\'').starts_with(['=', '+', '-', '@', '\t', '\r'])
}

fn without_guard(text: &str) -> &str {
    text.strip_prefix('\'').filter(|_| is_formula(text)).unwrap_or(text)
}

impl CsvValue for f64 {
    fn written(&self) -> Written {
        Written::Real(*self)
    }

    fn parse(text: &str) -> Result<Self, Refusal> {
        text.parse().map_err(|_| None)
    }
}

impl CsvValue for u64 {
    fn written(&self) -> Written {
        Written::Whole(*self)
    }

    fn parse(text: &str) -> Result<Self, Refusal> {
        text.parse().map_err(|_| None)
    }
}

impl CsvValue for usize {
    fn written(&self) -> Written {
        Written::Whole(*self as u64)
    }

    fn parse(text: &str) -> Result<Self, Refusal> {
        text.parse().map_err(|_| None)
    }
}

/// A word of an enum, by the names that it has in `run.json` too.
fn word<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T, Refusal> {
    let from: StrDeserializer<Error> = text.into_deserializer();
    T::deserialize(from).map_err(|error| Some(error.to_string()))
}

impl CsvValue for Group {
    fn written(&self) -> Written {
        Written::Text(self.name().into())
    }

    fn parse(text: &str) -> Result<Self, Refusal> {
        word(text)
    }
}

impl CsvValue for Phase {
    fn written(&self) -> Written {
        Written::Text(self.name().into())
    }

    fn parse(text: &str) -> Result<Self, Refusal> {
        word(text)
    }
}

impl CsvValue for StatusWord {
    fn written(&self) -> Written {
        Written::Text(self.name().into())
    }

    fn parse(text: &str) -> Result<Self, Refusal> {
        if text == StatusWord::Predicted.name() {
            Ok(StatusWord::Predicted)
        } else {
            word::<Status>(text).map(Self::Of)
        }
    }
}

impl CsvValue for Bound {
    fn written(&self) -> Written {
        let word = match self {
            Bound::Compute => "compute",
            Bound::Memory => "memory",
            Bound::Latency => "latency",
            Bound::Cache => "cache",
        };
        Written::Text(word.into())
    }

    fn parse(text: &str) -> Result<Self, Refusal> {
        word(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_are_guarded_and_come_back() {
        for (name, written) in [
            ("=1+1", "'=1+1"),
            ("-2+3", "'-2+3"),
            ("@a", "'@a"),
            ("'=1", "''=1"),
            ("'quoted'", "'quoted'"),
            ("conv1", "conv1"),
            ("", ""),
        ] {
            assert_eq!(CsvField::written(&name.to_owned()), Written::Text(written.into()));
            let mut read = String::from("before");
            read.set(written).unwrap();
            assert_eq!(read, name);
        }
    }
}
