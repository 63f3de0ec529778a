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

use super::super::call::{Fault, Status, call};
use super::{Convolution, Dnn, Filter, Tensor, alpha, beta};

/// One of the three, with its algorithm where one is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Forward(cudnnConvolutionFwdAlgo_t),
    BackwardData(cudnnConvolutionBwdDataAlgo_t),
    BackwardFilter(cudnnConvolutionBwdFilterAlgo_t),
}

impl Direction {
    /// Without regard to the algorithm.
    pub const FORWARD: Direction =
        Direction::Forward(cudnnConvolutionFwdAlgo_t::CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM);
    pub const BACKWARD_DATA: Direction =
        Direction::BackwardData(cudnnConvolutionBwdDataAlgo_t::CUDNN_CONVOLUTION_BWD_DATA_ALGO_1);
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

    /// Those that cuDNN's manual says give other bits each time.
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
pub struct Found {
    pub direction: Direction,
    /// Measured by a search; a heuristic gives none.
    pub ms: f32,
    pub workspace_bytes: usize,
    pub deterministic: bool,
    pub math: cudnnMathType_t,
}

/// The tensors of one convolution. In every direction x is the input (or its gradient), w the weights (or theirs), y the
/// output (or its gradient).
pub struct Problem<'a> {
    pub x: &'a Tensor,
    pub w: &'a Filter,
    pub y: &'a Tensor,
    pub convolution: &'a Convolution,
}

/// Where a problem's tensors lie.
#[derive(Clone, Copy)]
pub struct Places {
    pub x: u64,
    pub w: u64,
    pub y: u64,
    pub workspace: u64,
    pub workspace_bytes: usize,
}

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
            (offer.status, Found {
                direction: Direction::$direction(offer.algo),
                ms: offer.time,
                workspace_bytes: offer.memory,
                deterministic: offer.determinism == cudnnDeterminism_t::CUDNN_DETERMINISTIC,
                math: offer.mathType,
            })
        });
        working(offers)
    }};
}

fn working(offers: impl Iterator<Item = (cudnnStatus_t, Found)>) -> Vec<Found> {
    offers.filter(|(status, _)| status.succeeded()).map(|(_, found)| found).collect()
}

impl Dnn {
    /// Runs every algorithm of a direction once on the given memory, whose output is garbage afterwards. The fastest first.
    pub fn search(&self, direction: Direction, of: &Problem, at: Places) -> Result<Vec<Found>, Fault> {
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
    pub fn guess(&self, direction: Direction, of: &Problem) -> Result<Vec<Found>, Fault> {
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

    /// What the direction's algorithm needs with the descriptor as it is now.
    pub fn workspace_bytes(&self, direction: Direction, of: &Problem) -> Result<usize, Fault> {
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
    pub fn convolve(&self, direction: Direction, of: &Problem, at: Places, accumulate: bool) -> Result<(), Fault> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cudnns_own() {
        assert_eq!(Direction::FORWARD.name(), "FWD_ALGO_IMPLICIT_GEMM");
        assert_eq!(Direction::BACKWARD_FILTER.name(), "BWD_FILTER_ALGO_1");
    }
}
