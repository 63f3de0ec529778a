//! `layertime devices`: what can be used here, and what is missing.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;

use crate::device::Device;
use crate::device::cpu::Cpu;
use crate::device::options::Options;

pub fn run() -> Result<ExitCode> {
    let cpu = Cpu::open(&Options::default())?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "cpu   {}", cpu.name())?;
    for (key, value) in cpu.facts() {
        writeln!(out, "      {key}: {value}")?;
    }
    Ok(ExitCode::SUCCESS)
}
