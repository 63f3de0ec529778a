//! A table as plain text: a header, a rule, numbers to the right.

use comfy_table::CellAlignment;

use super::{Heading, Holds, Table};

/// Only the rule below the header, and between columns two blanks.
const PRESET: &str = "     --            ";

impl Table {
    /// The table as plain text, below its caption and an empty line. Ends with a line break.
    pub fn text(&self) -> String {
        let mut grid = comfy_table::Table::new();
        grid.load_preset(PRESET).set_header(self.header.iter().map(|heading| &heading.title)).add_rows(&self.rows);
        let is_number = |heading: &Heading| heading.holds == Holds::Numbers;
        let left = self.header.iter().position(is_number).unwrap_or(self.header.len());
        for (index, column) in grid.column_iter_mut().enumerate() {
            column.set_cell_alignment(if index < left { CellAlignment::Left } else { CellAlignment::Right });
            column.set_padding((0, if index + 1 < self.header.len() { 1 } else { 0 }));
        }
        let caption = if self.caption.is_empty() { String::new() } else { format!("{}\n\n", self.caption) };
        caption + &grid.trim_fmt() + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::super::{numbers, words};
    use super::*;

    #[test]
    fn aligned() {
        let rows = [["conv1", "64", "1.5"], ["fc", "4096", "22.5"]].map(|row| row.map(String::from).to_vec());
        let table = Table::new("", vec![words("layer"), numbers("outputs"), numbers("ms")], rows);
        let text = "layer  outputs    ms\n--------------------\nconv1       64   1.5\nfc        4096  22.5\n";
        assert_eq!(table.text(), text);
        assert_eq!(Table { caption: "Layers".into(), ..table }.text(), format!("Layers\n\n{text}"));
    }

    #[test]
    fn words_after_numbers_stand_to_the_right() {
        let table = Table::new("", vec![numbers("batch"), words("status")], [vec!["1".into(), "ok".into()]]);
        assert_eq!(table.text(), "batch  status\n-------------\n    1      ok\n");
    }
}
