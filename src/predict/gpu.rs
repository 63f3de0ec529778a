//! The table of GPUs, and a user's own.

use std::path::Path;

use serde::Deserialize;
use toml::Spanned;
use toml::de::DeTable;

use crate::device::Ceilings;
use crate::model::parse::{check_numbers, line_of, one_line};
use crate::model::range::Range;
use crate::plan::Precision;
use crate::units::quotable;

const BUILT_IN: &str = include_str!("gpus.toml");

const PEAK: Range = Range::From(0.001, 1e6);

/// The keys that hold numbers.
const NUMBERS: [(&str, Range); 9] = [
    ("f32", PEAK),
    ("tf32", PEAK),
    ("f16", PEAK),
    ("bf16", PEAK),
    ("bandwidth", Range::From(0.1, 1e6)),
    ("memory", Range::From(0.1, 1e6)),
    ("sms", Range::Whole(1, 100_000)),
    ("watts", Range::From(1.0, 1e5)),
    ("l2_mb", Range::From(0.001, 1e6)),
];

/// A GPU's datasheet. `gpus.toml` says what the figures mean and where they are from.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gpu {
    /// By which `--gpu` knows it.
    pub name: String,
    /// By which reports know it.
    pub title: String,
    /// Whose fitted constants hold; guessed from the precisions where it is left out.
    pub generation: Option<Generation>,
    /// Dense TFLOP/s; empty where the GPU does not have the precision.
    pub f32: f64,
    /// As `f32`.
    pub tf32: Option<f64>,
    /// As `f32`.
    pub f16: Option<f64>,
    /// As `f32`.
    pub bf16: Option<f64>,
    /// Tells if the precisions other than f32 run on tensor cores.
    #[serde(default = "yes")]
    pub tensor_cores: bool,
    /// 10⁹ bytes per second.
    pub bandwidth: f64,
    /// 10⁹ bytes.
    pub memory: f64,
    /// Streaming multiprocessors.
    pub sms: u32,
    /// The board's power limit.
    pub watts: Option<f64>,
    /// Level-2 cache, 10⁶ bytes.
    pub l2_mb: Option<f64>,
    /// The source of the figures, and how sure they are.
    pub source: Option<String>,
}

/// A generation of GPUs, or a branch of one with cores of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Generation {
    /// 2012, sm_3x.
    Kepler,
    /// 2014, sm_5x.
    Maxwell,
    /// 2016, sm_6x.
    Pascal,
    /// 2017, sm_70: the first with tensor cores.
    Volta,
    /// 2018, sm_75.
    Turing,
    /// 2020, sm_80: GA100.
    Ampere,
    /// 2020, sm_86 and sm_87: the other Ampere chips.
    AmpereGa10x,
    /// 2022, sm_89.
    Ada,
    /// 2022, sm_90.
    Hopper,
    /// 2024, sm_100 and sm_120.
    Blackwell,
}

impl Generation {
    /// The part of its cores that Kepler's schedulers can keep busy without pairing instructions: 128 of 192 (NVIDIA, Kepler
    /// tuning guide).
    pub const KEPLER_ISSUE: f64 = 2.0 / 3.0;

    /// Tells if its multiprocessors have twice the lanes of those before, with as many schedulers to feed them.
    pub fn is_doubled(self) -> bool {
        matches!(self, Generation::AmpereGa10x | Generation::Ada | Generation::Hopper | Generation::Blackwell)
    }

    /// Watts per TFLOP/s (f32) of its large boards, which hold their boost clock.
    pub fn full_power(self) -> f64 {
        match self {
            Generation::Kepler => 36.0,
            Generation::Maxwell => 37.0,
            Generation::Pascal => 22.0,
            Generation::Volta => 19.0,
            Generation::Turing => 18.6,
            Generation::Ampere => 20.0,
            Generation::AmpereGa10x => 9.5,
            Generation::Ada => 5.2,
            Generation::Hopper => 10.4,
            Generation::Blackwell => 5.5,
        }
    }

