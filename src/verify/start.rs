//! Fills a session before the checked step.

use crate::device::{DeviceError, Session, Tensor, Training};
use crate::init;
use crate::philox::{Philox, RandomStream};
use crate::plan::Plan;
use crate::step::Step;

/// Fills everything, momentum too. A whole step runs first and unchecked, so that what it leaves behind would show.
pub fn fresh(session: &mut dyn Session, step: &Step, training: &Training) -> Result<(), DeviceError> {
    init::fill(session, &step.plan, training)?;
    step.plain(session)?;
    init::fill(session, &step.plan, training)?;
    fill_momentum(session, &step.plan, training.seed)
}

/// Momentum in the middle of training: were it zero, its coefficient could not be seen.
fn fill_momentum(session: &mut dyn Session, plan: &Plan, seed: u64) -> Result<(), DeviceError> {
    for (index, layer) in plan.layers.iter().enumerate() {
        if layer.weights > 0 {
            session.fill(Tensor::WeightMomentum(index), &|element| momentum(seed, index, element))?;
        }
        if layer.biases > 0 {
            session.fill(Tensor::BiasMomentum(index), &|element| momentum(seed, index, element))?;
        }
    }
    Ok(())
}

/// Uniform in [−0.01, 0.01): about the size of weights, drawn from a key that nothing else uses.
pub fn momentum(seed: u64, layer: usize, element: usize) -> f32 {
    const BOUND: f32 = 0.01;
    (2.0 * Philox::new(!seed).uniform(RandomStream::Weights(layer), element) - 1.0) * BOUND
}
