//! Convolutions: the three directions, and cuDNN's offers of algorithms for each.
//!
//! cuDNN has a set of functions and an enumeration per direction; [`Problem`] gives the three one face.

use std::ffi::c_void;
use std::mem::MaybeUninit;

use cudarc::cudnn::sys::{
    cudnnConvolutionBwdDataAlgo_t, cudnnConvolutionBwdDataAlgoPerf_t, cudnnConvolutionBwdFilterAlgo_t,
    cudnnConvolutionBwdFilterAlgoPerf_t, cudnnConvolutionFwdAlgo_t, cudnnConvolutionFwdAlgoPerf_t, cudnnDeterminism_t,
    cudnnMathType_t, cudnnStatus_t,
};

use super::{ConvolutionDescriptor, Dnn, FilterDescriptor, TensorDescriptor, alpha, beta};
use crate::device::Transform;
use crate::device::cuda::driver::call::{CallError, StatusCode, call};
use crate::plan::Precision;

/// Arithmetic that cuDNN may use: a math type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Math(pub(super) cudnnMathType_t);

impl Math {
    /// f32 must be IEEE f32: a fresh convolution descriptor would let cuDNN round to TF32.
    pub fn of(precision: Precision) -> Math {
        Math(match precision.convolutions() {
            Precision::F32 | Precision::F32Tf32 => cudnnMathType_t::CUDNN_FMA_MATH,
            Precision::Tf32 | Precision::Tf32F32 | Precision::F16 | Precision::Bf16 => {
                cudnnMathType_t::CUDNN_TENSOR_OP_MATH
            }
        })
    }

    /// cuDNN's own name, without what all have in common: `FMA_MATH`.
    pub fn name(self) -> String {
        format!("{:?}", self.0).trim_start_matches("CUDNN_").to_owned()
    }
}

/// One of the three directions, with its algorithm where one is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// y from x and w.
    Forward(cudnnConvolutionFwdAlgo_t),
    /// x from w and y.
    BackwardData(cudnnConvolutionBwdDataAlgo_t),
    /// w from x and y.
    BackwardFilter(cudnnConvolutionBwdFilterAlgo_t),
}

impl Direction {
    /// Forward, with a basic algorithm.
    pub const FORWARD: Direction =
        Direction::Forward(cudnnConvolutionFwdAlgo_t::CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM);
    /// The gradient of the input, with a basic algorithm.
    pub const BACKWARD_DATA: Direction =
        Direction::BackwardData(cudnnConvolutionBwdDataAlgo_t::CUDNN_CONVOLUTION_BWD_DATA_ALGO_1);
    /// The gradient of the weights, with a basic algorithm.
    pub const BACKWARD_FILTER: Direction =
        Direction::BackwardFilter(cudnnConvolutionBwdFilterAlgo_t::CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1);

    /// cuDNN's own name, without what all have in common: `FWD_ALGO_IMPLICIT_GEMM`.
    pub fn name(self) -> String {
        let name = match self {
            Direction::Forward(algorithm) => format!("{algorithm:?}"),
            Direction::BackwardData(algorithm) => format!("{algorithm:?}"),
            Direction::BackwardFilter(algorithm) => format!("{algorithm:?}"),
        };
        name.trim_start_matches("CUDNN_CONVOLUTION_").to_owned()
    }

    /// The transform in which an algorithm computes. Winograd's fused one is for filters of 3 x 3, the other for 5 x 5 too.
    pub fn transform(self, [height, width]: [usize; 2]) -> Transform {
        use cudnnConvolutionBwdDataAlgo_t::*;
        use cudnnConvolutionBwdFilterAlgo_t::*;
        use cudnnConvolutionFwdAlgo_t::*;
        match self {
            Direction::Forward(CUDNN_CONVOLUTION_FWD_ALGO_WINOGRAD)
            | Direction::BackwardData(CUDNN_CONVOLUTION_BWD_DATA_ALGO_WINOGRAD)
            | Direction::BackwardFilter(CUDNN_CONVOLUTION_BWD_FILTER_ALGO_WINOGRAD) => Transform::Winograd(None),
            Direction::Forward(CUDNN_CONVOLUTION_FWD_ALGO_WINOGRAD_NONFUSED)
            | Direction::BackwardData(CUDNN_CONVOLUTION_BWD_DATA_ALGO_WINOGRAD_NONFUSED)
            | Direction::BackwardFilter(CUDNN_CONVOLUTION_BWD_FILTER_ALGO_WINOGRAD_NONFUSED) => {
                Transform::Winograd((height.max(width) > 3).then_some(13))
            }
            Direction::Forward(CUDNN_CONVOLUTION_FWD_ALGO_FFT | CUDNN_CONVOLUTION_FWD_ALGO_FFT_TILING)
            | Direction::BackwardData(
                CUDNN_CONVOLUTION_BWD_DATA_ALGO_FFT | CUDNN_CONVOLUTION_BWD_DATA_ALGO_FFT_TILING,
            )
            | Direction::BackwardFilter(
                CUDNN_CONVOLUTION_BWD_FILTER_ALGO_FFT | CUDNN_CONVOLUTION_BWD_FILTER_ALGO_FFT_TILING,
            ) => Transform::Fourier,
            Direction::Forward(_) | Direction::BackwardData(_) | Direction::BackwardFilter(_) => Transform::Plain,
        }
    }

