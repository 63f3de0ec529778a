//! Plain text tables: a header, a rule, numbers to the right.

use comfy_table::{CellAlignment, Table};

/// Only the rule below the header, and between columns two blanks.
const PRESET: &str = "     --            ";

/// The first `left` columns are words, the others numbers. Ends with a line break.
pub fn grid(header: &[&str], left: usize, rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_preset(PRESET).set_header(header.to_vec()).add_rows(rows);
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_cell_alignment(if index < left { CellAlignment::Left } else { CellAlignment::Right });
        column.set_padding((0, if index + 1 < header.len() { 1 } else { 0 }));
    }
    table.trim_fmt() + "\n"
}

/// Digits in groups of three, as in `61,100,840`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligned() {
        let rows = [["conv1", "64", "1.5"], ["fc", "4096", "22.5"]].map(|row| row.map(String::from).to_vec());
        let text = grid(&["layer", "outputs", "ms"], 1, rows);
        assert_eq!(text, "layer  outputs    ms\n--------------------\nconv1       64   1.5\nfc        4096  22.5\n");
    }

    #[test]
    fn numbers() {
        assert_eq!(
            ["0", "999", "1,000", "61,100,840"],
            [0, 999, 1000, 61_100_840].map(grouped).each_ref().map(String::as_str)
        );
    }
}
