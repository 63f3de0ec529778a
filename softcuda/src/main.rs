//! `cargo run -p softcuda -- COMMAND…` runs COMMAND where softcuda stands in for NVIDIA's libraries.

use softcuda::Softcuda;
use std::os::unix::process::CommandExt;
use std::process::ExitCode;

const USAGE: &str = "\
usage: softcuda COMMAND [ARGUMENT…]   runs COMMAND on a CUDA device in software; SOFTCUDA_… variables say how it behaves
       softcuda --folder              prints the folder of libraries, for LD_LIBRARY_PATH
       softcuda --coverage            prints which functions and PTX instructions there are
";

/// As the shell has it for a command that does not start.
const NOT_RUN: u8 = 127;
const INVALID_SETTING: u8 = 98;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let Some(program) = arguments.next() else {
        eprint!("{USAGE}");
        return ExitCode::from(2);
    };
    if program == "--coverage" {
        print!("{}", softcuda::coverage());
        return ExitCode::SUCCESS;
    }
    let device = match Softcuda::from_env() {
        Ok(device) => device,
        Err(error) => return fail(INVALID_SETTING, &error.to_string()),
    };
    if program == "--folder" {
        return match device.folder() {
            Ok(folder) => {
                println!("{}", folder.display());
                ExitCode::SUCCESS
            }
            Err(error) => fail(NOT_RUN, &error.to_string()),
        };
    }
    match device.command(&program) {
        Ok(mut command) => fail(NOT_RUN, &format!("{}: {}", program.display(), command.args(arguments).exec())),
        Err(error) => fail(NOT_RUN, &error.to_string()),
    }
}

fn fail(status: u8, what: &str) -> ExitCode {
    eprintln!("softcuda: {what}");
    ExitCode::from(status)
}
