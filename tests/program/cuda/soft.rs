//! Running the binary on softcuda, strictly: whatever softcuda finds, and whatever is left at exit, makes the exit code 97.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};

use softcuda::Softcuda;

use crate::program::Program;

/// A device that ends the process with exit code 97 where it finds something.
pub fn gpu() -> Softcuda {
    Softcuda::new().strict(true)
}

/// Any program on a device. The kernels are the committed ones, against which softcuda is tested; some nvcc's may use more of PTX.
pub fn on(gpu: &Softcuda, program: impl AsRef<OsStr>) -> Command {
    let mut command = gpu.command(program).unwrap();
    command.env("LAYERTIME_KERNELS", "committed");
    command
}

/// The binary with these arguments on a device.
pub fn command(program: &Program, arguments: &str, gpu: &Softcuda) -> Command {
    let plain = program.command(arguments);
    let mut command = on(gpu, plain.get_program());
    command.args(plain.get_args()).current_dir(program.folder.path());
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}

/// The command will notice when its terminal closes, also where these tests run under nohup.
pub fn hear_hang_up(command: &mut Command) -> &mut Command {
    let usual = || {
        // SAFETY: restores a default, no handler runs; signal(2) may be called between fork and exec.
        unsafe { libc::signal(libc::SIGHUP, libc::SIG_DFL) };
        Ok(())
    };
    // SAFETY: `usual` allocates nothing and takes no lock.
    unsafe { command.pre_exec(usual) }
}

pub fn output(program: &Program, arguments: &str, gpu: &Softcuda) -> Output {
    command(program, arguments, gpu).output().unwrap()
}

/// A short run of the smallest network on one GPU.
pub const QUICK: &str = "run --model tiny --device cuda --max-time 1ms --min-samples 1";

/// The program's own lines on stderr: softcuda's findings begin with its name.
pub fn own_lines(output: &Output) -> Vec<String> {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    text.lines().filter(|line| !line.starts_with("softcuda:")).map(str::to_owned).collect()
}

/// One line that holds all of these words, and this exit code.
pub fn assert_refused(output: &Output, code: i32, words: &[&str]) {
    let (lines, all) = (own_lines(output), String::from_utf8_lossy(&output.stderr));
    assert_eq!((output.status.code(), lines.len()), (Some(code), 1), "{all}");
    assert!(words.iter().all(|word| lines[0].contains(word)), "{words:?} not all in: {all}");
}
