//! The shape of an activation.

use std::fmt;

/// Images, channels, height, width; what leaves a fully connected layer is C×1×1.
///
/// Sizes say nothing about memory order: that is the device's choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Images in the batch.
    pub n: usize,
    /// Channels.
    pub c: usize,
    /// Height in pixels.
    pub h: usize,
    /// Width in pixels.
    pub w: usize,
}

impl Shape {
    /// Elements in one image's share.
    pub fn image_elements(&self) -> usize {
        self.c * self.h * self.w
    }

    /// Elements of the whole batch.
    pub fn elements(&self) -> usize {
        self.n * self.image_elements()
    }

    /// The same elements as one vector per image.
    pub fn flattened(&self) -> Shape {
        Shape { n: self.n, c: self.image_elements(), h: 1, w: 1 }
    }

    /// Elements, or `None` when they pass what any machine could hold (2⁴⁸), long before 64 bits overflow.
    pub fn checked_elements(&self) -> Option<usize> {
        let elements = self.n.checked_mul(self.c)?.checked_mul(self.h)?.checked_mul(self.w)?;
        (elements <= 1 << 48).then_some(elements)
    }
}

/// One image's shape, `C×H×W`, or `C` when it is a vector.
impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match (self.h, self.w) {
            (1, 1) => f.pad(&self.c.to_string()),
            (h, w) => f.pad(&format!("{}x{h}x{w}", self.c)),
        }
    }
}
