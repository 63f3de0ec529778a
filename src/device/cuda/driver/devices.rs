//! The GPUs that the driver offers.

use super::call::CallError;
use super::context::DriverDevice;

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

/// All of them. The driver's library must be open (see [`super::libraries`]).
pub fn offered() -> Result<Vec<Offered>, String> {
    let list = || -> Result<Vec<Offered>, CallError> {
        let count = DriverDevice::count()?;
        (0..count).map(offered_at).collect()
    };
    match list() {
        Ok(offered) if offered.is_empty() => Err(no_gpu("it counts none")),
        Ok(offered) => Ok(offered),
        Err(error) => Err(no_gpu(&error.status)),
    }
}

fn offered_at(index: usize) -> Result<Offered, CallError> {
    let gpu = DriverDevice::at(index)?;
    Ok(Offered {
        index,
        name: gpu.name()?,
        uuid: gpu.uuid()?,
        capability: gpu.capability()?,
        memory_bytes: gpu.memory_bytes()?,
    })
}

fn no_gpu(why: &str) -> String {
    let hidden = std::env::var("CUDA_VISIBLE_DEVICES").map(|list| format!(" (CUDA_VISIBLE_DEVICES={list})"));
    format!("the NVIDIA driver offers no GPU: {why}{}; nvidia-smi shows what it sees", hidden.unwrap_or_default())
}
