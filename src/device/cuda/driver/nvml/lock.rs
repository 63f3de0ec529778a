//! Locking a GPU's clocks, and always putting them back.
//!
//! A lock outlives the process. It is reset when the GPU is released, when its owner is dropped (on errors and panics too), and
//! by [`crate::interrupt`] when a second signal ends the program at once. NVML cannot tell of an earlier lock, so a reset clears
//! that one too; only `kill -9` leaves ours.

use std::sync::{Arc, Mutex, MutexGuard};

use nvml_wrapper::Device;
use nvml_wrapper::enum_wrappers::device::ClockLimitId;
use nvml_wrapper::enums::device::GpuLockedClocksSetting;
use nvml_wrapper::error::NvmlError;

use crate::device::DeviceError;
use crate::device::monitor::{Clock, Clocks};
use crate::interrupt;

/// The locks of one GPU.
pub struct Lock {
    state: Arc<Mutex<LockState>>,
    /// NVML's number of the GPU.
    pub index: u32,
}

struct LockState {
    device: Device<'static>,
    index: u32,
    locked: Clocks,
}

/// The clock to lock the SMs at, for NVML and for nvidia-smi.
#[derive(Debug, PartialEq)]
struct ClockTarget {
    clock: Clock,
    setting: GpuLockedClocksSetting,
    argument: String,
}

impl Lock {
    /// No lock yet.
    pub fn new(device: Device<'static>, index: u32) -> Lock {
        Lock { state: Arc::new(Mutex::new(LockState { device, index, locked: Clocks::default() })), index }
    }

    /// Locks the wanted clocks, and says what it does and what it cannot do.
    pub fn set(&self, wanted: &Clocks, say: &mut dyn FnMut(&str)) -> Result<(), DeviceError> {
        let mut state = hold(&self.state);
        let memory = wanted.memory_mhz.map(|mhz| memory_clock(mhz, &state.memory_clocks())).transpose()?;
        let sm = wanted.sm.map(|clock| sm_clock(clock, &state.sm_clocks(memory))).transpose()?;
        if sm.is_none() && memory.is_none() {
            return Ok(());
        }
        say(&warning(self.index, sm.is_some(), memory.is_some()));
        let for_signals = self.state.clone();
        interrupt::before_sudden_end(move || hold(&for_signals).reset());
        if let Some(target) = sm {
            state.lock_sm(target, say);
        }
        if let Some(mhz) = memory {
            state.lock_memory(mhz, say);
        }
        Ok(())
    }

    /// The clocks that are locked now.
    pub fn locked(&self) -> Clocks {
        hold(&self.state).locked
    }

    /// Puts the clocks back.
    pub fn release(&self) {
        hold(&self.state).reset();
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.release();
    }
}

/// The state is valid after a panic too, and then must be put back all the more.
fn hold(state: &Mutex<LockState>) -> MutexGuard<'_, LockState> {
    state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl LockState {
    fn memory_clocks(&self) -> Vec<u32> {
        self.device.supported_memory_clocks().unwrap_or_default()
    }

    /// The SM clocks that go with a memory clock, or with the highest.
    fn sm_clocks(&self, memory: Option<u32>) -> Vec<u32> {
        let memory = memory.or_else(|| self.memory_clocks().into_iter().max());
        memory.and_then(|memory| self.device.supported_graphics_clocks(memory).ok()).unwrap_or_default()
    }

    fn lock_sm(&mut self, target: ClockTarget, say: &mut dyn FnMut(&str)) {
        match self.device.set_gpu_locked_clocks(target.setting) {
            Ok(()) => self.locked.sm = Some(target.clock),
            Err(error) => say(&refused("SM", &error, self.index, &format!("--lock-gpu-clocks={}", target.argument))),
        }
    }

    fn lock_memory(&mut self, mhz: u32, say: &mut dyn FnMut(&str)) {
        match self.device.set_mem_locked_clocks(mhz, mhz) {
            Ok(()) => self.locked.memory_mhz = Some(mhz),
            Err(error) => say(&refused("memory", &error, self.index, &format!("--lock-memory-clocks={mhz},{mhz}"))),
        }
    }

    /// Resets what is locked, and only that.
    fn reset(&mut self) {
        let Clocks { sm, memory_mhz } = std::mem::take(&mut self.locked);
        let complain = |which: &str, option: &str, error: NvmlError| {
            let fix = format!("as root, nvidia-smi -i {} {option}", self.index);
            crate::stderr::say(format!("the {which} clock is still locked ({error}): {fix}"));
        };
        if sm.is_some()
            && let Err(error) = self.device.reset_gpu_locked_clocks()
        {
            complain("SM", "--reset-gpu-clocks", error);
        }
        if memory_mhz.is_some()
            && let Err(error) = self.device.reset_mem_locked_clocks()
        {
            complain("memory", "--reset-memory-clocks", error);
        }
    }
}

/// The warning before locking.
fn warning(index: u32, sm: bool, memory: bool) -> String {
    let options = [(sm, "--reset-gpu-clocks"), (memory, "--reset-memory-clocks")];
    let options = options.into_iter().filter(|(locked, _)| *locked).map(|(_, option)| format!(" {option}"));
    format!(
        "locking the clocks of GPU {index} until the end of the run; resetting them clears an earlier lock too, which NVML \
         cannot read. After kill -9 they stay locked: sudo nvidia-smi -i {index}{}",
        options.collect::<String>()
    )
}

