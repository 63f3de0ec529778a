//! Max and average pooling against loops over windows: plain, padded, ceil, overlapping and adaptive, both layouts.

use super::harness::*;

#[derive(Clone, Copy, Debug)]
struct Case {
    images: usize,
    channels: usize,
    input: [usize; 2],
    output: [usize; 2],
    /// 0: adaptive
    kernel: usize,
    stride: usize,
    /// Pixels between neighbouring elements of a window; an average has 1.
    step: usize,
    pad: usize,
    after: usize,
    /// An average's divisor counts the padding.
    counts: bool,
}

/// Without padding.
const PLAIN: Case = Case {
    images: 1,
    channels: 1,
    input: [1, 1],
    output: [1, 1],
    kernel: 1,
    stride: 1,
    step: 1,
    pad: 0,
    after: 0,
    counts: true,
};

/// Windows with gaps, whose padding cuts some of them, of channels as many as 16 bytes have and others.
const DILATED: [Case; 3] = [
    Case { images: 2, channels: 3, input: [9, 8], output: [5, 4], kernel: 3, stride: 1, step: 2, ..PLAIN },
    Case {
        images: 1,
        channels: 8,
        input: [7, 9],
        output: [3, 4],
        kernel: 2,
        stride: 2,
        step: 3,
        pad: 1,
        after: 1,
        ..PLAIN
    },
    Case {
        images: 2,
        channels: 5,
        input: [6, 6],
        output: [5, 5],
        kernel: 3,
        stride: 1,
        step: 2,
        pad: 1,
        after: 2,
        ..PLAIN
    },
];

const CASES: [Case; 11] = [
    Case { images: 1, channels: 1, input: [1, 1], output: [1, 1], kernel: 1, stride: 1, ..PLAIN },
    Case { images: 1, channels: 1, input: [3, 3], output: [1, 1], kernel: 3, stride: 2, ..PLAIN },
    // overlapping, as AlexNet's
    Case { images: 2, channels: 3, input: [13, 13], output: [6, 6], kernel: 3, stride: 2, ..PLAIN },
    // ceil: the last window hangs over the edge
    Case { images: 2, channels: 5, input: [6, 8], output: [3, 4], kernel: 3, stride: 2, ..PLAIN },
    Case { images: 3, channels: 4, input: [7, 5], output: [4, 3], kernel: 3, stride: 2, pad: 1, after: 1, ..PLAIN },
    // more behind than before, counted and not
    Case { images: 2, channels: 3, input: [7, 6], output: [4, 3], kernel: 3, stride: 2, pad: 0, after: 2, ..PLAIN },
    Case {
        images: 2,
        channels: 3,
        input: [7, 6],
        output: [4, 3],
        kernel: 3,
        stride: 2,
        pad: 1,
        after: 1,
        counts: false,
        ..PLAIN
    },
    Case { images: 1, channels: 33, input: [31, 33], output: [15, 16], kernel: 2, stride: 2, ..PLAIN },
    // as many channels as 16 bytes have, and more
    Case { images: 2, channels: 24, input: [9, 7], output: [5, 4], kernel: 3, stride: 2, pad: 1, after: 1, ..PLAIN },
    // adaptive windows of unequal size, and more outputs than inputs
    Case { images: 2, channels: 7, input: [13, 10], output: [6, 4], kernel: 0, stride: 1, ..PLAIN },
    Case { images: 2, channels: 64, input: [3, 4], output: [7, 6], kernel: 0, stride: 1, ..PLAIN },
];

/// As `kernels/pool.cu` declares it.
fn shape(channels: usize, axes: [Vec<u32>; 2], counts: bool, nhwc: bool, step: usize) -> [u32; 31] {
    let words =
        [divisor(channels).to_vec(), axes.concat(), vec![counts.into(), nhwc.into()], vec![step as u32; 2]].concat();
    words.try_into().unwrap()
}

impl Case {
    fn shape(&self, nhwc: bool) -> [u32; 31] {
        let axis = |axis: usize| {
            let divisors = [self.input[axis], self.output[axis], self.stride].map(divisor).concat();
            let extent = if self.kernel == 0 { 0 } else { (self.kernel - 1) * self.step + 1 };
            [divisors, [extent, self.pad, self.after].map(|size| size as u32).to_vec()].concat()
        };
        shape(self.channels, [axis(0), axis(1)], self.counts, nhwc, self.step)
    }
    fn index(&self, size: [usize; 2], nhwc: bool, [n, c, y, x]: [usize; 4]) -> usize {
        let [h, w] = size;
        if nhwc { ((n * h + y) * w + x) * self.channels + c } else { ((n * self.channels + c) * h + y) * w + x }
    }
    /// Window o along one axis: the inputs in it, and its elements with padding.
    fn window(&self, axis: usize, o: usize) -> (Vec<usize>, usize) {
        let (size, out) = (self.input[axis], self.output[axis]);
        if self.kernel == 0 {
            let begin = (o as f64 * size as f64 / out as f64).floor() as usize;
            let end = ((o + 1) as f64 * size as f64 / out as f64).ceil() as usize;
            return ((begin..end).collect(), end - begin);
        }
        let padded: Vec<i64> = (0..self.kernel as i64)
            .map(|k| o as i64 * self.stride as i64 - self.pad as i64 + k * self.step as i64)
            .filter(|&i| i < (size + self.after) as i64)
            .collect();
        let inside = padded.iter().filter_map(|&i| usize::try_from(i).ok().filter(|&i| i < size));
        let inside: Vec<usize> = inside.collect();
        let counted = if self.counts { padded.len() } else { inside.len() };
        (inside, counted)
    }
    fn outputs(&self) -> Vec<[usize; 4]> {
        let [oh, ow] = self.output;
        let planes = (0..self.images).flat_map(|n| (0..self.channels).map(move |c| (n, c)));
        planes.flat_map(|(n, c)| (0..oh).flat_map(move |y| (0..ow).map(move |x| [n, c, y, x]))).collect()
    }
    fn elements(&self, size: [usize; 2]) -> usize {
        self.images * self.channels * size[0] * size[1]
    }
}

