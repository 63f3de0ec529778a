//! How tiles lie over a batch of images.
//!
//! Several images are laid side by side and one below the other, in a *mosaic* whose gaps of zeros serve both neighbours as
//! padding: 49 tiles of 4 × 4 outputs cover four images of 13 × 13, where each by itself takes 16.

use crate::device::cpu::compute::winograd::Pixels;
use std::ptr;

/// Pixels along one side of a tile that is read or written: none in the padding and beyond the last image.
type PixelLine = [Option<Place>; 8];

/// A row or a column of a mosaic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    /// Images before it.
    image: usize,
    /// Row or column in that image.
    pixel: usize,
}

/// Sizes along one axis.
#[derive(Clone, Copy, Debug)]
pub(super) struct AxisSizes {
    pub input: usize,
    pub output: usize,
    /// Zeros before the first pixel of the input, and after the last at least as many as outputs need.
    pub pad: usize,
}

/// The tiles of a batch.
pub(super) struct Tiling {
    images: usize,
    rows: TileSide,
    columns: TileSide,
}

struct TileSide {
    sizes: AxisSizes,
    /// Images of a mosaic.
    images: usize,
    /// By tile.
    inputs: Vec<PixelLine>,
    outputs: Vec<PixelLine>,
}

/// The most images along a side of a mosaic.
const MOST_IMAGES: usize = 4;

impl Tiling {
    /// For `images` images, with tiles of `outputs` × `outputs` outputs from `inputs` × `inputs` inputs.
    pub fn new(images: usize, [rows, columns]: [AxisSizes; 2], outputs: usize, inputs: usize) -> Tiling {
        let sizes = (1..=MOST_IMAGES).flat_map(|high| (1..=MOST_IMAGES).map(move |wide| [high, wide]));
        let tiles = |[high, wide]: [usize; 2]| {
            let mosaics = images.div_ceil(high * wide);
            mosaics * rows.tiles(high, outputs) * columns.tiles(wide, outputs)
        };
        let fitting = sizes.filter(|[high, wide]| high * wide <= images);
        let [high, wide] = fitting.min_by_key(|&size| tiles(size)).unwrap_or([1, 1]);
        let axis = |sizes: AxisSizes, images| TileSide::new(sizes, images, outputs, inputs);
        Tiling { images, rows: axis(rows, high), columns: axis(columns, wide) }
    }

    /// Tiles of the whole batch.
    pub fn tiles(&self) -> usize {
        let mosaics = self.images.div_ceil(self.rows.images * self.columns.images);
        mosaics * self.rows.inputs.len() * self.columns.inputs.len()
    }

    /// The pixels that a tile reads, of images \[H, W, `channels`\] at `base`; `zeros` stands for the padding.
    pub fn inputs(&self, tile: usize, base: *const f32, channels: usize, zeros: *const f32) -> Pixels {
        let size = [self.rows.sizes.input, self.columns.sizes.input];
        self.pixels(tile, |axis| &axis.inputs, size, (base.cast_mut(), channels), zeros.cast_mut())
    }

    /// The pixels that a tile makes; `sink` takes those that are in no image.
    pub fn outputs(&self, tile: usize, base: *mut f32, channels: usize, sink: *mut f32) -> Pixels {
        let size = [self.rows.sizes.output, self.columns.sizes.output];
        self.pixels(tile, |axis| &axis.outputs, size, (base, channels), sink)
    }

    fn pixels(
        &self,
        tile: usize,
        lines: impl Fn(&TileSide) -> &Vec<PixelLine>,
        [height, width]: [usize; 2],
        (base, channels): (*mut f32, usize),
        none: *mut f32,
    ) -> Pixels {
        let (rows, columns) = (lines(&self.rows), lines(&self.columns));
        let (row, column) = (tile / columns.len(), tile % columns.len());
        let (mosaic, row) = (row / rows.len(), row % rows.len());
        let first = mosaic * self.rows.images * self.columns.images;
        let mut pixels = [[ptr::null_mut(); 8]; 8];
        for (row, pixels) in rows[row].iter().zip(&mut pixels) {
            for (column, pixel) in columns[column].iter().zip(pixels) {
                *pixel = none;
                if let (Some(row), Some(column)) = (row, column) {
                    let image = first + row.image * self.columns.images + column.image;
                    if image < self.images {
                        let offset = ((image * height + row.pixel) * width + column.pixel) * channels;
                        *pixel = base.wrapping_add(offset);
                    }
                }
            }
        }
        pixels
    }
}

impl AxisSizes {
    /// From an image's first pixel to the next image's.
    fn period(&self) -> usize {
        (self.input + self.pad).max(self.output)
    }

    /// Tiles along so many images.
    fn tiles(&self, images: usize, outputs: usize) -> usize {
        ((images - 1) * self.period() + self.output).div_ceil(outputs)
    }
}

impl TileSide {
    fn new(sizes: AxisSizes, images: usize, outputs: usize, inputs: usize) -> TileSide {
        let place = |position: Option<usize>, size: usize| {
            let position = position?;
            let place = Place { image: position / sizes.period(), pixel: position % sizes.period() };
            (place.image < images && place.pixel < size).then_some(place)
        };
        let lines = |count: usize, pad: usize, size: usize| {
            let line = move |tile: usize| -> PixelLine {
                std::array::from_fn(|i| place((tile * outputs + i).checked_sub(pad).filter(|_| i < count), size))
            };
            (0..sizes.tiles(images, outputs)).map(line).collect()
        };
        TileSide {
            sizes,
            images,
            inputs: lines(inputs, sizes.pad, sizes.input),
            outputs: lines(outputs, 0, sizes.output),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four images of 13 × 13 with padding 1 and tiles of 4 × 4: 27 rows of outputs, seven tiles.
    #[test]
    fn four_images_share_their_padding() {
        let sizes = AxisSizes { input: 13, output: 13, pad: 1 };
        assert_eq!(Tiling::new(4, [sizes; 2], 4, 6).tiles(), 49);
        assert_eq!(Tiling::new(1, [sizes; 2], 4, 6).tiles(), 16);
    }

    /// Every output of every image is made once.
    #[test]
    fn outputs_are_made_once() {
        for (images, input, pad, taps) in [(5, 7, 1, 3), (4, 13, 1, 3), (3, 6, 0, 3), (9, 5, 4, 5), (1, 4, 2, 3)] {
            let sizes = AxisSizes { input, output: input + 2 * pad + 1 - taps, pad };
            let tiling = Tiling::new(images, [sizes; 2], 4, 3 + taps);
            let mut made = vec![0f32; images * sizes.output * sizes.output];
            let (base, mut sink) = (made.as_mut_ptr(), 0f32);
            let range = made.as_mut_ptr_range();
            let mut count = vec![0; made.len()];
            for tile in 0..tiling.tiles() {
                for pixel in tiling.outputs(tile, base, 1, &mut sink).into_iter().flatten() {
                    if range.contains(&pixel) {
                        count[(pixel as usize - base as usize) / 4] += 1;
                    }
                }
            }
            assert!(count.iter().all(|&count| count == 1), "{images} {input} {pad} {taps}");
        }
    }
}
