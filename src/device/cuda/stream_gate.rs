//! Holding a stream until a step is enqueued, so that no phase waits for the host to launch its kernels.
//!
//! The stream waits for a word of pinned memory: by itself where the device can, else through a kernel that looks at it. What could
//! hold it for ever is known (nvbench#136, #240: a kernel's first use loads it, which waits for the device), so a watchdog lets
//! it go after two seconds.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::driver::{CallError, Flag, Grid, Kernel, Stream};
use super::failure::Failure;
use super::gpu::SharedGpu;
use crate::device::DeviceError;

/// How often the watchdog looks, and how many looks a hold may last. It counts looks instead of reading a clock: a clock that
/// follows the device stands still while the device is held.
const LOOK: Duration = Duration::from_millis(50);
const LOOKS: u32 = 40;

/// Holds a stream, and lets it go.
pub struct StreamGate {
    shared: Arc<Mutex<GateState>>,
    gpu: Arc<SharedGpu>,
    /// For devices that cannot wait by themselves.
    kernel: Kernel,
}

struct GateState {
    /// `None` when the session is gone.
    flag: Option<Flag>,
    held: bool,
    looks: u32,
}

impl StreamGate {
    /// Starts the watchdog, which ends with the gate.
    pub fn new(gpu: &Arc<SharedGpu>) -> Result<StreamGate, Failure> {
        let state = GateState { flag: Some(Flag::new()?), held: false, looks: 0 };
        let gate =
            StreamGate { shared: Arc::new(Mutex::new(state)), gpu: gpu.clone(), kernel: gpu.kernel_named("hold")? };
        let (shared, watchdog_releases) = (gate.shared.clone(), gpu.watchdog_releases.clone());
        let watch = move || {
            while look(&shared, &watchdog_releases) {
                std::thread::sleep(LOOK);
            }
        };
        match std::thread::Builder::new().name("watchdog".into()).spawn(watch) {
            Ok(_) => Ok(gate),
            Err(error) => Err(DeviceError::Unusable(format!("cannot start a thread: {error}")).into()),
        }
    }

    fn state(&self) -> MutexGuard<'_, GateState> {
        lock(&self.shared)
    }

    /// Makes everything that is enqueued from now on wait.
    pub fn hold(&self, stream: &Stream) -> Result<(), CallError> {
        let Some(address) = self.close() else { return Ok(()) };
        if self.gpu.waits_for_words {
            // The word outlives the stream's use of it: sessions wait for the stream before they go.
            stream.wait_for_word(address)
        } else {
            self.kernel.launch(stream, Grid::ONE, &[&address])
        }
    }

    /// Makes the flag zero and gives its address. The watchdog looks from here on: where launches block, so does the next one.
    fn close(&self) -> Option<u64> {
        let mut state = self.state();
        let flag = state.flag.as_ref()?;
        flag.set(0);
        let address = flag.device_address();
        (state.held, state.looks) = (true, 0);
        Some(address)
    }

    /// The stream goes on, if it was held.
    pub fn release(&self) {
        let mut state = self.state();
        state.release();
    }
}

impl GateState {
    fn release(&mut self) {
        if let Some(flag) = &self.flag {
            flag.set(1);
        }
        self.held = false;
    }
}

impl Drop for StreamGate {
    /// The flag is freed here: the watchdog's thread has no context.
    fn drop(&mut self) {
        let mut state = self.state();
        state.release();
        state.flag = None;
    }
}

fn lock(shared: &Mutex<GateState>) -> MutexGuard<'_, GateState> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One look of the watchdog; `false` when there is nothing left to watch.
fn look(shared: &Mutex<GateState>, watchdog_releases: &AtomicUsize) -> bool {
    let mut state = lock(shared);
    if state.held {
        state.looks += 1;
        if state.looks > LOOKS {
            state.release();
            watchdog_releases.fetch_add(1, Ordering::Relaxed);
        }
    }
    state.flag.is_some()
}
