//! The folder of libraries that stands in front of the loader's path.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// One of the libraries that softcuda stands in for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Library {
    /// The driver: `libcuda.so.1`.
    Cuda,
    /// `libcublas.so.13` and `libcublasLt.so.13`, by the version of cuBLAS.
    Cublas,
    /// `libcudnn.so.9`, by the version of cuDNN.
    Cudnn,
    /// `libnvidia-ml.so.1`.
    Nvml,
}

impl Library {
    const ALL: [Library; 4] = [Library::Cuda, Library::Cublas, Library::Cudnn, Library::Nvml];

    fn stems(self) -> &'static [&'static str] {
        match self {
            Library::Cuda => &["libcuda.so"],
            Library::Cublas => &["libcublas.so", "libcublasLt.so"],
            Library::Cudnn => &["libcudnn.so"],
            Library::Nvml => &["libnvidia-ml.so"],
        }
    }
}

/// Names in the folder, each with the file that it links to; softcuda itself where there is none.
#[derive(Clone, Debug, Default, Hash, PartialEq, Eq)]
pub struct Links(BTreeMap<String, Option<PathBuf>>);

impl Links {
    /// The names under which programs look for the libraries, with and without the major version.
    pub fn new(cublas: i32, cudnn: i32, left_out: &[Library]) -> Self {
        let mut links = Links::default();
        for library in Library::ALL.into_iter().filter(|library| !left_out.contains(library)) {
            let version = match library {
                Library::Cuda | Library::Nvml => 1,
                Library::Cublas => cublas,
                Library::Cudnn => cudnn,
            };
            for stem in library.stems() {
                links.0.insert(stem.to_string(), None);
                links.0.insert(format!("{stem}.{version}"), None);
            }
        }
        links
    }

    pub fn add(&mut self, name: &str, file: Option<PathBuf>) {
        self.0.insert(name.into(), file);
    }

    /// Lays out the folder, one for each set of links. Links that are right already are left alone, and others replaced
    /// in one go, so that processes and threads may do this at the same time.
    pub fn lay_out(&self, parent: &Path, softcuda: &Path) -> io::Result<PathBuf> {
        static LINKS: AtomicUsize = AtomicUsize::new(0);
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        let folder = parent.join(format!("{:016x}", hasher.finish()));
        std::fs::create_dir_all(&folder)?;
        for (name, file) in &self.0 {
            let (link, target) = (folder.join(name), file.as_deref().unwrap_or(softcuda));
            if std::fs::read_link(&link).is_ok_and(|now| now == target) {
                continue;
            }
            let number = LINKS.fetch_add(1, Ordering::Relaxed);
            let temporary = folder.join(format!("{name}.{}.{number}", std::process::id()));
            symlink(target, &temporary)?;
            std::fs::rename(&temporary, &link)?;
        }
        Ok(folder)
    }
}

/// softcuda's shared library, which cargo builds beside every test and program that depends on softcuda.
/// `SOFTCUDA_LIBRARY` names another.
///
/// # Errors
/// There is none.
pub fn library() -> io::Result<PathBuf> {
    if let Some(named) = std::env::var_os("SOFTCUDA_LIBRARY") {
        return Ok(named.into());
    }
    let program = std::env::current_exe()?;
    let folder = program.parent().unwrap_or(Path::new("."));
    // programs lie above cargo's deps folder, tests in it, examples beside it
    let folders = [folder.join("deps"), folder.to_owned(), folder.with_file_name("deps")];
    let missing = || io::Error::other("libsoftcuda.so is not built: cargo build -p softcuda, or set SOFTCUDA_LIBRARY");
    folders.iter().find_map(|folder| in_folder(folder)).ok_or_else(missing)
}

/// The library of a package in the workspace, else the newest of a package from elsewhere, whose name ends with a hash.
fn in_folder(folder: &Path) -> Option<PathBuf> {
    let plain = folder.join("libsoftcuda.so");
    if plain.exists() {
        return Some(plain);
    }
    let files = std::fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let hashed = |file: &PathBuf| {
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with("libsoftcuda-") && name.ends_with(".so")
    };
    files.filter(hashed).max_by_key(|file| file.metadata().and_then(|data| data.modified()).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(links: &Links) -> Vec<&str> {
        links.0.keys().map(String::as_str).collect()
    }

    #[test]
    fn names_follow_the_versions() {
        let links = Links::new(12, 8, &[]);
        let expected = [
            "libcublas.so",
            "libcublas.so.12",
            "libcublasLt.so",
            "libcublasLt.so.12",
            "libcuda.so",
            "libcuda.so.1",
            "libcudnn.so",
            "libcudnn.so.8",
            "libnvidia-ml.so",
            "libnvidia-ml.so.1",
        ];
        assert_eq!(names(&links), expected);
        assert_eq!(names(&Links::new(13, 9, &[Library::Cublas, Library::Cudnn, Library::Nvml])), expected[4..6]);
    }

    #[test]
    fn threads_may_lay_out_the_folder_together() {
        let parent = std::env::temp_dir().join(format!("softcuda-links-{}", std::process::id()));
        let mut links = Links::new(13, 9, &[]);
        links.add("libcudnn.so", Some("/old/libcudnn.so.7".into()));
        for library in ["/one", "/another"].map(Path::new) {
            std::thread::scope(|scope| {
                let threads: Vec<_> = (0..16).map(|_| scope.spawn(|| links.lay_out(&parent, library))).collect();
                threads.into_iter().for_each(|thread| drop(thread.join().unwrap().unwrap()));
            });
            let folder = links.lay_out(&parent, library).unwrap();
            let target = |name: &str| std::fs::read_link(folder.join(name)).unwrap();
            assert_eq!(target("libcudnn.so"), Path::new("/old/libcudnn.so.7"));
            assert!(names(&links).iter().filter(|name| **name != "libcudnn.so").all(|name| target(name) == library));
            assert_eq!(std::fs::read_dir(&folder).unwrap().count(), names(&links).len());
        }
        std::fs::remove_dir_all(&parent).unwrap();
    }
}
