//! The kernels: embedded PTX by the stem of their file in `kernels/`, or files of a folder that the user names.

use std::io::Read;
use std::path::Path;

use flate2::read::DeflateDecoder;

use crate::device::DeviceError;

/// File stems and deflated PTX.
pub type ModuleTexts = &'static [(&'static str, &'static [u8])];

/// The kernels that nvcc made when this program was built.
struct Compiled {
    /// Such as `nvcc 13.5`.
    by: &'static str,
    /// The lowest compute capability that it serves.
    capability: (i32, i32),
    modules: ModuleTexts,
}

include!(concat!(env!("OUT_DIR"), "/kernels.rs"));

/// The oldest compute capability of the committed kernels: P100 and all that came after.
const COMMITTED_CAPABILITY: (i32, i32) = (6, 0);

/// Names the kernels to use: `committed`, or a folder of `.ptx` and `.cubin` files to use in place of those of the same stem.
const VARIABLE: &str = "LAYERTIME_KERNELS";

/// A set of kernels for a device.
#[derive(Clone, Debug)]
pub struct Kernels {
    /// Who compiled them, for reports.
    pub origin: String,
    /// One per file of `kernels/`.
    pub modules: Vec<KernelModule>,
}

/// The kernels of one file.
#[derive(Clone, Debug)]
pub struct KernelModule {
    /// PTX, or machine code for one architecture.
    pub image: Vec<u8>,
    /// PTX that declares the same kernels and parameters; machine code does not tell them.
    pub declarations: String,
}

impl Kernels {
    /// The kernels for a device of this compute capability: nvcc's of build time, or the committed ones where it made none, where
    /// they are too new for the device, or where `LAYERTIME_KERNELS=committed` is set. Files of the folder that `LAYERTIME_KERNELS` names
    /// stand in for those of the same stem. `None` for a device that is too old; an error for a folder that cannot be read.
    pub fn choose(capability: (i32, i32)) -> Result<Option<Kernels>, DeviceError> {
        let named = std::env::var_os(VARIABLE).filter(|value| !value.is_empty());
        let committed = named.as_ref().is_some_and(|value| value == "committed");
        let kernels = match COMPILED.filter(|compiled| !committed && capability >= compiled.capability) {
            Some(Compiled { by, modules, .. }) => Kernels::embedded(by, modules),
            None if capability >= COMMITTED_CAPABILITY => Kernels::committed(),
            None => return Ok(None),
        };
        match named.filter(|_| !committed) {
            Some(folder) => kernels.with_files_of(Path::new(&folder)).map(Some),
            None => Ok(Some(kernels)),
        }
    }

    /// They state a PTX version that every driver takes which this program can use.
    pub fn committed() -> Kernels {
        Kernels::embedded("committed (NVRTC 12.9)", COMMITTED)
    }

    fn embedded(origin: &str, modules: ModuleTexts) -> Kernels {
        let module = |&(_, deflated): &(&str, &[u8])| {
            let ptx = inflated(deflated);
            KernelModule { image: ptx.clone().into_bytes(), declarations: ptx }
        };
        Kernels { origin: origin.to_owned(), modules: modules.iter().map(module).collect() }
    }

    fn with_files_of(mut self, folder: &Path) -> Result<Kernels, DeviceError> {
        let mut found = Vec::new();
        for (module, &(stem, committed)) in self.modules.iter_mut().zip(COMMITTED) {
            for end in ["ptx", "cubin"] {
                let file = folder.join(stem).with_extension(end);
                if !file.is_file() {
                    continue;
                }
                let image = std::fs::read(&file).map_err(|error| unusable(&file, &error.to_string()))?;
                module.declarations = match end {
                    "ptx" => String::from_utf8_lossy(&image).into_owned(),
                    _ => inflated(committed),
                };
                module.image = image;
                found.push(format!("{stem}.{end}"));
            }
        }
        if found.is_empty() {
            return Err(unusable(folder, "it holds no .ptx or .cubin of a kernel"));
        }
        self.origin += &format!("; {} from {}", found.join(", "), folder.display());
        Ok(self)
    }
}

/// The text of embedded kernels.
fn inflated(deflated: &[u8]) -> String {
    let mut text = String::new();
    DeflateDecoder::new(deflated).read_to_string(&mut text).expect("build.rs deflated it");
    text
}

fn unusable(path: &Path, why: &str) -> DeviceError {
    DeviceError::Usage(format!("{VARIABLE}: {}: {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn committed_kernels_serve_the_p100_and_nothing_older() {
        let stems: Vec<&str> = COMMITTED.iter().map(|(stem, _)| *stem).collect();
        assert!(stems.is_sorted() && stems.contains(&"sgd") && stems.contains(&"measure"), "{stems:?}");
        for &(stem, deflated) in COMMITTED {
            let ptx = inflated(deflated);
            assert!(ptx.contains("\n.version 6.0\n") && ptx.contains("\n.target sm_60\n"), "{stem}");
        }
        assert!(Kernels::choose((5, 2)).unwrap().is_none());
        assert!(Kernels::choose((6, 0)).unwrap().unwrap().origin.starts_with("committed"));
    }

    #[test]
    fn a_folders_files_stand_in() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Kernels::committed().with_files_of(folder.path()).is_err());
        std::fs::write(folder.path().join("sgd.cubin"), [0x7f, 0x45, 0x4c, 0x46]).unwrap();
        let kernels = Kernels::committed().with_files_of(folder.path()).unwrap();
        let sgd = COMMITTED.iter().position(|(stem, _)| *stem == "sgd").unwrap();
        assert_eq!(kernels.modules[sgd].image, [0x7f, 0x45, 0x4c, 0x46]);
        assert!(kernels.modules[sgd].declarations.contains(".entry sgd_f32"));
        assert!(kernels.origin.contains("; sgd.cubin from "), "{}", kernels.origin);
        let others = kernels.modules.iter().filter(|module| module.image.starts_with(b"//"));
        assert_eq!(others.count(), COMMITTED.len() - 1);
    }
}
