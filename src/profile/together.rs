//! Measuring on several ranks: all run the same steps, and decide alike because they decide by the same figures.
//!
//! A duration is the slowest rank's, but that of an all_reduce is the fastest's: the others' hold their waiting for it too, which is
//! counted already in what it did before. One rank alone asks nobody.

use std::time::{Duration, Instant};

use crate::device::DeviceError;
use crate::plan::Phase;
use crate::ranks::Ranks;
use crate::step::{Op, Sample};

/// The ranks that measure together, and how far apart they were.
pub struct Together<'a> {
    ranks: Option<&'a Ranks>,
    /// Per operation: the spread in percent, summed over the timed steps.
    spread_pct: Vec<f64>,
    steps: usize,
}

impl<'a> Together<'a> {
    /// Without ranks, one alone.
    pub fn new(ranks: Option<&'a Ranks>) -> Together<'a> {
        Together { ranks, spread_pct: Vec::new(), steps: 0 }
    }

    /// Waits for all before a step, outside its time.
    pub fn meet(&self) -> Result<(), DeviceError> {
        Ok(self.ranks.map_or(Ok(()), |ranks| ranks.barrier())?)
    }

    /// The largest value of all ranks.
    pub fn largest(&self, value: f64) -> Result<f64, DeviceError> {
        let mut values = [value];
        self.slowest(&mut values)?;
        Ok(values[0])
    }

    /// The time since a moment, of the rank that began first.
    pub fn elapsed(&self, began: Instant) -> Result<Duration, DeviceError> {
        Ok(Duration::from_secs_f64(self.largest(began.elapsed().as_secs_f64())?))
    }

    /// Puts the slowest rank's durations in place of this one's.
    pub fn slowest(&self, durations: &mut [f64]) -> Result<(), DeviceError> {
        let Some(ranks) = self.ranks else { return Ok(()) };
        for theirs in ranks.gather(durations)? {
            durations.iter_mut().zip(theirs).for_each(|(slowest, theirs)| *slowest = slowest.max(theirs));
        }
        Ok(())
    }

    /// Makes a timed step of these operations that of all ranks, and keeps how far they were apart.
    pub fn timed(&mut self, ops: &[Op], mut sample: Sample) -> Result<Sample, DeviceError> {
        let Some(ranks) = self.ranks else { return Ok(sample) };
        let own: Vec<f64> = sample.phases_us.iter().copied().chain([sample.mark_us]).collect();
        let all = ranks.gather(&own)?;
        let slowest = |at: usize| all.iter().map(|of| of[at]).fold(0.0, f64::max);
        let fastest = |at: usize| all.iter().map(|of| of[at]).fold(f64::INFINITY, f64::min);
        self.spread_pct.resize(sample.phases_us.len(), 0.0);
        for (at, (us, spread)) in sample.phases_us.iter_mut().zip(&mut self.spread_pct).enumerate() {
            let (least, most) = (fastest(at), slowest(at));
            *us = if ops[at].phase == Phase::AllReduce { least } else { most };
            *spread += if most > 0.0 { 100.0 * (most - least) / most } else { 0.0 };
        }
        sample.mark_us = slowest(sample.phases_us.len());
        self.steps += 1;
        Ok(sample)
    }

    /// Per operation, how much less the fastest rank took than the slowest, in percent of the slowest: the mean over the timed steps.
    /// Nothing with one rank.
    pub fn spread_pct(self) -> Vec<f64> {
        let steps = self.steps as f64;
        self.spread_pct.into_iter().map(|sum| sum / steps).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::device::options::{Choice, DeviceOptions};
    use crate::device::{self, Training};
    use crate::interrupt::Interrupt;
    use crate::model::Model;
    use crate::plan::{Options, Plan};
    use crate::profile::Measured;
    use crate::profile::measure::{MeasureSettings, Unwatched, measure};
    use crate::profile::stopping::StoppingRule;
    use crate::ranks::threads;
    use crate::step::Step;

    fn sample(phases_us: &[f64], mark_us: f64) -> Sample {
        Sample { phases_us: phases_us.to_vec(), mark_us }
    }

    /// Two steps of two phases on two ranks: spreads of 50 and 0 %, then of 0 and 75 %. The second phase waits for the other rank.
    #[test]
    fn the_slowest_rank_counts_and_the_spread_is_kept() {
        let ops = [Phase::BackwardWeights, Phase::AllReduce].map(|phase| Op { layer: 0, phase });
        let steps = [
            [sample(&[10.0, 8.0], 0.5), sample(&[4.0, 1.0], 0.25)],
            [sample(&[5.0, 8.0], 0.25), sample(&[4.0, 4.0], 0.5)],
        ];
        std::thread::scope(|scope| {
            for ranks in threads::ranks(2) {
                let (own, ops) = (&steps[ranks.rank()], &ops);
                scope.spawn(move || {
                    let mut together = Together::new(Some(&ranks));
                    assert_eq!(together.timed(ops, own[0].clone()).unwrap(), sample(&[10.0, 8.0], 0.5));
                    assert_eq!(together.timed(ops, own[1].clone()).unwrap(), sample(&[4.0, 1.0], 0.5));
                    assert_eq!(together.largest(ranks.rank() as f64).unwrap(), 1.0);
                    assert_eq!(together.spread_pct(), [25.0, 37.5]);
                });
            }
        });
    }

    /// Ranks that decide by the same figures stop at the same step, with the same samples.
    #[test]
    fn all_ranks_measure_the_same() {
        let mut measured = std::thread::scope(|scope| {
            let measured = threads::ranks(2).into_iter().map(|rank| scope.spawn(|| measured_on(rank)));
            let measured: Vec<_> = measured.collect();
            measured.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        let [first, second] = [measured.remove(0), measured.remove(0)];
        assert!(first.samples.len() >= 6 && first.samples == second.samples);
        assert_eq!((&first.plain_us, &first.wall_us), (&second.plain_us, &second.wall_us));
        assert_eq!((&first.rank_spread_pct, first.status), (&second.rank_spread_pct, second.status));
        assert_eq!(first.rank_spread_pct.len(), first.ops.len());
        assert!(first.rank_spread_pct.iter().all(|pct| (0.0..=100.0).contains(pct)));
        let reduced = first.ops.iter().filter(|op| op.phase == Phase::AllReduce).count();
        assert_eq!(reduced, first.plan.layers.iter().filter(|layer| layer.weights > 0).count());
    }

    fn measured_on(rank: Ranks) -> Measured {
        let model = Model::named("tiny").unwrap();
        let plan = Plan::new(&model, Options { share: rank.share(), ..Options::of_batch(1) }).unwrap();
        let options = DeviceOptions { threads: Some(1), ranks: Some(rank), ..DeviceOptions::default() };
        let device = device::open(Choice::Cpu, &options).unwrap().device;
        let rule = StoppingRule { max_time: Duration::from_millis(50), target: 1.0, ..StoppingRule::default() };
        let settings = MeasureSettings { rule, seed: 1, device: BTreeMap::new(), interrupt: Interrupt::default() };
        measure(device.as_ref(), &Step::new(plan), Training::default(), &settings, &mut Unwatched).unwrap()
    }

    #[test]
    fn one_rank_keeps_what_it_measured() {
        let mut together = Together::new(None);
        assert_eq!(together.timed(&[], sample(&[10.0, 8.0], 0.5)).unwrap(), sample(&[10.0, 8.0], 0.5));
        assert_eq!(together.spread_pct(), [0.0; 0]);
    }
}
