//! cuDNN's backend descriptors, in which its graph API is spoken: created, given attributes, finalized, asked.
//!
//! All enumerations go through as integers. A newer cuDNN returns values that a closed Rust enumeration does not have, and takes some that
//! cudarc does not know.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::device::cuda::driver::call::{CallError, Cause, StatusCode, absent, check};
use crate::device::cuda::driver::libraries::open::{self, Address, Which};

/// Types of attributes, as cudnnBackendAttributeType_t numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum AttributeType {
    Handle = 0,
    DataType = 1,
    Int64 = 3,
    Float = 4,
    VoidPointer = 6,
    ConvolutionMode = 7,
    HeuristicMode = 8,
    KnobType = 9,
    NumericalNote = 11,
    BackendDescriptor = 15,
    BehaviorNote = 19,
    Char = 24,
}

/// Kinds of descriptors, as cudnnBackendDescriptorType_t numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum DescriptorKind {
    Convolution = 1,
    Engine = 2,
    EngineConfig = 3,
    EngineHeuristics = 4,
    ExecutionPlan = 5,
    KnobChoice = 7,
    ForwardOperation = 10,
    BackwardFilterOperation = 11,
    BackwardDataOperation = 12,
    OperationGraph = 15,
    VariantPack = 16,
    Tensor = 17,
    /// Since cuDNN 9.8; cudarc does not have it.
    DeviceProperties = 38,
}

type Create = unsafe extern "C" fn(c_int, *mut *mut c_void) -> c_int;
type OfOne = unsafe extern "C" fn(*mut c_void) -> c_int;
type Set = unsafe extern "C" fn(*mut c_void, c_int, c_int, i64, *const c_void) -> c_int;
type Get = unsafe extern "C" fn(*mut c_void, c_int, c_int, i64, *mut i64, *mut c_void) -> c_int;
type Execute = unsafe extern "C" fn(*mut c_void, *mut c_void, *mut c_void) -> c_int;
type ErrorString = unsafe extern "C" fn(c_int) -> *const c_char;

/// Looks up a function of cuDNN once, and gives it the named type.
macro_rules! lookup {
    ($name:literal, $kind:ty) => {{
        static ADDRESS: OnceLock<Option<Address>> = OnceLock::new();
        let found = *ADDRESS.get_or_init(|| open::address(Which::Cudnn, concat!($name, "\0")));
        // The types are those of cudnn_graph.h, with the enumerations as the integers that they are in C.
        found.map(|address| open::as_function::<$kind>(address)).ok_or_else(|| absent($name))
    }};
}

/// A status of cuDNN's as a number.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Code(c_int);

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Ok(name) = lookup!("cudnnGetErrorString", ErrorString) else { return write!(f, "status {}", self.0) };
        // SAFETY: takes any number, and returns a string that lives as long as the library, or null.
        let text = unsafe { name(self.0) };
        if text.is_null() {
            return write!(f, "status {}", self.0);
        }
        // SAFETY: not null, hence a C string.
        f.write_str(&unsafe { CStr::from_ptr(text) }.to_string_lossy())
    }
}

impl StatusCode for Code {
    fn succeeded(self) -> bool {
        self.0 == 0
    }

    fn cause(self) -> Cause {
        const DEVICE_ALLOCATION_FAILED: c_int = 4004;
        match self.0 {
            DEVICE_ALLOCATION_FAILED => Cause::OutOfMemory,
            3000..4000 => Cause::NotSupported,
            _ => Cause::Other,
        }
    }

    fn may_be_memory(self) -> bool {
        const NOT_INITIALIZED: c_int = 1001;
        self.0 == NOT_INITIALIZED || (4000..6000).contains(&self.0)
    }
}

/// A backend descriptor, with those that it refers to.
pub struct Descriptor {
    raw: *mut c_void,
    refers_to: Vec<Arc<Descriptor>>,
}

// SAFETY: a descriptor is plain memory of cuDNN's; once finalized it is only read.
unsafe impl Send for Descriptor {}
// SAFETY: as above.
unsafe impl Sync for Descriptor {}

impl Descriptor {
    /// One without attributes.
    pub fn new(kind: DescriptorKind) -> Result<Descriptor, CallError> {
        let create = lookup!("cudnnBackendCreateDescriptor", Create)?;
        let mut raw = std::ptr::null_mut();
        // SAFETY: an out-pointer to a local.
        check("cudnnBackendCreateDescriptor", Code(unsafe { create(kind as c_int, &mut raw) }))?;
        Ok(Descriptor { raw, refers_to: Vec::new() })
    }

    /// Sets an attribute to values of a type whose size in C is that of `T`.
    fn set<T>(self, attribute: c_int, kind: AttributeType, values: &[T]) -> Result<Descriptor, CallError> {
        let set = lookup!("cudnnBackendSetAttribute", Set)?;
        // SAFETY: a live descriptor, and as many values as are said.
        let status = unsafe { set(self.raw, attribute, kind as c_int, values.len() as i64, values.as_ptr().cast()) };
        check("cudnnBackendSetAttribute", Code(status))?;
        Ok(self)
    }

    /// Sets whole numbers.
    pub fn numbers(self, attribute: c_int, values: &[i64]) -> Result<Descriptor, CallError> {
        self.set(attribute, AttributeType::Int64, values)
    }

    /// Sets a floating-point number.
    pub fn float(self, attribute: c_int, value: f32) -> Result<Descriptor, CallError> {
        self.set(attribute, AttributeType::Float, &[value])
    }

