//! The first values of everything: images, labels and parameters, the same bits on every device.
//!
//! Images are uniform in [−√3, √3) (unit variance), labels uniform over the classes. Weights and biases are uniform within
//! 1/√fan-in, PyTorch's default and so torchvision's for AlexNet: at the default learning rate it trains on one batch for
//! thousands of steps without diverging, where Kaiming's wider bound makes NaN of AlexNet within five. Batchnorm weights are
//! in [0.5, 1.5). Never zeros: hardware runs faster on them. Momentum alone begins at zero, as SGD defines it.

use crate::device::{DeviceError, Session, Tensor, Training};
use crate::model::Kind;
use crate::philox::{Philox, Stream};
use crate::plan::{LayerPlan, Plan};

/// Draws everything a session needs before its first step.
pub fn all(session: &mut dyn Session, plan: &Plan, training: &Training) -> Result<(), DeviceError> {
    let philox = Philox::new(training.seed);
    session.fill(Tensor::Input, &|index| symmetric(&philox, Stream::Images, index, 3f32.sqrt()))?;
    let classes = plan.classes();
    session.fill(Tensor::Labels, &|index| philox.below(Stream::Labels, index, classes) as f32)?;
    for (index, layer) in plan.layers.iter().enumerate().filter(|(_, layer)| layer.weights > 0) {
        let (centre, bound) = weight_range(layer);
        session.fill(Tensor::Weight(index), &|element| {
            centre + symmetric(&philox, Stream::Weights(index), element, bound)
        })?;
        session.fill(Tensor::WeightMomentum(index), &|_| 0.0)?;
        if layer.biases > 0 {
            let bound = fan_in(layer).sqrt().recip();
            session.fill(Tensor::Bias(index), &|element| symmetric(&philox, Stream::Biases(index), element, bound))?;
            session.fill(Tensor::BiasMomentum(index), &|_| 0.0)?;
        }
    }
    Ok(())
}

fn symmetric(philox: &Philox, stream: Stream, index: usize, bound: f32) -> f32 {
    (2.0 * philox.uniform(stream, index) - 1.0) * bound
}

/// Weights that one output sees.
fn fan_in(layer: &LayerPlan) -> f32 {
    (layer.weights / layer.output_channels()) as f32
}

/// Centre and half-width of a layer's first weights.
fn weight_range(layer: &LayerPlan) -> (f32, f32) {
    match layer.kind {
        Kind::BatchNorm(_) => (1.0, 0.5),
        Kind::Conv(_)
        | Kind::Fc(_)
        | Kind::Relu
        | Kind::MaxPool(_)
        | Kind::AvgPool(_)
        | Kind::Lrn(_)
        | Kind::Dropout(_)
        | Kind::Flatten
        | Kind::Add
        | Kind::Concat
        | Kind::SoftmaxLoss => (0.0, fan_in(layer).sqrt().recip()),
    }
}
