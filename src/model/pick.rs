//! Parameters of the kinds that pick channels, or put some beside others.

use serde::Deserialize;

/// Some of the channels.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slice {
    /// The first channel, from 0.
    pub from: usize,
    /// How many.
    pub channels: usize,
}

/// Takes one channel of each group in turn.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelShuffle {
    /// Groups of channels that lie one behind the other.
    pub groups: usize,
}

/// Channels of zeros before and behind an input's.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PadChannels {
    /// Channels of zeros that come first.
    #[serde(default)]
    pub before: usize,
    /// Channels of zeros that come last.
    #[serde(default)]
    pub after: usize,
}
