//! The choice of convolution algorithms. All compute the same; they differ in workspace, in made-up but fixed times, and
//! in determinism, so that a caller's choice can be tested.

use super::Result;
use super::convolution::Problem;
use super::handle::stream_of;
use crate::element::Element;
use crate::export::{export, put};
use crate::{memory, stream};
use cudarc::cudnn::sys::{
    self, cudnnConvolutionBwdDataAlgo_t, cudnnConvolutionBwdDataAlgoPerf_t, cudnnConvolutionBwdFilterAlgo_t,
    cudnnConvolutionBwdFilterAlgoPerf_t, cudnnConvolutionDescriptor_t, cudnnConvolutionFwdAlgo_t,
    cudnnConvolutionFwdAlgoPerf_t, cudnnDeterminism_t, cudnnFilterDescriptor_t, cudnnHandle_t, cudnnMathType_t,
    cudnnStatus_t, cudnnTensorDescriptor_t,
};
use cudnnStatus_t::*;
use std::ffi::{c_int, c_void};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Forward,
    BackwardData,
    BackwardFilter,
}

/// What an algorithm of a given number is like.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Method {
    /// No workspace.
    Implicit,
    /// No workspace, and sums in no fixed order.
    Atomic,
    /// A small table of offsets.
    Precomputed,
    /// The column matrix of one image.
    Columns,
    /// 3 × 3 filters with stride 1 only; transformed tensors.
    Winograd,
    Unsupported,
}
use Method::*;

/// By number, as cuDNN's enumerations have them.
const FORWARD: [Method; 8] =
    [Implicit, Precomputed, Columns, Unsupported, Unsupported, Unsupported, Unsupported, Winograd];
const BACKWARD_DATA: [Method; 6] = [Atomic, Precomputed, Unsupported, Unsupported, Unsupported, Winograd];
const BACKWARD_FILTER: [Method; 7] = [Atomic, Precomputed, Unsupported, Atomic, Unsupported, Winograd, Unsupported];

impl Direction {
    fn methods(self) -> &'static [Method] {
        match self {
            Direction::Forward => &FORWARD,
            Direction::BackwardData => &BACKWARD_DATA,
            Direction::BackwardFilter => &BACKWARD_FILTER,
        }
    }
}

impl Method {
    fn works(self, p: &Problem) -> bool {
        let g = p.geometry();
        match self {
            Winograd => {
                g.kernel == [3, 3]
                    && g.stride == [1, 1]
                    && g.dilation == [1, 1]
                    && g.groups == 1
                    && p.x.element == Element::F32
            }
            Unsupported => false,
            Implicit | Atomic | Precomputed | Columns => true,
        }
    }
    fn workspace(self, p: &Problem) -> usize {
        let g = p.geometry();
        match self {
            Implicit | Atomic | Unsupported => 0,
            Precomputed => 16 * g.pixels(),
            Columns => 4 * g.taps() * g.pixels(),
            Winograd => 16 * (g.n * g.pixels().div_ceil(4) * (g.c + g.k) + g.c * g.k),
        }
    }
    /// Milliseconds at made-up rates.
    fn time(self, p: &Problem) -> f32 {
        let rate = match self {
            Implicit => 5e9,
            Atomic => 6e9,
            Precomputed => 8e9,
            Columns => 7e9,
            Winograd => 14e9,
            Unsupported => return -1.0,
        };
        (p.geometry().multiplications() as f64 / rate + 0.002) as f32
    }
}

/// The workspace of an algorithm that works for the problem.
pub fn workspace(direction: Direction, algo: u32, p: &Problem) -> Result<usize> {
    match direction.methods().get(algo as usize) {
        Some(method) if method.works(p) => Ok(method.workspace(p)),
        _ => Err(CUDNN_STATUS_NOT_SUPPORTED),
    }
}

/// Tells if an algorithm sums in no fixed order.
pub fn is_atomic(direction: Direction, algo: u32) -> bool {
    direction.methods().get(algo as usize) == Some(&Atomic)
}

/// Tells if an algorithm is a Winograd transform.
pub fn is_winograd(direction: Direction, algo: u32) -> bool {
    direction.methods().get(algo as usize) == Some(&Winograd)
}

