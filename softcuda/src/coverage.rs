//! COVERAGE.md, from the lists that the code itself goes by.

use crate::export::LIBRARIES;
use crate::ptx::{SECTIONS, SPECIAL_REGISTERS};
use std::fmt::Write;

const HEAD: &str = "\
# What softcuda covers

This page is made by `cargo run -p softcuda -- --coverage`, from the lists by which the code exports functions and decodes
instructions; a test fails when it differs.

A program that looks up a function that is not here gets none from the loader, as from an old driver. A module with an
instruction that is not here is refused when it is loaded, with its line: `CUDA_ERROR_INVALID_PTX` and a finding.

## Functions
";

const PTX: &str = "
## PTX instructions

`a|b` stands for one of several parts, and `?` makes a part optional: `add.rn?.f32` is `add.f32` and `add.rn.f32`.
";

/// The text of COVERAGE.md: the functions that softcuda exports and the PTX instructions that it interprets.
pub fn coverage() -> String {
    let mut page = HEAD.to_string();
    for (library, lists) in LIBRARIES {
        let mut names: Vec<&str> = lists.iter().flat_map(|list| *list).map(|export| export.name).collect();
        names.sort_unstable();
        section(&mut page, &format!("{library}: {}", names.len()), &names);
    }
    page.push_str(PTX);
    for (title, forms) in SECTIONS {
        section(&mut page, title, &forms.iter().map(|(pattern, _)| *pattern).collect::<Vec<_>>());
    }
    section(&mut page, "Special registers", &SPECIAL_REGISTERS.map(|(name, _)| name));
    page
}

fn section(page: &mut String, title: &str, lines: &[&str]) {
    // writing to a String cannot fail
    let _ = write!(page, "\n### {title}\n\n```text\n{}\n```\n", lines.join("\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_up_to_date() {
        let page = include_str!("../COVERAGE.md");
        let make = "cargo run -p softcuda -- --coverage > softcuda/COVERAGE.md";
        assert!(page == coverage(), "COVERAGE.md is not what the code covers. Make it anew: {make}");
    }
}
