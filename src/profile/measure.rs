//! One batch size: warm-up, then pairs of one timed and one plain step until the rule says stop.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::conditions::{Observed, Observer};
use super::stopping::{Decision, StoppingRule, relative_error};
use super::summary::{LEAST_GROUPED, is_closed};
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

/// Measures one planned step on a device. Running out of memory is a result, not an error.
pub fn measure(
    device: &dyn Device,
    step: &Step,
    training: Training,
    settings: &MeasureSettings,
    watch: &mut dyn Watch,
) -> Result<Measured, MeasureError> {
    match measure_what_fits(device, step, training, settings, watch) {
        Err(MeasureError::Device(DeviceError::OutOfMemory { needed, .. })) => Ok(out_of_memory(step, needed)),
        other => other,
    }
}

fn measure_what_fits(
    device: &dyn Device,
    step: &Step,
    training: Training,
    settings: &MeasureSettings,
    watch: &mut dyn Watch,
) -> Result<Measured, MeasureError> {
    let used_before = device.used_bytes();
    in_session(device, step, training, |session| {
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
        observed: Observed::default(),
        planned_bytes: session.planned_bytes(),
        measured_bytes: None,
    };
    warm_up(step, session, settings, watch)?;
    let mut observer = Observer::begin(device, &settings.device);
    let sampled = sample(step, session, device.info().launch, settings, watch, &mut observer, &mut measured)?;
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
        observed: Observed::default(),
        planned_bytes: needed,
        measured_bytes: None,
    }
}

/// Steps for the least time, until three in a row agree within 5 %, or until the time for a batch is spent.
fn warm_up(
    step: &Step,
    session: &mut dyn Session,
    settings: &MeasureSettings,
    watch: &mut dyn Watch,
) -> Result<(), MeasureError> {
    let began = Instant::now();
    let mut steps: Vec<f64> = Vec::new();
    loop {
        check(&settings.interrupt)?;
        steps.push(step.plain(session)?);
        watch.warm_up(steps.len());
        let warm = steady(&steps) && began.elapsed() >= settings.rule.warm_up();
        if warm || (steps.len() >= 3 && began.elapsed() >= settings.rule.longest_warm_up()) {
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

/// What marks cost so far: means, because a median would want all samples sorted after each pair.
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
    step: &Step,
    session: &mut dyn Session,
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
    session.set_launch(launch);
    loop {
        check(&settings.interrupt)?;
        let timed_first = philox.below(RandomStream::Pairs, totals.len(), 2) == 0;
        if timed_first {
            measured.samples.push(timed(step, session)?);
        }
        let (plain_us, wall_us) = wall_timed(step, session)?;
        measured.plain_us.push(plain_us);
        if !timed_first {
            measured.samples.push(timed(step, session)?);
        }
        let timed_us = measured.samples.last().map_or(0.0, Sample::total_us);
        marks.add(timed_us, plain_us);
        if marks.stretch() {
            measured.grouped.push(GroupedSample { groups_us: step.grouped(session)?, plain_us });
        }
        measured.wall_us.push(match launch {
            Launch::Queued => live(step, session)?,
            Launch::Live | Launch::Direct => wall_us,
        });
        observer.after_pair();
        totals.push(timed_us);
        let decision = settings.rule.decide(&totals, began.elapsed());
        // Sorting all samples after each pair would keep quick steps, and a GPU, waiting.
        if settings.rule.is_look(totals.len()) {
            width = relative_error(&totals);
        }
        watch.sampled(totals.len(), width, began.elapsed());
        match decision {
            Decision::Continue => {}
            Decision::TargetReached if marks.stretch() && measured.grouped.len() < LEAST_GROUPED => {}
            Decision::TargetReached => return Ok(Status::Ok),
            Decision::TimeUp => return Ok(Status::Noisy),
        }
    }
}

/// A timed step, and the clock across it.
fn timed(step: &Step, session: &mut dyn Session) -> Result<Sample, MeasureError> {
    session.stamp_clock();
    Ok(step.timed(session)?)
}

/// A plain step's duration on the device and on the host.
fn wall_timed(step: &Step, session: &mut dyn Session) -> Result<(f64, f64), MeasureError> {
    let wall = Instant::now();
    let plain_us = step.plain(session)?;
    Ok((plain_us, wall.elapsed().as_secs_f64() * 1e6))
}

/// Host time of a step launched live, between steps that are queued.
fn live(step: &Step, session: &mut dyn Session) -> Result<f64, MeasureError> {
    session.set_launch(Launch::Live);
    let (_, wall_us) = wall_timed(step, session)?;
    session.set_launch(Launch::Queued);
    Ok(wall_us)
}

fn check(interrupt: &Interrupt) -> Result<(), MeasureError> {
    interrupt.signal().map_or(Ok(()), |signal| Err(MeasureError::Interrupted(signal)))
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
