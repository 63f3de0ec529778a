//! Momentum SGD as in PyTorch: g = gradient + wd · w; v' = momentum · v + g; w' = w − lr · v'.

use super::real::Real;
use crate::device::Training;

/// A parameter and its momentum after the step.
pub fn update<T: Real>(training: &Training, weight: T, gradient: T, momentum: T) -> (T, T) {
    let decayed = gradient + T::of(training.weight_decay) * weight;
    let momentum = T::of(training.momentum) * momentum + decayed;
    (weight - T::of(training.learning_rate) * momentum, momentum)
}