    /// Sets a value of an enumeration.
    pub fn choice(self, attribute: c_int, kind: AttributeType, value: c_int) -> Result<Descriptor, CallError> {
        self.set(attribute, kind, &[value])
    }

    /// Sets a text.
    pub fn text(self, attribute: c_int, text: &str) -> Result<Descriptor, CallError> {
        self.set(attribute, AttributeType::Char, text.as_bytes())
    }

    /// Sets device addresses.
    pub fn addresses(self, attribute: c_int, addresses: &[u64]) -> Result<Descriptor, CallError> {
        self.set(attribute, AttributeType::VoidPointer, addresses)
    }

    /// Sets a library handle.
    pub fn handle(self, attribute: c_int, handle: *mut c_void) -> Result<Descriptor, CallError> {
        self.set(attribute, AttributeType::Handle, &[handle])
    }

    /// Refers to another descriptor, which lives as long as this one.
    pub fn refer(self, attribute: c_int, to: &Arc<Descriptor>) -> Result<Descriptor, CallError> {
        let mut descriptor = self.set(attribute, AttributeType::BackendDescriptor, &[to.raw])?;
        descriptor.refers_to.push(to.clone());
        Ok(descriptor)
    }

    /// A descriptor that an attribute of another gave, and that lives no longer than that.
    pub fn belonging_to(mut self, owner: &Arc<Descriptor>) -> Arc<Descriptor> {
        self.refers_to.push(owner.clone());
        Arc::new(self)
    }

    /// Checks the attributes; none can be set any more.
    pub fn finalize(self) -> Result<Arc<Descriptor>, CallError> {
        let finalize = lookup!("cudnnBackendFinalize", OfOne)?;
        // SAFETY: a live descriptor.
        check("cudnnBackendFinalize", Code(unsafe { finalize(self.raw) }))?;
        Ok(Arc::new(self))
    }

    /// Up to `most` values of an attribute, of a type whose size in C is that of `T`.
    fn get<T: Copy>(&self, attribute: c_int, kind: AttributeType, blank: T, most: usize) -> Result<Vec<T>, CallError> {
        let get = lookup!("cudnnBackendGetAttribute", Get)?;
        let (mut values, mut count) = (vec![blank; most], 0i64);
        let (list, room) = (values.as_mut_ptr().cast(), most as i64);
        // SAFETY: a live descriptor, and room for as many values as are asked for.
        let status = unsafe { get(self.raw, attribute, kind as c_int, room, &mut count, list) };
        check("cudnnBackendGetAttribute", Code(status))?;
        values.truncate(count.max(0) as usize);
        Ok(values)
    }

    /// The first of an attribute's whole numbers; 0 where there is none.
    pub fn get_number(&self, attribute: c_int) -> Result<i64, CallError> {
        Ok(self.get(attribute, AttributeType::Int64, 0, 1)?.first().copied().unwrap_or(0))
    }

    /// Values of an enumeration.
    pub fn get_choices(&self, attribute: c_int, kind: AttributeType, most: usize) -> Result<Vec<c_int>, CallError> {
        self.get(attribute, kind, 0, most)
    }

    /// A text.
    pub fn get_text(&self, attribute: c_int, most: usize) -> Result<String, CallError> {
        let bytes = self.get(attribute, AttributeType::Char, 0u8, most)?;
        Ok(String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_owned())
    }

    /// How many descriptors an attribute refers to.
    fn count(&self, attribute: c_int) -> Result<usize, CallError> {
        let get = lookup!("cudnnBackendGetAttribute", Get)?;
        let (kind, mut count) = (AttributeType::BackendDescriptor as c_int, 0i64);
        // SAFETY: a live descriptor; no values are asked for, only their number.
        let status = unsafe { get(self.raw, attribute, kind, 0, &mut count, std::ptr::null_mut()) };
        check("cudnnBackendGetAttribute", Code(status))?;
        Ok(count.max(0) as usize)
    }

    /// Up to `most` descriptors that an attribute refers to.
    pub fn get_descriptors(
        &self,
        attribute: c_int,
        kind: DescriptorKind,
        most: usize,
    ) -> Result<Vec<Descriptor>, CallError> {
        let get = lookup!("cudnnBackendGetAttribute", Get)?;
        let most = most.min(self.count(attribute)?);
        let mut descriptors = (0..most).map(|_| Descriptor::new(kind)).collect::<Result<Vec<_>, _>>()?;
        let mut raw: Vec<*mut c_void> = descriptors.iter().map(|descriptor| descriptor.raw).collect();
        let (kind, mut count) = (AttributeType::BackendDescriptor as c_int, 0i64);
        let list = raw.as_mut_ptr().cast();
        // SAFETY: a live descriptor, and as many descriptors to fill as are asked for.
        let status = unsafe { get(self.raw, attribute, kind, most as i64, &mut count, list) };
        check("cudnnBackendGetAttribute", Code(status))?;
        descriptors.truncate(count.max(0) as usize);
        Ok(descriptors)
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        if let Ok(destroy) = lookup!("cudnnBackendDestroyDescriptor", OfOne) {
            // SAFETY: created in `new`, destroyed nowhere else. Nothing can be done about a failure.
            let _ = unsafe { destroy(self.raw) };
        }
    }
}

/// Enqueues a plan on a handle's stream.
pub fn execute(handle: *mut c_void, plan: &Descriptor, pack: &Descriptor) -> Result<(), CallError> {
    let execute = lookup!("cudnnBackendExecute", Execute)?;
    // SAFETY: live handle and descriptors; the pack holds device addresses.
    check("cudnnBackendExecute", Code(unsafe { execute(handle, plan.raw, pack.raw) }))
}
