//! How sliding windows walk over a batch of images, cut into chunks that stay in a core's cache.
//!
//! A chunk is a band of output rows of one image, or several small images. Its part of the input is copied once, with
//! its zero padding, so that every window is a few contiguous runs of memory at a fixed distance from its pixel: for a
//! kernel of R × S taps, R runs of S·C numbers, or R·S of C where taps lie apart. This costs C numbers per pixel against R·S·C·K multiply-adds, and
//! leaves no border case to the kernels.

use crate::device::cpu::compute::microkernel::Term;
use std::ops::Range;

/// Windows of `taps`, one per output pixel, over images `[n][h][w][c]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct WindowShape {
    pub n: usize,
    pub h: usize,
    pub w: usize,
    pub c: usize,
    /// Channels are taken group by group.
    pub groups: usize,
    pub taps: [usize; 2],
    pub stride: [usize; 2],
    /// Pixels from a tap to the next.
    pub dilation: [usize; 2],
    /// Input row and column at which the first window begins; negative in the padding.
    pub origin: [isize; 2],
    /// Windows per image.
    pub out: [usize; 2],
}

impl WindowShape {
    /// Pixels that a window reaches over.
    fn extent(&self, axis: usize) -> usize {
        (self.taps[axis] - 1) * self.dilation[axis] + 1
    }

    /// Taps of a window that lie inside the image, not on its padding, along one axis.
    pub fn taps_inside(&self, axis: usize, window: usize) -> Range<usize> {
        let [size, taps, dilation] = [[self.h, self.w][axis], self.taps[axis], self.dilation[axis]].map(|n| n as isize);
        let origin = self.origin[axis] + (window * self.stride[axis]) as isize;
        let first_from = |pixel: isize| (pixel - origin + dilation - 1).div_euclid(dilation).clamp(0, taps) as usize;
        let (first, end) = (first_from(0), first_from(size));
        if first < end { first..end } else { 0..0 }
    }

    /// Windows that have a tap inside the image, along one axis.
    pub fn windows_inside(&self, axis: usize, tap: usize) -> Range<usize> {
        let inside = |&window: &usize| self.taps_inside(axis, window).contains(&tap);
        let first = (0..self.out[axis]).find(inside).unwrap_or(0);
        first..(first..self.out[axis]).take_while(inside).last().map_or(first, |last| last + 1)
    }
}

/// Limits of a chunk.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChunkLimits {
    /// Numbers of padded input.
    pub floats: usize,
    /// Windows; a chunk has at least one row all the same.
    pub pixels: usize,
    /// Windows for which a chunk takes several small images: fewer leave tiles half empty.
    pub enough: usize,
    /// Chunks to aim for, so that all threads have work.
    pub chunks: usize,
}

pub(super) struct Windows {
    shape: WindowShape,
    images_per_chunk: usize,
    rows_per_chunk: usize,
    /// Numbers from a pixel to the next, a row to the next, an image to the next, where the windows are read.
    pitch: [usize; 3],
    /// Reads windows straight from the input: no padding, no groups.
    in_place: bool,
    /// Numbers from a tap to the next, by rows and columns.
    tap_pitch: [usize; 2],
}

/// Some output rows of some images; either all rows or one image.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Chunk {
    pub images: Range<usize>,
    pub band: usize,
    pub rows: Range<usize>,
}

/// Tile rows at a multiple of this distance (2 KiB) compete for few sets of an L1 cache of 4 KiB per way.
const ALIASING: usize = 512;

/// At a multiple of this distance (4 KiB) they compete for one set, and are worth a copy.
const WORTH_A_COPY: usize = 1024;