/// Maxima have windows of one size.
fn check_max<T: Storage>() {
    let cases = CASES.into_iter().filter(|case| case.kernel > 0).chain(DILATED);
    for (case, nhwc) in cases.flat_map(|case| [(case, false), (case, true)]) {
        let (ni, no) = (case.elements(case.input), case.elements(case.output));
        // few distinct values: equal maxima are common, and the first must win
        let x: Vec<f64> = numbers::<T>(ni, 30).iter().map(|v| (v * 3.0).round()).collect();
        let dy = numbers::<T>(no, 31);
        let (mut y, mut winner, mut dx) = (vec![0.0; no], vec![0u32; no], vec![0.0; ni]);
        for [n, c, oy, ox] in case.outputs() {
            let o = case.index(case.output, nhwc, [n, c, oy, ox]);
            let (rows, cols) = (case.window(0, oy).0, case.window(1, ox).0);
            let mut best: Option<(f64, usize, u32)> = None;
            for (iy, ix) in rows.iter().flat_map(|&iy| cols.iter().map(move |&ix| (iy, ix))) {
                let i = case.index(case.input, nhwc, [n, c, iy, ix]);
                if best.is_none_or(|(v, ..)| x[i] > v) {
                    best = Some((x[i], i, (iy * case.input[1] + ix) as u32));
                }
            }
            let (value, from, at) = best.expect("a window");
            (y[o], winner[o]) = (value, at);
            dx[from] += dy[o];
        }
        let (bx, by, bw) = (Buffer::<T>::narrowed(&x), Buffer::<T>::fresh(no), Buffer::<u32>::fresh(no));
        let forward = format!("maxpool_forward_{}", T::SUFFIX);
        launch_over(&forward, no, &[&bx, &by, &bw, &case.shape(nhwc), &(no as u32)]);
        assert!(by.wide() == y && bw.read() == winner, "{case:?}");
        let (bdy, bdx) = (Buffer::<T>::narrowed(&dy), Buffer::<T>::fresh(ni));
        let backward = format!("maxpool_backward_{}", T::SUFFIX);
        launch_over(&backward, ni, &[&bdy, &bw, &bdx, &case.shape(nhwc), &0u32, &(ni as u32)]);
        assert_close(&bdx.wide(), &dx, T::EPSILON + 3e-7, 1.0);
        launch_over(&backward, ni, &[&bdy, &bw, &bdx, &case.shape(nhwc), &1u32, &(ni as u32)]);
        assert_close(&bdx.wide(), &dx.iter().map(|d| d * 2.0).collect::<Vec<_>>(), T::EPSILON * 2.0 + 6e-7, 1.0);
    }
}

