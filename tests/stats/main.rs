//! Simulations of the statistics: the coverage of intervals, and the error rates of comparisons.

mod compared_runs;
mod coverage;
mod verdicts;
