//! Philox4x32-10, the counter-based generator behind every random number of a step, so that all devices train on the same bits.
//!
//! Source: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
//!
//! The counter's words say what a number is for: `[position, image / 4, layer, step]` for dropout, where position is the
//! element's canonical index within its image and the lane is `image % 4`, so that devices of either memory layout draw whole
//! blocks. What is drawn once, before the first step, has a [`RandomStream`] in place of the layer.

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const ROUNDS: usize = 10;

/// Streams of numbers that belong to no dropout layer; they count down from the top, out of the layers' way.
#[derive(Clone, Copy, Debug)]
pub enum RandomStream {
    /// Pixels of the images.
    Images,
    /// Classes of the images.
    Labels,
    /// Weights of the layer with this index.
    Weights(usize),
    /// Biases of the layer with this index.
    Biases(usize),
    /// The order of the steps of a pair.
    Pairs,
}

impl RandomStream {
    fn word(self) -> u32 {
        const LAYERS: u32 = 1 << 24;
        match self {
            RandomStream::Images => u32::MAX,
            RandomStream::Labels => u32::MAX - 1,
            RandomStream::Pairs => u32::MAX - 2,
            RandomStream::Weights(layer) => u32::MAX - 3 - LAYERS - layer as u32,
            RandomStream::Biases(layer) => u32::MAX - 3 - 2 * LAYERS - layer as u32,
        }
    }
}

/// The generator with its key: from one seed every number follows.
#[derive(Clone, Copy, Debug)]
pub struct Philox {
    key: [u32; 2],
}

impl Philox {
    /// The generator of a seed.
    pub fn new(seed: u64) -> Philox {
        Philox { key: [seed as u32, (seed >> 32) as u32] }
    }

    /// Four random words for one counter. Always inlined, so that a loop over counters becomes vector instructions.
    #[inline(always)]
    pub fn block(&self, counter: [u32; 4]) -> [u32; 4] {
        let product = |word: u32, multiplier| u64::from(word) * u64::from(MULTIPLIERS[multiplier]);
        let (mut words, mut key) = (counter, self.key);
        for _ in 0..ROUNDS {
            let (even, odd) = (product(words[0], 0), product(words[2], 1));
            let (high_even, high_odd) = ((even >> 32) as u32, (odd >> 32) as u32);
            words = [high_odd ^ words[1] ^ key[0], odd as u32, high_even ^ words[3] ^ key[1], even as u32];
            key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
        }
        words
    }

    /// Number `index` of a stream, uniform in \[0, 1) with 24 bits.
    pub fn uniform(&self, stream: RandomStream, index: usize) -> f32 {
        unit(self.word(stream, index))
    }

    /// Number `index` of a stream, uniform below `bound` (Lemire's multiplication, "Fast random integer generation in an
    /// interval", 2019, without the rejection: the bias is at most bound / 2³²).
    pub fn below(&self, stream: RandomStream, index: usize, bound: usize) -> usize {
        ((u64::from(self.word(stream, index)) * bound as u64) >> 32) as usize
    }

    fn word(&self, stream: RandomStream, index: usize) -> u32 {
        let block = index / 4;
        self.block([block as u32, (block >> 32) as u32, stream.word(), 0])[index % 4]
    }
}

/// The top 24 bits as a number in \[0, 1).
#[inline]
pub fn unit(word: u32) -> f32 {
    (word >> 8) as f32 * (1.0 / (1 << 24) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known-answer vectors of the authors' Random123 library (kat_vectors, philox4x32 10).
    #[test]
    fn known_answers() {
        assert_eq!(Philox::new(0).block([0; 4]), [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
        assert_eq!(Philox::new(u64::MAX).block([u32::MAX; 4]), [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]);
        let digits_of_pi = [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344];
        assert_eq!(
            Philox::new(0x299f31d0_a4093822).block(digits_of_pi),
            [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1]
        );
    }

    #[test]
    fn uniform_numbers_fill_the_unit_interval() {
        let philox = Philox::new(7);
        let numbers: Vec<f32> = (0..10_000).map(|index| philox.uniform(RandomStream::Images, index)).collect();
        assert!(numbers.iter().all(|number| (0.0..1.0).contains(number)));
        let mean = numbers.iter().sum::<f32>() / 10_000.0;
        // Four standard errors of a mean of uniforms: 4 / √(12 · 10⁴).
        assert!((mean - 0.5).abs() < 0.0116, "mean {mean}");
    }
}
