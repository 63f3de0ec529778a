//! The things that a run leaves behind and says: rows, the folder they are kept in, tables, charts and the verdict.
//!
//! A batch becomes [rows], the rows become the lines of a [CSV file](csv) and a point of the [run in memory](run). All
//! reports start from that run, whether it was measured just now, [read from files](read) or predicted, so that what is printed is
//! what was saved. One file per report.

pub mod compare;
pub mod csv;
pub mod doubt;
pub mod folder;
pub mod header;
pub mod inspect;
pub mod lines;
pub mod page;
pub mod plot;
pub mod predict;
pub mod read;
pub mod rows;
pub mod run;
pub mod run_file;
pub mod run_tables;
pub mod show;
mod stretch;
pub mod table;
pub mod trace;
pub mod verdict;
pub mod verify;

#[cfg(test)]
pub mod fixture;
