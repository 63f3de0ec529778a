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

/// A list of tensors whose memory is kept from use to use.
pub struct TensorList(Vec<&'static [f32]>);

impl TensorList {
    /// For at most so many tensors.
    pub fn new(most: usize) -> TensorList {
        TensorList(Vec::with_capacity(most))
    }

    /// Hands a list of `tensors` to `work`.
    pub fn list<'a>(&mut self, tensors: impl Iterator<Item = &'a [f32]>, work: impl FnOnce(&[&[f32]])) {
        self.0.clear();
        // SAFETY: nobody reads the list but `work`, while the tensors are borrowed.
        self.0.extend(tensors.map(|tensor| unsafe { std::slice::from_raw_parts(tensor.as_ptr(), tensor.len()) }));
        work(&self.0);
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_keeps_its_memory() {
        let (tensors, mut list) = ([[1.0], [2.0], [3.0]], TensorList::new(3));
        let at = list.0.as_ptr();
        for count in [3, 2] {
            let tensors = || tensors[..count].iter().map(<[f32; 1]>::as_slice);
            list.list(tensors(), |listed| assert!(listed.iter().copied().eq(tensors())));
            assert!(list.0.is_empty());
        }
        assert_eq!(list.0.as_ptr(), at);
    }

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