    /// Tells if more than twenty whole steps on its GPUs are among the published figures.
    pub fn is_measured(self) -> bool {
        self <= Generation::AmpereGa10x
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    gpu: Vec<Spanned<Gpu>>,
}

/// Why a GPU cannot be predicted for.
#[derive(Debug, thiserror::Error)]
pub enum GpuError {
    /// A fault in a GPU file.
    #[error("{file}:{line}: {message}")]
    Description {
        /// Path of the file.
        file: String,
        /// Line of the fault, from 1.
        line: usize,
        /// The fault in words.
        message: String,
    },
    /// The file cannot be read.
    #[error("cannot read the GPU file {file}")]
    Unreadable {
        /// Path of the file.
        file: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// No GPU has that name.
    #[error("no GPU is named `{name}`{near}: give one of {known}, all, or your own with --gpu-file")]
    Unknown {
        /// The name that was asked for.
        name: String,
        /// A name that is near to it, in words.
        near: String,
        /// The names that there are.
        known: String,
    },
    /// The GPU does not have the precision.
    #[error("{title} has no {precision}: it has {has}")]
    NoPrecision {
        /// Title of the GPU.
        title: String,
        /// The precision that was asked for.
        precision: Precision,
        /// The precisions that it has.
        has: String,
    },
}

impl Gpu {
    /// Those that come with the program.
    pub fn built_in() -> Vec<Gpu> {
        Gpu::parse(BUILT_IN, "gpus.toml").expect("the program's own table, read by every test")
    }

    /// A user's own.
    pub fn read(path: &Path) -> Result<Vec<Gpu>, GpuError> {
        let file = path.display().to_string();
        let text =
            std::fs::read_to_string(path).map_err(|source| GpuError::Unreadable { file: file.clone(), source })?;
        Gpu::parse(&text, &file)
    }

    /// Reads a table; `file` is what errors call it.
    pub fn parse(text: &str, file: &str) -> Result<Vec<Gpu>, GpuError> {
        let fault = |at: usize, message: String| {
            let line = line_of(text, at);
            GpuError::Description { file: file.into(), line, message }
        };
        if let Ok(document) = DeTable::parse(text) {
            let entries = document.get_ref().get("gpu").and_then(|entries| entries.get_ref().as_array());
            for entry in entries.into_iter().flat_map(|entries| entries.iter()) {
                let checked = entry.get_ref().as_table().map_or(Ok(()), |keys| check_numbers(keys, &NUMBERS));
                checked.map_err(|wrong| fault(wrong.at.start, wrong.message))?;
            }
        }
        let table: File = toml::from_str(text)
            .map_err(|error| fault(error.span().map_or(0, |span| span.start), one_line(error.message())))?;
        let mut gpus: Vec<Gpu> = Vec::new();
        for entry in table.gpu {
            let at = entry.span().start;
            let gpu = entry.into_inner();
            if let Some(message) = gpu.fault().or_else(|| gpu.is_doubled(&gpus)) {
                return Err(fault(at, message));
            }
            gpus.push(gpu);
        }
        if gpus.is_empty() {
            return Err(fault(0, "the file has no [[gpu]]".into()));
        }
        Ok(gpus)
    }

    /// The one that is meant: by name or title, whatever the case and the hyphens.
    pub fn find<'g>(gpus: &'g [Gpu], name: &str) -> Result<&'g Gpu, GpuError> {
        let wanted = plain(name);
        let is = |gpu: &&Gpu| [&gpu.name, &gpu.title].into_iter().any(|known| plain(known) == wanted);
        gpus.iter().find(is).ok_or_else(|| {
            let near = |gpu: &&Gpu| !wanted.is_empty() && plain(&gpu.name).contains(&wanted);
            let near: Vec<&str> = gpus.iter().filter(near).map(|gpu| gpu.name.as_str()).collect();
            GpuError::Unknown {
                name: name.into(),
                near: if near.is_empty() { String::new() } else { format!(" (did you mean {}?)", near.join(" or ")) },
                known: gpus.iter().map(|gpu| gpu.name.as_str()).collect::<Vec<_>>().join(", "),
            }
        })
    }

