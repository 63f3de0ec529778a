//! Finding NVIDIA's libraries: the driver, cuDNN and cuBLAS.
//!
//! Each is asked for by its exact name, such as `libcudnn.so.9`, and its functions are called through the handle that opened it. The
//! loader's own choice comes first, because the machine's owner set that up; folders where libraries usually are come next.

mod advice;
mod find;
pub(super) mod open;
pub(super) mod search_paths;

use std::path::PathBuf;
use std::sync::OnceLock;

use crate::device::DeviceError;
use advice::{install, packages};

/// The oldest compute capability that all libraries serve. CUDA 13 dropped what came before, and so did cuDNN 9.11.
const TURING: (i32, i32) = (7, 5);
const WITHOUT_VOLTA: (usize, usize) = (9, 11);
/// The cuDNN whose graphs tell how much scratch a configuration needs (cudnn_graph.h: CUDNN_ATTR_ENGINECFG_WORKSPACE_SIZE since 9.2.0).
const WITH_GRAPHS: (usize, usize) = (9, 2);
const FOR_VOLTA: [&str; 2] = ["nvidia-cublas-cu12", "\"nvidia-cudnn-cu12<9.11\""];

/// A library that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Library {
    /// Name, as reports write it.
    pub name: &'static str,
    /// Its own, as text.
    pub version: String,
    /// Major and minor number of that.
    pub number: (usize, usize),
    /// Major and minor number of the CUDA that it belongs to; for the driver, the newest that it serves.
    pub cuda: (usize, usize),
    /// The file that was really loaded.
    pub file: PathBuf,
}

/// All that a run needs, known to fit together.
#[derive(Clone, Debug)]
pub struct Libraries {
    /// libcuda.
    pub driver: Library,
    /// libcudnn.
    pub cudnn: Library,
    /// libcublas.
    pub cublas: Library,
}

/// Each library by itself, or what is missing and how to get it.
#[derive(Clone, Debug)]
pub struct Survey {
    /// libcuda.
    pub driver: Result<Library, String>,
    /// libcudnn.
    pub cudnn: Result<Library, String>,
    /// libcublas.
    pub cublas: Result<Library, String>,
    /// libnvrtc: without it cuDNN has fewer algorithms.
    pub nvrtc: Result<Library, String>,
    /// The file of the driver's compiler of PTX, without which no kernel loads.
    pub ptx_compiler: Result<PathBuf, String>,
}

impl Libraries {
    /// Opens them all, once per process. Must come before the first call of a library.
    pub fn load() -> Result<Libraries, DeviceError> {
        let load = || {
            // Without a driver the large ones are not opened at all.
            find::driver()?;
            let Survey { driver, cudnn, cublas, .. } = survey().clone();
            let found = Libraries { driver: driver?, cudnn: cudnn?, cublas: cublas? };
            found.fit().map(|()| found)
        };
        load().map_err(DeviceError::Unusable)
    }

    /// Opens cuDNN without a driver: it can plan for a GPU that is not there.
    pub fn cudnn_alone() -> Result<Library, DeviceError> {
        survey().cudnn.clone().map_err(DeviceError::Unusable)
    }

    /// The facts that reports list.
    pub fn facts(&self) -> Vec<(&'static str, String)> {
        [("cuda driver", &self.driver), ("cudnn", &self.cudnn), ("cublas", &self.cublas)]
            .map(|(key, library)| (key, library.to_string()))
            .to_vec()
    }

    /// Fails where they do not work together, saying what to do.
    pub fn fit(&self) -> Result<(), String> {
        let Libraries { driver, cudnn, cublas } = self;
        if cudnn.cuda.0 != cublas.cuda.0 {
            let major = cublas.cuda.0;
            return Err(format!("{cudnn} and {cublas} are for different CUDA versions: {}", install("cudnn", major)));
        }
        if cublas.cuda.0 > driver.cuda.0 {
            let (major, minor) = driver.cuda;
            return Err(format!(
                "{cublas} needs a driver for CUDA {}, but this one is for {major}.{minor}: update the driver, or pip install {}",
                cublas.cuda.0,
                packages(&["cublas", "cudnn"], major),
            ));
        }
        Ok(())
    }

