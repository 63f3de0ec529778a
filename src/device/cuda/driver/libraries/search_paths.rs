//! The folders in which NVIDIA's libraries may lie when the loader does not find them by itself.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// [`folders`] for this process.
pub fn of_this_process() -> Vec<PathBuf> {
    folders(|name| std::env::var_os(name), std::env::current_exe().ok().as_deref())
}

/// Folders that exist and may hold libraries, in the order in which they are tried: the toolkits that CUDA_HOME and CUDA_PATH
/// name, the usual one, conda's environment, and pip's packages: of the environment that this program was installed into, of the
/// active one, of the Pythons on the PATH, of the user.
fn folders(variable: impl Fn(&str) -> Option<OsString>, program: Option<&Path>) -> Vec<PathBuf> {
    let named = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let mut folders = Vec::new();
    for home in [named("CUDA_HOME"), named("CUDA_PATH"), Some("/usr/local/cuda".into())].into_iter().flatten() {
        folders.extend(toolkit(&home));
    }
    if let Some(conda) = named("CONDA_PREFIX") {
        folders.extend(toolkit(&conda));
        folders.extend(packages(&conda));
    }
    if let Some(own) = program.and_then(Path::parent).filter(|folder| folder.ends_with("bin")).and_then(Path::parent) {
        folders.extend(packages(own));
    }
    if let Some(environment) = named("VIRTUAL_ENV") {
        folders.extend(packages(&environment));
    }
    for bin in std::env::split_paths(&variable("PATH").unwrap_or_default()) {
        let python = bin.join("python3");
        if python.exists() {
            folders.extend(packages(bin.parent().unwrap_or(&bin)));
            let real = fs::canonicalize(&python).ok();
            folders.extend(real.iter().filter_map(|real| real.parent()?.parent()).flat_map(packages));
        }
    }
    if let Some(home) = named("HOME") {
        folders.extend(packages(&home.join(".local")));
    }
    distinct(folders)
}

/// A toolkit's library folders; pip's are toolkits too (site-packages/nvidia/cu13), with packages beside them.
fn toolkit(home: &Path) -> Vec<PathBuf> {
    let mut folders =
        ["lib64", "lib", "targets/x86_64-linux/lib", "targets/sbsa-linux/lib"].map(|lib| home.join(lib)).to_vec();
    if home.file_name().is_some_and(|name| name.to_string_lossy().starts_with("cu"))
        && let Some(nvidia) = home.parent().filter(|parent| parent.ends_with("nvidia"))
    {
        folders.extend(children(nvidia).iter().map(|package| package.join("lib")));
    }
    folders
}

/// The library folders of pip's NVIDIA packages below a Python's prefix.
fn packages(prefix: &Path) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for lib in ["lib", "lib64"] {
        let pythons = children(&prefix.join(lib)).into_iter();
        let pythons =
            pythons.filter(|path| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("python3")));
        for python in pythons {
            for site in ["site-packages/nvidia", "dist-packages/nvidia"] {
                folders.extend(children(&python.join(site)).iter().map(|package| package.join("lib")));
            }
        }
    }
    folders
}

/// Folders that may hold the libraries which were installed with this one: its own, and those of pip's packages beside it.
pub fn beside(library: &Path) -> Vec<PathBuf> {
    let Some(own) = library.parent() else { return Vec::new() };
    let mut folders = vec![own.to_owned()];
    if let Some(nvidia) = own.parent().and_then(Path::parent).filter(|folder| folder.ends_with("nvidia")) {
        folders.extend(children(nvidia).iter().map(|package| package.join("lib")));
    }
    distinct(folders)
}

/// The entries of a folder, by name; nothing where there is none.
fn children(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut children: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    children.sort();
    children
}

/// Those that exist, each at its first place, whatever links lead to it.
fn distinct(folders: Vec<PathBuf>) -> Vec<PathBuf> {
    let mut seen = Vec::new();
    let is_new = |folder: &PathBuf| match fs::canonicalize(folder) {
        Ok(real) if real.is_dir() && !seen.contains(&real) => {
            seen.push(real);
            true
        }
        _ => false,
    };
    folders.into_iter().filter(is_new).collect()
}