    /// The datasheet's peaks in a precision.
    pub fn ceilings(&self, precision: Precision) -> Result<Ceilings, GpuError> {
        let Some(peak) = self.peak(precision) else {
            let has = Precision::ALL.into_iter().filter(|&precision| self.peak(precision).is_some());
            let has = has.map(|precision| precision.to_string()).collect::<Vec<_>>().join(", ");
            return Err(GpuError::NoPrecision { title: self.title.clone(), precision, has });
        };
        Ok(Ceilings { gemm_flops_per_s: peak * 1e12, copy_bytes_per_s: self.bandwidth * 1e9, copied_bytes: None })
    }

    /// Dense peak of a precision, in TFLOP/s; `None` where the GPU does not have it.
    pub fn peak(&self, precision: Precision) -> Option<f64> {
        match precision {
            Precision::F32 => Some(self.f32),
            Precision::Tf32 => self.tf32,
            Precision::F16 => self.f16,
            Precision::Bf16 => self.bf16,
            // That of its convolutions, where both are there.
            Precision::Tf32F32 => self.tf32,
            Precision::F32Tf32 => self.tf32.map(|_| self.f32),
        }
    }

    /// Peak of f32, in FLOP/s.
    pub fn f32_flops_per_s(&self) -> f64 {
        self.f32 * 1e12
    }

    /// Tells if multiply-adds of a precision run on tensor cores.
    pub fn uses_tensor_cores(&self, precision: Precision) -> bool {
        self.tensor_cores && precision != Precision::F32
    }

    /// Tells if a precision has elements of 16 bits that tensor cores multiply.
    pub fn has_half_tensors(&self, precision: Precision) -> bool {
        precision.element_bytes() == 2 && self.uses_tensor_cores(precision)
    }

    /// Its generation, or the one that its precisions point to.
    pub fn generation(&self) -> Generation {
        self.generation.unwrap_or(match (self.bf16, self.f16.filter(|_| self.tensor_cores)) {
            (Some(_), _) => Generation::Ampere,
            (None, Some(_)) => Generation::Turing,
            (None, None) => Generation::Pascal,
        })
    }

    /// Multiply-adds that a multiprocessor starts in a clock, in f32. With 64, more than 0.25 TFLOP/s would need 2 GHz.
    pub fn lanes(&self) -> f64 {
        match self.generation() {
            Generation::Kepler => 192.0,
            _ if self.f32 / f64::from(self.sms) > 0.25 => 128.0,
            _ => 64.0,
        }
    }

    /// Clocks of all multiprocessors together in a µs.
    pub fn clocks_per_us(&self) -> f64 {
        self.f32 * 1e6 / (2.0 * self.lanes())
    }

    /// Memory in bytes.
    pub fn bytes(&self) -> u64 {
        (self.memory * 1e9) as u64
    }

    /// Tells if `--gpu` could not tell the two apart.
    pub fn is_namesake(&self, other: &Gpu) -> bool {
        plain(&self.name) == plain(&other.name)
    }

    /// Finds a fault in an entry taken by itself.
    fn fault(&self) -> Option<String> {
        let printable = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        if self.name.is_empty() || self.name == "all" || !self.name.chars().all(printable) {
            return Some(format!(
                "the name `{}` may hold letters, digits, _ - and . only, and not be `all`",
                quotable(&self.name)
            ));
        }
        if self.title.trim().is_empty() {
            return Some("title must not be empty".into());
        }
        None
    }

    fn is_doubled(&self, others: &[Gpu]) -> Option<String> {
        let double = others.iter().any(|other| other.is_namesake(self));
        double.then(|| format!("two GPUs are named `{}`: names must differ", self.name))
    }
}

/// Letters and digits only, in lower case.
fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase()
}

fn yes() -> bool {
    true
}
