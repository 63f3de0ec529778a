//! A GPU opened for one precision and layout: what every session on it shares.

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};

use cudarc::driver::sys::CUdevice_attribute::{self, CU_DEVICE_ATTRIBUTE_CAN_USE_64_BIT_STREAM_MEM_OPS};

use super::call::Fault;
use super::context::Context;
use super::element::Element;
use super::kernels::Kernels;
use super::modules::{Kernel, Modules};
use super::queue::Queue;
use super::symbols;
use crate::device::DeviceError;
use crate::device::options::{Layout, Search};
use crate::plan::Precision;

/// How sessions are to compute.
#[derive(Clone, Copy, Debug)]
pub struct Arithmetic {
    pub precision: Precision,
    pub layout: Layout,
    pub algorithms: Search,
    pub deterministic: bool,
    pub workspace_limit: Option<u64>,
}

impl Arithmetic {
    pub fn element(&self) -> Element {
        Element::of(self.precision)
    }

    pub fn nhwc(&self) -> bool {
        self.layout == Layout::Nhwc
    }
}

pub struct Gpu {
    pub arithmetic: Arithmetic,
    /// Whether the device can wait for a word of memory by itself.
    pub waits_for_words: bool,
    /// Held steps that the watchdog had to let go.
    pub rescues: Arc<AtomicUsize>,
    /// What a reader of the figures should know, in sentences.
    notes: Mutex<Vec<String>>,
    /// Those that no session uses now.
    queues: Mutex<Vec<Queue>>,
    modules: Modules,
    context: Context,
}

impl Gpu {
    pub fn open(context: Context, kernels: Kernels, arithmetic: Arithmetic) -> Result<Gpu, DeviceError> {
        let waits_for_words = context.attribute(CU_DEVICE_ATTRIBUTE_CAN_USE_64_BIT_STREAM_MEM_OPS)? != 0
            && symbols::driver_has("cuStreamWaitValue32_v2");
        let modules = Modules::load(kernels)?;
        let queues = Mutex::new(vec![Queue::new()?]);
        Ok(Gpu {
            arithmetic,
            waits_for_words,
            rescues: Arc::default(),
            notes: Mutex::default(),
            queues,
            modules,
            context,
        })
    }

    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Who compiled the kernels.
    pub fn kernels_origin(&self) -> &'static str {
        self.modules.origin
    }

    pub fn attribute(&self, which: CUdevice_attribute) -> Result<i32, Fault> {
        self.context.attribute(which)
    }

    pub fn note(&self, sentence: String) {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).push(sentence);
    }

    pub fn notes(&self) -> Vec<String> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A kernel for the storage type of the run: `add` is `add_f16` under f16.
    pub fn kernel(&self, stem: &str) -> Result<Kernel, DeviceError> {
        self.kernel_for(stem, self.arithmetic.element())
    }

    pub fn kernel_for(&self, stem: &str, element: Element) -> Result<Kernel, DeviceError> {
        self.modules.get(&format!("{stem}_{}", element.suffix()))
    }

    /// A kernel that has one form only.
    pub fn kernel_named(&self, name: &str) -> Result<Kernel, DeviceError> {
        self.modules.get(name)
    }

    /// A queue for one user; it is given back with [`Gpu::give_back`], so that the next finds the handles ready.
    pub fn take_queue(&self) -> Result<Queue, Fault> {
        let free = self.queues.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match free {
            Some(queue) => Ok(queue),
            None => Queue::new(),
        }
    }

    pub fn give_back(&self, queue: Queue) {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner).push(queue);
    }
}

impl Drop for Gpu {
    /// What is destroyed after this belongs to the context, which may not be this thread's.
    fn drop(&mut self) {
        let _ = self.context.bind();
    }
}
