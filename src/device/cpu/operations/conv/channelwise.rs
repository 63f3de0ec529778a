//! Convolutions whose groups have one or two channels in and as many out, with channels as the vector's lanes.
//!
//! Each row of results is cut into runs of columns that have the same taps: those within the image. backward_data is the same
//! walk over the outputs' gradient, with stride and padding seen from the other side.

use super::bias::sum_pixels;
use crate::device::cpu::compute::channelwise::{Ahead, ChannelGradient, ChannelKernels, ChannelRun, Tap};
use crate::device::cpu::compute::simd::Isa;
use crate::device::cpu::compute::tasks::{Scratch, Shared, part, share};
use crate::device::cpu::operations::{BackwardData, BackwardWeights, Forward};
use crate::plan::{ConvGeometry, Phase};

pub(super) struct Channelwise {
    geometry: ConvGeometry,
    threads: usize,
    kernels: &'static ChannelKernels,
    forward: Walk,
    backward: Walk,
}

/// A tap along one axis: its row or column in the filter, and the source's that it meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct AxisTap {
    tap: usize,
    source: usize,
}

/// How results are computed from a source: the input forward, the outputs' gradient backward.
struct Walk {
    /// Taps of each row.
    rows: Vec<Vec<AxisTap>>,
    columns: Vec<ColumnRun>,
    /// Width of the source and of the results.
    widths: [usize; 2],
    source_height: usize,
    /// Rows of the source that the next row of results needs besides this one's.
    new_rows: usize,
}

/// Columns with the same taps.
struct ColumnRun {
    first: usize,
    count: usize,
    /// Columns from one to the next: in the source and in the results.
    steps: [usize; 2],
    /// Taps of the first column.
    taps: Vec<AxisTap>,
}

/// The most taps of a filter.
const MOST_TAPS: usize = 128;

/// Parts of the batch whose weight gradients are summed apart, whatever the number of threads.
const SEGMENTS: usize = 16;

impl Channelwise {
    /// None where groups are of other sizes, and by the portable instructions.
    pub fn new(geometry: &ConvGeometry, threads: usize, isa: Isa) -> Option<Channelwise> {
        let (g, kernels) = (geometry, ChannelKernels::of(isa)?);
        let serves = g.groups > 1 && g.group_c() == g.group_k() && matches!(g.group_c(), 1 | 2);
        if !serves || g.kernel[0] * g.kernel[1] > MOST_TAPS {
            return None;
        }
        let out = [g.out_h(), g.out_w()];
        let input = [g.h, g.w];
        let forward = |axis: usize| {
            move |result: usize| {
                let taps = (0..g.kernel[axis]).filter_map(move |tap| {
                    let source = (result * g.stride[axis] + tap * g.dilation[axis]).checked_sub(g.pad[axis])?;
                    (source < input[axis]).then_some(AxisTap { tap, source })
                });
                taps.collect()
            }
        };
        let backward = |axis: usize| {
            move |result: usize| {
                let taps = (0..g.kernel[axis]).filter_map(move |tap| {
                    let distance = (result + g.pad[axis]).checked_sub(tap * g.dilation[axis])?;
                    let source = distance / g.stride[axis];
                    let meets = distance.is_multiple_of(g.stride[axis]) && source < out[axis];
                    meets.then_some(AxisTap { tap, source })
                });
                taps.collect()
            }
        };
        Some(Channelwise {
            geometry: *g,
            threads,
            kernels,
            forward: Walk {
                rows: (0..out[0]).map(forward(0)).collect(),
                columns: runs(out[1], [g.stride[1], 1], forward(1)),
                widths: [g.w, out[1]],
                source_height: g.h,
                new_rows: g.stride[0],
            },
            backward: Walk {
                rows: (0..g.h).map(backward(0)).collect(),
                columns: runs(g.w, [1, g.stride[1]], backward(1)),
                widths: [out[1], g.w],
                source_height: out[0],
                new_rows: 1,
            },
        })
    }

