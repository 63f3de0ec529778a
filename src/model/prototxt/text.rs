//! Protobuf's text format, as far as Caffe's networks use it: `key: value`, `key { … }` and comments.

use crate::model::range::Range;

/// More nested messages than this are refused. Caffe's networks have four.
const DEEPEST: usize = 32;

/// A message: keys with their values, in their order, repeated ones each by itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Message {
    fields: Vec<TextField>,
    /// Line on which it begins, from 1.
    pub line: usize,
}

#[derive(Clone, Debug, PartialEq)]
struct TextField {
    key: String,
    value: FieldValue,
}

#[derive(Clone, Debug, PartialEq)]
enum FieldValue {
    /// A number, a word, or a text without its quotes.
    Scalar(String),
    Message(Message),
}

impl Message {
    /// A message without fields.
    pub const NONE: Message = Message { fields: Vec::new(), line: 0 };

    /// The messages of a key.
    pub fn messages<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a Message> {
        self.values(key).filter_map(|value| match value {
            FieldValue::Message(message) => Some(message),
            FieldValue::Scalar(_) => None,
        })
    }

    /// The numbers, words and texts of a key.
    pub fn scalars<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.values(key).filter_map(|value| match value {
            FieldValue::Scalar(scalar) => Some(scalar.as_str()),
            FieldValue::Message(_) => None,
        })
    }

    fn values<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a FieldValue> {
        self.fields.iter().filter(move |field| field.key == key).map(|field| &field.value)
    }

    /// The last message of a key, which counts.
    pub fn message<'a>(&'a self, key: &'a str) -> Option<&'a Message> {
        self.messages(key).last()
    }

    /// The last scalar of a key, which counts.
    pub fn scalar<'a>(&'a self, key: &'a str) -> Option<&'a str> {
        self.scalars(key).last()
    }

    /// A scalar that is a number of this range.
    pub fn number<T: std::str::FromStr>(&self, key: &str, range: Range) -> Result<Option<T>, String> {
        self.scalar(key).map(|text| range.parse(key, text)).transpose()
    }
}

/// Reads a whole file. An error has its line.
pub fn parse(text: &str) -> Result<Message, (usize, String)> {
    let mut parser = Parser { rest: text, line: 1 };
    let message = parser.fields(0).map_err(|message| (parser.line, message))?;
    Ok(Message { line: 1, ..message })
}

struct Parser<'t> {
    rest: &'t str,
    line: usize,
}

impl<'t> Parser<'t> {
    /// Up to the end of the text, or to the brace that ends a nested message.
    fn fields(&mut self, depth: usize) -> Result<Message, String> {
        if depth > DEEPEST {
            return Err(format!("nests more than {DEEPEST} messages"));
        }
        let mut message = Message { fields: Vec::new(), line: self.line };
        loop {
            self.space();
            match self.rest.chars().next() {
                None if depth == 0 => return Ok(message),
                None => return Err("ends within a message: a } is missing".into()),
                Some('}') if depth > 0 => {
                    self.take(1);
                    return Ok(message);
                }
                Some(_) => self.field(depth, &mut message.fields)?,
            }
        }
    }

    /// A key and its value, or each value of a list in brackets.
    fn field(&mut self, depth: usize, fields: &mut Vec<TextField>) -> Result<(), String> {
        let key = self.word()?.to_owned();
        self.space();
        let colon = self.skips(':');
        if !colon && !self.rest.starts_with(['{', '[']) {
            return Err(format!("`{key}` has no value: a colon or a brace is wanted"));
        }
        if !self.skips('[') {
            fields.push(TextField { key, value: self.value(depth)? });
        } else {
            while !self.skips(']') {
                fields.push(TextField { key: key.clone(), value: self.value(depth)? });
                self.skips(',');
            }
        }
        // Fields may be set apart by commas and semicolons.
        if !self.skips(',') {
            self.skips(';');
        }
        Ok(())
    }

    fn value(&mut self, depth: usize) -> Result<FieldValue, String> {
        Ok(match self.skips('{') {
            true => FieldValue::Message(self.fields(depth + 1)?),
            false => FieldValue::Scalar(self.scalar()?),
        })
    }

    /// Passes a mark, where it stands there, and the space around it.
    fn skips(&mut self, mark: char) -> bool {
        self.space();
        let found = self.rest.starts_with(mark);
        self.take(usize::from(found));
        self.space();
        found
    }

    fn scalar(&mut self) -> Result<String, String> {
        let Some(quote) = self.rest.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
            return Ok(self.word()?.to_owned());
        };
        self.take(1);
        let Some(end) = self.rest.find([quote, '\n']).filter(|&end| self.rest[end..].starts_with(quote)) else {
            return Err("a text has no end on its line".into());
        };
        let text = self.rest[..end].to_owned();
        self.take(end + 1);
        Ok(text)
    }

    /// A key, a number or a word.
    fn word(&mut self) -> Result<&'t str, String> {
        let end = self.rest.find(|c: char| !(c.is_ascii_alphanumeric() || "_.+-/".contains(c)));
        let word = &self.rest[..end.unwrap_or(self.rest.len())];
        if word.is_empty() {
            let found = self.rest.chars().next().map_or("the end".into(), |c| format!("`{}`", c.escape_debug()));
            return Err(format!("found {found} where a key or a value is wanted"));
        }
        self.take(word.len());
        Ok(word)
    }

    /// Passes white space and comments.
    fn space(&mut self) {
        loop {
            let blank = self.rest.len() - self.rest.trim_start().len();
            self.take(blank);
            if !self.rest.starts_with('#') {
                return;
            }
            self.take(self.rest.find('\n').unwrap_or(self.rest.len()));
        }
    }

    fn take(&mut self, bytes: usize) {
        self.line += self.rest[..bytes].bytes().filter(|&byte| byte == b'\n').count();
        self.rest = &self.rest[bytes..];
    }
}
