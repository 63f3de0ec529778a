//! A table before it is known whether it becomes plain text, Markdown or HTML.

mod html;
mod markdown;
mod text;

pub use html::escaped;
pub use text::{Room, hanging, wrapped};

/// The cells of a table, row by row.
pub type Cells = Vec<Vec<String>>;

/// A caption, a header and rows, each as long as the header.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// The line above; nothing for none.
    pub caption: String,
    /// The columns.
    pub header: Vec<Heading>,
    /// The cells below them.
    pub rows: Cells,
}

/// The head of a column.
#[derive(Clone, Debug, PartialEq)]
pub struct Heading {
    /// The title. A line break in it is kept in text alone.
    pub title: String,
    /// The column's content, which decides how it is aligned.
    pub holds: Holds,
}

/// The content of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// Aligned to the left; in text only where no numbers stand before them.
    Words,
    /// Aligned to the right.
    Numbers,
}

/// The head of a column of words.
pub fn words(title: impl Into<String>) -> Heading {
    Heading { title: title.into(), holds: Holds::Words }
}

/// The head of a column of numbers.
pub fn numbers(title: impl Into<String>) -> Heading {
    Heading { title: title.into(), holds: Holds::Numbers }
}

impl Table {
    /// Makes a table of these columns.
    pub fn new(caption: impl Into<String>, header: Vec<Heading>, rows: impl IntoIterator<Item = Vec<String>>) -> Table {
        Table { caption: caption.into(), header, rows: rows.into_iter().collect() }
    }

    /// Makes a table without numbers.
    pub fn of_words(caption: &str, titles: &[&str], rows: Cells) -> Table {
        Table::new(caption, titles.iter().map(|&title| words(title)).collect(), rows)
    }
}
