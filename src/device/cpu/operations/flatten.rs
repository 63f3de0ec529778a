//! Flatten renames its input's memory: training has no phase of it.

use super::{BackwardData, Forward, Operation};

pub struct FlattenOp;

impl Operation for FlattenOp {
    /// Leaves the values where they are.
    fn forward(&mut self, _: Forward) {}

    /// Leaves the gradient where it is.
    fn backward_data(&mut self, _: BackwardData) {}
}