    /// Tells if the algorithm is one of those that cuDNN's manual says give other bits each time.
    pub fn is_documented_as_nondeterministic(self) -> bool {
        use cudnnConvolutionBwdDataAlgo_t::CUDNN_CONVOLUTION_BWD_DATA_ALGO_0;
        use cudnnConvolutionBwdFilterAlgo_t::{
            CUDNN_CONVOLUTION_BWD_FILTER_ALGO_0, CUDNN_CONVOLUTION_BWD_FILTER_ALGO_3,
        };
        matches!(
            self,
            Direction::BackwardData(CUDNN_CONVOLUTION_BWD_DATA_ALGO_0)
                | Direction::BackwardFilter(CUDNN_CONVOLUTION_BWD_FILTER_ALGO_0 | CUDNN_CONVOLUTION_BWD_FILTER_ALGO_3)
        )
    }
}

/// An offer of cuDNN's that works.
#[derive(Clone, Copy, Debug)]
pub struct AlgorithmOffer {
    /// The direction and its algorithm.
    pub direction: Direction,
    /// Measured by a search; a heuristic gives none.
    pub ms: f32,
    /// Scratch memory that it needs.
    pub workspace_bytes: usize,
    /// The same bits each time, as far as cuDNN says.
    pub deterministic: bool,
    /// Arithmetic of the algorithm.
    pub math: Math,
}

/// The tensors of one convolution. In every direction x is the input (or its gradient), w the weights (or theirs), y the
/// output (or its gradient).
pub struct Problem<'a> {
    /// Input.
    pub x: &'a TensorDescriptor,
    /// Weights.
    pub w: &'a FilterDescriptor,
    /// Output.
    pub y: &'a TensorDescriptor,
    /// How they are convolved.
    pub convolution: &'a ConvolutionDescriptor,
}

/// Device addresses of a problem's tensors and of its workspace.
#[derive(Clone, Copy)]
pub struct ConvMemory {
    /// Input, or its gradient.
    pub x: u64,
    /// Weights, or their gradient.
    pub w: u64,
    /// Output, or its gradient.
    pub y: u64,
    /// Scratch memory.
    pub workspace: u64,
    /// Size of that.
    pub workspace_bytes: usize,
}

/// How often a search times everything; the best decides: an algorithm's first use loads its kernels.
const TRIALS: usize = 3;

/// More than any direction has algorithms, each with several math types.
const MOST: usize = 32;

/// Calls one of cuDNN's functions that fill a list of offers, and keeps those that work.
macro_rules! offers {
    ($direction:ident, $offer:ident, |$count:ident, $given:ident, $list:ident| $call:expr) => {{
        let (mut list, mut given) = ([const { MaybeUninit::<$offer>::uninit() }; MOST], 0i32);
        let ($count, $given, $list) = (MOST as i32, &mut given, list.as_mut_ptr().cast::<$offer>());
        // SAFETY: live handle and descriptors; the list has room for as many as are asked for; addresses are the device's.
        unsafe { $call }?;
        let offers = list.iter().take(given as usize).map(|offer| {
            // SAFETY: the library has written as many as it says.
            let offer = unsafe { offer.assume_init_ref() };
            (offer.status, AlgorithmOffer {
                direction: Direction::$direction(offer.algo),
                ms: offer.time,
                workspace_bytes: offer.memory,
                deterministic: offer.determinism == cudnnDeterminism_t::CUDNN_DETERMINISTIC,
                math: Math(offer.mathType),
            })
        });
        working(offers)
    }};
}

