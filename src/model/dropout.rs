//! Dropout and its forms: what one random number decides about.

use serde::Deserialize;

/// Zeroes at random and scales what is left by 1 / (1 − p).
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dropout {
    /// The probability of being zeroed.
    pub p: f32,
    /// Zeroed together; the kind's word says it.
    #[serde(skip)]
    pub of: Dropped,
}

/// The elements that one random number zeroes or keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dropped {
    /// Each by itself.
    #[default]
    Element,
    /// Those of a channel of an image (Tompson et al. 2015, "Efficient Object Localization Using Convolutional Networks").
    Channel,
    /// Those of an image: stochastic depth (Huang et al. 2016, "Deep Networks with Stochastic Depth").
    Image,
}

impl Dropped {
    /// All forms.
    pub const ALL: [Dropped; 3] = [Dropped::Element, Dropped::Channel, Dropped::Image];

    /// The kind's word in descriptions and tables.
    pub fn name(self) -> &'static str {
        match self {
            Dropped::Element => "dropout",
            Dropped::Channel => "dropout2d",
            Dropped::Image => "stochastic_depth",
        }
    }

    /// Neighbours, in canonical order, that share a random number, in an image of so many elements with so many pixels.
    pub fn together(self, elements: usize, plane: usize) -> usize {
        match self {
            Dropped::Element => 1,
            Dropped::Channel => plane,
            Dropped::Image => elements,
        }
    }
}
