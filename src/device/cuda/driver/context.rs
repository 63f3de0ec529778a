//! A GPU's primary context: opened once, current on every thread that calls, released when the last user is gone.

use std::ffi::{CStr, c_char};

use cudarc::driver::sys::CUdevice_attribute::{self, *};
use cudarc::driver::sys::{CUcontext, CUdevice, CUuuid};

use super::call::{CallError, call};
use super::symbols::driver_has;
use crate::device::DeviceError;
use crate::device::cuda::failure::Failure;

/// A GPU, before it is opened.
#[derive(Clone, Copy)]
pub struct DriverDevice(CUdevice);

impl DriverDevice {
    /// How many the driver offers. The driver's library must be open.
    pub fn count() -> Result<usize, CallError> {
        let mut count = 0;
        // SAFETY: no arguments but an out-pointer to a local.
        unsafe {
            call!(driver::cuInit(0))?;
            call!(driver::cuDeviceGetCount(&mut count))?;
        }
        Ok(count.max(0) as usize)
    }

    /// The GPU with this index.
    pub fn at(index: usize) -> Result<DriverDevice, CallError> {
        let mut device = 0;
        // SAFETY: an out-pointer to a local.
        unsafe { call!(driver::cuDeviceGet(&mut device, index as i32)) }?;
        Ok(DriverDevice(device))
    }

    /// The GPU's name.
    pub fn name(self) -> Result<String, CallError> {
        let mut text = [0 as c_char; 256];
        // SAFETY: the buffer's own size goes with it; the driver ends the name with a NUL.
        unsafe {
            call!(driver::cuDeviceGetName(text.as_mut_ptr(), text.len() as i32, self.0))?;
            Ok(CStr::from_ptr(text.as_ptr()).to_string_lossy().trim().to_owned())
        }
    }

    /// The GPU's UUID.
    pub fn uuid(self) -> Result<[u8; 16], CallError> {
        let mut uuid = CUuuid { bytes: [0; 16] };
        // SAFETY: an out-pointer to a local.
        unsafe { call!(driver::cuDeviceGetUuid_v2(&mut uuid, self.0)) }?;
        Ok(uuid.bytes.map(|byte| byte as u8))
    }

    /// Bytes of the GPU's memory.
    pub fn memory_bytes(self) -> Result<usize, CallError> {
        let mut bytes = 0;
        // SAFETY: an out-pointer to a local.
        unsafe { call!(driver::cuDeviceTotalMem_v2(&mut bytes, self.0)) }?;
        Ok(bytes)
    }

    /// Compute capability, major and minor number.
    pub fn capability(self) -> Result<(i32, i32), CallError> {
        Ok((
            self.attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
            self.attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        ))
    }

    /// Multiprocessors of the GPU.
    pub fn multiprocessors(self) -> Result<i32, CallError> {
        self.attribute(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)
    }

    /// Bytes of the L2 cache.
    pub fn l2_cache_bytes(self) -> Result<i32, CallError> {
        self.attribute(CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE)
    }

    /// Tells if a stream can wait for a word of memory by itself: the GPU must be able to, and the driver have the function.
    pub fn waits_for_words(self) -> Result<bool, CallError> {
        let able = self.attribute(CU_DEVICE_ATTRIBUTE_CAN_USE_64_BIT_STREAM_MEM_OPS)? != 0;
        Ok(able && driver_has("cuStreamWaitValue32_v2"))
    }

    fn attribute(self, which: CUdevice_attribute) -> Result<i32, CallError> {
        let mut value = 0;
        // SAFETY: an out-pointer to a local.
        unsafe { call!(driver::cuDeviceGetAttribute(&mut value, which, self.0)) }?;
        Ok(value)
    }
}

/// A primary context, retained.
pub struct Context {
    device: DriverDevice,
    handle: CUcontext,
}

// SAFETY: a context is a name for something of the driver's, which may be used from any thread.
unsafe impl Send for Context {}
// SAFETY: as above.
unsafe impl Sync for Context {}

impl Context {
    /// Opens the GPU with this index. The libraries must have been probed before.
    pub fn open(index: usize) -> Result<Context, Failure> {
        let count = DriverDevice::count()?;
        if count == 0 {
            return Err(DeviceError::Unusable("NVIDIA's driver finds no GPU".into()).into());
        }
        if index >= count {
            let devices = if count == 1 { "one GPU, cuda:0".into() } else { format!("{count} GPUs") };
            let none = format!("there is no cuda:{index}: this machine has {devices}");
            return Err(DeviceError::Usage(none).into());
        }
        let (device, mut handle) = (DriverDevice::at(index)?, std::ptr::null_mut());
        // SAFETY: an out-pointer to a local.
        unsafe { call!(driver::cuDevicePrimaryCtxRetain(&mut handle, device.0)) }?;
        let context = Context { device, handle };
        context.bind()?;
        Ok(context)
    }

    /// Makes this thread's calls go to this context.
    pub fn bind(&self) -> Result<(), CallError> {
        // SAFETY: the context is retained until this is dropped.
        unsafe { call!(driver::cuCtxSetCurrent(self.handle)) }
    }

    /// The GPU that this is a context of.
    pub fn device(&self) -> DriverDevice {
        self.device
    }

    /// Free and total bytes of the GPU's memory.
    pub fn memory(&self) -> Result<(u64, u64), CallError> {
        self.bind()?;
        let (mut free, mut total) = (0, 0);
        // SAFETY: out-pointers to locals.
        unsafe { call!(driver::cuMemGetInfo_v2(&mut free, &mut total)) }?;
        Ok((free as u64, total as u64))
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: retained once in `open`. Nothing can be done about a failure.
        let _ = unsafe { call!(driver::cuDevicePrimaryCtxRelease_v2(self.device.0)) };
    }
}
