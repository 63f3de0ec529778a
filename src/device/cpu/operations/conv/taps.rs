//! The pixels of a chunk by the taps that their windows have inside the image. The others fall on padding, and their products
//! are left out: of a 3 × 3 convolution over 13 × 13 pixels they are a tenth.

use super::windows::{Chunk, WindowShape, Windows};
use crate::device::cpu::compute::microkernel::{Term, tiles};
use std::ops::Range;

/// Windows of a chunk, rows by columns, and the taps that some of them have inside the image.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Part {
    pub rows: Span,
    pub columns: Span,
}

/// Windows along one axis, counted from the chunk's first, and the taps that some of them have inside the image.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Span {
    pub windows: Range<usize>,
    pub taps: Range<usize>,
}

/// A part's pixels of a full chunk. A smaller chunk's, of fewer images, are the first of them.
pub(super) struct Pixels {
    /// Places of the windows, and of their results.
    pub windows: Vec<usize>,
    pub results: Vec<usize>,
    pub per_image: usize,
    pub runs: Vec<Term>,
    pub run_len: usize,
}

/// Rows of a tile below which it takes no less time: the sums wait for each other.
const FEWEST_ROWS: usize = 4;

/// Products of a vector that take as long as calling a kernel and writing its results.
const TILE_COST: usize = 64;

/// The cuts of all bands, each kind once, and the number of each band's.
pub(super) fn cuts(windows: &Windows, shape: &WindowShape, max_rows: usize) -> (Vec<Vec<Part>>, Vec<usize>) {
    let mut cuts: Vec<Vec<Part>> = Vec::new();
    let mut number = |parts: Vec<Part>| {
        cuts.iter().position(|known| *known == parts).unwrap_or_else(|| {
            cuts.push(parts);
            cuts.len() - 1
        })
    };
    let bands = (0..windows.bands()).map(|band| cut(shape, windows.band(band), windows.images_per_chunk(), max_rows));
    let bands = bands.map(&mut number).collect();
    (cuts, bands)
}

/// Cuts a band of window rows into parts such that the tiles of at most `max_rows` pixels take the least time.
fn cut(shape: &WindowShape, band: Range<usize>, images: usize, max_rows: usize) -> Vec<Part> {
    let rows = spans(shape, 0, band);
    let columns = spans(shape, 1, 0..shape.out[1]);
    let (any_row, any_column) = ([joined(&rows)], [joined(&columns)]);
    // Columns at the edges keep all their rows: a corner's pixels are too few for a tile.
    let (inner, edges): (Vec<_>, Vec<_>) = columns.iter().cloned().partition(|span| span.taps.len() == shape.taps[1]);
    let mut with_edges = parts(&rows, &inner);
    with_edges.extend(parts(&any_row, &edges));
    let ways = [
        parts(&any_row, &any_column),
        parts(&rows, &any_column),
        parts(&any_row, &columns),
        with_edges,
        parts(&rows, &columns),
    ];
    let time =
        |parts: &Vec<Part>| parts.iter().map(|part| part.time(shape.c / shape.groups, images, max_rows)).sum::<usize>();
    ways.into_iter().min_by_key(time).unwrap_or_default()
}

/// Neighbours that have the same taps inside the image.
fn spans(shape: &WindowShape, axis: usize, windows: Range<usize>) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for (at, window) in windows.enumerate() {
        let taps = shape.taps_inside(axis, window);
        match spans.last_mut() {
            Some(last) if last.taps == taps => last.windows.end = at + 1,
            _ => spans.push(Span { windows: at..at + 1, taps }),
        }
    }
    spans
}

fn joined(spans: &[Span]) -> Span {
    let windows = 0..spans.last().map_or(0, |span| span.windows.end);
    let inside = || spans.iter().map(|span| &span.taps).filter(|taps| !taps.is_empty());
    let first = inside().map(|taps| taps.start).min().unwrap_or(0);
    Span { windows, taps: first..inside().map(|taps| taps.end).max().unwrap_or(0) }
}

fn parts(rows: &[Span], columns: &[Span]) -> Vec<Part> {
    let with = |row: &Span| {
        columns.iter().map(|column| Part { rows: row.clone(), columns: column.clone() }).collect::<Vec<_>>()
    };
    rows.iter().flat_map(with).collect()
}

impl Part {
    /// Estimates the time that the part's tiles take, in products of a vector.
    fn time(&self, channels: usize, images: usize, max_rows: usize) -> usize {
        let pixels = images * self.rows.windows.len() * self.columns.windows.len();
        let steps = self.rows.taps.len() * self.columns.taps.len() * channels;
        tiles(pixels, max_rows).map(|(_, rows)| (rows.max(FEWEST_ROWS) + 1) * steps + TILE_COST).sum()
    }

    /// Lists the part's pixels of a full chunk, whose results lie `pitch` numbers apart by pixel, row and image.
    pub fn pixels(&self, windows: &Windows, pitch: [usize; 3]) -> Pixels {
        let place = |pitch| windows.places(self.rows.windows.clone(), self.columns.windows.clone(), pitch);
        let (runs, run_len) = windows.runs(&self.rows.taps, &self.columns.taps);
        Pixels {
            windows: place(windows.pitch()),
            results: place(pitch),
            per_image: self.rows.windows.len() * self.columns.windows.len(),
            runs,
            run_len,
        }
    }
}

/// Neighbouring taps of a row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Taps {
    pub row: usize,
    pub columns: Range<usize>,
}

/// The windows of chunks that have a tap inside the image.
pub(super) struct TapPixels {
    /// By row and by column of the taps: the windows that have it inside.
    inside: [Vec<Range<usize>>; 2],
    lists: Vec<PixelList>,
}

