//! The values that options take, beyond what clap knows: sizes with units, percentages, lists of image sizes.

use std::str::FromStr;
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use layertime::device::monitor::Clock;
use layertime::device::options::{CudnnApi, Launch, Layout, Reduce, Search};
use layertime::plan::{LARGEST_BATCH, LARGEST_IMAGE, Phase, Precision};
use layertime::predict::Program;
use layertime::report::lines::By;

const LARGEST_CONSTANT: f32 = 1e6;
const MOST_THREADS: usize = 4096;
/// Ranks that verify starts as threads.
const MOST_RANKS: usize = 64;
const MOST_SAMPLES: usize = 1_000_000;
const FASTEST: u32 = 100_000;
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// A word of a short list, each with a line of help where it is not empty.
fn words<T>(words: impl IntoIterator<Item = (&'static str, &'static str)>) -> impl TypedValueParser<Value = T>
where
    T: FromStr<Err = String> + Clone + Send + Sync + 'static,
{
    let possible = words.into_iter().map(|(word, help)| {
        let possible = PossibleValue::new(word);
        if help.is_empty() { possible } else { possible.help(help) }
    });
    PossibleValuesParser::new(possible.collect::<Vec<_>>()).try_map(|word| word.parse::<T>())
}

pub fn precision() -> impl TypedValueParser<Value = Precision> {
    words([
        (Precision::F32.name(), "IEEE single precision everywhere"),
        (Precision::Tf32.name(), ""),
        (Precision::F16.name(), ""),
        (Precision::Bf16.name(), ""),
    ])
}

pub fn fc_precision() -> impl TypedValueParser<Value = Precision> {
    words([(Precision::F32.name(), ""), (Precision::Tf32.name(), "")])
}

pub fn layout() -> impl TypedValueParser<Value = Layout> {
    words(Layout::ALL.map(|layout| (layout.name(), "")))
}

/// Without [`Launch::Direct`]: the CPU has nothing else, and a GPU does not have it.
pub fn launch() -> impl TypedValueParser<Value = Launch> {
    words([
        (Launch::Queued.name(), "The stream is held until the step is enqueued: no launch gaps inside phases"),
        (Launch::Live.name(), "The device runs while the host enqueues"),
    ])
}

/// Algorithms that convolutions may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithms {
    /// A GPU's by this search; the CPU's by its rules.
    Search(Search),
    /// The CPU's direct ones alone.
    Direct,
}

impl FromStr for Algorithms {
    type Err = String;

    fn from_str(text: &str) -> Result<Algorithms, String> {
        if text == "direct" { Ok(Algorithms::Direct) } else { text.parse().map(Algorithms::Search) }
    }
}

pub fn algorithms() -> impl TypedValueParser<Value = Algorithms> {
    words([
        (Search::Exhaustive.name(), "Time a GPU's; on the CPU Winograd where it serves, by rule"),
        (Search::Heuristic.name(), "Ask a GPU's library"),
        ("direct", "On the CPU: without Winograd, as frameworks compute there"),
    ])
}

pub fn search() -> impl TypedValueParser<Value = Search> {
    words([(Search::Exhaustive.name(), "Time them all"), (Search::Heuristic.name(), "Ask the library")])
}

pub fn program() -> impl TypedValueParser<Value = Program> {
    words(Program::ALL.map(|program| (program.name(), "")))
}

pub fn reduce() -> impl TypedValueParser<Value = Reduce> {
    words([(Reduce::Serial.name(), "Each layer's behind its backward pass: what it costs alone")])
}

pub fn cudnn() -> impl TypedValueParser<Value = CudnnApi> {
    words([
        (CudnnApi::Graph.name(), "Operation graphs; every permitted engine is timed"),
        (CudnnApi::Legacy.name(), "A function per direction, whose algorithms are timed"),
    ])
}

/// One batch size.
pub fn batch(text: &str) -> Result<usize, String> {
    let batch = text.parse().ok().filter(|batch| (1..=LARGEST_BATCH).contains(batch));
    batch.ok_or_else(|| format!("a batch size is a whole number from 1 to {LARGEST_BATCH}, such as 32"))
}

/// One of a list of batch sizes.
pub fn batches(text: &str) -> Result<usize, String> {
    batch(text).map_err(|fault| fault + " or a list 1,2,4")
}

/// An image's height and width, written as one side or HxW.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageSize(pub [usize; 2]);

impl FromStr for ImageSize {
    type Err = String;

    fn from_str(text: &str) -> Result<ImageSize, String> {
        let fault = || {
            format!("an image size is a side such as 224 or HEIGHTxWIDTH such as 224x192, from 1 to {LARGEST_IMAGE}")
        };
        let (height, width) = text.split_once('x').unwrap_or((text, text));
        let side = |text: &str| text.parse().ok().filter(|side| (1..=LARGEST_IMAGE).contains(side)).ok_or_else(fault);
        Ok(ImageSize([side(height)?, side(width)?]))
    }
}

/// A percentage such as `1%` or `0.5%`, as a fraction.
pub fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
    number
        .filter(|percent| percent.is_finite() && *percent > 0.0 && *percent <= 100.0)
        .map(|percent| percent / 100.0)
        .ok_or_else(|| "give a percentage above 0 and up to 100, such as 1%".into())
}

/// A percentage from 0 up, as a fraction.
pub fn percent_or_none(text: &str) -> Result<f64, String> {
    if matches!(text, "0%" | "0.0%") { Ok(0.0) } else { percent(text) }
}