    /// Scratch of a phase, in f32.
    pub fn workspace_floats(&self, phase: Phase) -> usize {
        let g = &self.geometry;
        match phase {
            Phase::Forward | Phase::AllReduce | Phase::LossScale | Phase::WeightUpdate => 0,
            Phase::BackwardData if g.group_c() == 1 => 0,
            Phase::BackwardData => Scratch::need(g.weight_len()),
            Phase::BackwardWeights => self.segments() * (g.weight_len() + g.k),
        }
    }

    fn segments(&self) -> usize {
        SEGMENTS.min(self.geometry.n * self.geometry.out_h())
    }

    pub fn forward(&self, operands: Forward) {
        let input = operands.input();
        let Forward { weights, biases, output, .. } = operands;
        self.walk(&self.forward, input, weights, biases, (output, false));
    }

    pub fn backward_data(&self, operands: BackwardData) {
        let BackwardData { output_gradient, weights, input_gradient, accumulate, workspace, .. } = operands;
        let weights = if self.geometry.group_c() == 1 { weights } else { self.turn_around(weights, workspace) };
        self.walk(&self.backward, output_gradient, weights, &[], (input_gradient, accumulate));
    }

    /// Exchanges inputs and outputs within each group: \[tap\]\[c in its group\]\[k\] becomes \[tap\]\[k in its group\]\[c\].
    fn turn_around<'a>(&self, weights: &[f32], workspace: &'a mut [f32]) -> &'a [f32] {
        let (group, channels) = (self.geometry.group_c(), self.geometry.k);
        let turned = Scratch::new(workspace).take(weights.len());
        for (to, from) in turned.chunks_exact_mut(group * channels).zip(weights.chunks_exact(group * channels)) {
            for (index, to) in to.iter_mut().enumerate() {
                let (member, c) = (index / channels, index % channels);
                *to = from[c % group * channels + c / group * group + member];
            }
        }
        turned
    }

    /// Writes all results, or adds to them.
    fn walk(
        &self,
        walk: &Walk,
        source: &[f32],
        weights: &[f32],
        biases: &[f32],
        (results, accumulate): (&mut [f32], bool),
    ) {
        let (channels, group) = (self.geometry.k, self.geometry.group_c());
        let results = Shared::new(results);
        share(
            self.threads,
            self.geometry.n * walk.rows.len(),
            |_| [Tap::default(); MOST_TAPS],
            |taps, row| {
                let (image, row_in_image) = (row / walk.rows.len(), row % walk.rows.len());
                for columns in &walk.columns {
                    let taps = walk.taps(row_in_image, columns, channels, self.tap_pitches(), taps);
                    let run = ChannelRun {
                        input: source[image * walk.source_height * walk.widths[0] * channels..].as_ptr(),
                        taps,
                        weights: weights.as_ptr(),
                        columns: columns.count,
                        steps: columns.steps.map(|step| step * channels),
                        output: results.ptr().wrapping_add((row * walk.widths[1] + columns.first) * channels),
                        biases: if biases.is_empty() { std::ptr::null() } else { biases.as_ptr() },
                        channels,
                        group,
                        accumulate,
                        ahead: walk.ahead(taps, channels),
                    };
                    // SAFETY: taps and columns lie in the source, and no other task writes this row.
                    unsafe { self.kernels.run(&run) }
                }
            },
        );
    }

    /// From one row, and one column, of a filter to the next.
    fn tap_pitches(&self) -> [usize; 2] {
        let tap = self.geometry.group_c() * self.geometry.k;
        [self.geometry.kernel[1] * tap, tap]
    }

    pub fn backward_weights(&self, operands: BackwardWeights) {
        let BackwardWeights { input, output_gradient, weight_gradient, bias_gradient, workspace } = operands;
        let (k, weights) = (self.geometry.k, weight_gradient.len());
        let segments = Shared::new(workspace);
        let count = self.segments();
        share(
            self.threads,
            count,
            |_| (),
            |(), segment| {
                // SAFETY: each task takes the piece of its own number.
                let sums = unsafe { segments.part(segment, weights + k) };
                self.add_segment(segment, input, output_gradient, (sums, !bias_gradient.is_empty()));
            },
        );
        let segments = workspace[..count * (weights + k)].chunks_exact(weights + k);
        weight_gradient.fill(0.0);
        bias_gradient.fill(0.0);
        for segment in segments {
            let (dw, db) = segment.split_at(weights);
            weight_gradient.iter_mut().zip(dw).for_each(|(to, from)| *to += from);
            bias_gradient.iter_mut().zip(db).for_each(|(to, from)| *to += from);
        }
    }

    /// Sums one segment's gradients of weights, and behind them those of the biases where they are wanted.
    fn add_segment(
        &self,
        segment: usize,
        input: &[f32],
        output_gradient: &[f32],
        (sums, with_biases): (&mut [f32], bool),
    ) {
        let (channels, group, walk) = (self.geometry.k, self.geometry.group_c(), &self.forward);
        sums.fill(0.0);
        let rows = part(self.geometry.n * walk.rows.len(), segment, self.segments());
        let row_len = walk.widths[1] * channels;
        let (weights, biases) = sums.split_at_mut(sums.len() - channels);
        let mut taps = [Tap::default(); MOST_TAPS];
        for row in rows {
            if with_biases {
                sum_pixels(&output_gradient[row * row_len..][..row_len], channels, biases);
            }
            let (image, row_in_image) = (row / walk.rows.len(), row % walk.rows.len());
            for columns in &walk.columns {
                let taps = walk.taps(row_in_image, columns, channels, self.tap_pitches(), &mut taps);
                let gradient = ChannelGradient {
                    input: input[image * walk.source_height * walk.widths[0] * channels..].as_ptr(),
                    taps,
                    output_gradient: output_gradient[row * row_len + columns.first * channels..].as_ptr(),
                    columns: columns.count,
                    steps: columns.steps.map(|step| step * channels),
                    weight_gradient: weights.as_mut_ptr(),
                    channels,
                    group,
                    ahead: walk.ahead(taps, channels),
                };
                // SAFETY: taps and columns lie in the input, the columns in the row of gradients.
                unsafe { self.kernels.gradient(&gradient) }
            }
        }
    }
}

