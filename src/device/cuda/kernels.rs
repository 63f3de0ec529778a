//! The embedded kernels: PTX by the stem of their file in `kernels/`.

/// File stems and PTX text.
pub type ModuleTexts = &'static [(&'static str, &'static str)];

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

/// A set of kernels for a device.
#[derive(Clone, Copy, Debug)]
pub struct Kernels {
    /// Who compiled them, for reports.
    pub origin: &'static str,
    /// Their PTX.
    pub modules: ModuleTexts,
}

impl Kernels {
    /// For a device of this compute capability: what nvcc made at build time, or the committed ones where it made none, where
    /// they are too new for the device, or where `LAYERTIME_KERNELS=committed` is set. `None` for a device that is too old.
    pub fn choose(capability: (i32, i32)) -> Option<Kernels> {
        let committed = std::env::var_os("LAYERTIME_KERNELS").is_some_and(|value| value == "committed");
        match COMPILED.filter(|compiled| !committed && capability >= compiled.capability) {
            Some(Compiled { by, modules, .. }) => Some(Kernels { origin: by, modules }),
            None if capability >= COMMITTED_CAPABILITY => Some(Kernels::committed()),
            None => None,
        }
    }

    /// They state a PTX version that every driver takes which this program can use.
    pub fn committed() -> Kernels {
        Kernels { origin: "committed (NVRTC 12.9)", modules: COMMITTED }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn committed_kernels_serve_the_p100_and_nothing_older() {
        let stems: Vec<&str> = COMMITTED.iter().map(|(stem, _)| *stem).collect();
        assert!(stems.is_sorted() && stems.contains(&"sgd") && stems.contains(&"measure"), "{stems:?}");
        for (stem, ptx) in COMMITTED {
            assert!(ptx.contains("\n.version 6.0\n") && ptx.contains("\n.target sm_60\n"), "{stem}");
        }
        assert!(Kernels::choose((5, 2)).is_none());
        assert!(Kernels::choose((6, 0)).unwrap().origin.starts_with("committed"));
    }
}
