//! A table as HTML. It scrolls by itself where it is too wide, with the keyboard too.

use super::{Holds, Table};

impl Table {
    /// The table inside of a region of its own; the first cell of each row is its head.
    pub fn html(&self) -> String {
        let caption = escaped(&self.caption);
        let class = |holds| if holds == Holds::Words { " class=\"word\"" } else { "" };
        let head: String = self
            .header
            .iter()
            .enumerate()
            .map(|(index, heading)| {
                let class = if index > 0 { class(heading.holds) } else { "" };
                format!("<th scope=\"col\"{class}>{}</th>", escaped(&heading.title.replace('\n', " ")))
            })
            .collect();
        let row = |cells: &Vec<String>| {
            let cell = |(index, cell): (usize, &String)| match index {
                0 => format!("<th scope=\"row\">{}</th>", escaped(cell)),
                _ => format!("<td{}>{}</td>", class(self.header[index].holds), escaped(cell)),
            };
            format!("<tr>{}</tr>\n", cells.iter().enumerate().map(cell).collect::<String>())
        };
        format!(
            "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"{caption}\">\n<table><caption><span>{caption}</span></caption>\n\
             <thead><tr>{head}</tr></thead>\n<tbody>\n{}</tbody></table>\n</div>\n",
            self.rows.iter().map(row).collect::<String>()
        )
    }
}

/// Text inside of HTML or XML: what has a meaning there is spelled out, control characters are blanks.
pub fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut escaped, c| {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            other if other.is_control() => escaped.push(' '),
            other => escaped.push(other),
        }
        escaped
    })
}

#[cfg(test)]
mod tests {
    use super::super::{numbers, words};
    use super::*;

    #[test]
    fn names_are_escaped() {
        let table = Table::new(
            "a & b",
            vec![words("layer"), numbers("ms"), words("kind")],
            [["<x>", "1", "conv"].map(String::from).to_vec()],
        );
        let html = table.html();
        assert!(
            html.contains("aria-label=\"a &amp; b\"") && html.contains("<th scope=\"row\">&lt;x&gt;</th>"),
            "{html}"
        );
        assert!(html.contains("<td>1</td><td class=\"word\">conv</td>"), "{html}");
    }
}