/// One line of a search: algorithm, status, time, memory, determinism, math type.
struct Row {
    algo: usize,
    status: cudnnStatus_t,
    time: f32,
    memory: usize,
    determinism: cudnnDeterminism_t,
    math: cudnnMathType_t,
}

/// All algorithms, the fastest first; what does not work or does not fit `limit` comes last.
fn rows(direction: Direction, p: &Problem, limit: usize) -> Vec<Row> {
    let row = |(algo, &method): (usize, &Method)| {
        let memory = method.workspace(p);
        let (status, time) = match method.works(p) {
            false => (CUDNN_STATUS_NOT_SUPPORTED, -1.0),
            true if memory > limit => (CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED, -1.0),
            true => (CUDNN_STATUS_SUCCESS, method.time(p)),
        };
        let fixed = if method == Atomic {
            cudnnDeterminism_t::CUDNN_NON_DETERMINISTIC
        } else {
            cudnnDeterminism_t::CUDNN_DETERMINISTIC
        };
        // as the real library may: the default math type, even where the descriptor asked for FMA
        let math = match p.convolution.math {
            cudnnMathType_t::CUDNN_FMA_MATH => cudnnMathType_t::CUDNN_DEFAULT_MATH,
            asked => asked,
        };
        Row { algo, status, time, memory, determinism: fixed, math }
    };
    let mut rows: Vec<Row> = direction.methods().iter().enumerate().map(row).collect();
    let key = |row: &Row| if row.time < 0.0 { f32::INFINITY } else { row.time };
    rows.sort_by(|a, b| key(a).total_cmp(&key(b)));
    rows
}

/// A search runs the algorithms: it waits for the device and leaves garbage in the output.
fn search(handle: cudnnHandle_t, output: *mut c_void, bytes: usize, space: *mut c_void, size: usize) -> Result<()> {
    stream_of(handle)?;
    stream::synchronize_all().map_err(|_| CUDNN_STATUS_EXECUTION_FAILED)?;
    let mut buffers = vec![(output as u64, bytes)];
    if size > 0 {
        buffers.push((space as u64, size));
    }
    super::check_buffers(&buffers)?;
    let to = memory::writable(output as u64, bytes).map_err(|_| CUDNN_STATUS_BAD_PARAM)?;
    // SAFETY: `bytes` bytes of device memory.
    unsafe { std::ptr::write_bytes(to, 0xff, bytes) };
    Ok(())
}