impl Windows {
    pub fn new(shape: WindowShape, limits: ChunkLimits) -> Self {
        let group_c = shape.c / shape.groups;
        let padded = [0, 1].map(|d| (shape.out[d] - 1) * shape.stride[d] + shape.extent(d));
        let inside = shape.origin == [0, 0] && padded[0] <= shape.h && padded[1] <= shape.w;
        let close = shape.stride == [1, 1] && group_c.is_multiple_of(WORTH_A_COPY);
        let in_place = shape.groups == 1 && inside && !close;
        let pixel_pitch = if group_c.is_multiple_of(ALIASING) && !in_place { group_c + 16 } else { group_c };
        let row_pitch = pixel_pitch * if in_place { shape.w } else { padded[1] };
        let (images_per_chunk, rows_per_chunk) = chunk_size(&shape, limits, row_pitch, in_place);
        let chunk_rows = (rows_per_chunk - 1) * shape.stride[0] + shape.extent(0);
        let image_pitch = row_pitch * if in_place { shape.h } else { chunk_rows };
        Self {
            shape,
            images_per_chunk,
            rows_per_chunk,
            pitch: [pixel_pitch, row_pitch, image_pitch],
            in_place,
            tap_pitch: [shape.dilation[0] * row_pitch, shape.dilation[1] * pixel_pitch],
        }
    }

    /// The places of windows of a full chunk, image by image, whose pixels, rows and images lie `pitch` numbers apart.
    pub fn places(&self, rows: Range<usize>, columns: Range<usize>, [pixel, row, image]: [usize; 3]) -> Vec<usize> {
        let starts = (0..self.images_per_chunk).flat_map(|i| rows.clone().map(move |r| i * image + r * row));
        starts.flat_map(|start| columns.clone().map(move |q| start + q * pixel)).collect()
    }

    /// Numbers from a window to the next, a row to the next, an image to the next.
    pub fn pitch(&self) -> [usize; 3] {
        let [pixel, row, image] = self.pitch;
        [pixel * self.shape.stride[1], row * self.shape.stride[0], image]
    }

    /// The contiguous runs of some taps of a window, and their length.
    pub fn runs(&self, rows: &Range<usize>, columns: &Range<usize>) -> (Vec<Term>, usize) {
        let group_c = self.shape.c / self.shape.groups;
        let taps = if self.taps_touch() { columns.len() } else { 1 };
        let run = |r: usize, s: usize| Term {
            offset: r * self.tap_pitch[0] + s * self.tap_pitch[1],
            step: (r * self.shape.taps[1] + s) * group_c,
        };
        let in_row = |r| columns.clone().step_by(taps.max(1)).map(move |s| run(r, s));
        (rows.clone().flat_map(in_row).collect(), taps * group_c)
    }

    /// Tells if the taps of a row are one run.
    fn taps_touch(&self) -> bool {
        self.tap_pitch[1] == self.shape.c / self.shape.groups
    }

    /// Bands of rows that an image is cut into.
    pub fn bands(&self) -> usize {
        self.shape.out[0].div_ceil(self.rows_per_chunk)
    }

    /// The rows of a band.
    pub fn band(&self, index: usize) -> Range<usize> {
        let row = index * self.rows_per_chunk;
        row..(row + self.rows_per_chunk).min(self.shape.out[0])
    }

    pub fn images_per_chunk(&self) -> usize {
        self.images_per_chunk
    }

    pub fn chunks(&self) -> usize {
        self.shape.n.div_ceil(self.images_per_chunk) * self.bands()
    }

    pub fn chunk(&self, index: usize) -> Chunk {
        let bands = self.bands();
        let image = index / bands * self.images_per_chunk;
        Chunk {
            images: image..(image + self.images_per_chunk).min(self.shape.n),
            band: index % bands,
            rows: self.band(index % bands),
        }
    }

    /// Windows in a full chunk.
    pub fn pixels_per_chunk(&self) -> usize {
        self.images_per_chunk * self.rows_per_chunk * self.shape.out[1]
    }

    /// Windows in a chunk.
    pub fn pixels_in(&self, chunk: &Chunk) -> usize {
        chunk.images.len() * chunk.rows.len() * self.shape.out[1]
    }

    /// Products that each window sums up, per output channel.
    pub fn steps(&self) -> usize {
        self.shape.taps[0] * self.shape.taps[1] * (self.shape.c / self.shape.groups)
    }