/// The files with one of these names, the first name's first.
pub fn files(names: &[String], folders: &[PathBuf]) -> Vec<PathBuf> {
    let of_name = |name: &String| folders.iter().map(|folder| folder.join(name)).collect::<Vec<_>>();
    names.iter().flat_map(of_name).filter(|file| file.exists()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine's folders with empty files, and the variables that name them.
    struct Machine(tempfile::TempDir);

    impl Machine {
        fn with(files: &[&str]) -> Machine {
            let root = tempfile::tempdir().unwrap();
            for file in files {
                let path = root.path().join(file);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, "").unwrap();
            }
            Machine(root)
        }

        /// The folders found, relative to the root; none of this machine's own.
        fn folders(&self, variables: &[(&str, &str)]) -> Vec<String> {
            self.folders_for("elsewhere/layertime", variables)
        }

        /// The same for a program at this place.
        fn folders_for(&self, program: &str, variables: &[(&str, &str)]) -> Vec<String> {
            let root = self.0.path();
            let variable = |name: &str| {
                variables.iter().find(|(known, _)| *known == name).map(|(_, value)| root.join(value).into_os_string())
            };
            let relative = |folder: PathBuf| folder.strip_prefix(root).ok().map(|path| path.display().to_string());
            folders(variable, Some(&root.join(program))).into_iter().filter_map(relative).collect()
        }
    }

    const PIP: &str = "venv/lib/python3.12/site-packages/nvidia";

    #[test]
    fn what_is_named_comes_before_conda_and_conda_before_pip() {
        let machine = Machine::with(&[
            "cuda-13/lib64/libcublas.so.13",
            "cuda-12/lib64/libcublas.so.12",
            "conda/lib/libcudnn.so.9",
            "conda/lib/python3.11/site-packages/nvidia/cudnn/lib/libcudnn.so.9",
            &format!("{PIP}/cudnn/lib/libcudnn.so.9"),
            &format!("{PIP}/cu13/lib/libcublas.so.13"),
            "home/.local/lib/python3.9/site-packages/nvidia/cublas/lib/libcublas.so.12",
            "unused/lib64/libcublas.so.11",
        ]);
        let all = [
            ("HOME", "home"),
            ("VIRTUAL_ENV", "venv"),
            ("CONDA_PREFIX", "conda"),
            ("CUDA_PATH", "cuda-12"),
            ("CUDA_HOME", "cuda-13"),
        ];
        assert_eq!(
            machine.folders(&all),
            [
                "cuda-13/lib64",
                "cuda-12/lib64",
                "conda/lib",
                "conda/lib/python3.11/site-packages/nvidia/cudnn/lib",
                &format!("{PIP}/cu13/lib"),
                &format!("{PIP}/cudnn/lib"),
                "home/.local/lib/python3.9/site-packages/nvidia/cublas/lib",
            ]
        );
        assert_eq!(machine.folders(&[]), [""; 0]);
    }

    #[test]
    fn the_python_on_the_path_leads_to_its_packages() {
        let machine = Machine::with(&["venv/bin/python3", &format!("{PIP}/cudnn/lib/libcudnn.so.9")]);
        assert_eq!(machine.folders(&[("PATH", "venv/bin")]), [format!("{PIP}/cudnn/lib")]);
        assert_eq!(machine.folders(&[("PATH", "venv/lib")]), [""; 0]);
    }

    /// `pip install layertime[cuda13]` and a call by path: nothing is active, and nothing on the PATH.
    #[test]
    fn a_program_finds_what_was_installed_with_it() {
        let other = PIP.replace("venv", "other");
        let machine = Machine::with(&[
            &format!("{PIP}/cudnn/lib/libcudnn.so.9"),
            &format!("{PIP}/cu13/lib/libcublas.so.13"),
            &format!("{other}/cudnn/lib/libcudnn.so.9"),
        ]);
        let own = ["cu13", "cudnn"].map(|package| format!("{PIP}/{package}/lib"));
        assert_eq!(machine.folders_for("venv/bin/layertime", &[]), own);
        assert_eq!(machine.folders_for("venv/build/layertime", &[]), [""; 0]);
        let all = [&own[..], &[format!("{other}/cudnn/lib")]].concat();
        assert_eq!(machine.folders_for("venv/bin/layertime", &[("VIRTUAL_ENV", "other")]), all);
    }

    #[test]
    fn pips_toolkit_has_its_packages_beside_it() {
        let machine =
            Machine::with(&[&format!("{PIP}/cudnn/lib/libcudnn.so.9"), &format!("{PIP}/cu13/lib/libcublas.so.13")]);
        let folders = machine.folders(&[("CUDA_HOME", &format!("{PIP}/cu13"))]);
        assert_eq!(folders, [format!("{PIP}/cu13/lib"), format!("{PIP}/cudnn/lib")]);
    }

    #[test]
    fn pips_packages_lie_beside_each_other() {
        let machine =
            Machine::with(&[&format!("{PIP}/cudnn/lib/libcudnn.so.9"), &format!("{PIP}/cu13/lib/libcublas.so.13")]);
        let root = machine.0.path();
        let folders = beside(&root.join(PIP).join("cudnn/lib/libcudnn.so.9"));
        assert_eq!(folders, ["cudnn/lib", "cu13/lib"].map(|folder| root.join(PIP).join(folder)));
        assert_eq!(beside(&root.join("usr/lib/libcudnn.so.9")), [""; 0].map(PathBuf::from));
    }

    #[test]
    fn the_first_name_wins_over_the_first_folder() {
        let machine = Machine::with(&["a/libcublas.so.12", "b/libcublas.so.13"]);
        let folders = ["a", "b"].map(|folder| machine.0.path().join(folder));
        let names = ["libcublas.so.13", "libcublas.so.12"].map(String::from);
        assert_eq!(files(&names, &folders), [folders[1].join(&names[0]), folders[0].join(&names[1])]);
    }
}
