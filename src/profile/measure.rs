//! One batch size: warm-up, then pairs of one timed and one plain step until the rule says stop.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::conditions::{Observed, Observer};
use super::stopping::{Decision, StoppingRule, relative_error};
use super::summary::{LEAST_GROUPED, is_closed};
use super::together::Together;
use super::{Measured, Status};
use crate::device::options::Launch;
use crate::device::{Device, DeviceError, Session, Training, in_session};
use crate::init;
use crate::interrupt::Interrupt;
use crate::philox::{Philox, RandomStream};
use crate::step::{GroupedSample, Sample, Step};

/// The rules of measuring one batch.
#[derive(Clone, Debug)]
pub struct MeasureSettings {
    /// Decides when to stop.
    pub rule: StoppingRule,
    /// Draws the order of timed and plain steps.
    pub seed: u64,
    /// The device's settings when the run began.
    pub device: BTreeMap<String, String>,
    /// Asks for an end before that.
    pub interrupt: Interrupt,
}

/// Shows a caller how measuring goes on. Called between steps.
pub trait Watch: Send {
    /// Warm-up steps so far.
    fn warm_up(&mut self, steps: usize);
    /// Pairs so far, and the last known relative half-width of the median's interval.
    fn sampled(&mut self, pairs: usize, width: Option<f64>, elapsed: Duration);
}

/// Why a batch was not measured to its end.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// The device failed.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A signal asked for an end.
    #[error("interrupted by signal {0}")]
    Interrupted(i32),
}

/// Shows nothing.
pub struct Unwatched;

impl Watch for Unwatched {
    fn warm_up(&mut self, _: usize) {}

    fn sampled(&mut self, _: usize, _: Option<f64>, _: Duration) {}
}

/// Measures one planned step on a device. Running out of memory is a result, not an error: on several ranks, when one has too little.
pub fn measure(
    device: &dyn Device,
    step: &Step,
    training: Training,
    settings: &MeasureSettings,
    watch: &mut dyn Watch,
) -> Result<Measured, MeasureError> {
    let mut met = false;
    match measure_what_fits(device, step, training, settings, watch, &mut met) {
        Err(MeasureError::Device(DeviceError::OutOfMemory { needed, .. })) => {
            // The others have opened theirs, and wait to hear of it.
            let needed = if met { needed } else { Together::new(device.ranks()).largest(needed as f64)? as u64 };
            Ok(out_of_memory(step, needed))
        }
        other => other,
    }
}

fn measure_what_fits(
    device: &dyn Device,
    step: &Step,
    training: Training,
    settings: &MeasureSettings,
    watch: &mut dyn Watch,
    met: &mut bool,
) -> Result<Measured, MeasureError> {
    let used_before = device.used_bytes();
    in_session(device, step, training, |session| {
        *met = true;
        let lacking = Together::new(device.ranks()).largest(0.0)? as u64;
        if lacking > 0 {
            return Err(DeviceError::OutOfMemory { needed: lacking, available: 0, smaller_helps: true }.into());
        }
        let mut measured = in_open_session(device, session, step, training, settings, watch)?;
        measured.measured_bytes = used_before.zip(device.used_bytes()).map(|(before, now)| now.saturating_sub(before));
        Ok(measured)
    })
}

fn in_open_session(
    device: &dyn Device,
    session: &mut dyn Session,
    step: &Step,
    training: Training,
    settings: &MeasureSettings,
    watch: &mut dyn Watch,
) -> Result<Measured, MeasureError> {
    init::fill(session, &step.plan, &training)?;
    let mut measured = Measured {
        plan: step.plan.clone(),
        ops: step.ops.clone(),
        status: Status::Ok,
        algorithms: step.ops.iter().map(|&op| session.algorithm(op)).collect(),
        samples: Vec::new(),
        plain_us: Vec::new(),
        grouped: Vec::new(),
        wall_us: Vec::new(),
        rank_spread_pct: Vec::new(),
        observed: Observed::default(),
        planned_bytes: session.planned_bytes(),
        measured_bytes: None,
    };
    let mut steps = Steps { step, session, together: Together::new(device.ranks()) };
    warm_up(&mut steps, settings, watch)?;
    let mut observer = Observer::begin(device, &settings.device);
    let launch = device.info().launch;
    let sampled = sample(&mut steps, launch, settings, watch, &mut observer, &mut measured)?;
    measured.rank_spread_pct = steps.together.spread_pct();
    measured.observed = observer.end(session.sm_clock_mhz());
    measured.status = status(sampled, &measured.observed);
    Ok(measured)
}

