//! `layertime devices`: what can be used here, and what is missing.

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;

use crate::cli::DevicesArgs;
use layertime::device::Device;
use layertime::device::cpu::Cpu;
use layertime::device::cuda::devices::{Offered, offered};
use layertime::device::cuda::kernels::Kernels;
use layertime::device::cuda::libraries::{self, Libraries, Survey};
use layertime::device::cuda::nvml::{self, NvmlGpu};
use layertime::device::monitor::Monitor;
use layertime::device::options::DeviceOptions;
use layertime::report::table::hanging;

/// Blanks before the lines that go on with an entry.
const INDENT: usize = 10;

pub fn run(args: DevicesArgs) -> Result<ExitCode> {
    let survey = libraries::survey();
    let gpus = survey.driver.as_ref().map_err(Clone::clone).and_then(|_| offered());
    let mut text = cpu()?;
    for gpu in gpus.iter().flatten() {
        text += &format!("\n{}", gpu_section(gpu));
    }
    text += &format!("\n{}", library_section(survey, gpus.as_ref().err()));
    if survey.driver.is_ok() {
        text += &format!("\n{}", compiler_section(survey));
    }
    let text: String = text.lines().map(|line| hanging(line, INDENT, args.room.room()) + "\n").collect();
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn cpu() -> Result<String> {
    let cpu = Cpu::open(&DeviceOptions::default())?;
    Ok(line("cpu", &cpu.info().name)
        + &cpu.info().facts.iter().map(|(key, value)| entry(key, value)).collect::<String>())
}

fn gpu_section(gpu: &Offered) -> String {
    let nvml = NvmlGpu::open(gpu.uuid);
    let (major, minor) = gpu.capability;
    let mut text = line(&format!("cuda:{}", gpu.index), &gpu.name);
    text += &entry("compute capability", format!("{major}.{minor}"));
    text += &entry("memory", format!("{:.1} GiB", gpu.memory_bytes as f64 / f64::from(1 << 30)));
    let kernels = match Kernels::choose(gpu.capability) {
        Ok(Some(kernels)) => kernels.origin,
        Ok(None) => "none for a GPU this old".to_owned(),
        Err(error) => error.to_string(),
    };
    text += &entry("kernels", kernels);
    text += &nvml.index().map(|index| entry("nvidia-smi index", index)).unwrap_or_default();
    for (name, value) in nvml.settings().into_iter().chain(nvml.state()) {
        text += &entry(&name.replace('_', " "), value);
    }
    text
}

/// Lists where each library was found, or what is missing and how to get it.
fn library_section(survey: &Survey, no_gpu: Option<&String>) -> String {
    let mut missing: Vec<String> = Vec::new();
    let mut found = String::new();
    for library in [&survey.driver, &survey.cudnn, &survey.cublas] {
        match library {
            Ok(library) => found += &entry(library.name, format!("{}, {}", library.version, library.file.display())),
            Err(why) => missing.push(why.clone()),
        }
    }
    match nvml::survey() {
        Ok((version, file)) => {
            found += &entry("NVML", version + &file.map(|file| format!(", {}", file.display())).unwrap_or_default());
        }
        Err(why) => missing.push(why),
    }
    missing.extend(no_gpu.filter(|_| survey.driver.is_ok()).cloned());
    if missing.is_empty()
        && let Err(mismatch) = Libraries::load()
    {
        missing.push(mismatch.to_string());
    }
    let missing: String = missing.iter().map(|why| format!("        {why}\n")).collect();
    let sections = [("libraries\n", found), ("missing for --device cuda\n", missing)];
    let sections = sections.into_iter().filter(|(_, lines)| !lines.is_empty());
    sections.map(|(title, lines)| title.to_owned() + &lines).collect::<Vec<_>>().join("\n")
}

/// The compilers that libraries use at run time: cuDNN has fewer algorithms without NVRTC, and no kernel loads without the other.
fn compiler_section(survey: &Survey) -> String {
    let nvrtc = survey.nvrtc.as_ref().map(|nvrtc| format!("{}, {}", nvrtc.version, nvrtc.file.display()));
    let ptx = survey.ptx_compiler.as_ref().map(|file| file.display().to_string());
    let text = |found: Result<String, &String>| found.unwrap_or_else(|why| format!("not found, {why}"));
    format!("compilers\n{}{}", entry("NVRTC", text(nvrtc)), entry("PTX compiler of the driver", text(ptx)))
}

fn line(title: &str, value: &str) -> String {
    format!("{title:<8}{value}\n")
}

fn entry(name: &str, value: impl Display) -> String {
    format!("        {name}: {value}\n")
}
