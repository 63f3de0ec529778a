//! `layertime devices`: what is there, where it was found, what is missing.

use std::path::Path;
use std::process::{Command, Output};

use softcuda::ThrottleReason::{HwThermal, PowerCap};
use softcuda::{Fault, Library, Softcuda};

use super::soft;
use crate::program::{Program, stdout};

/// `devices` on softcuda.
fn devices(gpu: &Softcuda) -> String {
    success(&soft::on(gpu, env!("CARGO_BIN_EXE_layertime")).arg("devices").output().unwrap())
}

fn success(output: &Output) -> String {
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    stdout(output)
}

/// The lines under a title, without their indentation.
fn section(text: &str, title: &str) -> Vec<String> {
    let lines = text.lines().skip_while(|line| !line.starts_with(title)).skip(1);
    lines.take_while(|line| line.starts_with(' ')).map(|line| line.trim().to_owned()).collect()
}

/// The facts are those that softcuda is made with: an A100's clocks, 8 GiB, and NVML's order reversed.
#[test]
fn each_gpu_with_its_settings_and_users() {
    let text = devices(&Softcuda::new().devices(2).others(1).throttle(HwThermal, ..).throttle(PowerCap, ..));
    for (device, nvidia_smi) in [("cuda:0", 1), ("cuda:1", 0)] {
        let gpu = section(&text, device);
        for fact in [
            "compute capability: 8.0",
            "memory: 8.0 GiB",
            &format!("nvidia-smi index: {nvidia_smi}"),
            "sm clock: 1410 MHz",
            "sm clock max: 1410 MHz",
            "application sm clock: 1095 MHz",
            "power limit: 400 W",
            "temperature: 41 °C",
            "persistence mode: on",
            "mig: off",
            "performance state: P0",
            "clocks held by: power cap, hardware thermal slowdown",
            "processes: this (0 MiB), 900001 (1024 MiB)",
        ] {
            assert!(gpu.iter().any(|line| line == fact), "{device}: no `{fact}` in {gpu:#?}");
        }
    }
    assert!(text.starts_with("cpu     ") && !text.contains("missing"), "{text}");
}

#[test]
fn each_library_with_its_version_and_file() {
    let gpu = Softcuda::new().driver(12, 2);
    let libraries = section(&devices(&gpu), "libraries");
    let folder = gpu.folder().unwrap();
    let expected =
        ["CUDA driver: 12.2, ", "cuDNN: 9.28.1 for CUDA 12.2, ", "cuBLAS: 12.2.0, ", "NVML: 13.580.00.softcuda, "];
    assert_eq!(libraries.len(), expected.len(), "{libraries:#?}");
    for (line, start) in libraries.iter().zip(expected) {
        let file = line.strip_prefix(start).unwrap_or_else(|| panic!("`{start}` does not begin {line}"));
        assert_eq!(Path::new(file).parent(), Some(folder.as_path()), "{line}");
    }
}

#[test]
fn libraries_that_do_not_fit_are_said_to_be() {
    let mixed = section(&devices(&Softcuda::new().cublas(12, 4)), "missing");
    assert!(mixed.len() == 1 && mixed[0].contains("pip install nvidia-cudnn-cu12"), "{mixed:?}");
    let old = section(&devices(&Softcuda::new().driver(12, 2).cublas(13, 0)), "missing");
    assert!(old.len() == 1 && old[0].contains("pip install nvidia-cudnn-cu13"), "{old:?}");
}

/// The advice on installing depends on the GPU that is there.
#[test]
fn old_gpus_want_old_libraries() {
    let mixed = section(&devices(&Softcuda::new().capability(6, 0).cublas(12, 4)), "missing");
    let fix = "pip install nvidia-cublas-cu12 \"nvidia-cudnn-cu12<9.11\"";
    assert!(mixed.len() == 1 && mixed[0].contains(fix), "{mixed:?}");
}

