//! `cargo run -p softcuda -- COMMAND…` runs COMMAND where softcuda stands in for NVIDIA's libraries.

use std::os::unix::process::CommandExt;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let Some(program) = arguments.next() else {
        eprintln!("usage: softcuda COMMAND [ARGUMENT…]; softcuda --folder prints the folder of libraries");
        return ExitCode::from(2);
    };
    if program == "--folder" {
        return match softcuda::folder() {
            Ok(folder) => {
                println!("{}", folder.display());
                ExitCode::SUCCESS
            }
            Err(error) => fail(&error.to_string()),
        };
    }
    match softcuda::command(&program, &[]) {
        Ok(mut command) => fail(&format!("{}: {}", program.display(), command.args(arguments).exec())),
        Err(error) => fail(&error.to_string()),
    }
}

fn fail(what: &str) -> ExitCode {
    eprintln!("softcuda: {what}");
    ExitCode::from(127)
}