/// Implements `give` for one direction: rows to the caller's array of performance records.
macro_rules! give {
    ($name:ident, $perf:ident, $algo:ty, [$($variant:ident),*]) => {
        /// # Safety
        /// `to` holds `count` records.
        unsafe fn $name(rows: Vec<Row>, count: c_int, given: *mut c_int, to: *mut $perf) -> Result<()> {
            const ALGORITHMS: &[$algo] = &[$(<$algo>::$variant),*];
            if count < 1 || given.is_null() || to.is_null() {
                return Err(CUDNN_STATUS_BAD_PARAM);
            }
            let n = rows.len().min(count as usize);
            for (i, row) in rows.into_iter().take(n).enumerate() {
                let Row { algo, status, time, memory, determinism, math } = row;
                let algo = ALGORITHMS[algo];
                let record = $perf { algo, status, time, memory, determinism, mathType: math, reserved: [0; 3] };
                // SAFETY: i < count.
                unsafe { to.add(i).write(record) };
            }
            // SAFETY: not null, hence valid.
            unsafe { put(given, n as c_int) }
        }
    };
}
give!(
    give_forward,
    cudnnConvolutionFwdAlgoPerf_t,
    cudnnConvolutionFwdAlgo_t,
    [
        CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM,
        CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM,
        CUDNN_CONVOLUTION_FWD_ALGO_GEMM,
        CUDNN_CONVOLUTION_FWD_ALGO_DIRECT,
        CUDNN_CONVOLUTION_FWD_ALGO_FFT,
        CUDNN_CONVOLUTION_FWD_ALGO_FFT_TILING,
        CUDNN_CONVOLUTION_FWD_ALGO_WINOGRAD,
        CUDNN_CONVOLUTION_FWD_ALGO_WINOGRAD_NONFUSED
    ]
);
give!(
    give_backward_data,
    cudnnConvolutionBwdDataAlgoPerf_t,
    cudnnConvolutionBwdDataAlgo_t,
    [
        CUDNN_CONVOLUTION_BWD_DATA_ALGO_0,
        CUDNN_CONVOLUTION_BWD_DATA_ALGO_1,
        CUDNN_CONVOLUTION_BWD_DATA_ALGO_FFT,
        CUDNN_CONVOLUTION_BWD_DATA_ALGO_FFT_TILING,
        CUDNN_CONVOLUTION_BWD_DATA_ALGO_WINOGRAD,
        CUDNN_CONVOLUTION_BWD_DATA_ALGO_WINOGRAD_NONFUSED
    ]
);
give!(
    give_backward_filter,
    cudnnConvolutionBwdFilterAlgoPerf_t,
    cudnnConvolutionBwdFilterAlgo_t,
    [
        CUDNN_CONVOLUTION_BWD_FILTER_ALGO_0,
        CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1,
        CUDNN_CONVOLUTION_BWD_FILTER_ALGO_FFT,
        CUDNN_CONVOLUTION_BWD_FILTER_ALGO_3,
        CUDNN_CONVOLUTION_BWD_FILTER_ALGO_WINOGRAD,
        CUDNN_CONVOLUTION_BWD_FILTER_ALGO_WINOGRAD_NONFUSED,
        CUDNN_CONVOLUTION_BWD_FILTER_ALGO_FFT_TILING
    ]
);

fn max_count(handle: cudnnHandle_t, direction: Direction, to: *mut c_int) -> Result<()> {
    stream_of(handle)?;
    // SAFETY: the C caller's out-pointer.
    unsafe { put(to, direction.methods().len() as c_int) }
}

