//! The load that other programs put on the processors, from Linux's counters; nothing is known elsewhere.

use std::path::{Path, PathBuf};

/// Names the folder of the counters in place of `/proc`, for tests that are not to depend on what else runs.
const FOLDER: &str = "LAYERTIME_PROC";

/// Ticks of 10 ms on each processor below which a difference says nothing.
const FEWEST_TICKS: f64 = 10.0;

/// Of a processor: so much goes to the system itself, and disturbs nothing.
const NOTHING: f64 = 0.25;

/// Reads the counters.
#[derive(Clone, Debug)]
pub struct LoadMeter {
    folder: PathBuf,
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moment {
    processors: usize,
    /// Of all processors, busy or not.
    ticks: u64,
    /// Of all programs, and taken by other virtual machines.
    busy: u64,
    /// Of this program.
    own: u64,
}

/// The load between two moments.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OthersLoad {
    /// Processors that other programs kept busy, on average.
    pub busy: f64,
    /// Processors that there are.
    pub processors: usize,
}

impl Default for LoadMeter {
    fn default() -> LoadMeter {
        LoadMeter::at(std::env::var_os(FOLDER).map_or(PathBuf::from("/proc"), PathBuf::from))
    }
}

impl LoadMeter {
    /// Reads `stat` and `self/stat` of this folder.
    pub fn at(folder: impl Into<PathBuf>) -> LoadMeter {
        LoadMeter { folder: folder.into() }
    }

    /// The counters now; `None` where there are none.
    pub fn read(&self) -> Option<Moment> {
        let text = |name: &str| std::fs::read_to_string(self.folder.join(Path::new(name))).ok();
        moment(&text("stat")?, &text("self/stat")?)
    }

    /// The load since a moment; `None` where it is too short ago.
    pub fn since(&self, before: Option<Moment>) -> Option<OthersLoad> {
        between(before?, self.read()?)
    }
}

/// The columns are those of proc_stat(5) and proc_pid_stat(5).
fn moment(stat: &str, own: &str) -> Option<Moment> {
    let all = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let all: Vec<u64> = all.split_whitespace().map_while(|field| field.parse().ok()).collect();
    let [user, nice, system, idle, iowait, irq, softirq, steal] = *all.first_chunk()?;
    let busy = user + nice + system + irq + softirq + steal;
    let is_processor =
        |line: &&str| line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    // The name of the program is in brackets and may hold anything.
    let mut own = own.rsplit_once(')')?.1.split_whitespace().skip(11).map_while(|field| field.parse::<u64>().ok());
    Some(Moment {
        processors: stat.lines().filter(is_processor).count().max(1),
        ticks: busy + idle + iowait,
        busy,
        own: own.next()? + own.next()?,
    })
}

fn between(before: Moment, now: Moment) -> Option<OthersLoad> {
    let since = |count: fn(&Moment) -> u64| count(&now).saturating_sub(count(&before)) as f64;
    let ticks = since(|moment| moment.ticks) / now.processors as f64;
    let busy = (since(|moment| moment.busy) - since(|moment| moment.own)).max(0.0) / ticks;
    (ticks >= FEWEST_TICKS).then_some(OthersLoad { busy, processors: now.processors })
}

impl OthersLoad {
    /// Tells if a run on this many threads has to share processors.
    pub fn disturbs(self, threads: usize) -> bool {
        self.busy > NOTHING && self.busy + threads as f64 > self.processors as f64 + NOTHING
    }

    /// To be said before measuring, where the machine is busy.
    pub fn warning(self, threads: usize) -> Option<String> {
        let advice = "times will be noisy and too long; end them, or measure longer (--max-time)";
        self.disturbs(threads).then(|| format!("the machine is busy: other programs keep {self}; {advice}"))
    }

    /// How much of a batch's noise the load explains.
    pub fn explanation(self, threads: usize) -> String {
        match self.disturbs(threads) {
            true => format!("noisy while other programs kept {self}"),
            false => format!("noisy, but not by other programs, which kept {self}"),
        }
    }
}

impl std::fmt::Display for OthersLoad {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{:.1} of {} processors busy", self.busy, self.processors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: (&str, &str) = (
        "cpu  1000 10 90 5000 100 0 0 0 0 0\ncpu0 500 5 45 2500 50 0 0 0 0 0\ncpu1 500 5 45 2500 50 0 0 0 0 0\nintr 1\n",
        "77 (a (b) c) R 1 1 1 0 -1 0 0 0 0 0 200 50 0 0 20 0 3 0",
    );

    fn meter(texts: (&str, &str)) -> (tempfile::TempDir, LoadMeter) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("self")).unwrap();
        std::fs::write(folder.path().join("stat"), texts.0).unwrap();
        std::fs::write(folder.path().join("self/stat"), texts.1).unwrap();
        let meter = LoadMeter::at(folder.path());
        (folder, meter)
    }

    /// By hand: a second of 100 ticks on two processors. 190 of 200 are busy, this program has 100 of them, so others 90: 0.9
    /// processors.
    #[test]
    fn others_are_what_is_not_our_own() {
        let (folder, meter) = meter(BEFORE);
        let before = meter.read();
        let all = "cpu  1150 10 120 5008 102 0 4 6 0 0";
        std::fs::write(folder.path().join("stat"), BEFORE.0.replace("cpu  1000 10 90 5000 100 0 0 0 0 0", all))
            .unwrap();
        std::fs::write(folder.path().join("self/stat"), BEFORE.1.replace("200 50", "280 70")).unwrap();
        let load = meter.since(before).unwrap();
        assert_eq!(load, OthersLoad { busy: 0.9, processors: 2 });
        assert_eq!(meter.since(meter.read()), None, "no time has passed");
        assert_eq!(LoadMeter::at("/nonexistent").read(), None);
        assert_eq!(moment("cpu  x\n", BEFORE.1), None);
    }

    #[test]
    fn a_load_matters_where_processors_are_shared() {
        let load = |busy, processors| OthersLoad { busy, processors };
        assert_eq!(load(0.1, 2).warning(2), None);
        assert_eq!(load(2.0, 8).warning(4), None, "there are processors left");
        let warning = load(1.94, 2).warning(2).unwrap();
        assert!(warning.starts_with("the machine is busy: other programs keep 1.9 of 2 processors busy;"), "{warning}");
        assert_eq!(load(1.94, 2).explanation(2), "noisy while other programs kept 1.9 of 2 processors busy");
        let other = "noisy, but not by other programs, which kept 0.1 of 2 processors busy";
        assert_eq!(load(0.1, 2).explanation(2), other);
    }
}
