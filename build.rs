//! Embeds the kernels: kernels/ptx as committed, and what nvcc makes of kernels/*.cu where one is found. Which of the two is
//! used is decided when a device is opened (`src/device/cuda/kernels.rs`). Nothing of NVIDIA's is needed to build.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};

use flate2::Compression;
use flate2::write::DeflateEncoder;

/// Stands for nvcc's kernels where there are none.
const NOTHING: &str = "const COMPILED: Option<Compiled> = None;\n";

fn main() {
    let home = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let kernels = home.join("kernels");
    watch(&kernels);
    let committed = table(&files(&kernels.join("ptx"), "ptx"), &out.join("committed"));
    let mut generated = format!("const COMMITTED: ModuleTexts = {committed};\n");
    generated += &match nvcc() {
        Some(nvcc) => compiled(&nvcc, &kernels, &out).unwrap_or_else(|fault| {
            println!("cargo::warning=the committed kernels are embedded instead of nvcc's: {}", one_line(&fault));
            NOTHING.into()
        }),
        None => NOTHING.into(),
    };
    fs::write(out.join("kernels.rs"), generated).expect("OUT_DIR can be written");
    if let Some(commit) = git_commit(&home) {
        println!("cargo::rustc-env=LAYERTIME_GIT_COMMIT={commit}");
    }
}

/// The compiler: the one that NVCC names, else that of CUDA_HOME, CUDA_PATH (pip's are such a folder too:
/// site-packages/nvidia/cu13), PATH or /usr/local/cuda. None where LAYERTIME_KERNELS=committed.
fn nvcc() -> Option<PathBuf> {
    // A folder is for the program when it runs.
    if variable("LAYERTIME_KERNELS").as_deref() == Some("committed") {
        return None;
    }
    if let Some(named) = variable("NVCC") {
        return Some(named.into());
    }
    let homes = [variable("CUDA_HOME"), variable("CUDA_PATH")].into_iter().flatten();
    let of_homes = homes.map(|home| Path::new(&home).join("bin"));
    let path = env::var_os("PATH").unwrap_or_default();
    let usual = PathBuf::from("/usr/local/cuda/bin");
    let mut places = of_homes.chain(env::split_paths(&path)).chain([usual]);
    places.find_map(|place| Some(place.join(format!("nvcc{}", env::consts::EXE_SUFFIX))).filter(|file| file.is_file()))
}

/// The generated constant for what nvcc makes of the kernels; an nvcc that is there may be unable to compile, such as one of CUDA 12
/// beside a newer gcc.
fn compiled(nvcc: &Path, kernels: &Path, out: &Path) -> Result<String, String> {
    let version = release(&run(Command::new(nvcc).arg("--version"))?);
    let lowest = lowest_architecture(&run(Command::new(nvcc).arg("--list-gpu-arch"))?)?;
    let ptx_version = ptx_version(kernels, lowest);
    let mut modules = Vec::new();
    for source in files(kernels, "cu") {
        let target = out.join(source.with_extension("ptx").file_name().expect("a .cu file"));
        let architecture = format!("-arch=compute_{lowest}");
        run(Command::new(nvcc).args(["-ptx", &architecture, "-o"]).args([&target, &source]))?;
        let ptx = fs::read_to_string(&target).expect("nvcc wrote it");
        fs::write(&target, with_header(&ptx, ptx_version.as_deref())).expect("OUT_DIR can be written");
        modules.push(target);
    }
    let (major, minor) = (lowest / 10, lowest % 10);
    let modules = table(&modules, &out.join("compiled"));
    Ok(format!(
        "const COMPILED: Option<Compiled> =\n    \
         Some(Compiled {{ by: {version:?}, capability: ({major}, {minor}), modules: {modules} }});\n"
    ))
}

