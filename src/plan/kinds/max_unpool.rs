//! Max unpooling: each value goes to the place where a max pooling layer took its maximum, all other places are zero, as PyTorch's
//! `MaxUnpool2d` (Zeiler et al. 2011, "Adaptive Deconvolutional Networks for Mid and High Level Feature Learning").

use super::{AfterFlatten, Misfit, Mover, Planned, PoolGeometry, Reads, Rules};
use crate::plan::{LayerPlan, Phase, Shape};

/// Rules of `Kind::MaxUnpool`, which has no parameters. Its inputs are the values, and what the pool took its maxima of.
pub struct MaxUnpool;

impl MaxUnpool {
    /// Fails where the values are not as many as the pool's maxima, or two windows may have one place.
    pub fn check(pool: &PoolGeometry, values: Shape) -> Result<(), Misfit> {
        if pool.output() != values {
            let found = format!("puts {values} to the places of a pool that gives {}", pool.output());
            return Err(Misfit::Other(format!("{found}: shapes must be equal")));
        }
        let apart = |windows: &[super::Window]| windows.is_sorted_by(|a, b| a.end <= b.start);
        match apart(&pool.rows) && apart(&pool.columns) {
            true => Ok(()),
            false => Err(Misfit::Other("the windows of its pool overlap: a pixel would have two values".into())),
        }
    }
}

impl Rules for MaxUnpool {
    fn plan(&self, inputs: &[Shape]) -> Result<Planned, Misfit> {
        Ok(Planned::plain(inputs[1]))
    }

    /// Reads the inputs, which the positions follow from.
    fn backward_data_reads(&self) -> Reads {
        Reads { inputs: true, ..Reads::OUTPUT_GRADIENT }
    }

    fn operations(&self, _: &LayerPlan, _: Phase) -> u64 {
        0
    }

    fn mover(&self) -> Mover {
        Mover::Pool
    }

    fn after_flatten(&self) -> AfterFlatten {
        AfterFlatten::Refuses
    }
}
