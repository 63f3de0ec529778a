//! A table as plain text: a header, a rule, numbers to the right.

use comfy_table::CellAlignment;

use super::{Heading, Holds, Table};
use crate::units::visible;

/// Only the rule below the header, and between columns two blanks.
const PRESET: &str = "     --            ";
const BETWEEN: usize = 2;

/// No column of words is cut shorter than this.
const LEAST: usize = 8;
/// Cut at this where the table does not fit anyway.
const NAME: usize = 24;

/// How wide text may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// 80 columns, which every terminal has; prose is broken into lines too.
    Terminal,
    /// Tables as in a terminal, prose in one line each, for programs that search it.
    Pipe,
    /// As wide as it takes, with all figures.
    Wide,
}

impl Room {
    /// The number of columns of a table, where there is a limit.
    pub fn width(self) -> Option<usize> {
        match self {
            Room::Terminal | Room::Pipe => Some(80),
            Room::Wide => None,
        }
    }
}

impl Table {
    /// The table as plain text, below its caption and an empty line. Ends with a line break.
    ///
    /// A table too wide for the room: long words are cut first; then the columns go on in a table of their own, below, with
    /// the first one repeated. Nothing wraps.
    pub fn text(&self, room: Room) -> String {
        self.visible().fitted(room)
    }

    /// The table without characters that steer a terminal.
    fn visible(&self) -> Table {
        let rows = self.rows.iter().map(|row| row.iter().map(|cell| visible(cell).into_owned()).collect());
        Table { rows: rows.collect(), ..self.clone() }
    }

    fn fitted(&self, room: Room) -> String {
        let caption = if self.caption.is_empty() { String::new() } else { wrapped(&self.caption, room) + "\n\n" };
        let Some(width) = room.width() else {
            return caption + &self.grid(&(0..self.header.len()).collect::<Vec<_>>());
        };
        let cut = self.cut(width);
        let parts: Vec<String> = cut.parts(width).iter().map(|columns| cut.grid(columns)).collect();
        caption + &parts.join("\n")
    }

    /// These columns alone.
    fn grid(&self, columns: &[usize]) -> String {
        let heading = |&column: &usize| &self.header[column];
        let cells = |row: &'_ Vec<String>| columns.iter().map(|&column| row[column].clone()).collect::<Vec<_>>();
        let mut grid = comfy_table::Table::new();
        grid.load_preset(PRESET).set_header(columns.iter().map(heading).map(|heading| &heading.title));
        grid.add_rows(self.rows.iter().map(cells));
        let left = columns.iter().map(heading).take_while(|heading| !heading.holds_numbers()).count();
        for (index, column) in grid.column_iter_mut().enumerate() {
            column.set_cell_alignment(if index < left { CellAlignment::Left } else { CellAlignment::Right });
            column.set_padding((0, if index + 1 < columns.len() { 1 } else { 0 }));
        }
        grid.trim_fmt() + "\n"
    }

    /// The width of each column.
    fn widths(&self) -> Vec<usize> {
        let title = |heading: &Heading| heading.title.lines().map(length).max().unwrap_or(0);
        let mut widths: Vec<usize> = self.header.iter().map(title).collect();
        for row in &self.rows {
            widths.iter_mut().zip(row).for_each(|(width, cell)| *width = (*width).max(length(cell)));
        }
        widths
    }

    /// The table with its longest words cut, if it then fits; else only what is longer than a name is cut.
    fn cut(&self, width: usize) -> Table {
        let is_words = |column: usize| !self.header[column].holds_numbers();
        let mut widths = self.widths();
        while total(&widths) > width {
            let words = (0..widths.len()).filter(|&column| is_words(column) && widths[column] > LEAST);
            let Some(longest) = words.max_by_key(|&column| widths[column]) else { break };
            widths[longest] -= 1;
        }
        if total(&widths) > width {
            widths = self.widths().into_iter().map(|column| column.min(NAME)).collect();
        }
        let cell = |(column, cell): (usize, &String)| match is_words(column) {
            true => shortened(cell, widths[column]),
            false => cell.clone(),
        };
        let rows = self.rows.iter().map(|row| row.iter().enumerate().map(cell).collect()).collect();
        Table { rows, ..self.clone() }
    }

    /// The columns of each table that fits, in order; the first column stands in all of them.
    fn parts(&self, width: usize) -> Vec<Vec<usize>> {
        let widths = self.widths();
        let mut parts: Vec<Vec<usize>> = vec![vec![0]];
        let mut used = widths.first().copied().unwrap_or(0);
        for (column, &more) in widths.iter().enumerate().skip(1) {
            let part = parts.len() - 1;
            if used + BETWEEN + more > width && parts[part].len() > 1 {
                parts.push(vec![0, column]);
                used = widths[0] + BETWEEN + more;
            } else {
                parts[part].push(column);
                used += BETWEEN + more;
            }
        }
        parts
    }
}