    /// Numbers of the copy that [`load`](Self::load) makes.
    pub fn copy_len(&self) -> usize {
        if self.in_place { 0 } else { self.images_per_chunk * self.pitch[2] }
    }

    /// The memory that [`places`](Self::places) count in, once the chunk is loaded.
    pub fn loaded<'a>(&self, input: &'a [f32], chunk: &Chunk, copy: &'a [f32]) -> &'a [f32] {
        if self.in_place {
            let row = chunk.images.start * self.shape.h + chunk.rows.start * self.shape.stride[0];
            &input[row * self.shape.w * self.shape.c..]
        } else {
            copy
        }
    }

    /// Copies a chunk's input of one group, with its padding, where windows are not read in place.
    pub fn load(&self, input: &[f32], chunk: &Chunk, group: usize, copy: &mut [f32]) {
        if self.in_place {
            return;
        }
        let shape = &self.shape;
        let row_len = shape.w * shape.c;
        let first = (chunk.rows.start * shape.stride[0]) as isize + shape.origin[0];
        let rows = (chunk.rows.len() - 1) * shape.stride[0] + shape.extent(0);
        for (i, image) in chunk.images.clone().enumerate() {
            for r in 0..rows {
                let to = &mut copy[i * self.pitch[2] + r * self.pitch[1]..][..self.pitch[1]];
                let h = first + r as isize;
                if (0..shape.h as isize).contains(&h) {
                    let from = &input[(image * shape.h + h as usize) * row_len..][..row_len];
                    self.load_row(from, group, to);
                } else {
                    to.fill(0.0);
                }
            }
        }
    }

    /// Copies one input row of a group, with the zeros on both sides.
    fn load_row(&self, from: &[f32], group: usize, to: &mut [f32]) {
        let shape = &self.shape;
        let group_c = shape.c / shape.groups;
        let pitch = self.pitch[0];
        let columns = (to.len() / pitch) as isize;
        let lead = (-shape.origin[1]).clamp(0, columns);
        let end = (shape.w as isize - shape.origin[1]).clamp(lead, columns);
        if lead == end {
            to.fill(0.0);
            return;
        }
        let source = (lead + shape.origin[1]) as usize;
        let [lead, end] = [lead, end].map(|column| column as usize);
        to[..lead * pitch].fill(0.0);
        to[end * pitch..].fill(0.0);
        let to = &mut to[lead * pitch..end * pitch];
        if pitch == shape.c {
            to.copy_from_slice(&from[source * pitch..][..to.len()]);
        } else {
            let pixels = from[source * shape.c..].chunks_exact(shape.c);
            for (to, from) in to.chunks_exact_mut(pitch).zip(pixels) {
                to[..group_c].copy_from_slice(&from[group * group_c..][..group_c]);
            }
        }
    }
}

/// Images and output rows of a chunk.
fn chunk_size(shape: &WindowShape, limits: ChunkLimits, row_pitch: usize, in_place: bool) -> (usize, usize) {
    let rows = shape.out[0];
    // Between windows read in place there may be pixels that nobody reads.
    let sparse = in_place && [0, 1].iter().all(|&axis| shape.extent(axis) < shape.stride[axis]);
    let (row, beyond) = match sparse {
        true => (shape.out[1] * shape.extent(1) * shape.c * shape.extent(0), 0),
        false => (row_pitch * shape.stride[0], shape.extent(0).saturating_sub(shape.stride[0]) * row_pitch),
    };
    let fitting = limits.floats.saturating_sub(beyond) / row;
    let most = fitting.min(limits.pixels / shape.out[1]).clamp(1, rows);
    let for_all_threads = limits.chunks.div_ceil(shape.n).min(rows);
    let bands = rows.div_ceil(most).max(for_all_threads);
    if bands > 1 {
        return (1, rows.div_ceil(bands));
    }
    let pixels = rows * shape.out[1];
    let fitting = (limits.floats / (rows * row + beyond)).min(limits.pixels / pixels).max(1);
    (limits.enough.div_ceil(pixels).min(fitting).min((shape.n / limits.chunks).max(1)), rows)
}