    /// Fails where cuDNN's graph API lacks something that a search needs, saying what to do.
    pub fn plan_graphs(&self) -> Result<(), String> {
        let Library { version, number, cuda, .. } = &self.cudnn;
        let (major, minor) = WITH_GRAPHS;
        match *number >= WITH_GRAPHS {
            true => Ok(()),
            false => Err(format!("graphs need cuDNN {major}.{minor}, this is {version}: {}", install("cudnn", cuda.0))),
        }
    }

    /// Fails where they do not serve a GPU of this compute capability, saying what to do.
    pub fn serve(&self, gpu: &str, capability: (i32, i32)) -> Result<(), String> {
        let Libraries { cudnn, cublas, .. } = self;
        let without_volta = [(cublas, cublas.cuda.0 >= 13), (cudnn, cudnn.number >= WITHOUT_VOLTA)];
        match without_volta.into_iter().find(|&(_, without)| without && capability < TURING) {
            Some((library, _)) => {
                let ((major, minor), fix) = (capability, FOR_VOLTA.join(" "));
                Err(format!("{library} does not serve {gpu} (compute capability {major}.{minor}): pip install {fix}"))
            }
            None => Ok(()),
        }
    }
}

impl std::fmt::Display for Library {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{} {} ({})", self.name, self.version, self.file.display())
    }
}

/// Looks for every library, once per process.
pub fn survey() -> &'static Survey {
    static SURVEY: OnceLock<Survey> = OnceLock::new();
    SURVEY.get_or_init(|| {
        let driver = find::driver();
        let newest = driver.as_ref().map_or(13, |driver| driver.cuda.0);
        let folders = search_paths::of_this_process();
        let cudnn = find::cudnn(&folders, newest);
        // Of several, takes the cuBLAS that cuDNN was made for.
        let major = cudnn.as_ref().map_or(newest, |cudnn| cudnn.cuda.0);
        let file = cudnn.as_ref().ok().map(|cudnn| cudnn.file.as_path());
        let (cublas, nvrtc) = (find::cublas(file, &folders, major), find::nvrtc(file, &folders, major));
        Survey { driver, cublas, nvrtc, cudnn, ptx_compiler: find::ptx_compiler() }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn libraries(driver: (usize, usize), cudnn: usize, cublas: usize) -> Libraries {
        let library = |name, cuda| Library { name, version: "V".into(), number: cuda, cuda, file: "F".into() };
        Libraries {
            driver: library("CUDA driver", driver),
            cudnn: library("cuDNN", (cudnn, 0)),
            cublas: library("cuBLAS", (cublas, 0)),
        }
    }

    #[test]
    fn libraries_of_one_major_version_that_the_driver_serves_fit() {
        for (driver, major) in [((13, 0), 13), ((13, 0), 12), ((12, 2), 12)] {
            assert_eq!(libraries(driver, major, major).fit(), Ok(()));
        }
    }

    #[test]
    fn what_cannot_work_is_refused_with_the_way_out() {
        let mixed = libraries((13, 0), 12, 13).fit().unwrap_err();
        assert!(mixed.contains("different CUDA versions: pip install nvidia-cudnn-cu13"), "{mixed}");
        let old_driver = libraries((12, 2), 13, 13).fit().unwrap_err();
        let fix = "this one is for 12.2: update the driver, or pip install nvidia-cublas-cu12 nvidia-cudnn-cu12";
        assert!(old_driver.contains(fix), "{old_driver}");
    }

    #[test]
    fn old_gpus_want_old_libraries() {
        let with = |cuda: usize, number| {
            let found = libraries((13, 0), cuda, cuda);
            Libraries { cudnn: Library { number, ..found.cudnn }, ..found }
        };
        let fix = "pip install nvidia-cublas-cu12 \"nvidia-cudnn-cu12<9.11\"";
        for (cuda, number, library) in [(13, (9, 10), "cuBLAS"), (12, (9, 11), "cuDNN"), (12, (10, 0), "cuDNN")] {
            let refused = with(cuda, number).serve("V100", (7, 0)).unwrap_err();
            assert!(refused.starts_with(library) && refused.contains("V100") && refused.ends_with(fix), "{refused}");
            assert_eq!(with(cuda, number).serve("T4", (7, 5)), Ok(()));
        }
        assert_eq!(with(12, (9, 10)).serve("P100", (6, 0)), Ok(()));
    }
}
