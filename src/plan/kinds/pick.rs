//! Kinds that pick channels: slices and channel shuffles. A picked channel is copied, and its gradient goes back to it. Padding
//! copies all channels, and has others of zeros.

use super::{AfterFlatten, Misfit, Planned, Reads, Rules};
use crate::model::kind::{ChannelShuffle, PadChannels, Slice};
use crate::plan::{LayerPlan, Phase, Shape};

/// The channel that each output channel comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelPick {
    /// The first channel that is taken.
    pub from: usize,
    /// Channels that are taken, one behind the other.
    pub channels: usize,
    /// They are \[groups, channels / groups\], and come out transposed.
    pub groups: usize,
    /// Channels of the input.
    pub total: usize,
}

impl ChannelPick {
    /// The channel that output channel `k` is.
    pub fn source(&self, k: usize) -> usize {
        self.from + k % self.groups * (self.channels / self.groups) + k / self.groups
    }

    /// The output channel that channel `c` becomes.
    pub fn target(&self, c: usize) -> Option<usize> {
        let taken = c.checked_sub(self.from).filter(|&taken| taken < self.channels)?;
        let width = self.channels / self.groups;
        Some(taken % width * self.groups + taken / width)
    }
}

impl Slice {
    /// Its channels, of an input's.
    pub fn pick(&self, total: usize) -> ChannelPick {
        ChannelPick { from: self.from, channels: self.channels, groups: 1, total }
    }
}

impl ChannelShuffle {
    /// Its channels, all of an input's.
    pub fn pick(&self, total: usize) -> ChannelPick {
        ChannelPick { from: 0, channels: total, groups: self.groups, total }
    }
}

impl Rules for Slice {
    fn plan(&self, inputs: &[Shape]) -> Result<Planned, Misfit> {
        let (input, end) = (inputs[0], self.from + self.channels);
        if end > input.c {
            return Err(Misfit::Other(format!("takes channels {} to {end} of {}", self.from, input.c)));
        }
        Ok(Planned::plain(Shape { c: self.channels, ..input }))
    }

    fn backward_data_reads(&self) -> Reads {
        Reads::OUTPUT_GRADIENT
    }

    fn operations(&self, _: &LayerPlan, _: Phase) -> u64 {
        0
    }

    fn after_flatten(&self) -> AfterFlatten {
        AfterFlatten::Refuses
    }
}

impl Rules for ChannelShuffle {
    fn plan(&self, inputs: &[Shape]) -> Result<Planned, Misfit> {
        let (input, groups) = (inputs[0], self.groups);
        if !input.c.is_multiple_of(groups) {
            return Err(Misfit::Other(format!("{} channels do not divide into {groups} groups", input.c)));
        }
        Ok(Planned::plain(input))
    }

    fn backward_data_reads(&self) -> Reads {
        Reads::OUTPUT_GRADIENT
    }

    fn operations(&self, _: &LayerPlan, _: Phase) -> u64 {
        0
    }

    fn after_flatten(&self) -> AfterFlatten {
        AfterFlatten::Refuses
    }
}

impl Rules for PadChannels {
    fn plan(&self, inputs: &[Shape]) -> Result<Planned, Misfit> {
        Ok(Planned::plain(Shape { c: self.before + inputs[0].c + self.after, ..inputs[0] }))
    }

    fn backward_data_reads(&self) -> Reads {
        Reads::OUTPUT_GRADIENT
    }

    fn operations(&self, _: &LayerPlan, _: Phase) -> u64 {
        0
    }

    fn after_flatten(&self) -> AfterFlatten {
        AfterFlatten::Refuses
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Six channels in two groups, [0 1 2] and [3 4 5], are shuffled to 0 3 1 4 2 5 (Zhang et al. 2018, "ShuffleNet").
    #[test]
    fn picked_channels() {
        let pick = ChannelShuffle { groups: 2 }.pick(6);
        let order: Vec<usize> = (0..6).map(|k| pick.source(k)).collect();
        assert_eq!(order, [0, 3, 1, 4, 2, 5]);
        assert!((0..6).all(|c| pick.source(pick.target(c).unwrap()) == c));
        let slice = Slice { from: 2, channels: 3 }.pick(6);
        let targets: Vec<Option<usize>> = (0..6).map(|c| slice.target(c)).collect();
        assert_eq!(targets, [None, None, Some(0), Some(1), Some(2), None]);
    }
}
