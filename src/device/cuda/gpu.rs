//! A GPU opened for one precision and layout: what every session on it shares.

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};

use super::driver::{CallError, Cause, Context, Element, Handles, Kernel, Modules};
use super::failure::Failure;
use super::kernels::Kernels;
use super::ranges::RangeMarking;
use crate::device::DeviceError;
use crate::device::options::{CudnnApi, Layout, Search};
use crate::plan::Precision;

/// How sessions are to compute.
#[derive(Clone, Copy, Debug)]
pub struct Arithmetic {
    /// Arithmetic and storage.
    pub precision: Precision,
    /// Memory order of activations.
    pub layout: Layout,
    /// The part of cuDNN that convolutions go through.
    pub cudnn: CudnnApi,
    /// How convolution algorithms are chosen.
    pub algorithms: Search,
    /// Choose only among algorithms that give the same bits each time.
    pub deterministic: bool,
    /// The most scratch, in bytes, that one algorithm may take.
    pub workspace_limit: Option<u64>,
}

impl Arithmetic {
    /// The storage type.
    pub fn element(&self) -> Element {
        Element::of(self.precision)
    }

    /// Tells if activations are NHWC.
    pub fn nhwc(&self) -> bool {
        self.layout == Layout::Nhwc
    }
}

/// A GPU that was opened, shared by its sessions.
pub struct SharedGpu {
    /// How sessions are to compute.
    pub arithmetic: Arithmetic,
    /// A stream can wait for a word of memory by itself.
    pub waits_for_words: bool,
    /// The ranges that a profiler is to see.
    pub ranges: Option<RangeMarking>,
    /// Held steps that the watchdog had to let go.
    pub watchdog_releases: Arc<AtomicUsize>,
    /// Notes for a reader of the figures, in sentences.
    notes: Mutex<Vec<String>>,
    /// Those that no session uses now.
    handles: Mutex<Vec<Handles>>,
    modules: Modules,
    kernels_origin: String,
    context: Context,
}

impl SharedGpu {
    /// Loads the kernels, or the committed ones where a compiler newer than the driver made them, and makes the first handles: both
    /// take long, and are no part of any session.
    pub fn open(context: Context, kernels: Kernels, arithmetic: Arithmetic) -> Result<SharedGpu, Failure> {
        let load = |kernels: Kernels| {
            let images = kernels.modules.iter().map(|module| (&*module.image, &*module.declarations));
            Modules::load(images).map(|modules| (modules, kernels.origin))
        };
        let waits_for_words = context.device().waits_for_words()?;
        let (modules, kernels_origin) = match load(kernels) {
            Err(error) if matches!(error.cause, Cause::NotSupported | Cause::RefusedPtx) => load(Kernels::committed()),
            other => other,
        }
        .map_err(unloadable)?;
        let handles = Mutex::new(vec![Handles::new()?]);
        Ok(SharedGpu {
            arithmetic,
            waits_for_words,
            ranges: None,
            watchdog_releases: Arc::default(),
            notes: Mutex::default(),
            handles,
            modules,
            kernels_origin,
            context,
        })
    }

    /// The GPU's context.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The compiler of the kernels.
    pub fn kernels_origin(&self) -> &str {
        &self.kernels_origin
    }

    /// Adds a note for a reader of the figures.
    pub fn note(&self, sentence: String) {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).push(sentence);
    }

    /// All notes so far.
    pub fn notes(&self) -> Vec<String> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A kernel for the storage type of the run: `add` is `add_f16` under f16.
    pub fn kernel(&self, stem: &str) -> Result<Kernel, Failure> {
        self.kernel_for(stem, self.arithmetic.element())
    }

    /// A kernel for a storage type.
    pub fn kernel_for(&self, stem: &str, element: Element) -> Result<Kernel, Failure> {
        self.kernel_named(&format!("{stem}_{}", element.suffix()))
    }

    /// A kernel that has one form only.
    pub fn kernel_named(&self, name: &str) -> Result<Kernel, Failure> {
        let missing = || DeviceError::Unusable(format!("this build embeds no kernel {name}: build it again"));
        Ok(self.modules.get(name).ok_or_else(missing)?)
    }

    /// Handles for one user; they are given back with [`SharedGpu::give_back`], so that the next user finds them ready.
    pub fn take_handles(&self) -> Result<Handles, CallError> {
        let free = self.handles.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match free {
            Some(handles) => Ok(handles),
            None => Handles::new(),
        }
    }

    /// Takes back handles whose stream has nothing to do.
    pub fn give_back(&self, handles: Handles) {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner).push(handles);
    }
}

/// The failure of loading kernels, with the way out.
fn unloadable(error: CallError) -> Failure {
    let fix = match error.cause {
        Cause::RefusedPtx => "the driver is too old for these kernels: update NVIDIA's driver",
        Cause::NoPtxCompiler => {
            "the driver lacks its PTX compiler, libnvidia-ptxjitcompiler.so.1: install all of NVIDIA's driver, in a container set \
             NVIDIA_DRIVER_CAPABILITIES=compute,utility, and unset CUDA_DISABLE_PTX_JIT"
        }
        Cause::OutOfMemory | Cause::NotSupported | Cause::Other => return error.into(),
    };
    DeviceError::Unusable(format!("{error}: {fix}")).into()
}

impl Drop for SharedGpu {
    /// Binds the context: all that is destroyed after this belongs to it, and it may not be this thread's.
    fn drop(&mut self) {
        let _ = self.context.bind();
    }
}