/// The first that holds: what the device suffered comes before what the samples say.
fn status(sampled: Status, seen: &Observed) -> Status {
    match seen.conditions.throttled_samples {
        Some(throttled) if throttled > 0 => Status::Throttled,
        _ if seen.changed => Status::Noisy,
        _ => sampled,
    }
}

fn out_of_memory(step: &Step, needed: u64) -> Measured {
    Measured {
        plan: step.plan.clone(),
        ops: step.ops.clone(),
        status: Status::OutOfMemory,
        algorithms: vec![None; step.ops.len()],
        samples: Vec::new(),
        plain_us: Vec::new(),
        grouped: Vec::new(),
        wall_us: Vec::new(),
        rank_spread_pct: Vec::new(),
        observed: Observed::default(),
        planned_bytes: needed,
        measured_bytes: None,
    }
}

/// The steps of a session, and of the other ranks' at the same time. All wait for one another before each, and durations are the slowest's.
struct Steps<'a> {
    step: &'a Step,
    session: &'a mut dyn Session,
    together: Together<'a>,
}

impl Steps<'_> {
    /// A timed step, and the clock across it.
    fn timed(&mut self) -> Result<Sample, MeasureError> {
        self.together.meet()?;
        self.session.stamp_clock();
        Ok(self.together.timed(&self.step.ops, self.step.timed(self.session)?)?)
    }

    /// A plain step's duration on the device and on the host.
    fn plain(&mut self) -> Result<(f64, f64), MeasureError> {
        self.together.meet()?;
        let wall = Instant::now();
        let plain_us = self.step.plain(self.session)?;
        let mut both_us = [plain_us, wall.elapsed().as_secs_f64() * 1e6];
        self.together.slowest(&mut both_us)?;
        Ok(both_us.into())
    }

    /// A step that is marked only where the group changes.
    fn grouped(&mut self) -> Result<[f64; 3], MeasureError> {
        self.together.meet()?;
        let mut groups_us = self.step.grouped(self.session)?;
        self.together.slowest(&mut groups_us)?;
        Ok(groups_us)
    }

    /// Host time of a step launched live, between steps that are queued.
    fn live(&mut self) -> Result<f64, MeasureError> {
        self.session.set_launch(Launch::Live);
        let (_, wall_us) = self.plain()?;
        self.session.set_launch(Launch::Queued);
        Ok(wall_us)
    }

    /// Ends all ranks when a signal came to one.
    fn check(&self, interrupt: &Interrupt) -> Result<(), MeasureError> {
        match self.together.largest(f64::from(interrupt.signal().unwrap_or(0)))? as i32 {
            0 => Ok(()),
            signal => Err(MeasureError::Interrupted(signal)),
        }
    }
}

/// Steps for the least time, until three in a row agree within 5 %, or until the time for a batch is spent.
fn warm_up(steps: &mut Steps, settings: &MeasureSettings, watch: &mut dyn Watch) -> Result<(), MeasureError> {
    let began = Instant::now();
    let mut steps_us: Vec<f64> = Vec::new();
    loop {
        steps.check(&settings.interrupt)?;
        steps_us.push(steps.plain()?.0);
        watch.warm_up(steps_us.len());
        let elapsed = steps.together.elapsed(began)?;
        let warm = steady(&steps_us) && elapsed >= settings.rule.warm_up();
        if warm || (steps_us.len() >= 3 && elapsed >= settings.rule.longest_warm_up()) {
            return Ok(());
        }
    }
}

