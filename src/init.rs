//! The first values of everything: images, labels and parameters, the same bits on every device.
//!
//! Images are uniform in [−√3, √3) (unit variance), labels uniform over the classes. Weights and biases are uniform within
//! 1/√fan-in, PyTorch's default and so torchvision's for AlexNet: at the default learning rate it trains on one batch for
//! thousands of steps without diverging, where Kaiming's wider bound makes NaN of AlexNet within five. Batchnorm weights are
//! in [0.5, 1.5). With several ranks, rank r of batch b has the images and labels that come r·b-th and after in a batch of all. Never zeros: hardware runs faster on them. Momentum alone begins at zero, as SGD defines it.

use crate::device::{DeviceError, Session, Tensor, Training};
use crate::philox::{Philox, RandomStream};
use crate::plan::Plan;

/// Draws everything a session needs before its first step.
pub fn fill(session: &mut dyn Session, plan: &Plan, training: &Training) -> Result<(), DeviceError> {
    let philox = Philox::new(training.seed);
    let (label, image) = (plan.share.rank * plan.batch, plan.share.rank * plan.input.elements());
    session.fill(Tensor::Input, &|index| symmetric(&philox, RandomStream::Images, image + index, 3f32.sqrt()))?;
    let classes = plan.classes();
    session.fill(Tensor::Labels, &|index| philox.below(RandomStream::Labels, label + index, classes) as f32)?;
    for (index, layer) in plan.layers.iter().enumerate().filter(|(_, layer)| layer.weights > 0) {
        let (centre, bound) = layer.initial_weights();
        session.fill(Tensor::Weight(index), &|element| {
            centre + symmetric(&philox, RandomStream::Weights(index), element, bound)
        })?;
        session.fill(Tensor::WeightMomentum(index), &|_| 0.0)?;
        if layer.biases > 0 {
            let bound = layer.fan_in().sqrt().recip();
            session.fill(Tensor::Bias(index), &|element| {
                symmetric(&philox, RandomStream::Biases(index), element, bound)
            })?;
            session.fill(Tensor::BiasMomentum(index), &|_| 0.0)?;
        }
    }
    Ok(())
}

fn symmetric(philox: &Philox, stream: RandomStream, index: usize, bound: f32) -> f32 {
    (2.0 * philox.uniform(stream, index) - 1.0) * bound
}
