//! Failures of work on the GPU, before it is known how much memory they are about.

use super::driver::{CallError, Cause};
use crate::device::DeviceError;
use crate::plan::Phase;

/// Why work on the GPU failed.
#[derive(Debug)]
pub enum Failure {
    /// Memory ran out. The session knows how much was needed, the call that failed does not.
    OutOfMemory,
    /// Another error, complete.
    Device(DeviceError),
}

impl Failure {
    /// The failure of a phase of a layer.
    pub fn within(error: CallError, layer: &str, phase: Phase) -> Failure {
        match error.cause {
            Cause::OutOfMemory => Failure::OutOfMemory,
            Cause::NotSupported | Cause::RefusedPtx | Cause::NoPtxCompiler | Cause::Other => {
                let CallError { call, status, .. } = error;
                Failure::Device(DeviceError::Call { layer: layer.to_owned(), phase, call, status })
            }
        }
    }

    /// The error of work that needed `needed` bytes, of which `available` were free.
    pub fn sized(self, needed: u64, available: u64, smaller_helps: bool) -> DeviceError {
        match self {
            Failure::OutOfMemory => DeviceError::OutOfMemory { needed, available, smaller_helps },
            Failure::Device(error) => error,
        }
    }

    /// The error of work that takes next to nothing.
    pub fn unsized_error(self) -> DeviceError {
        match self {
            Failure::OutOfMemory => DeviceError::Unusable("the GPU's memory is full: end what else runs on it".into()),
            Failure::Device(error) => error,
        }
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Failure {
        match error.cause {
            Cause::OutOfMemory => Failure::OutOfMemory,
            Cause::NotSupported | Cause::RefusedPtx | Cause::NoPtxCompiler | Cause::Other => {
                Failure::Device(DeviceError::Unusable(format!("the GPU cannot go on: {error}")))
            }
        }
    }
}

impl From<DeviceError> for Failure {
    fn from(error: DeviceError) -> Failure {
        Failure::Device(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(cause: Cause) -> CallError {
        CallError { call: "cudnnLRNCrossChannelForward", status: "CUDNN_STATUS_BAD_PARAM".into(), cause }
    }

    #[test]
    fn a_failure_names_layer_phase_call_and_status() {
        assert_eq!(
            Failure::within(error(Cause::Other), "norm1", Phase::Forward).unsized_error().to_string(),
            "cudnnLRNCrossChannelForward failed in layer `norm1`, forward: CUDNN_STATUS_BAD_PARAM"
        );
    }

    #[test]
    fn memory_is_sized_by_who_knows() {
        let failure = Failure::within(error(Cause::OutOfMemory), "norm1", Phase::Forward);
        let sized = failure.sized(3 << 30, 1 << 30, true).to_string();
        assert_eq!(sized, "needs 3.00 GiB of memory, but 1.00 GiB are free: choose a smaller batch");
    }
}
