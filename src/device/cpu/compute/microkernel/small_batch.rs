//! Matrix products with few images, bound by memory: each weight is read once, as it lies there.

use super::Vector;

/// Products of some weight rows with every image: `output[n][row] = bias[row] + Σ input[n][i] · weights[row][i]`.
pub struct DotTile<'a> {
    pub input: *const f32,
    /// From one image's input to the next's.
    pub input_pitch: usize,
    pub images: usize,
    pub weights: *const f32,
    pub weights_pitch: usize,
    /// Weight rows, at most [`dot_rows`](super::MicroKernels::dot_rows).
    pub rows: usize,
    pub len: usize,
    pub bias: Option<&'a [f32]>,
    pub output: *mut f32,
    pub output_pitch: usize,
}

/// Some weight rows added to every image's result: `output[n][i] += Σ factors[n][row] · weights[row][i]`.
pub struct AxpyTile {
    pub factors: *const f32,
    pub factors_pitch: usize,
    pub images: usize,
    pub weights: *const f32,
    pub weights_pitch: usize,
    /// Weight rows, at most [`AXPY_ROWS`].
    pub rows: usize,
    pub len: usize,
    pub output: *mut f32,
    pub output_pitch: usize,
}

/// The most weight rows of an [`AxpyTile`].
pub const AXPY_ROWS: usize = 8;

#[inline(always)]
pub(super) unsafe fn dot_tile<V: Vector, const IMAGES: usize, const ROWS: usize>(tile: &DotTile) {
    // SAFETY: every address is one that the caller of `MicroKernels::dot_tile` vouched for.
    unsafe {
        // Missing rows repeat the last one, and are not written.
        let mut weights = [tile.weights; ROWS];
        for m in 0..ROWS {
            weights[m] = tile.weights.add(m.min(tile.rows - 1) * tile.weights_pitch);
        }
        let mut acc = [[V::zero(); IMAGES]; ROWS];
        let whole = tile.len / V::LANES * V::LANES;
        for i in (0..whole).step_by(V::LANES) {
            let mut w = [V::zero(); ROWS];
            for m in 0..ROWS {
                w[m] = V::load(weights[m].add(i));
            }
            for n in 0..IMAGES {
                let x = V::load(tile.input.add(n * tile.input_pitch + i));
                for m in 0..ROWS {
                    acc[m][n] = w[m].mul_add(x, acc[m][n]);
                }
            }
        }
        let rest = tile.len - whole;
        for m in 0..tile.rows.min(ROWS) {
            let bias = tile.bias.map_or(0.0, |bias| bias[m]);
            for n in 0..IMAGES {
                let mut sum = acc[m][n];
                if rest > 0 {
                    let x = V::load_part(tile.input.add(n * tile.input_pitch + whole), rest);
                    sum = V::load_part(weights[m].add(whole), rest).mul_add(x, sum);
                }
                *tile.output.add(n * tile.output_pitch + m) = sum.sum() + bias;
            }
        }
    }
}

#[inline(always)]
pub(super) unsafe fn axpy_tile<V: Vector, const IMAGES: usize>(tile: &AxpyTile) {
    // SAFETY: every address is one that the caller of `MicroKernels::axpy_tile` vouched for.
    unsafe {
        // Missing rows repeat the last one, times zero.
        let mut weights = [tile.weights; AXPY_ROWS];
        let mut factors = [[0.0f32; AXPY_ROWS]; IMAGES];
        for m in 0..AXPY_ROWS {
            weights[m] = tile.weights.add(m.min(tile.rows - 1) * tile.weights_pitch);
            for n in 0..IMAGES {
                if m < tile.rows {
                    factors[n][m] = *tile.factors.add(n * tile.factors_pitch + m);
                }
            }
        }
        let whole = tile.len / V::LANES * V::LANES;
        for i in (0..whole).step_by(V::LANES) {
            let mut w = [V::zero(); AXPY_ROWS];
            for m in 0..AXPY_ROWS {
                w[m] = V::load(weights[m].add(i));
            }
            for n in 0..IMAGES {
                let to = tile.output.add(n * tile.output_pitch + i);
                let mut sum = V::load(to);
                for m in 0..AXPY_ROWS {
                    sum = w[m].mul_add(V::splat(&factors[n][m]), sum);
                }
                sum.store(to);
            }
        }
        let rest = tile.len - whole;
        if rest > 0 {
            for n in 0..IMAGES {
                let to = tile.output.add(n * tile.output_pitch + whole);
                let mut sum = V::load_part(to, rest);
                for m in 0..AXPY_ROWS {
                    sum = V::load_part(weights[m].add(whole), rest).mul_add(V::splat(&factors[n][m]), sum);
                }
                sum.store_part(to, rest);
            }
        }
    }
}
