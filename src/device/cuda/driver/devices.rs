//! The GPUs that the driver offers.

use cudarc::driver::result::{self, DriverError, device};
use cudarc::driver::sys::CUdevice_attribute;

/// A GPU, before it is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    /// As in `--device cuda:N`.
    pub index: usize,
    /// The GPU's name.
    pub name: String,
    /// The GPU's UUID, by which NVML knows it too.
    pub uuid: [u8; 16],
    /// Compute capability, major and minor number.
    pub capability: (i32, i32),
    /// Bytes of its memory.
    pub memory_bytes: usize,
}

/// All of them. The driver's library must be there (see [`super::libraries`]).
pub fn offered() -> Result<Vec<Offered>, String> {
    let list = || -> Result<Vec<Offered>, DriverError> {
        result::init()?;
        (0..device::get_count()?).map(offered_at).collect()
    };
    match list() {
        Ok(offered) if offered.is_empty() => Err(no_gpu("it counts none")),
        Ok(offered) => Ok(offered),
        Err(error) => Err(no_gpu(&name_of(error))),
    }
}

fn offered_at(index: i32) -> Result<Offered, DriverError> {
    use CUdevice_attribute::{
        CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR as MAJOR, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR as MINOR,
    };
    let gpu = device::get(index)?;
    // SAFETY: a device that the driver just gave.
    let (major, minor, memory_bytes) =
        unsafe { (device::get_attribute(gpu, MAJOR)?, device::get_attribute(gpu, MINOR)?, device::total_mem(gpu)?) };
    Ok(Offered {
        index: index as usize,
        name: device::get_name(gpu)?,
        uuid: device::get_uuid(gpu)?.bytes.map(|byte| byte as u8),
        capability: (major, minor),
        memory_bytes,
    })
}

fn no_gpu(why: &str) -> String {
    let hidden = std::env::var("CUDA_VISIBLE_DEVICES").map(|list| format!(" (CUDA_VISIBLE_DEVICES={list})"));
    format!("the NVIDIA driver offers no GPU: {why}{}; nvidia-smi shows what it sees", hidden.unwrap_or_default())
}

/// `CUDA_ERROR_NO_DEVICE`, and the like.
fn name_of(error: DriverError) -> String {
    error.error_name().map_or_else(|_| format!("status {:?}", error.0), |name| name.to_string_lossy().into_owned())
}