#[test]
fn a_driver_without_a_gpu_is_said_to_be() {
    let mut command = soft::on(&Softcuda::new().no_device(true), env!("CARGO_BIN_EXE_layertime"));
    let text = success(&command.arg("devices").env("CUDA_VISIBLE_DEVICES", "7").output().unwrap());
    let missing = section(&text, "missing").join("\n");
    assert!(missing.contains("CUDA_ERROR_NO_DEVICE (CUDA_VISIBLE_DEVICES=7)"), "{missing}");
    assert!(missing.contains("NVML does not start: NVIDIA driver is not loaded"), "{missing}");
    assert!(!text.contains("cuda:0"), "{text}");
}

/// A figure that NVML refuses to tell is left out, and nothing else.
#[test]
fn what_a_gpu_does_not_tell_is_left_out() {
    let fault = Fault::call("nvmlDeviceGetEccMode").returns("NVML_ERROR_NOT_SUPPORTED");
    let gpu = section(&devices(&Softcuda::new().fault(fault)), "cuda:0");
    assert!(!gpu.iter().any(|line| line.starts_with("ecc")), "{gpu:#?}");
    assert!(gpu.iter().any(|line| line.starts_with("mig")), "{gpu:#?}");
    let fault = Fault::call("nvmlInit_v2").returns("NVML_ERROR_UNKNOWN");
    let unknown = section(&devices(&Softcuda::new().fault(fault)), "cuda:0");
    assert_eq!(unknown, ["compute capability: 8.0", "memory: 8.0 GiB", "kernels: committed (NVRTC 12.9)"]);
}

/// On the machine itself, whatever it has: GPUs, or what is missing for them.
#[test]
fn without_softcuda_something_is_said_too() {
    let text = success(&Program::new().output("devices"));
    assert!(text.contains("\ncuda:0") || !section(&text, "missing").is_empty(), "{text}");
}

const CUDNN: &str = "
unsigned long cudnnGetVersion(void) { return 92800; }
unsigned long cudnnGetCudartVersion(void) { return 13000; }
";
const CUBLAS: &str =
    "int cublasGetProperty(int which, int *to) { *to = which == 0 ? 13 : which == 1 ? 10 : 2; return 0; }";

/// A library that is named inside as NVIDIA names it.
fn library(folder: &Path, name: &str, source: &str) {
    std::fs::create_dir_all(folder).unwrap();
    let file = folder.join("library.c");
    std::fs::write(&file, source).unwrap();
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-o"]).arg(folder.join(name)).arg(&file).arg(format!("-Wl,-soname,{name}"));
    assert!(cc.status().unwrap().success());
}

/// A machine with a driver whose cuDNN and cuBLAS are pip's: the loader does not find them, the program does.
#[test]
fn pips_libraries_are_found_and_opened_by_their_path() {
    let program = Program::new();
    if success(&program.output("devices")).lines().any(|line| line.trim_start().starts_with("cuDNN: ")) {
        assert!(std::env::var_os("CI").is_none(), "CI's loader finds a cuDNN by itself: this cannot be tested");
        return eprintln!("not tested: this machine's loader finds a cuDNN by itself");
    }
    let driver = Softcuda::new().without(Library::Cublas).without(Library::Cudnn).folder().unwrap();
    let packages = program.folder.path().join("venv/lib/python3.12/site-packages/nvidia");
    library(&packages.join("cudnn/lib"), "libcudnn.so.9", CUDNN);
    library(&packages.join("cu13/lib"), "libcublas.so.13", CUBLAS);
    let mut command = program.command("devices");
    let output =
        command.env("LD_LIBRARY_PATH", &driver).env("VIRTUAL_ENV", program.folder.path().join("venv")).output();
    let libraries = section(&success(&output.unwrap()), "libraries");
    assert_eq!(
        libraries[1..3],
        [
            format!("cuDNN: 9.28.0 for CUDA 13.0, {}", packages.join("cudnn/lib/libcudnn.so.9").display()),
            format!("cuBLAS: 13.10.2, {}", packages.join("cu13/lib/libcublas.so.13").display()),
        ]
    );
    let mut command = program.command("devices");
    let output = command.env("LD_LIBRARY_PATH", &driver).env_remove("VIRTUAL_ENV").output();
    let missing = section(&success(&output.unwrap()), "missing").join("\n");
    assert!(
        missing.contains("pip install nvidia-cudnn-cu13") && missing.contains("pip install nvidia-cublas"),
        "{missing}"
    );
}

