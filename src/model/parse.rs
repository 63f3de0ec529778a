//! From a description's text to a [`Model`], with the line of whatever is wrong.

use std::collections::HashMap;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::kind::{Kind, NoParameters};
use super::range::Range;
use super::spelling::{self, LARGEST};
use super::{IMAGE, LONGEST_NAME, Layer, Model, Source, is_name_letter};

use crate::units::quotable;

const DOUBLE_BRACKETS: &str = "write each layer as a table with two brackets: [[layer]]";

pub struct ParseError {
    pub line: usize,
    pub message: String,
}

/// A fault, and its place in the text in bytes.
pub struct DescriptionFault {
    pub at: std::ops::Range<usize>,
    pub message: String,
}

pub type Parsed<T> = Result<T, DescriptionFault>;

pub fn model(text: &str, file: &str) -> Result<Model, ParseError> {
    read(text, file).map_err(|fault| ParseError { line: line_of(text, fault.at.start), message: fault.message })
}

pub(crate) fn line_of(text: &str, byte: usize) -> usize {
    1 + text.bytes().take(byte).filter(|&b| b == b'\n').count()
}

pub fn fault<T>(at: std::ops::Range<usize>, message: impl Into<String>) -> Parsed<T> {
    Err(DescriptionFault { at, message: message.into() })
}

fn read(text: &str, file: &str) -> Parsed<Model> {
    let document = DeTable::parse(text).map_err(|error| single_brackets(text, from_toml(error, &(0..0))))?;
    let mut top = TomlTable { at: document.span(), keys: document.into_inner() };
    let name: Spanned<String> = top.required("name")?;
    check_letters(&name)?;
    top.check_numbers(&[("input", Range::Image(1, LARGEST))])?;
    let input: Spanned<[usize; 3]> = top.required("input")?;
    let tables = layer_tables(&mut top)?;
    top.refuse_rest("name, input, layer")?;
    let layers = layers(text, tables)?;
    let (name, input) = (name.into_inner(), input.into_inner());
    Ok(Model { name, input, layers, file: file.into(), source: text.into(), notes: Vec::new() })
}

fn layer_tables<'t>(top: &mut TomlTable<'t>) -> Parsed<Vec<TomlTable<'t>>> {
    let whole = top.at.clone();
    let Some(list) = top.take("layer") else {
        return fault(whole, "the description has no [[layer]]");
    };
    let at = list.span();
    let DeValue::Array(items) = list.into_inner() else {
        return fault(at, DOUBLE_BRACKETS);
    };
    items
        .into_iter()
        .map(|item| {
            let at = item.span();
            match item.into_inner() {
                DeValue::Table(keys) => Ok(TomlTable { at, keys }),
                _ => fault(at, DOUBLE_BRACKETS),
            }
        })
        .collect()
}

fn layers(text: &str, tables: Vec<TomlTable>) -> Parsed<Vec<Layer>> {
    let mut known: HashMap<String, usize> = HashMap::new();
    let all_names = names(&tables);
    let count = tables.len();
    let lines = Lines::of(text);
    let spans: Vec<std::ops::Range<usize>> = tables.iter().map(|table| table.at.clone()).collect();
    let mut layers: Vec<Layer> = Vec::with_capacity(count);
    for (index, mut table) in tables.into_iter().enumerate() {
        let name: Spanned<String> = table.required("name")?;
        check_name(&name, &known)?;
        let kind_name: Spanned<String> = table.required("kind")?;
        let inputs: Option<Spanned<Vec<Spanned<String>>>> = table.optional("inputs")?;
        let at = table.at.clone();
        let kind = spelling::read(&kind_name, table)?;
        let inputs = match inputs {
            Some(list) => sources(&name, list, &kind, &layers, (&known, &all_names))?,
            None if kind.joins() => return fault(at, format!("{} needs `inputs`: two or more layers", name.get_ref())),
            None if index == 0 => vec![Source::Image],
            None if layers[index - 1].kind.is_loss() => {
                let (name, loss) = (name.get_ref(), &layers[index - 1].name);
                return fault(
                    at,
                    format!("{name} comes after the loss `{loss}`: name the layer that it reads in `inputs`"),
                );
            }
            None => vec![Source::Layer(index - 1)],
        };
        if index + 1 == count && !kind.is_loss() {
            return fault(kind_name.span(), "the last layer must be a softmax_loss over the classes");
        }
        known.insert(name.get_ref().clone(), index);
        layers.push(Layer { name: name.into_inner(), kind, inputs, line: Some(lines.at(at.start)) });
    }
    unread(&layers, &spans)?;
    Ok(layers)
}

