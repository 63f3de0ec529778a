//! Faults on demand.

use super::InvalidSetting;
use super::parse::number;
use crate::export::{Status, find};
use cudarc::driver::sys::CUresult;
use std::fmt;
use std::str::FromStr;

/// Something that goes wrong at a given call.
///
/// ```
/// use softcuda::Fault;
/// let third_allocation = Fault::call("cuMemAlloc_v2").nth(3).returns("CUDA_ERROR_OUT_OF_MEMORY");
/// assert_eq!(third_allocation.to_string(), "cuMemAlloc_v2@3=CUDA_ERROR_OUT_OF_MEMORY");
/// assert_eq!("cuMemAlloc_v2@3=CUDA_ERROR_OUT_OF_MEMORY".parse(), Ok(third_allocation));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault(pub(crate) Effect);

/// What a fault does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The call returns the status and does nothing.
    Return { at: FaultyCall, status: String },
    /// The call succeeds, and the work that it queues ends with the status.
    WorkFails { at: FaultyCall, status: String },
    /// The device is gone from the nth driver call on.
    Lost { nth: u64 },
}

/// The uses of a function that go wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultyCall {
    name: String,
    nth: u64,
    onwards: bool,
}

impl Fault {
    /// The first use of a function, by its exported name (`cuMemAlloc_v2`). `nth` and `from` choose others; `returns` or
    /// `work_fails` says what happens.
    pub fn call(name: impl Into<String>) -> FaultyCall {
        FaultyCall { name: name.into(), nth: 1, onwards: false }
    }

    /// The device is gone from the `nth` driver call on: every call of every library fails, and nothing counts as a leak.
    pub fn device_lost(nth: u64) -> Fault {
        Fault(Effect::Lost { nth })
    }
}

impl Fault {
    /// Checks that the call is exported and can return the status: a fault that never comes would test nothing.
    pub(crate) fn check(&self) -> Result<(), InvalidSetting> {
        let (at, status) = match &self.0 {
            Effect::Return { at, status } | Effect::WorkFails { at, status } => (at, status),
            Effect::Lost { .. } => return Ok(()),
        };
        let wrong = |why: String| InvalidSetting::new(format!("fault `{self}`: {why}"));
        let export = find(&at.name).ok_or_else(|| wrong(format!("{} is not exported (COVERAGE.md)", at.name)))?;
        let returns = export.status.ok_or_else(|| wrong(format!("{} returns no status", at.name)))?;
        let known = if matches!(self.0, Effect::WorkFails { .. }) {
            CUresult::parse(status).map(drop)
        } else {
            returns(status)
        };
        known.map_err(wrong)
    }
}

impl FaultyCall {
    /// Only the `nth` use, counted from 1.
    pub fn nth(self, nth: u64) -> Self {
        FaultyCall { nth, onwards: false, ..self }
    }

    /// The `nth` use and every later one.
    pub fn from(self, nth: u64) -> Self {
        FaultyCall { nth, onwards: true, ..self }
    }

    /// The call returns `status` and does nothing; a call that frees or destroys gives back all the same. The status is
    /// the library's own name for it (`CUDNN_STATUS_INTERNAL_ERROR`) or its number.
    pub fn returns(self, status: impl Into<String>) -> Fault {
        Fault(Effect::Return { at: self, status: status.into() })
    }

    /// The call succeeds, but the work that it queues fails with this status of the driver when it runs, and the error
    /// sticks.
    pub fn work_fails(self, status: impl Into<String>) -> Fault {
        Fault(Effect::WorkFails { at: self, status: status.into() })
    }

    /// The fault holds for the `count`th use of a function.
    pub(crate) fn covers(&self, name: &str, count: u64) -> bool {
        self.name == name && (self.nth == count || self.onwards && count > self.nth)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plus = |at: &FaultyCall| if at.onwards { "+" } else { "" };
        match &self.0 {
            Effect::Return { at, status } => write!(f, "{}@{}{}={status}", at.name, at.nth, plus(at)),
            Effect::WorkFails { at, status } => write!(f, "{}@{}{}~{status}", at.name, at.nth, plus(at)),
            Effect::Lost { nth } => write!(f, "lost@{nth}"),
        }
    }
}

impl FromStr for Fault {
    type Err = InvalidSetting;

    /// `CALL@N=STATUS`, `CALL@N+=STATUS`, `CALL@N~STATUS` or `lost@N`.
    fn from_str(text: &str) -> Result<Self, InvalidSetting> {
        let wrong = || InvalidSetting::new(format!("fault `{text}` is not CALL@N=STATUS, CALL@N~STATUS or lost@N"));
        let (name, rest) = text.split_once('@').ok_or_else(wrong)?;
        if name == "lost" {
            return Ok(Fault::device_lost(number(rest).map_err(|_| wrong())?));
        }
        let split = rest.find(['=', '~']).ok_or_else(wrong)?;
        let (uses, status) = (&rest[..split], &rest[split + 1..]);
        let (digits, onwards) = uses.strip_suffix('+').map_or((uses, false), |digits| (digits, true));
        let at = FaultyCall { name: name.into(), nth: number(digits).map_err(|_| wrong())?, onwards };
        Ok(if rest[split..].starts_with('~') { at.work_fails(status) } else { at.returns(status) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_covers_its_uses_only() {
        let third = Fault::call("cuLaunchKernel").nth(3);
        assert_eq!([2, 3, 4].map(|n| third.covers("cuLaunchKernel", n)), [false, true, false]);
        assert!(!third.covers("cuInit", 3));
        let later = Fault::call("cuMemFree_v2").from(2);
        assert_eq!([1, 2, 9].map(|n| later.covers("cuMemFree_v2", n)), [false, true, true]);
    }

    #[test]
    fn a_fault_that_never_comes_is_refused() {
        let why = |fault: Fault| fault.check().unwrap_err().to_string();
        assert!(why(Fault::call("cuMemAloc").returns("1")).contains("cuMemAloc is not exported"));
        assert!(why(Fault::call("cudnnGetVersion").returns("1")).contains("returns no status"));
        assert!(why(Fault::call("cuInit").returns("CUDNN_STATUS_BAD_PARAM")).contains("is none of CUDA_SUCCESS"));
        assert!(why(Fault::call("nvmlInit_v2").returns("999999")).contains("is none of NVML_SUCCESS"));
        assert!(
            why(Fault::call("cublasSgemm_v2").work_fails("CUBLAS_STATUS_INTERNAL_ERROR")).contains("is none of CUDA")
        );
        assert_eq!(Fault::call("cublasSgemm_v2").work_fails("700").check(), Ok(()));
        assert_eq!(Fault::call("nvmlInit_v2").returns("NVML_ERROR_UNKNOWN").check(), Ok(()));
    }

    #[test]
    fn text_is_read_back() {
        for text in ["cuInit@1=CUDA_ERROR_NO_DEVICE", "cuMemFree_v2@2+=1", "cuLaunchKernel@4~700", "lost@7"] {
            assert_eq!(text.parse::<Fault>().unwrap().to_string(), text);
        }
        for text in ["cuInit", "cuInit@1", "cuInit@x=1", "lost@", "=1"] {
            assert!(text.parse::<Fault>().unwrap_err().to_string().contains("is not CALL@N=STATUS"), "{text}");
        }
    }
}
