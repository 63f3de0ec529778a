//! A table as Markdown, for an issue or a pull request.

use super::{Holds, Table};
use crate::units::visible;

impl Table {
    /// The table as a Markdown table, below its caption and an empty line. Ends with a line break.
    pub fn markdown(&self) -> String {
        let mut text = if self.caption.is_empty() { String::new() } else { format!("{}\n\n", quoted(&self.caption)) };
        let line = |cells: &mut dyn Iterator<Item = String>| {
            let cells: Vec<String> = cells.collect();
            format!("| {} |\n", cells.join(" | "))
        };
        text += &line(&mut self.header.iter().map(|heading| quoted(&heading.title)));
        let rule = |holds| if holds == Holds::Numbers { "---:" } else { "---" }.to_owned();
        text += &line(&mut self.header.iter().map(|heading| rule(heading.holds)));
        self.rows.iter().for_each(|row| text += &line(&mut row.iter().map(|cell| quoted(cell))));
        text
    }
}

/// A text that stays in its cell.
fn quoted(text: &str) -> String {
    visible(&text.replace('\n', " ")).replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::super::{numbers, words};
    use super::*;

    #[test]
    fn as_text() {
        let rows = [["a|b", "1.5"], ["fc", "22.5"]].map(|row| row.map(String::from).to_vec());
        let table = Table::new("Layers", vec![words("layer"), numbers("mean\nms")], rows);
        assert_eq!(table.markdown(), "Layers\n\n| layer | mean ms |\n| --- | ---: |\n| a\\|b | 1.5 |\n| fc | 22.5 |\n");
    }
}