/// Windows that do not overlap: values go to the places of maxima as gradients do, and gradients come from there.
fn check_unpooling<T: Storage>() {
    let plain = Case { images: 2, channels: 5, input: [6, 8], output: [3, 4], kernel: 2, stride: 2, ..PLAIN };
    let padded = Case {
        images: 1,
        channels: 16,
        input: [7, 5],
        output: [3, 2],
        kernel: 2,
        stride: 3,
        pad: 1,
        after: 1,
        ..PLAIN
    };
    for (case, nhwc) in [plain, padded].into_iter().flat_map(|case| [(case, false), (case, true)]) {
        let (ni, no) = (case.elements(case.input), case.elements(case.output));
        let (pooled, x, dy) = (numbers::<T>(ni, 35), numbers::<T>(no, 36), numbers::<T>(ni, 37));
        let (mut y, mut dx, mut winner) = (vec![0.0; ni], vec![0.0; no], vec![0u32; no]);
        for [n, c, oy, ox] in case.outputs() {
            let o = case.index(case.output, nhwc, [n, c, oy, ox]);
            let (rows, cols) = (case.window(0, oy).0, case.window(1, ox).0);
            let places = rows.iter().flat_map(|&iy| cols.iter().map(move |&ix| (iy, ix)));
            let place = |(iy, ix): (usize, usize)| case.index(case.input, nhwc, [n, c, iy, ix]);
            let first = places.reduce(|best, at| if pooled[place(at)] > pooled[place(best)] { at } else { best });
            let (iy, ix) = first.expect("a window");
            winner[o] = (iy * case.input[1] + ix) as u32;
            (y[place((iy, ix))], dx[o]) = (x[o], dy[place((iy, ix))]);
        }
        let (bx, by, bw) = (Buffer::<T>::narrowed(&x), Buffer::<T>::fresh(ni), Buffer::of(&winner));
        let forward = format!("maxpool_backward_{}", T::SUFFIX);
        launch_over(&forward, ni, &[&bx, &bw, &by, &case.shape(nhwc), &0u32, &(ni as u32)]);
        assert_same(&by.wide(), &y);
        let (bdy, bdx) = (Buffer::<T>::narrowed(&dy), Buffer::<T>::fresh(no));
        let backward = format!("max_unpool_backward_{}", T::SUFFIX);
        launch_over(&backward, no, &[&bdy, &bw, &bdx, &case.shape(nhwc), &0u32, &(no as u32)]);
        assert_same(&bdx.wide(), &dx);
        launch_over(&backward, no, &[&bdy, &bw, &bdx, &case.shape(nhwc), &1u32, &(no as u32)]);
        assert_same(&bdx.wide(), &dx.iter().map(|d| d * 2.0).collect::<Vec<_>>());
    }
}

#[test]
fn max_unpooling() {
    for_each_type!(check_unpooling());
}

fn check_average<T: Storage>() {
    for (case, nhwc) in CASES.into_iter().flat_map(|case| [(case, false), (case, true)]) {
        let (ni, no) = (case.elements(case.input), case.elements(case.output));
        let (x, dy) = (numbers::<T>(ni, 32), numbers::<T>(no, 33));
        let (mut y, mut dx) = (vec![0.0; no], vec![0.0; ni]);
        for [n, c, oy, ox] in case.outputs() {
            let o = case.index(case.output, nhwc, [n, c, oy, ox]);
            let ((rows, height), (cols, width)) = (case.window(0, oy), case.window(1, ox));
            let area = (height * width) as f64;
            for (iy, ix) in rows.iter().flat_map(|&iy| cols.iter().map(move |&ix| (iy, ix))) {
                let i = case.index(case.input, nhwc, [n, c, iy, ix]);
                y[o] += x[i] / area;
                dx[i] += dy[o] / area;
            }
        }
        let (bx, by) = (Buffer::<T>::narrowed(&x), Buffer::<T>::fresh(no));
        launch_over(&format!("avgpool_forward_{}", T::SUFFIX), no, &[&bx, &by, &case.shape(nhwc), &(no as u32)]);
        assert_close(&by.wide(), &y, T::EPSILON + 3e-7, 1.0);
        let (bdy, bdx) = (Buffer::<T>::narrowed(&dy), Buffer::<T>::fresh(ni));
        let backward = format!("avgpool_backward_{}", T::SUFFIX);
        launch_over(&backward, ni, &[&bdy, &bdx, &case.shape(nhwc), &0u32, &(ni as u32)]);
        assert_close(&bdx.wide(), &dx, T::EPSILON + 3e-7, 1.0);
        launch_over(&backward, ni, &[&bdy, &bdx, &case.shape(nhwc), &1u32, &(ni as u32)]);
        assert_close(&bdx.wide(), &dx.iter().map(|d| d * 2.0).collect::<Vec<_>>(), T::EPSILON * 2.0 + 6e-7, 1.0);
    }
}

#[test]
fn max_pooling() {
    for_each_type!(check_max());
}

#[test]
fn average_pooling() {
    for_each_type!(check_average());
}

/// Sizes around warps and blocks: 1 × 2 windows over a row.
#[test]
fn pooling_at_every_size() {
    for n in SIZES {
        let x = numbers::<f32>(2 * n, 34);
        let (bx, by, bw) = (Buffer::<f32>::narrowed(&x), Buffer::<f32>::fresh(n), Buffer::<u32>::fresh(n));
        let rows = [divisor(1); 3].concat();
        let columns = [divisor(2 * n), divisor(n), divisor(2)].concat();
        let shape = shape(1, [[rows, vec![1, 0, 0]].concat(), [columns, vec![2, 0, 0]].concat()], true, false, 1);
        launch_over("maxpool_forward_f32", n, &[&bx, &by, &bw, &shape, &(n as u32)]);
        assert_same(&by.wide(), &x.chunks(2).map(|p| p[0].max(p[1])).collect::<Vec<_>>());
        launch_over("avgpool_forward_f32", n, &[&bx, &by, &shape, &(n as u32)]);
        assert_close(&by.wide(), &x.chunks(2).map(|p| (p[0] + p[1]) / 2.0).collect::<Vec<_>>(), 1e-7, 1.0);
    }
}