/// `slower:5%`, as a fraction.
pub fn slower(text: &str) -> Result<f64, String> {
    let fraction = text.strip_prefix("slower:").and_then(|text| percent_or_none(text).ok());
    fraction.ok_or_else(|| "give slower: and a percentage, such as slower:5%".into())
}

/// A number of bytes with a unit, such as `256MiB`.
pub fn bytes(text: &str) -> Result<u64, String> {
    parse_size::parse_size(text).map_err(|_| "a size is a number with a unit, such as 256MiB or 1GB".into())
}

/// A duration with a unit, such as `15s`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).ok().filter(|duration| *duration <= LONGEST);
    duration.ok_or_else(|| "a duration is a number with a unit, such as 15s, 500ms or 2m, up to 1day".into())
}

/// A training constant.
pub fn constant(text: &str) -> Result<f32, String> {
    let number = text.parse::<f32>().ok().filter(|number| (0.0..=LARGEST_CONSTANT).contains(number));
    number.ok_or_else(|| format!("a constant is a number from 0 to {LARGEST_CONSTANT}, such as 0.01"))
}

/// A phase by its name.
pub fn phase(text: &str) -> Result<Phase, String> {
    let named = Phase::ALL.into_iter().find(|phase| phase.name() == text.replace('-', "_"));
    named.ok_or_else(|| format!("a phase is one of {}", Phase::ALL.map(Phase::name).join(", ")))
}

/// An SM clock to lock.
pub fn clock(text: &str) -> Result<Clock, String> {
    match text {
        "base" => Ok(Clock::Base),
        "max" => Ok(Clock::Max),
        _ => mhz(text).map(Clock::Mhz).map_err(|_| "an SM clock is MHz such as 1410, base or max".into()),
    }
}

/// A clock in MHz.
pub fn mhz(text: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|mhz| (1..=FASTEST).contains(mhz));
    number.ok_or_else(|| format!("a clock is a whole number of MHz from 1 to {FASTEST}, such as 1215"))
}

/// A number of samples.
pub fn samples(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (0..=MOST_SAMPLES).contains(number));
    number.ok_or_else(|| format!("a number of samples is a whole number from 0 to {MOST_SAMPLES}, such as 30"))
}

pub fn by() -> impl TypedValueParser<Value = By> {
    words(By::ALL.map(|by| (by.name(), "")))
}

/// A number of lines, or all.
pub fn top(text: &str) -> Result<usize, String> {
    if text == "all" {
        return Ok(usize::MAX);
    }
    let number = text.parse().ok().filter(|number| (1..=MOST_SAMPLES).contains(number));
    number.ok_or_else(|| format!("a number of layers is a whole number from 1 to {MOST_SAMPLES}, such as 5, or all"))
}

/// A seed.
pub fn seed(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("a seed is a whole number from 0 to {}, such as 7", u64::MAX))
}

/// A number of threads.
pub fn threads(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=MOST_THREADS).contains(number));
    number.ok_or_else(|| format!("a number of threads is a whole number from 1 to {MOST_THREADS}, such as 2"))
}

/// A number of ranks that are to train as one.
pub fn ranks(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (2..=MOST_RANKS).contains(number));
    number.ok_or_else(|| format!("a number of ranks is a whole number from 2 to {MOST_RANKS}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batch_sizes() {
        assert_eq!(batch("32"), Ok(32));
        assert!(batches("x").unwrap_err().ends_with("such as 32 or a list 1,2,4"));
        for bad in ["0", "1099511627776", "x", "-1", "", "1.5", "99999999999999999999999"] {
            assert!(batch(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn image_sizes() {
        assert_eq!("224".parse(), Ok(ImageSize([224, 224])));
        assert_eq!("224x192".parse(), Ok(ImageSize([224, 192])));
        for bad in ["0", "224x", "x224", "224x192x3", "-5"] {
            assert!(bad.parse::<ImageSize>().is_err(), "{bad}");
        }
    }

    #[test]
    fn limits_are_told() {
        assert_eq!((constant("0.9"), constant("0"), threads("2")), (Ok(0.9), Ok(0.0), Ok(2)));
        for bad in ["1e300", "1e7", "NaN", "inf", "-1"] {
            assert!(constant(bad).unwrap_err().contains("to 1000000"), "{bad}");
        }
        assert!(threads("1000000").unwrap_err().contains("to 4096"));
    }

    #[test]
    fn clocks() {
        assert_eq!(
            (clock("1410"), clock("base"), clock("max")),
            (Ok(Clock::Mhz(1410)), Ok(Clock::Base), Ok(Clock::Max))
        );
        for bad in ["0", "-5", "1.4GHz", "boost", "", "4294967297"] {
            assert!(clock(bad).is_err() && mhz(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn percentages() {
        assert_eq!(percent("1%"), Ok(0.01));
        assert_eq!(percent("0.5%"), Ok(0.005));
        for bad in ["1", "0%", "-1%", "NaN%", "101%", "%"] {
            assert!(percent(bad).is_err(), "{bad}");
        }
        assert_eq!((percent_or_none("0%"), slower("slower:5%"), slower("slower:0%")), (Ok(0.0), Ok(0.05), Ok(0.0)));
        for bad in ["5%", "slower", "slower:5", "faster:5%", "slower:-1%"] {
            assert!(slower(bad).is_err(), "{bad}");
        }
    }
}
