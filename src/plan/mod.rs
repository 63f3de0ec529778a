//! Shapes, counts and bytes: pure arithmetic.

pub mod conv;
