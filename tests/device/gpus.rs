//! Six GPUs as cuDNN wants a device described, from NVIDIA's public specifications and the CUDA programming guide's table of compute
//! capabilities.

/// A GPU's properties.
pub struct Gpu {
    pub name: &'static str,
    /// Compute capability times 100.
    pub version: u32,
    multiprocessors: u32,
    /// Shared memory that one block may ask for, in bytes.
    shared_bytes: u32,
    threads: u32,
    blocks: u32,
    sm_khz: u32,
    memory_khz: u32,
    bus_bits: u32,
    l2_mib: u64,
    memory_gib: u64,
}

impl Gpu {
    /// cuDNN's JSON representation of a device.
    pub fn json(&self) -> String {
        let Gpu { name, version, multiprocessors, shared_bytes, threads, blocks, sm_khz, memory_khz, bus_bits, .. } =
            self;
        // Turing reserves none of a block's shared memory for the system.
        let reserved = if *version < 800 { 0 } else { 1024 };
        let (l2, memory) = (self.l2_mib << 20, self.memory_gib << 30);
        format!(
            "{{\"cudaDeviceId\":0,\"deviceVer\":{version},\"driverVer\":13000,\"maxGridSize\":[2147483647,65535,65535],\
             \"maxBlockSize\":[1024,1024,64],\"regsPerBlock\":65536,\"multiProcessorCount\":{multiprocessors},\
             \"smCountOrigin\":0,\"warpSize\":32,\"maxSharedMemoryPerBlock\":49152,\
             \"maxSharedMemoryPerBlockOptin\":{shared_bytes},\"oversizedSharedMemoryPerBlock\":0,\
             \"reservedSharedMemoryPerBlock\":{reserved},\"maxRegistersPerSM\":65536,\"maxCtasPerSM\":{blocks},\
             \"maxThreadsPerBlock\":1024,\"maxThreadsPerSM\":{threads},\"pciDeviceId\":0,\"isTccDriver\":0,\
             \"supportCoopLaunch\":1,\"smClockRateKHz\":{sm_khz},\"memClockRateKHz\":{memory_khz},\
             \"memoryBusWidth\":{bus_bits},\"l2CacheSize\":{l2},\"totalGlobalMem\":{memory},\"deviceName\":\"{name}\"}}"
        )
    }
}

pub const GPUS: [Gpu; 6] = [
    Gpu {
        name: "Tesla T4",
        version: 750,
        multiprocessors: 40,
        shared_bytes: 65_536,
        threads: 1024,
        blocks: 16,
        sm_khz: 1_590_000,
        memory_khz: 5_001_000,
        bus_bits: 256,
        l2_mib: 4,
        memory_gib: 15,
    },
    Gpu {
        name: "NVIDIA A100-SXM4-80GB",
        version: 800,
        multiprocessors: 108,
        shared_bytes: 166_912,
        threads: 2048,
        blocks: 32,
        sm_khz: 1_410_000,
        memory_khz: 1_593_000,
        bus_bits: 5120,
        l2_mib: 40,
        memory_gib: 80,
    },
    Gpu {
        name: "NVIDIA GeForce RTX 4090",
        version: 890,
        multiprocessors: 128,
        shared_bytes: 101_376,
        threads: 1536,
        blocks: 24,
        sm_khz: 2_520_000,
        memory_khz: 10_501_000,
        bus_bits: 384,
        l2_mib: 72,
        memory_gib: 24,
    },
    Gpu {
        name: "NVIDIA H100 80GB HBM3",
        version: 900,
        multiprocessors: 132,
        shared_bytes: 232_448,
        threads: 2048,
        blocks: 32,
        sm_khz: 1_980_000,
        memory_khz: 2_619_000,
        bus_bits: 5120,
        l2_mib: 50,
        memory_gib: 80,
    },
    Gpu {
        name: "NVIDIA B200",
        version: 1000,
        multiprocessors: 148,
        shared_bytes: 232_448,
        threads: 2048,
        blocks: 32,
        sm_khz: 1_965_000,
        memory_khz: 3_996_000,
        bus_bits: 8192,
        l2_mib: 126,
        memory_gib: 180,
    },
    Gpu {
        name: "NVIDIA GeForce RTX 5090",
        version: 1200,
        multiprocessors: 170,
        shared_bytes: 101_376,
        threads: 1536,
        blocks: 24,
        sm_khz: 2_407_000,
        memory_khz: 14_001_000,
        bus_bits: 512,
        l2_mib: 96,
        memory_gib: 32,
    },
];
