//! Zeros around an image.

use std::fmt::{self, Display};

use serde::Deserialize;

use super::kind::Pair;

/// The padding of a window: `1`, `[height, width]`, `[top, left, bottom, right]` or `"same"` in a description.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "Spelled")]
pub enum Padding {
    /// So many zeros before the first row and column, and behind the last.
    Sides {
        /// Top and left.
        before: Pair,
        /// Bottom and right.
        after: Pair,
    },
    /// As many as ⌈size / stride⌉ windows need; an odd one goes to the end, as in TensorFlow, and in PyTorch, which has this for
    /// strides of one.
    Same,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a whole number, [height, width], [top, left, bottom, right] or \"same\"")]
enum Spelled {
    Number(usize),
    Pair([usize; 2]),
    Sides([usize; 4]),
    Word(Word),
}

#[derive(Deserialize)]
enum Word {
    #[serde(rename = "same")]
    Same,
}

impl From<Spelled> for Padding {
    fn from(spelled: Spelled) -> Padding {
        match spelled {
            Spelled::Number(side) => Pair::square(side).into(),
            Spelled::Pair([h, w]) => Pair { h, w }.into(),
            Spelled::Sides([top, left, bottom, right]) => Padding::sides([top, left, bottom, right]),
            Spelled::Word(Word::Same) => Padding::Same,
        }
    }
}

/// Equal on opposite sides.
impl From<Pair> for Padding {
    fn from(pad: Pair) -> Padding {
        Padding::Sides { before: pad, after: pad }
    }
}

impl Padding {
    /// No zeros.
    pub const NONE: Padding = Padding::Sides { before: Pair::square(0), after: Pair::square(0) };

    /// Zeros at the top, left, bottom and right.
    pub const fn sides([top, left, bottom, right]: [usize; 4]) -> Padding {
        Padding::Sides { before: Pair { h: top, w: left }, after: Pair { h: bottom, w: right } }
    }

    /// Zeros before and behind an input for windows that reach over `extent` pixels.
    pub fn around(self, [h, w]: [usize; 2], extent: Pair, stride: Pair) -> [Pair; 2] {
        match self {
            Padding::Sides { before, after } => [before, after],
            Padding::Same => {
                let (rows, columns) = (same(h, extent.h, stride.h), same(w, extent.w, stride.w));
                [0, 1].map(|end| Pair { h: rows[end], w: columns[end] })
            }
        }
    }
}

/// Zeros before and behind.
fn same(size: usize, extent: usize, stride: usize) -> [usize; 2] {
    let reach = (size.div_ceil(stride).saturating_sub(1) * stride).saturating_add(extent);
    let total = reach.saturating_sub(size);
    [total / 2, total.div_ceil(2)]
}

/// As a description spells it.
impl Display for Padding {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match *self {
            Padding::Same => write!(f, "\"same\""),
            Padding::Sides { before, after } if before != after => {
                write!(f, "[{}, {}, {}, {}]", before.h, before.w, after.h, after.w)
            }
            Padding::Sides { before, .. } => write!(f, "{before}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pads(size: usize, extent: usize, stride: usize) -> [usize; 2] {
        let around = Padding::Same.around([size, size], Pair::square(extent), Pair::square(stride));
        around.map(|pad| pad.h)
    }

    /// TensorFlow's rule by hand: (⌈size / stride⌉ − 1) · stride + extent − size zeros.
    #[test]
    fn same_padding() {
        assert_eq!(pads(224, 3, 2), [0, 1]);
        assert_eq!(pads(7, 3, 1), [1, 1]);
        assert_eq!(pads(7, 4, 1), [1, 2]);
        assert_eq!(pads(5, 1, 2), [0, 0]);
        assert_eq!(pads(1, 5, 3), [2, 2]);
    }
}