/// Windows of a full chunk, as terms of a sum over its pixels. A smaller chunk's, of fewer images, are the first of them.
struct PixelList {
    rows: Range<usize>,
    columns: Range<usize>,
    terms: Vec<Term>,
}

impl TapPixels {
    /// Lists the windows that some taps of each item of `taps` meet, in every chunk.
    pub fn new<'a>(windows: &Windows, shape: &WindowShape, taps: impl Iterator<Item = &'a Taps> + Clone) -> TapPixels {
        let inside = [0, 1].map(|axis| (0..shape.taps[axis]).map(|tap| shape.windows_inside(axis, tap)).collect());
        let mut pixels = TapPixels { inside, lists: Vec::new() };
        let columns = shape.out[1];
        for band in (0..windows.bands()).map(|band| windows.band(band)) {
            for taps in taps.clone() {
                let (rows, among) = pixels.meeting(&band, taps);
                if !pixels.lists.iter().any(|list| list.rows == rows && list.columns == among) {
                    let offsets = windows.places(rows.clone(), among.clone(), windows.pitch());
                    let rows_per_image = windows.pixels_per_chunk() / windows.images_per_chunk() / columns;
                    let steps = windows.places(rows.clone(), among.clone(), [1, columns, rows_per_image * columns]);
                    let terms = offsets.into_iter().zip(steps).map(|(offset, step)| Term { offset, step }).collect();
                    pixels.lists.push(PixelList { rows, columns: among, terms });
                }
            }
        }
        pixels
    }

    /// The windows of a chunk that have one of the taps inside the image.
    pub fn of(&self, chunk: &Chunk, taps: &Taps) -> &[Term] {
        let (rows, columns) = self.meeting(&chunk.rows, taps);
        let count = chunk.images.len() * rows.len() * columns.len();
        let list = self.lists.iter().find(|list| list.rows == rows && list.columns == columns);
        list.map_or(&[], |list| &list.terms[..count])
    }

    /// Rows, counted from the band's first, and columns.
    fn meeting(&self, band: &Range<usize>, taps: &Taps) -> (Range<usize>, Range<usize>) {
        let [rows, columns] = &self.inside;
        let within = &rows[taps.row];
        let start = within.start.clamp(band.start, band.end);
        let rows = start - band.start..within.end.clamp(start, band.end) - band.start;
        let columns = columns[taps.columns.clone()].iter().filter(|columns| !columns.is_empty());
        let start = columns.clone().map(|columns| columns.start).min().unwrap_or(0);
        (rows, start..columns.map(|columns| columns.end).max().unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::super::windows::ChunkLimits;
    use super::*;

    /// A 3 × 3 convolution over 13 × 13 pixels, padded by 1.
    const SHAPE: WindowShape = WindowShape {
        n: 4,
        h: 13,
        w: 13,
        c: 64,
        groups: 1,
        taps: [3; 2],
        stride: [1; 2],
        dilation: [1; 2],
        origin: [-1; 2],
        out: [13; 2],
    };

    fn windows(shape: WindowShape) -> Windows {
        Windows::new(shape, ChunkLimits { floats: 96 * 1024, pixels: usize::MAX, enough: 128, chunks: 1 })
    }

    /// Of 13 · 3 taps along an axis two lie on padding: 37 · 37 pairs are left. The four corners keep two more each.
    #[test]
    fn products_on_padding_are_left_out() {
        let (cuts, bands) = cuts(&windows(SHAPE), &SHAPE, 14);
        assert_eq!(bands, [0]);
        let all = |part: &Part| {
            part.rows.windows.len() * part.columns.windows.len() * part.rows.taps.len() * part.columns.taps.len()
        };
        assert_eq!(cuts[0].iter().map(all).sum::<usize>(), 37 * 37 + 4 * 2);
    }

    #[test]
    fn without_padding_nothing_is_cut() {
        let shape = WindowShape { origin: [0; 2], out: [11; 2], ..SHAPE };
        let (cuts, bands) = cuts(&windows(shape), &shape, 14);
        let whole = |windows| Span { windows, taps: 0..3 };
        assert_eq!((cuts, bands), (vec![vec![Part { rows: whole(0..11), columns: whole(0..11) }]], vec![0]));
    }

    /// Windows of two taps, three pixels apart, begin two pixels before an image of four: at -2, 0, 2 and 4.
    #[test]
    fn taps_and_windows_inside_an_image() {
        let axis =
            WindowShape { h: 4, taps: [2, 1], stride: [2, 1], dilation: [3, 1], origin: [-2, 0], out: [4, 1], ..SHAPE };
        let taps = [1..2, 0..2, 0..1, 0..0];
        assert_eq!([0, 1, 2, 3].map(|window| axis.taps_inside(0, window)), taps);
        assert_eq!([0, 1].map(|tap| axis.windows_inside(0, tap)), [1..3, 0..2]);
    }

    /// The first tap meets padding in the first row and column of each image.
    #[test]
    fn a_tap_has_its_pixels() {
        let windows = windows(SHAPE);
        let taps = Taps { row: 0, columns: 0..1 };
        let pixels = TapPixels::new(&windows, &SHAPE, [&taps].into_iter());
        let terms = pixels.of(&windows.chunk(0), &taps);
        assert_eq!(terms.len(), 12 * 12);
        assert_eq!(
            terms.iter().map(|term| term.step).take(13).collect::<Vec<_>>(),
            (14..26).chain([27]).collect::<Vec<_>>()
        );
    }
}