/// Tells if the last three agree within 5 %.
fn steady(steps: &[f64]) -> bool {
    let Some(last) = steps.last_chunk::<3>() else { return false };
    let (low, high) = last.iter().fold((f64::INFINITY, 0f64), |(low, high), &step| (low.min(step), high.max(step)));
    high <= low * 1.05
}

/// The cost of marks so far: means, because a median would want all samples sorted after each pair.
#[derive(Default)]
struct Marks {
    timed_us: f64,
    plain_us: f64,
}

impl Marks {
    fn add(&mut self, timed_us: f64, plain_us: f64) {
        self.timed_us += timed_us;
        self.plain_us += plain_us;
    }

    /// Tells if a step with a mark after each phase is not as long as a plain one.
    fn stretch(&self) -> bool {
        !is_closed(self.timed_us / self.plain_us)
    }
}

/// Pairs of a timed and a plain step, the order within a pair drawn at random; whether it became steady enough. Where marks stretch the timed
/// one, a step follows that is marked only where the group of layers changes.
///
/// Host time is that of a step launched live: the pair's plain one, or where pairs are queued, one more after them.
fn sample(
    steps: &mut Steps,
    launch: Launch,
    settings: &MeasureSettings,
    watch: &mut dyn Watch,
    observer: &mut Observer,
    measured: &mut Measured,
) -> Result<Status, MeasureError> {
    let philox = Philox::new(settings.seed);
    let (mut totals, mut width): (Vec<f64>, _) = (Vec::new(), None);
    let mut marks = Marks::default();
    let began = Instant::now();
    steps.session.set_launch(launch);
    loop {
        steps.check(&settings.interrupt)?;
        let timed_first = philox.below(RandomStream::Pairs, totals.len(), 2) == 0;
        if timed_first {
            measured.samples.push(steps.timed()?);
        }
        let (plain_us, wall_us) = steps.plain()?;
        measured.plain_us.push(plain_us);
        if !timed_first {
            measured.samples.push(steps.timed()?);
        }
        let timed_us = measured.samples.last().map_or(0.0, Sample::total_us);
        marks.add(timed_us, plain_us);
        if marks.stretch() {
            measured.grouped.push(GroupedSample { groups_us: steps.grouped()?, plain_us });
        }
        measured.wall_us.push(match launch {
            Launch::Queued => steps.live()?,
            Launch::Live | Launch::Direct => wall_us,
        });
        observer.after_pair();
        totals.push(timed_us);
        let elapsed = steps.together.elapsed(began)?;
        let decision = settings.rule.decide(&totals, elapsed);
        // Sorting all samples after each pair would keep quick steps, and a GPU, waiting.
        if settings.rule.is_look(totals.len()) {
            width = relative_error(&totals);
        }
        watch.sampled(totals.len(), width, elapsed);
        match decision {
            Decision::Continue => {}
            Decision::TargetReached if marks.stretch() && measured.grouped.len() < LEAST_GROUPED => {}
            Decision::TargetReached => return Ok(Status::Ok),
            Decision::TimeUp => return Ok(Status::Noisy),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Status, status, steady};
    use crate::profile::conditions::{Conditions, Observed};

    #[test]
    fn a_slowdown_comes_before_a_change_and_a_change_before_the_target() {
        let seen = |throttled_samples, changed| Observed {
            conditions: Conditions { throttled_samples, ..Conditions::default() },
            changed,
            ..Observed::default()
        };
        assert_eq!(status(Status::Ok, &seen(Some(1), true)), Status::Throttled);
        assert_eq!(status(Status::Ok, &seen(Some(0), true)), Status::Noisy);
        assert_eq!(status(Status::Ok, &seen(Some(0), false)), Status::Ok);
        assert_eq!(status(Status::Noisy, &seen(None, false)), Status::Noisy);
    }

    #[test]
    fn three_steps_within_five_percent_are_steady() {
        assert!(!steady(&[100.0, 100.0]));
        assert!(steady(&[500.0, 100.0, 104.9, 102.0]));
        assert!(!steady(&[100.0, 105.1, 102.0]));
    }
}
