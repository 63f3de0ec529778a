//! One tensor to write and any number to read, out of the same arena.

use std::ops::Range;

/// All of an arena but the tensor that is being written.
#[derive(Clone, Copy)]
pub struct Rest<'a> {
    before: &'a [f32],
    after: &'a [f32],
    after_start: usize,
}

/// Splits an arena into the tensor to write and the rest to read.
pub fn writing(arena: &mut [f32], output: Range<usize>) -> (&mut [f32], Rest<'_>) {
    let (before, tail) = arena.split_at_mut(output.start);
    let (output_tensor, after) = tail.split_at_mut(output.len());
    (output_tensor, Rest { before, after, after_start: output.end })
}

impl<'a> Rest<'a> {
    /// A tensor that does not overlap the one being written: the layout sees to that.
    pub fn read(&self, tensor: Range<usize>) -> &'a [f32] {
        if tensor.start >= self.after_start {
            &self.after[tensor.start - self.after_start..tensor.end - self.after_start]
        } else {
            &self.before[tensor]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_can_be_read_and_the_middle_written() {
        let mut arena = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
        let (output, rest) = writing(&mut arena, 2..4);
        assert_eq!((rest.read(0..2), rest.read(4..6), rest.read(1..2)), (&[0.0, 1.0][..], &[4.0, 5.0][..], &[1.0][..]));
        output.copy_from_slice(rest.read(4..6));
        assert_eq!(arena, [0.0, 1.0, 4.0, 5.0, 4.0, 5.0]);
    }

    #[test]
    #[should_panic]
    fn an_overlap_is_caught() {
        let mut arena = [0.0; 6];
        let (_, rest) = writing(&mut arena, 2..4);
        rest.read(1..3);
    }
}