impl Walk {
    /// The part of the source that the next row needs, below the last of these taps.
    fn ahead(&self, taps: &[Tap], channels: usize) -> Ahead {
        let row_pitch = self.widths[0] * channels;
        Ahead { offset: taps.last().map_or(0, |tap| tap.input) + row_pitch, rows: self.new_rows, row_pitch }
    }

    /// Lists the taps that a run of columns has in a row.
    fn taps<'a>(
        &self,
        row: usize,
        columns: &ColumnRun,
        channels: usize,
        pitches: [usize; 2],
        list: &'a mut [Tap; MOST_TAPS],
    ) -> &'a [Tap] {
        let mut count = 0;
        for r in &self.rows[row] {
            for s in &columns.taps {
                list[count] = Tap {
                    input: (r.source * self.widths[0] + s.source) * channels,
                    weights: r.tap * pitches[0] + s.tap * pitches[1],
                };
                count += 1;
            }
        }
        &list[..count]
    }
}

/// Cuts columns into runs with the same taps. Of each `steps[1]` columns only those as far apart can have the same ones, and
/// these lie `steps[0]` columns of the source apart.
fn runs(columns: usize, steps: [usize; 2], taps: impl Fn(usize) -> Vec<AxisTap>) -> Vec<ColumnRun> {
    let mut runs: Vec<ColumnRun> = Vec::new();
    for first in 0..steps[1].min(columns) {
        let begin = runs.len();
        for column in (first..columns).step_by(steps[1]) {
            let taps = taps(column);
            let follows = |run: &&mut ColumnRun| {
                let shift = run.count * steps[0];
                let same =
                    |(one, other): (&AxisTap, &AxisTap)| one.tap == other.tap && one.source + shift == other.source;
                run.taps.len() == taps.len() && run.taps.iter().zip(&taps).all(same)
            };
            match runs[begin..].last_mut().filter(follows) {
                Some(run) => run.count += 1,
                None => runs.push(ColumnRun { first: column, count: 1, steps, taps }),
            }
        }
    }
    runs
}
