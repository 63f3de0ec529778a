//! Putting softcuda in the place of NVIDIA's libraries for a command: a folder of links in front of the loader's path.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

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

/// A command that will run `program` under softcuda, with the knobs given (`SOFTCUDA_…`; README.md lists them).
pub fn command(program: impl AsRef<OsStr>, knobs: &[(&str, &str)]) -> io::Result<Command> {
    let folder = folder()?;
    let mut command = Command::new(program);
    command.envs(knobs.iter().copied()).env("LD_LIBRARY_PATH", in_front(&folder, "LD_LIBRARY_PATH"));
    // The interpreter is held against these; what some nvcc makes may use more.
    command.env("LAYERTIME_KERNELS", "committed");
    let virtual_clock = knobs.iter().any(|(name, _)| *name == "SOFTCUDA_CLOCK");
    if virtual_clock || std::env::var_os("SOFTCUDA_CLOCK").is_some() {
        // only a preloaded library can make the host's clocks follow
        command.env("LD_PRELOAD", folder.join("libcuda.so.1"));
    }
    Ok(command)
}

/// The folder with a link to the library for each name.
pub fn folder() -> io::Result<PathBuf> {
    let library = library()?;
    let folder = library.with_file_name("softcuda-libraries");
    link(&folder, &library)?;
    Ok(folder)
}

/// Links that are right already are left alone, and others replaced in one go, so that processes and threads may do this at
/// the same time.
fn link(folder: &Path, library: &Path) -> io::Result<()> {
    static LINKS: AtomicUsize = AtomicUsize::new(0);
    std::fs::create_dir_all(folder)?;
    for name in NAMES {
        let link = folder.join(name);
        if std::fs::read_link(&link).is_ok_and(|target| target == library) {
            continue;
        }
        let number = LINKS.fetch_add(1, Ordering::Relaxed);
        let temporary = folder.join(format!("{name}.{}.{number}", std::process::id()));
        symlink(library, &temporary)?;
        std::fs::rename(&temporary, &link)?;
    }
    Ok(())
}

/// libsoftcuda.so in the build's deps folder, where every build leaves the newest: beside a test, below a program.
fn library() -> io::Result<PathBuf> {
    let program = std::env::current_exe()?;
    let beside = program.parent().unwrap_or(Path::new("."));
    let places = [beside.join("deps/libsoftcuda.so"), beside.join("libsoftcuda.so")];
    let missing = || io::Error::other("libsoftcuda.so is not built: cargo build -p softcuda");
    places.into_iter().find(|place| place.exists()).ok_or_else(missing)
}

/// A path list with `folder` in front.
fn in_front(folder: &Path, variable: &str) -> OsString {
    let mut list = folder.as_os_str().to_owned();
    if let Some(rest) = std::env::var_os(variable).filter(|rest| !rest.is_empty()) {
        list.push(":");
        list.push(rest);
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_may_lay_out_the_folder_together() {
        let folder = std::env::temp_dir().join(format!("softcuda-links-{}", std::process::id()));
        for library in ["/one", "/another"].map(Path::new) {
            std::thread::scope(|scope| {
                let threads: Vec<_> = (0..16).map(|_| scope.spawn(|| link(&folder, library))).collect();
                threads.into_iter().for_each(|thread| thread.join().unwrap().unwrap());
            });
            assert!(NAMES.iter().all(|name| std::fs::read_link(folder.join(name)).unwrap() == library));
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