/// The names of all layers, for telling a later layer from an unknown one.
fn names(tables: &[TomlTable]) -> Vec<String> {
    tables.iter().filter_map(|table| table.keys.get("name")?.get_ref().as_str().map(str::to_owned)).collect()
}

fn check_name(name: &Spanned<String>, known: &HashMap<String, usize>) -> Parsed<()> {
    let text = name.get_ref();
    if known.contains_key(text) {
        return fault(name.span(), format!("two layers are named `{text}`: names must differ"));
    }
    if text == IMAGE || text == "all" {
        return fault(name.span(), format!("`{text}` is a reserved name: choose another"));
    }
    check_letters(name)
}

/// Refuses names that cannot stand in CSV fields, charts and names of folders.
fn check_letters(name: &Spanned<String>) -> Parsed<()> {
    let text = name.get_ref();
    if text.is_empty() {
        return fault(name.span(), "a name must not be empty");
    }
    if !text.chars().all(is_name_letter) {
        let text = text.escape_debug();
        return fault(name.span(), format!("the name `{text}` may hold letters, digits, _ - . / and + only"));
    }
    let length = text.chars().count();
    if length > LONGEST_NAME {
        let start: String = text.chars().take(20).collect();
        return fault(name.span(), format!("the name `{start}…` has {length} letters: {LONGEST_NAME} are the most"));
    }
    Ok(())
}

/// A second `[layer]` is a doubled key to TOML, which does not say what to do.
fn single_brackets(text: &str, error: DescriptionFault) -> DescriptionFault {
    let line = text.lines().nth(line_of(text, error.at.start) - 1).unwrap_or_default();
    let message = if line.trim() == "[layer]" { DOUBLE_BRACKETS.into() } else { error.message };
    DescriptionFault { message, ..error }
}

fn sources(
    name: &Spanned<String>,
    list: Spanned<Vec<Spanned<String>>>,
    kind: &Kind,
    layers: &[Layer],
    (known, all): (&HashMap<String, usize>, &[String]),
) -> Parsed<Vec<Source>> {
    let count = list.get_ref().len();
    if kind.joins() && count < 2 {
        return fault(list.span(), format!("{} needs two or more inputs", name.get_ref()));
    }
    if let Some(most) = kind.most_inputs()
        && count != most
    {
        let most = if most == 1 { "one input" } else { "two inputs" };
        return fault(list.span(), format!("a {} layer takes exactly {most}", kind.name()));
    }
    let mut sources = Vec::with_capacity(count);
    for input in list.into_inner() {
        let at = input.span();
        let input = input.into_inner();
        sources.push(match known.get(&input) {
            Some(&index) if layers[index].kind.is_loss() => {
                return fault(at, format!("`{}` takes `{input}`, a loss, which gives nothing", name.get_ref()));
            }
            Some(&index) => Source::Layer(index),
            None if input == IMAGE => Source::Image,
            None if input == *name.get_ref() => {
                return fault(at, format!("`{input}` takes itself: name another layer in its inputs"));
            }
            None if all.contains(&input) => {
                return fault(
                    at,
                    format!(
                        "`{}` takes `{input}`, which comes later: a cycle, or list `{input}` first",
                        name.get_ref()
                    ),
                );
            }
            None => {
                let (name, input) = (name.get_ref(), quotable(&input));
                return fault(at, format!("`{name}` takes `{input}`, but no layer has that name"));
            }
        });
    }
    Ok(sources)
}

/// A layer whose output nobody takes would be computed for nothing, which is almost surely a slip.
fn unread(layers: &[Layer], spans: &[std::ops::Range<usize>]) -> Parsed<()> {
    // Nobody takes the output of a loss.
    let mut read: Vec<bool> = layers.iter().map(|layer| layer.kind.is_loss()).collect();
    for layer in layers {
        for (slot, source) in layer.inputs.iter().enumerate() {
            if let Source::Layer(index) = *source {
                read[index] |= !layer.kind.takes_positions(slot);
            }
        }
    }
    match read.iter().position(|&read| !read) {
        Some(index) => {
            let name = &layers[index].name;
            let message = format!("nothing takes the output of `{name}`: name it in some layer's inputs or remove it");
            fault(spans[index].clone(), message)
        }
        None => Ok(()),
    }
}