export! { CALLS: "cudnn", sys, cudnnStatus_t;
fn cudnnGetConvolutionForwardAlgorithmMaxCount(handle: cudnnHandle_t, to: *mut c_int) {
    max_count(handle, Direction::Forward, to)
}
fn cudnnGetConvolutionBackwardDataAlgorithmMaxCount(handle: cudnnHandle_t, to: *mut c_int) {
    max_count(handle, Direction::BackwardData, to)
}
fn cudnnGetConvolutionBackwardFilterAlgorithmMaxCount(handle: cudnnHandle_t, to: *mut c_int) {
    max_count(handle, Direction::BackwardFilter, to)
}
fn cudnnGetConvolutionForwardAlgorithm_v7(
    handle: cudnnHandle_t, x: cudnnTensorDescriptor_t, w: cudnnFilterDescriptor_t, c: cudnnConvolutionDescriptor_t,
    y: cudnnTensorDescriptor_t, count: c_int, given: *mut c_int, to: *mut cudnnConvolutionFwdAlgoPerf_t,
) {
    stream_of(handle)?;
    give_forward(rows(Direction::Forward, &Problem::new(x, w, c, y)?, usize::MAX), count, given, to)
}
fn cudnnGetConvolutionBackwardDataAlgorithm_v7(
    handle: cudnnHandle_t, w: cudnnFilterDescriptor_t, dy: cudnnTensorDescriptor_t, c: cudnnConvolutionDescriptor_t,
    dx: cudnnTensorDescriptor_t, count: c_int, given: *mut c_int, to: *mut cudnnConvolutionBwdDataAlgoPerf_t,
) {
    stream_of(handle)?;
    give_backward_data(rows(Direction::BackwardData, &Problem::new(dx, w, c, dy)?, usize::MAX), count, given, to)
}
fn cudnnGetConvolutionBackwardFilterAlgorithm_v7(
    handle: cudnnHandle_t, x: cudnnTensorDescriptor_t, dy: cudnnTensorDescriptor_t, c: cudnnConvolutionDescriptor_t,
    dw: cudnnFilterDescriptor_t, count: c_int, given: *mut c_int, to: *mut cudnnConvolutionBwdFilterAlgoPerf_t,
) {
    stream_of(handle)?;
    give_backward_filter(rows(Direction::BackwardFilter, &Problem::new(x, dw, c, dy)?, usize::MAX), count, given, to)
}
fn cudnnFindConvolutionForwardAlgorithmEx(
    handle: cudnnHandle_t, xd: cudnnTensorDescriptor_t, _x: *const c_void, wd: cudnnFilterDescriptor_t, _w: *const c_void,
    cd: cudnnConvolutionDescriptor_t, yd: cudnnTensorDescriptor_t, y: *mut c_void, count: c_int, given: *mut c_int,
    to: *mut cudnnConvolutionFwdAlgoPerf_t, space: *mut c_void, size: usize,
) {
    let p = Problem::new(xd, wd, cd, yd)?;
    search(handle, y, p.y.bytes(), space, size)?;
    give_forward(rows(Direction::Forward, &p, size), count, given, to)
}
fn cudnnFindConvolutionBackwardDataAlgorithmEx(
    handle: cudnnHandle_t, wd: cudnnFilterDescriptor_t, _w: *const c_void, dyd: cudnnTensorDescriptor_t, _dy: *const c_void,
    cd: cudnnConvolutionDescriptor_t, dxd: cudnnTensorDescriptor_t, dx: *mut c_void, count: c_int, given: *mut c_int,
    to: *mut cudnnConvolutionBwdDataAlgoPerf_t, space: *mut c_void, size: usize,
) {
    let p = Problem::new(dxd, wd, cd, dyd)?;
    search(handle, dx, p.x.bytes(), space, size)?;
    give_backward_data(rows(Direction::BackwardData, &p, size), count, given, to)
}
fn cudnnFindConvolutionBackwardFilterAlgorithmEx(
    handle: cudnnHandle_t, xd: cudnnTensorDescriptor_t, _x: *const c_void, dyd: cudnnTensorDescriptor_t, _dy: *const c_void,
    cd: cudnnConvolutionDescriptor_t, dwd: cudnnFilterDescriptor_t, dw: *mut c_void, count: c_int, given: *mut c_int,
    to: *mut cudnnConvolutionBwdFilterAlgoPerf_t, space: *mut c_void, size: usize,
) {
    let p = Problem::new(xd, dwd, cd, dyd)?;
    search(handle, dw, p.w.bytes(), space, size)?;
    give_backward_filter(rows(Direction::BackwardFilter, &p, size), count, given, to)
}
fn cudnnGetConvolutionForwardWorkspaceSize(
    handle: cudnnHandle_t, x: cudnnTensorDescriptor_t, w: cudnnFilterDescriptor_t, c: cudnnConvolutionDescriptor_t,
    y: cudnnTensorDescriptor_t, algo: cudnnConvolutionFwdAlgo_t, to: *mut usize,
) {
    stream_of(handle)?;
    put(to, workspace(Direction::Forward, algo as u32, &Problem::new(x, w, c, y)?)?)
}
fn cudnnGetConvolutionBackwardDataWorkspaceSize(
    handle: cudnnHandle_t, w: cudnnFilterDescriptor_t, dy: cudnnTensorDescriptor_t, c: cudnnConvolutionDescriptor_t,
    dx: cudnnTensorDescriptor_t, algo: cudnnConvolutionBwdDataAlgo_t, to: *mut usize,
) {
    stream_of(handle)?;
    put(to, workspace(Direction::BackwardData, algo as u32, &Problem::new(dx, w, c, dy)?)?)
}
fn cudnnGetConvolutionBackwardFilterWorkspaceSize(
    handle: cudnnHandle_t, x: cudnnTensorDescriptor_t, dy: cudnnTensorDescriptor_t, c: cudnnConvolutionDescriptor_t,
    dw: cudnnFilterDescriptor_t, algo: cudnnConvolutionBwdFilterAlgo_t, to: *mut usize,
) {
    stream_of(handle)?;
    put(to, workspace(Direction::BackwardFilter, algo as u32, &Problem::new(x, dw, c, dy)?)?)
}
}