/// `nvcc 13.5` from what `nvcc --version` prints.
fn release(text: &str) -> String {
    let number = text.split("release ").nth(1).and_then(|rest| rest.split(',').next());
    format!("nvcc {}", number.unwrap_or("of unknown version"))
}

/// 75 from the lines `compute_75`, `compute_80`, …; never older than the kernels can be (nvcc 12 begins with `compute_50`).
fn lowest_architecture(text: &str) -> Result<u32, String> {
    const OLDEST: u32 = 60;
    let numbers = text.lines().filter_map(|line| line.trim().strip_prefix("compute_")?.parse().ok());
    numbers
        .filter(|&number| number >= OLDEST)
        .min()
        .ok_or_else(|| format!("nvcc --list-gpu-arch names no architecture: {text}"))
}

/// The version for the header; `None` for an architecture that is not in the list, which keeps nvcc's own.
fn ptx_version(kernels: &Path, architecture: u32) -> Option<String> {
    let list = fs::read_to_string(kernels.join("ptx_versions.txt")).expect("it is in the repository");
    let rows = list.lines().filter_map(|line| line.split_once(' '));
    rows.filter(|(known, _)| known.parse() == Ok(architecture)).map(|(_, version)| version.into()).next()
}

fn with_header(ptx: &str, version: Option<&str>) -> String {
    let line = |line: &str| match version {
        Some(version) if line.starts_with(".version ") => format!(".version {version}\n"),
        _ => format!("{line}\n"),
    };
    ptx.lines().map(line).collect()
}

/// The output of a command, or why there is none.
fn run(command: &mut Command) -> Result<String, String> {
    match command.output() {
        Ok(output) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        Ok(output) => {
            let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
            Err(format!("{command:?}: {}\n{out}{err}", output.status))
        }
        Err(error) => Err(format!("{command:?}: {error}")),
    }
}

/// A text as cargo shows warnings: a line, of which the first few hundred characters say enough.
fn one_line(text: &str) -> String {
    const MOST: usize = 600;
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(MOST).collect()
}

fn fail(message: &str) -> ! {
    eprintln!("{message}");
    exit(1)
}

/// A folder's files with this extension, by name.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| fail(&format!("{}: {error}", folder.display())));
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut files: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|e| e == extension)).collect();
    files.sort();
    files
}

/// A Rust table of file stems and the files' text, deflated: a tenth of it.
fn table(files: &[PathBuf], folder: &Path) -> String {
    fs::create_dir_all(folder).expect("OUT_DIR can be written");
    let mut table = String::from("&[\n");
    for file in files {
        let stem = file.file_stem().expect("a file").to_string_lossy();
        let text = fs::read(file).unwrap_or_else(|error| fail(&format!("{}: {error}", file.display())));
        let target = folder.join(format!("{stem}.deflated"));
        let mut deflated = DeflateEncoder::new(Vec::new(), Compression::best());
        deflated.write_all(&text).expect("a vector grows");
        fs::write(&target, deflated.finish().expect("a vector grows")).expect("OUT_DIR can be written");
        writeln!(table, "    ({stem:?}, include_bytes!({:?})),", target.display().to_string()).expect("a string grows");
    }
    table + "]"
}

/// The commit that this is a checkout of; a package unpacked inside another repository is none.
fn git_commit(home: &Path) -> Option<String> {
    if !home.join(".git").exists() {
        return None;
    }
    let git = |arguments: &[&str]| {
        let output = Command::new("git").arg("-C").arg(home).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    // The log of HEAD grows with each commit and checkout.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        let log = home.join(log);
        if log.exists() {
            watch(&log);
        }
    }
    git(&["rev-parse", "HEAD"])
}

fn watch(path: &Path) {
    println!("cargo::rerun-if-changed={}", path.display());
}

/// An environment variable that is set and not empty; the build runs again when it changes.
fn variable(name: &str) -> Option<String> {
    println!("cargo::rerun-if-env-changed={name}");
    env::var(name).ok().filter(|value| !value.is_empty())
}