impl Heading {
    fn holds_numbers(&self) -> bool {
        self.holds == Holds::Numbers
    }
}

fn length(text: &str) -> usize {
    text.chars().count()
}

fn total(widths: &[usize]) -> usize {
    widths.iter().sum::<usize>() + BETWEEN * widths.len().saturating_sub(1)
}

/// The text, with an ellipsis where it is longer.
fn shortened(text: &str, most: usize) -> String {
    if length(text) <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// A text in lines that fit, broken at blanks; a word that is longer keeps a line of its own.
pub fn wrapped(text: &str, room: Room) -> String {
    hanging(text, 0, room)
}

/// The same with blanks before all lines but the first.
pub fn hanging(text: &str, indent: usize, room: Room) -> String {
    let text = visible(text);
    let (Room::Terminal, Some(width)) = (room, room.width()) else { return text.into_owned() };
    let mut lines: Vec<String> = Vec::new();
    // A percentage stays on one line.
    let text = text.replace(" %", "\u{a0}%");
    for word in text.split(' ') {
        match lines.last_mut() {
            None => lines.push(word.to_owned()),
            Some(line) if length(line) + 1 + length(word) <= width => *line += &format!(" {word}"),
            Some(_) => lines.push(" ".repeat(indent) + word),
        }
    }
    lines.join("\n").replace('\u{a0}', " ")
}

#[cfg(test)]
mod tests {
    use super::super::{Cells, numbers, words};
    use super::*;

    fn cells<const N: usize>(rows: &[[&str; N]]) -> Cells {
        rows.iter().map(|row| row.map(String::from).to_vec()).collect()
    }

    #[test]
    fn a_percentage_stays_on_one_line() {
        let text = format!("{} 4 % longer", "a".repeat(77));
        assert_eq!(wrapped(&text, Room::Terminal), format!("{}\n4 % longer", "a".repeat(77)));
    }

    #[test]
    fn aligned() {
        let rows = cells(&[["conv1", "64", "1.5"], ["fc", "4096", "22.5"]]);
        let table = Table::new("", vec![words("layer"), numbers("outputs"), numbers("ms")], rows);
        let text = "layer  outputs    ms\n--------------------\nconv1       64   1.5\nfc        4096  22.5\n";
        assert_eq!(table.text(Room::Wide), text);
        assert_eq!(Table { caption: "Layers".into(), ..table }.text(Room::Terminal), format!("Layers\n\n{text}"));
    }

    #[test]
    fn words_after_numbers_stand_to_the_right() {
        let table = Table::new("", vec![numbers("batch"), words("status")], cells(&[["1", "ok"]]));
        assert_eq!(table.text(Room::Terminal), "batch  status\n-------------\n    1      ok\n");
    }

    /// 30 + 2 + 60 characters do not fit in 80: the longer column loses 12 of them.
    #[test]
    fn long_words_are_cut_first() {
        let table =
            Table::new("", vec![words("layer"), words("tensor")], cells(&[["l".repeat(30).as_str(), &"t".repeat(60)]]));
        let text = table.text(Room::Terminal);
        assert_eq!(text.lines().last().unwrap(), format!("{}  {}…", "l".repeat(30), "t".repeat(47)));
        assert!(table.text(Room::Wide).contains(&"t".repeat(60)));
    }

    /// Ten columns of ten numbers after a column of ten: six of them fit beside it, 10 + 5 · 12 = 70.
    #[test]
    fn what_does_not_fit_goes_on_below() {
        let header: Vec<Heading> =
            [words("layer")].into_iter().chain((0..10).map(|n| numbers(format!("column {n}x")))).collect();
        let row: Vec<String> = ["conv1conv1".to_owned()].into_iter().chain((0..10).map(|n| format!("{n}"))).collect();
        let text = Table::new("", header, [row]).text(Room::Terminal);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        let heads: Vec<&str> = text.lines().filter(|line| line.starts_with("layer ")).collect();
        assert!(heads.len() == 2 && heads[0].ends_with("column 5x") && heads[1].contains("column 6x"), "{text}");
    }

    #[test]
    fn captions_are_broken_at_blanks() {
        let text = "word ".repeat(30);
        assert!(wrapped(text.trim(), Room::Terminal).lines().all(|line| line.len() <= 80));
        assert_eq!(wrapped(text.trim(), Room::Wide), text.trim());
    }
}
