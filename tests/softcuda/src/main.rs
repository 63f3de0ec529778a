//! `cargo run -p softcuda -- COMMAND…` runs COMMAND where softcuda stands in for NVIDIA's libraries.

use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// The names under which programs look for the libraries.
const NAMES: [&str; 10] = [
    "libcuda.so.1",
    "libcuda.so",
    "libcublas.so",
    "libcublas.so.13",
    "libcublasLt.so",
    "libcublasLt.so.13",
    "libcudnn.so",
    "libcudnn.so.9",
    "libnvidia-ml.so",
    "libnvidia-ml.so.1",
];

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let Some(program) = arguments.next() else {
        eprintln!("usage: softcuda COMMAND [ARGUMENT…]; --folder prints the folder of libraries instead");
        return ExitCode::from(2);
    };
    let folder = match library().and_then(|library| lay_out(&library)) {
        Ok(folder) => folder,
        Err(error) => {
            eprintln!("softcuda: {error}");
            return ExitCode::FAILURE;
        }
    };
    if program == "--folder" {
        println!("{}", folder.display());
        return ExitCode::SUCCESS;
    }
    let mut command = Command::new(&program);
    command.args(arguments).env("LD_LIBRARY_PATH", front(&folder, "LD_LIBRARY_PATH"));
    if std::env::var_os("SOFTCUDA_CLOCK").is_some() {
        // the host's clocks follow the virtual one only in a preloaded library
        command.env("LD_PRELOAD", folder.join("libcuda.so.1"));
    }
    let error = command.exec();
    eprintln!("softcuda: {}: {error}", program.display());
    ExitCode::from(127)
}

/// libsoftcuda.so, in the deps folder beside this program, where every build leaves the newest.
fn library() -> std::io::Result<PathBuf> {
    let here = std::env::current_exe()?;
    let folder = here.parent().unwrap_or(Path::new("."));
    let places = [folder.join("deps/libsoftcuda.so"), folder.join("libsoftcuda.so")];
    places
        .into_iter()
        .find(|p| p.exists())
        .ok_or_else(|| std::io::Error::other("libsoftcuda.so is not built: cargo build -p softcuda"))
}

/// A folder beside the library with a link for each name. Links that are right already are left alone, so that
/// processes may do this at the same time.
fn lay_out(library: &Path) -> std::io::Result<PathBuf> {
    let folder = library.with_file_name("softcuda-libraries");
    std::fs::create_dir_all(&folder)?;
    for name in NAMES {
        let link = folder.join(name);
        if std::fs::read_link(&link).is_ok_and(|target| target == library) {
            continue;
        }
        let temporary = folder.join(format!("{name}.{}", std::process::id()));
        symlink(library, &temporary)?;
        std::fs::rename(&temporary, &link)?;
    }
    Ok(folder)
}

/// A path list with `folder` in front.
fn front(folder: &Path, variable: &str) -> std::ffi::OsString {
    let mut list = folder.as_os_str().to_owned();
    if let Some(rest) = std::env::var_os(variable).filter(|rest| !rest.is_empty()) {
        list.push(":");
        list.push(rest);
    }
    list
}