fn working(offers: impl Iterator<Item = (cudnnStatus_t, AlgorithmOffer)>) -> Vec<AlgorithmOffer> {
    offers.filter(|(status, _)| status.succeeded()).map(|(_, found)| found).collect()
}

impl Dnn {
    /// Runs every algorithm of a direction several times on the given memory, whose output is garbage afterwards: those that always
    /// worked, the fastest first by the best of their times.
    pub fn search(&self, direction: Direction, of: &Problem, at: ConvMemory) -> Result<Vec<AlgorithmOffer>, CallError> {
        let trials = (0..TRIALS).map(|_| self.search_once(direction, of, at));
        Ok(by_best_time(trials.collect::<Result<Vec<_>, _>>()?))
    }

    fn search_once(
        &self,
        direction: Direction,
        of: &Problem,
        at: ConvMemory,
    ) -> Result<Vec<AlgorithmOffer>, CallError> {
        let handle = self.handle;
        let (xd, wd, yd, cd) = (of.x.raw(), of.w.raw(), of.y.raw(), of.convolution.raw());
        let [x, w, y, space] = [at.x, at.w, at.y, at.workspace].map(|address| address as *mut c_void);
        let size = at.workspace_bytes;
        Ok(match direction {
            Direction::Forward(_) => offers!(Forward, cudnnConvolutionFwdAlgoPerf_t, |count, given, list| call!(
                cudnn::cudnnFindConvolutionForwardAlgorithmEx(
                    handle, xd, x, wd, w, cd, yd, y, count, given, list, space, size
                )
            )),
            Direction::BackwardData(_) => {
                offers!(BackwardData, cudnnConvolutionBwdDataAlgoPerf_t, |count, given, list| call!(
                    cudnn::cudnnFindConvolutionBackwardDataAlgorithmEx(
                        handle, wd, w, yd, y, cd, xd, x, count, given, list, space, size
                    )
                ))
            }
            Direction::BackwardFilter(_) => {
                offers!(BackwardFilter, cudnnConvolutionBwdFilterAlgoPerf_t, |count, given, list| call!(
                    cudnn::cudnnFindConvolutionBackwardFilterAlgorithmEx(
                        handle, xd, x, yd, y, cd, wd, w, count, given, list, space, size
                    )
                ))
            }
        })
    }

    /// cuDNN's guess, the best first; nothing runs.
    pub fn guess(&self, direction: Direction, of: &Problem) -> Result<Vec<AlgorithmOffer>, CallError> {
        let handle = self.handle;
        let (xd, wd, yd, cd) = (of.x.raw(), of.w.raw(), of.y.raw(), of.convolution.raw());
        Ok(match direction {
            Direction::Forward(_) => offers!(Forward, cudnnConvolutionFwdAlgoPerf_t, |count, given, list| call!(
                cudnn::cudnnGetConvolutionForwardAlgorithm_v7(handle, xd, wd, cd, yd, count, given, list)
            )),
            Direction::BackwardData(_) => {
                offers!(BackwardData, cudnnConvolutionBwdDataAlgoPerf_t, |count, given, list| call!(
                    cudnn::cudnnGetConvolutionBackwardDataAlgorithm_v7(handle, wd, yd, cd, xd, count, given, list)
                ))
            }
            Direction::BackwardFilter(_) => {
                offers!(BackwardFilter, cudnnConvolutionBwdFilterAlgoPerf_t, |count, given, list| call!(
                    cudnn::cudnnGetConvolutionBackwardFilterAlgorithm_v7(handle, xd, yd, cd, wd, count, given, list)
                ))
            }
        })
    }

    /// Scratch that the direction's algorithm needs with the descriptor as it is now.
    pub fn workspace_bytes(&self, direction: Direction, of: &Problem) -> Result<usize, CallError> {
        let handle = self.handle;
        let (xd, wd, yd, cd) = (of.x.raw(), of.w.raw(), of.y.raw(), of.convolution.raw());
        let mut bytes = 0;
        // SAFETY: live handle and descriptors, and an out-pointer to a local.
        unsafe {
            match direction {
                Direction::Forward(algorithm) => {
                    call!(cudnn::cudnnGetConvolutionForwardWorkspaceSize(handle, xd, wd, cd, yd, algorithm, &mut bytes))
                }
                Direction::BackwardData(algorithm) => call!(cudnn::cudnnGetConvolutionBackwardDataWorkspaceSize(
                    handle, wd, yd, cd, xd, algorithm, &mut bytes
                )),
                Direction::BackwardFilter(algorithm) => call!(cudnn::cudnnGetConvolutionBackwardFilterWorkspaceSize(
                    handle, xd, yd, cd, wd, algorithm, &mut bytes
                )),
            }
        }?;
        Ok(bytes)
    }