/// Places of a text's line ends, to find many lines' numbers.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Lines {
        Lines(text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect())
    }

    /// The number of the line that a byte is on, from 1.
    fn at(&self, byte: usize) -> usize {
        1 + self.0.partition_point(|&end| end < byte)
    }
}

/// One TOML table whose keys are taken one by one, so that what is left over is unknown.
pub struct TomlTable<'t> {
    pub at: std::ops::Range<usize>,
    keys: DeTable<'t>,
}

impl<'t> TomlTable<'t> {
    fn take(&mut self, key: &str) -> Option<Spanned<DeValue<'t>>> {
        self.keys.remove(key)
    }

    fn optional<T: DeserializeOwned>(&mut self, key: &str) -> Parsed<Option<T>> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let at = value.span();
        T::deserialize(ValueDeserializer::from(value)).map(Some).map_err(|error| DescriptionFault {
            message: format!("{key}: {}", one_line(error.message())),
            at: error.span().unwrap_or(at),
        })
    }

    fn required<T: DeserializeOwned>(&mut self, key: &str) -> Parsed<T> {
        let at = self.at.clone();
        match self.optional(key)? {
            Some(value) => Ok(value),
            None => fault(at, format!("missing `{key}`")),
        }
    }

    /// Refuses numbers outside of their keys' ranges, and what is no number.
    pub fn check_numbers(&self, ranges: &[(&str, Range)]) -> Parsed<()> {
        check_numbers(&self.keys, ranges)
    }

    fn refuse_rest(self, known: &str) -> Parsed<()> {
        match self.keys.into_iter().next() {
            Some((key, _)) => fault(key.span(), format!("unknown key `{}`: one of {known}", quotable(key.get_ref()))),
            None => Ok(()),
        }
    }

    pub fn parameters<T: DeserializeOwned>(self) -> Parsed<T> {
        let at = self.at.clone();
        let value = Spanned::new(at.clone(), DeValue::Table(self.keys));
        T::deserialize(ValueDeserializer::from(value)).map_err(|error| from_toml(error, &at))
    }

    pub fn none(self, kind: Kind) -> Parsed<Kind> {
        self.parameters::<NoParameters>().map(|_| kind)
    }
}

/// The same for the keys of any table.
pub(crate) fn check_numbers(keys: &DeTable, ranges: &[(&str, Range)]) -> Parsed<()> {
    for (key, value) in keys {
        let range = ranges.iter().find(|(name, _)| key.get_ref() == name);
        if let Some(message) = range.and_then(|(name, range)| range.refuses_value(name, value.get_ref())) {
            return fault(value.span(), message);
        }
    }
    Ok(())
}

fn from_toml(error: toml::de::Error, whole: &std::ops::Range<usize>) -> DescriptionFault {
    DescriptionFault { at: error.span().unwrap_or(whole.clone()), message: one_line(error.message()) }
}

/// serde's words, and ours for those who know TOML and not Rust.
const PLAIN: [(&str, &str); 7] = [
    ("unknown field", "unknown key"),
    ("missing field", "missing"),
    ("invalid type: ", "found "),
    ("invalid value: ", "found "),
    ("integer `", "the number `"),
    ("floating point `", "the number `"),
    ("expected f64", "expected a number"),
];

/// Messages stay on one line and in plain words; numbers of hundreds of digits are cut.
pub(crate) fn one_line(message: &str) -> String {
    let line = message.lines().collect::<Vec<_>>().join(" ");
    let line = PLAIN.iter().fold(line, |line, (from, to)| line.replace(from, to));
    let short = |part: &str| match part.char_indices().nth(40) {
        Some((end, _)) if part.starts_with(|c: char| c.is_ascii_digit() || c == '-') => format!("{}…", &part[..end]),
        _ => part.to_owned(),
    };
    line.split('`').map(short).collect::<Vec<_>>().join("`")
}
