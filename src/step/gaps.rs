//! Finds room between tensors that live at the same time, in time that grows little with their number.

/// Entries of a block before it is split in two.
const BLOCK: usize = 256;

/// A tensor with its place in memory and in time.
#[derive(Clone, Copy, Debug)]
pub struct Placed {
    /// Offset of the first element.
    pub start: usize,
    /// One past the last element.
    pub end: usize,
    /// First operation that touches it.
    pub first: usize,
    /// Last operation that touches it.
    pub last: usize,
}

impl Placed {
    fn lives_with(&self, first: usize, last: usize) -> bool {
        self.first <= last && first <= self.last
    }
}

/// Tensors in the order of their offsets, in blocks that are passed as a whole where all or none of them count.
#[derive(Default)]
pub struct Gaps {
    blocks: Vec<Block>,
}

#[derive(Default)]
struct Block {
    entries: Vec<Placed>,
    start: usize,
    end: usize,
    /// The largest room between neighbours if all of them count.
    room: usize,
    /// Smallest and largest first operation.
    first: [usize; 2],
    /// Smallest and largest last operation.
    last: [usize; 2],
}

impl Block {
    fn new(entries: Vec<Placed>) -> Block {
        let mut block =
            Block { start: entries[0].start, first: [usize::MAX, 0], last: [usize::MAX, 0], ..Block::default() };
        block.end = block.start;
        for entry in &entries {
            block.room = block.room.max(entry.start.saturating_sub(block.end));
            block.end = block.end.max(entry.end);
            block.first = [block.first[0].min(entry.first), block.first[1].max(entry.first)];
            block.last = [block.last[0].min(entry.last), block.last[1].max(entry.last)];
        }
        Block { entries, ..block }
    }
}

impl Gaps {
    /// The lowest offset with room for `size` elements that nothing uses from operation `first` to `last`.
    pub fn lowest(&self, size: usize, [first, last]: [usize; 2]) -> usize {
        let mut offset = 0;
        for block in &self.blocks {
            let none = block.first[0] > last || block.last[1] < first;
            let all = block.first[1] <= last && block.last[0] >= first;
            if none {
                continue;
            }
            if all && block.room < size && offset + size > block.start {
                offset = offset.max(block.end);
                continue;
            }
            for entry in block.entries.iter().filter(|entry| entry.lives_with(first, last)) {
                if offset + size <= entry.start {
                    return offset;
                }
                offset = offset.max(entry.end);
            }
        }
        offset
    }

    /// Adds a tensor.
    pub fn insert(&mut self, placed: Placed) {
        let at = self.blocks.partition_point(|block| block.start <= placed.start).saturating_sub(1);
        let mut entries = match self.blocks.get_mut(at) {
            Some(block) => std::mem::take(&mut block.entries),
            None => Vec::new(),
        };
        entries.insert(entries.partition_point(|entry| entry.start <= placed.start), placed);
        let rest = if entries.len() > BLOCK { Some(entries.split_off(BLOCK / 2)) } else { None };
        let blocks = std::iter::once(entries).chain(rest).map(Block::new);
        self.blocks.splice(at..(at + 1).min(self.blocks.len()), blocks);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// By the definition: every neighbour in the order of offsets.
    fn lowest(placed: &[Placed], size: usize, [first, last]: [usize; 2]) -> usize {
        let mut neighbours: Vec<&Placed> = placed.iter().filter(|other| other.lives_with(first, last)).collect();
        neighbours.sort_by_key(|other| other.start);
        let mut offset = 0;
        for other in neighbours {
            if offset + size <= other.start {
                break;
            }
            offset = offset.max(other.end);
        }
        offset
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

        #[test]
        fn blocks_find_what_a_list_finds(tensors in prop::collection::vec((1..40usize, 0..900usize, 0..300usize), 1..1200)) {
            let (mut gaps, mut placed) = (Gaps::default(), Vec::new());
            for (size, first, length) in tensors {
                let time = [first, first + length];
                let start = gaps.lowest(size, time);
                prop_assert_eq!(start, lowest(&placed, size, time));
                let tensor = Placed { start, end: start + size, first: time[0], last: time[1] };
                gaps.insert(tensor);
                placed.push(tensor);
            }
        }
    }
}
