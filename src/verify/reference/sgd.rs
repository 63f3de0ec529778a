//! Momentum SGD as in PyTorch: g = gradient + wd · w; v' = momentum · v + g; w' = w − lr · v'.

use crate::device::Training;

/// A parameter and its momentum after the step.
pub fn update(training: &Training, weight: f64, gradient: f64, momentum: f64) -> (f64, f64) {
    let decayed = gradient + f64::from(training.weight_decay) * weight;
    let momentum = f64::from(training.momentum) * momentum + decayed;
    (weight - f64::from(training.learning_rate) * momentum, momentum)
}