/// The sentence on a clock that could not be locked.
fn refused(which: &str, error: &NvmlError, index: u32, option: &str) -> String {
    let why = match error {
        NvmlError::NoPermission => {
            format!("only root may lock it; run as root, before: sudo nvidia-smi -i {index} {option}")
        }
        NvmlError::NotSupported => "this GPU has no lock for it".into(),
        error => error.to_string(),
    };
    format!("the {which} clock stays unlocked: {why}")
}

/// The target for a wanted SM clock, given those that the GPU has (none where it does not tell).
fn sm_clock(wanted: Clock, supported: &[u32]) -> Result<ClockTarget, DeviceError> {
    let fixed = |mhz: u32| ClockTarget {
        clock: Clock::Mhz(mhz),
        setting: GpuLockedClocksSetting::Numeric { min_clock_mhz: mhz, max_clock_mhz: mhz },
        argument: format!("{mhz},{mhz}"),
    };
    let (tdp, limit) = (ClockLimitId::Tdp, ClockLimitId::Tdp);
    let range = supported.iter().min().zip(supported.iter().max());
    match (wanted, range) {
        (Clock::Base, _) => Ok(ClockTarget {
            clock: Clock::Base,
            setting: GpuLockedClocksSetting::Symbolic { lower_bound: tdp, upper_bound: limit },
            argument: "tdp,tdp".into(),
        }),
        (Clock::Max, Some((_, &highest))) => Ok(fixed(highest)),
        (Clock::Max, None) => {
            Err(DeviceError::Usage("--lock-clocks max: this GPU does not tell its clocks, give one in MHz".into()))
        }
        (Clock::Mhz(mhz), None) => Ok(fixed(mhz)),
        (Clock::Mhz(mhz), Some((&lowest, &highest))) if mhz < lowest || mhz > highest => Err(DeviceError::Usage(
            format!("--lock-clocks {mhz}: this GPU's SM clocks go from {lowest} to {highest} MHz"),
        )),
        // The GPU would round by itself, unseen.
        (Clock::Mhz(mhz), Some(_)) => {
            Ok(fixed(supported.iter().copied().filter(|&clock| clock <= mhz).max().unwrap_or(mhz)))
        }
    }
}

/// A memory clock that the GPU has; there are only a few.
fn memory_clock(wanted: u32, supported: &[u32]) -> Result<u32, DeviceError> {
    if supported.is_empty() || supported.contains(&wanted) {
        return Ok(wanted);
    }
    let has = supported.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
    Err(DeviceError::Usage(format!("--lock-memory-clock {wanted}: this GPU's memory clocks are {has} MHz")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An A100's SM clocks are the multiples of 15 from 210 to 1410 MHz.
    fn a100() -> Vec<u32> {
        (14..=94).rev().map(|step| step * 15).collect()
    }

    fn chosen(wanted: Clock, supported: &[u32]) -> Clock {
        sm_clock(wanted, supported).unwrap().clock
    }

    #[test]
    fn a_clock_that_the_gpu_has_not_becomes_the_next_below() {
        assert_eq!(chosen(Clock::Mhz(1410), &a100()), Clock::Mhz(1410));
        assert_eq!(chosen(Clock::Mhz(1400), &a100()), Clock::Mhz(1395));
        assert_eq!(chosen(Clock::Mhz(210), &a100()), Clock::Mhz(210));
        assert_eq!(chosen(Clock::Mhz(1400), &[]), Clock::Mhz(1400));
    }

    #[test]
    fn base_is_the_gpus_own_and_max_its_highest() {
        assert_eq!(chosen(Clock::Max, &a100()), Clock::Mhz(1410));
        assert!(sm_clock(Clock::Max, &[]).is_err());
        let base = sm_clock(Clock::Base, &a100()).unwrap();
        // NVML_CLOCK_LIMIT_ID_TDP, nvml.h
        assert_eq!(base.setting.into_min_and_max_clocks(), (0xffff_ff01, 0xffff_ff01));
    }

    #[test]
    fn a_clock_out_of_range_is_a_mistake_in_usage() {
        for mhz in [209, 1411] {
            let error = sm_clock(Clock::Mhz(mhz), &a100()).unwrap_err();
            assert!(matches!(&error, DeviceError::Usage(text) if text.contains("210 to 1410 MHz")), "{error}");
        }
    }

    #[test]
    fn a_memory_clock_must_be_one_of_the_gpus() {
        assert_eq!(memory_clock(1215, &[1215, 810]).unwrap(), 1215);
        assert_eq!(memory_clock(1000, &[]).unwrap(), 1000);
        let error = memory_clock(1000, &[1215, 810]).unwrap_err();
        assert!(error.to_string().contains("1215, 810 MHz"), "{error}");
    }

    #[test]
    fn what_root_must_do_is_spelt_out() {
        let text = refused("SM", &NvmlError::NoPermission, 1, "--lock-gpu-clocks=1395,1395");
        assert!(text.ends_with("sudo nvidia-smi -i 1 --lock-gpu-clocks=1395,1395"), "{text}");
    }
}
