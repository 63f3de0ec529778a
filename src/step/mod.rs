//! The training step: the one place that knows its order.
//!
//! Forward layer by layer, the loss, backward in reverse (backward_weights of a layer, then its backward_data, then with several
//! ranks its all_reduce: batch norm's backward_data still reads the rank's own gradients), under f16 the check of the loss's scale, then the weight update layer by layer. The step is written once against [`Runner`]: no device can order it, mark it or
//! accumulate gradients differently. [`memory`] places its tensors.

mod gaps;
pub mod memory;

use crate::plan::{Phase, Plan};
use memory::ArenaLayout;

/// One phase of one layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Op {
    /// Index of the layer.
    pub layer: usize,
    /// The phase.
    pub phase: Phase,
}

/// A device's part in a step: `begin`, any number of `run` and `mark`, `end`. Nothing is allocated, searched or logged between.
pub trait Runner {
    /// A failure of the device.
    type Error;

    /// Begins a step: new dropout masks, no marks.
    fn begin(&mut self) -> Result<(), Self::Error>;

    /// Notes a point in the device's own time.
    fn mark(&mut self) -> Result<(), Self::Error>;

    /// Does one phase of one layer.
    fn run(&mut self, op: Op) -> Result<(), Self::Error>;

    /// Ends the step, waits for it, and gives the time between neighbouring marks in µs.
    fn end(&mut self) -> Result<Vec<f64>, Self::Error>;
}

/// A planned training step: what runs, in which order, and where its tensors lie.
#[derive(Clone, Debug)]
pub struct Step {
    /// Shapes and costs.
    pub plan: Plan,
    /// All operations, in order.
    pub ops: Vec<Op>,
    /// Places of activations and their gradients.
    pub arena: ArenaLayout,
}

/// The durations of one timed step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// One duration per operation, in the order of [`Step::ops`].
    pub phases_us: Vec<f64>,
    /// Length of an empty phase: two marks with nothing between.
    pub mark_us: f64,
}

/// One step that was marked only where the group of layers changes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct GroupedSample {
    /// µs by group, in the order of [`Group::ALL`](crate::model::kind::Group::ALL).
    pub groups_us: [f64; 3],
    /// The plain step beside it.
    pub plain_us: f64,
}

impl GroupedSample {
    /// Σ groups.
    pub fn total_us(&self) -> f64 {
        self.groups_us.iter().sum()
    }
}

impl Sample {
    /// Σ phases.
    pub fn total_us(&self) -> f64 {
        self.phases_us.iter().sum()
    }
}

impl Step {
    /// Orders a plan's operations and places its tensors.
    pub fn new(plan: Plan) -> Step {
        let ops = ordered(plan.layers.len(), |layer, phase| plan.layers[layer].has(phase));
        let arena = ArenaLayout::new(&plan, &ops);
        Step { plan, ops, arena }
    }

    /// Runs one step with a mark at every boundary. A phase ends where the next begins, so no time is unowned.
    pub fn timed<R: Runner + ?Sized>(&self, runner: &mut R) -> Result<Sample, R::Error> {
        runner.begin()?;
        runner.mark()?;
        for &op in &self.ops {
            runner.run(op)?;
            runner.mark()?;
        }
        runner.mark()?;
        let mut gaps = runner.end()?;
        let mark_us = gaps.pop().unwrap_or_default();
        Ok(Sample { phases_us: gaps, mark_us })
    }

    /// Runs one step with marks only where the group of layers changes; µs by group, in the order of [`Group::ALL`](crate::model::kind::Group::ALL).
    pub fn grouped<R: Runner + ?Sized>(&self, runner: &mut R) -> Result<[f64; 3], R::Error> {
        let group = |op: &Op| self.plan.layers[op.layer].group();
        let runs = || self.ops.chunk_by(|one, next| group(one) == group(next));
        runner.begin()?;
        runner.mark()?;
        for ops in runs() {
            for &op in ops {
                runner.run(op)?;
            }
            runner.mark()?;
        }
        let mut groups_us = [0.0; 3];
        for (ops, us) in runs().zip(runner.end()?) {
            groups_us[group(&ops[0]) as usize] += us;
        }
        Ok(groups_us)
    }

    /// Runs one step with marks at its start and end only; its duration in µs.
    pub fn plain<R: Runner + ?Sized>(&self, runner: &mut R) -> Result<f64, R::Error> {
        runner.begin()?;
        runner.mark()?;
        for &op in &self.ops {
            runner.run(op)?;
        }
        runner.mark()?;
        Ok(runner.end()?.iter().sum())
    }
}

/// The operations of a step over this many layers, in its order; `has` tells which phases a layer has.
pub fn ordered(layers: usize, has: impl Fn(usize, Phase) -> bool) -> Vec<Op> {
    let mut ops = Vec::new();
    let mut push = |layer: usize, phase: Phase| {
        if has(layer, phase) {
            ops.push(Op { layer, phase });
        }
    };
    let layers = 0..layers;
    layers.clone().for_each(|layer| push(layer, Phase::Forward));
    for layer in layers.clone().rev() {
        push(layer, Phase::BackwardWeights);
        push(layer, Phase::BackwardData);
        push(layer, Phase::AllReduce);
    }
    layers.clone().for_each(|layer| push(layer, Phase::LossScale));
    layers.for_each(|layer| push(layer, Phase::WeightUpdate));
    ops
}
