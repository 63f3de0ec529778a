//! The scenarios of `vector_add`.

use cudarc::driver::{CudaContext, CudaFunction, CudaStream, DriverError, LaunchConfig, PushKernelArg, sys};
use cudarc::nvrtc::Ptx;
use std::sync::Arc;

const N: usize = 1000;

/// The start of every scenario: a context without event tracking, and a kernel.
struct Client {
    context: Arc<CudaContext>,
    stream: Arc<CudaStream>,
    add: CudaFunction,
}

impl Client {
    fn new() -> Result<Self, DriverError> {
        let context = CudaContext::new(0)?;
        // SAFETY: this program orders its own work.
        unsafe { context.disable_event_tracking() };
        let module = context.load_module(Ptx::from_src(include_str!("add.ptx")))?;
        Ok(Client { stream: context.new_stream()?, add: module.load_function("add")?, context })
    }

    /// y = x + x on `stream`, given as addresses.
    fn double(&self, stream: &Arc<CudaStream>, x: u64, y: u64, n: u32) -> Result<(), DriverError> {
        let mut launch = stream.launch_builder(&self.add);
        launch.arg(&x).arg(&x).arg(&y).arg(&n);
        // SAFETY: as safe as the scenario.
        unsafe { launch.launch(LaunchConfig::for_num_elems(n)) }?;
        Ok(())
    }

    /// Copies x to pinned memory, and prints its first value before and after the wait for the copy.
    fn read_early(&self, x: u64) -> Result<(), DriverError> {
        // SAFETY: written before it is read.
        let mut pinned = unsafe { self.context.alloc_pinned::<f32>(N)? };
        pinned.as_mut_slice()?.fill(7.0);
        let to = pinned.as_mut_ptr()?;
        // SAFETY: both hold N values; reading before the copy is done is the point.
        let first = unsafe {
            let status = sys::cuMemcpyDtoHAsync_v2(to.cast(), x, 4 * N, self.stream.cu_stream());
            assert_eq!(status, sys::CUresult::CUDA_SUCCESS);
            *to
        };
        self.stream.synchronize()?;
        // SAFETY: the copy is done.
        println!("before {first} after {}", unsafe { *to });
        Ok(())
    }

    /// Prints how long two launches take, by events and by the host's clock.
    fn time(&self, x: u64, y: u64) -> Result<(), DriverError> {
        let flags = Some(sys::CUevent_flags::CU_EVENT_DEFAULT);
        let (start, end) = (self.context.new_event(flags)?, self.context.new_event(flags)?);
        let clock = std::time::Instant::now();
        start.record(&self.stream)?;
        self.double(&self.stream, x, y, N as u32)?;
        self.double(&self.stream, x, y, N as u32)?;
        end.record(&self.stream)?;
        end.synchronize()?;
        println!("device {} ms, host {:?}", start.elapsed_ms(&end)?, clock.elapsed());
        Ok(())
    }

    /// Holds the stream until a flag is set, which is done or forgotten.
    fn hold(&self, x: u64, y: u64, release: bool) -> Result<(), DriverError> {
        // SAFETY: four bytes, written at once.
        let mut flag = unsafe { self.context.alloc_pinned::<u32>(1)? };
        flag.as_mut_slice()?[0] = 0;
        let p = flag.as_mut_ptr()?;
        // SAFETY: the flag outlives the stream's use of it.
        unsafe {
            let status = sys::cuStreamWaitValue32_v2(self.stream.cu_stream(), p as u64, 1, 0);
            assert_eq!(status, sys::CUresult::CUDA_SUCCESS, "wait value");
            self.double(&self.stream, x, y, N as u32)?;
            if release {
                p.write_volatile(1);
            }
        }
        self.stream.synchronize()
    }
}

fn address<T>(buffer: &cudarc::driver::CudaSlice<T>, stream: &Arc<CudaStream>) -> u64 {
    use cudarc::driver::DevicePtr;
    buffer.device_ptr(stream).0
}

fn run(scenario: &str) -> Result<(), Box<dyn std::error::Error>> {
    let client = Client::new()?;
    let (stream, host) = (client.stream.clone(), vec![-1f32; N]);
    let x = stream.clone_htod(&host)?;
    let y = stream.alloc_zeros::<f32>(N)?;
    let (px, py) = (address(&x, &stream), address(&y, &stream));
    match scenario {
        "good" => {
            client.double(&stream, px, py, N as u32)?;
            assert!(stream.clone_dtoh(&y)?.iter().all(|&v| v == -2.0));
        }
        "wrong-stream" => {
            let (other, fresh) = (client.context.new_stream()?, stream.clone_htod(&host)?);
            client.double(&other, address(&fresh, &stream), py, N as u32)?;
            other.synchronize()?;
        }
        "swapped" => {
            // SAFETY: never written, which is the point.
            let fresh = unsafe { stream.alloc::<f32>(N)? };
            client.double(&stream, address(&fresh, &stream), px, N as u32)?;
            stream.synchronize()?;
        }
        "out-of-bounds" => {
            client.double(&stream, px, py, N as u32 + 1)?;
            stream.synchronize()?;
        }
        "use-after-free" => {
            drop(x);
            client.double(&stream, px, py, N as u32)?;
            stream.synchronize()?;
        }
        "leak" => std::mem::forget(x),
        "early-read" => client.read_early(px)?,
        "timed" => client.time(px, py)?,
        "held" | "stuck" => client.hold(px, py, scenario == "held")?,
        other => return Err(format!("no scenario {other}").into()),
    }
    Ok(())
}

/// Runs a scenario; the exit status.
pub fn start(scenario: &str) -> i32 {
    match run(scenario) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("vector_add: {error:?}");
            1
        }
    }
}