    /// Enqueues a convolution: y from x and w, x from w and y, or w from x and y.
    pub fn convolve(
        &self,
        direction: Direction,
        of: &Problem,
        at: ConvMemory,
        accumulate: bool,
    ) -> Result<(), CallError> {
        let handle = self.handle;
        let (xd, wd, yd, cd) = (of.x.raw(), of.w.raw(), of.y.raw(), of.convolution.raw());
        let [x, w, y, space] = [at.x, at.w, at.y, at.workspace].map(|address| address as *mut c_void);
        let (size, one, beta) = (at.workspace_bytes, alpha(), beta(accumulate));
        // SAFETY: live handle and descriptors; the addresses are the device's.
        unsafe {
            match direction {
                Direction::Forward(algorithm) => call!(cudnn::cudnnConvolutionForward(
                    handle, one, xd, x, wd, w, cd, algorithm, space, size, beta, yd, y
                )),
                Direction::BackwardData(algorithm) => call!(cudnn::cudnnConvolutionBackwardData(
                    handle, one, wd, w, yd, y, cd, algorithm, space, size, beta, xd, x
                )),
                Direction::BackwardFilter(algorithm) => call!(cudnn::cudnnConvolutionBackwardFilter(
                    handle, one, xd, x, yd, y, cd, algorithm, space, size, beta, wd, w
                )),
            }
        }
    }
}

/// Keeps what every trial offered, by its best time. A trial may list an algorithm more than once.
fn by_best_time(trials: Vec<Vec<AlgorithmOffer>>) -> Vec<AlgorithmOffer> {
    let same = |a: &AlgorithmOffer, b: &AlgorithmOffer| a.direction == b.direction && a.math == b.math;
    let in_all = |found: &AlgorithmOffer| trials.iter().all(|trial| trial.iter().any(|other| same(other, found)));
    let mut all: Vec<AlgorithmOffer> = trials.iter().flatten().copied().filter(in_all).collect();
    all.sort_by(|a, b| a.ms.total_cmp(&b.ms));
    let mut offers: Vec<AlgorithmOffer> = Vec::new();
    for found in all {
        if !offers.iter().any(|better| same(better, &found)) {
            offers.push(found);
        }
    }
    offers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn convolutions_have_an_arithmetic_of_their_own() {
        let math =
            [Precision::F32, Precision::Tf32, Precision::Tf32F32, Precision::F32Tf32].map(|p| Math::of(p).name());
        assert_eq!(math, ["FMA_MATH", "TENSOR_OP_MATH", "TENSOR_OP_MATH", "FMA_MATH"]);
    }

    #[test]
    fn names_are_cudnns_own() {
        assert_eq!(Direction::FORWARD.name(), "FWD_ALGO_IMPLICIT_GEMM");
        assert_eq!(Direction::BACKWARD_FILTER.name(), "BWD_FILTER_ALGO_1");
    }

    fn offer(algorithm: cudnnConvolutionFwdAlgo_t, ms: f32) -> AlgorithmOffer {
        let direction = Direction::Forward(algorithm);
        let math = Math::of(Precision::F32);
        AlgorithmOffer { direction, ms, workspace_bytes: 0, deterministic: true, math }
    }

    /// A's first time is a cold one; B is listed twice in a trial; C did not always work.
    #[test]
    fn the_best_of_the_trials_decides() {
        use cudnnConvolutionFwdAlgo_t::{
            CUDNN_CONVOLUTION_FWD_ALGO_FFT as C, CUDNN_CONVOLUTION_FWD_ALGO_GEMM as A,
            CUDNN_CONVOLUTION_FWD_ALGO_WINOGRAD as B,
        };
        let trials = vec![
            vec![offer(C, 0.1), offer(B, 2.0), offer(A, 90.0)],
            vec![offer(A, 1.0), offer(B, 2.0), offer(B, 3.0)],
            vec![offer(A, 1.1), offer(B, 1.9)],
        ];
        let order: Vec<(Direction, f32)> =
            by_best_time(trials).iter().map(|found| (found.direction, found.ms)).collect();
        assert_eq!(order, [(Direction::Forward(A), 1.0), (Direction::Forward(B), 1.9)]);
    }
}
