//! What a run leaves behind and says: rows, the folder they are kept in, tables and the verdict.
//!
//! One file per report. All of them but [`inspect`] start from [`rows`], so that what is printed is what was saved, in a
//! resumed run too.

pub mod compare;
pub mod csv;
pub mod folder;
pub mod grid;
pub mod inspect;
pub mod json;
pub mod page;
pub mod plot;
pub mod predict;
pub mod read;
pub mod rows;
pub mod table;
pub mod verdict;
pub mod verify;

#[cfg(test)]
pub mod fixture;