/// An older toolkit comes first in the loader's path: its names without a version are nobody's concern.
#[test]
fn old_libraries_first_in_the_path_do_not_matter() {
    let (program, gpu) = (Program::new(), soft::gpu());
    let old = program.folder.path().join("cuda-11/lib64");
    library(&old, "libcudnn.so", "unsigned long cudnnGetVersion(void) { return 8907; }");
    library(&old, "libcublas.so", "int cublasGetProperty(int which, int *to) { *to = which ? 0 : 11; return 0; }");
    let path = format!("{}:{}", old.display(), gpu.folder().unwrap().display());
    for arguments in ["devices", "run --model tiny --device cuda --batch 2 --max-time 1ms --min-samples 1"] {
        let output = soft::command(&program, arguments, &gpu).env("LD_LIBRARY_PATH", &path).output().unwrap();
        assert!(output.status.success(), "{arguments}: {output:?}");
        assert!(arguments != "devices" || section(&stdout(&output), "missing").is_empty(), "{output:?}");
    }
}

#[test]
fn compilers_are_listed_or_how_to_get_them() {
    let compilers = section(&devices(&Softcuda::new()), "compilers");
    assert!(compilers.len() == 2 && compilers[0].starts_with("NVRTC: "), "{compilers:?}");
    assert!(compilers[1].starts_with("PTX compiler of the driver: "), "{compilers:?}");
    let folder = Program::new();
    library(folder.folder.path(), "libnvidia-ptxjitcompiler.so.1", "int f(void) { return 0; }");
    library(folder.folder.path(), "libnvrtc.so.13", "int nvrtcVersion(int *a, int *b) { *a = 13; *b = 5; return 0; }");
    let path = format!("{}:{}", folder.folder.path().display(), Softcuda::new().folder().unwrap().display());
    let mut command = soft::on(&Softcuda::new(), env!("CARGO_BIN_EXE_layertime"));
    let compilers =
        section(&success(&command.arg("devices").env("LD_LIBRARY_PATH", path).output().unwrap()), "compilers");
    let file = |name: &str| folder.folder.path().join(name).display().to_string();
    assert_eq!(compilers[0], format!("NVRTC: 13.5, {}", file("libnvrtc.so.13")));
    assert_eq!(compilers[1], format!("PTX compiler of the driver: {}", file("libnvidia-ptxjitcompiler.so.1")));
}

/// One line that says what to do.
#[test]
fn kernels_that_cannot_be_loaded_are_refused_with_the_way_out() {
    for (status, fix) in [
        ("CUDA_ERROR_JIT_COMPILER_NOT_FOUND", "NVIDIA_DRIVER_CAPABILITIES"),
        ("CUDA_ERROR_INVALID_PTX", "update NVIDIA's driver"),
        ("CUDA_ERROR_UNSUPPORTED_PTX_VERSION", "update NVIDIA's driver"),
    ] {
        let gpu = soft::gpu().fault(Fault::call("cuModuleLoadData").from(1).returns(status));
        let output = soft::output(&Program::new(), &format!("{} --batch 1", soft::QUICK), &gpu);
        soft::assert_refused(&output, 1, &["cuModuleLoadData", status, fix]);
    }
}

/// A file of the folder stands in for the embedded one of its name; a folder without any is a mistake.
#[test]
fn kernels_from_a_folder() {
    let (program, folder) = (Program::new(), tempfile::tempdir().unwrap());
    let run = |folder: &Path| {
        let quick = format!("{} --batch 1", soft::QUICK);
        soft::command(&program, &quick, &soft::gpu()).env("LAYERTIME_KERNELS", folder).output().unwrap()
    };
    soft::assert_refused(&run(folder.path()), 2, &["LAYERTIME_KERNELS", "no .ptx or .cubin"]);
    let sgd = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels/ptx/sgd.ptx");
    std::fs::copy(sgd, folder.path().join("sgd.ptx")).unwrap();
    let output = run(folder.path());
    assert!(output.status.success(), "{output:?}");
    let json = std::fs::read_to_string(program.run_folder().join("run.json")).unwrap();
    assert!(json.contains("; sgd.ptx from "), "{json}");
}
