//! What each layer has on the device: descriptors, kernels, and what it keeps between phases.

use super::add::Add;
use super::avgpool::AvgPool;
use super::batchnorm::BatchNorm;
use super::concat::Concat;
use super::conv::Conv;
use super::dropout::Dropout;
use super::fc::Fc;
use super::gpu::Gpu;
use super::lrn::Lrn;
use super::maxpool::MaxPool;
use super::queue::Queue;
use super::relu::Relu;
use super::softmax_loss::SoftmaxLoss;
use crate::device::order::Order;
use crate::device::{DeviceError, Training};
use crate::model::Kind;
use crate::plan::LayerPlan;

pub enum Layer {
    Conv(Box<Conv>),
    Fc(Fc),
    Relu(Relu),
    MaxPool(MaxPool),
    AvgPool(AvgPool),
    Lrn(Lrn),
    Dropout(Dropout),
    /// Dropout switched off: it copies.
    Copy(Add),
    Flatten,
    BatchNorm(Box<BatchNorm>),
    Add(Add),
    Concat(Concat),
    SoftmaxLoss(SoftmaxLoss),
}

impl Layer {
    /// `order` is that of the layer's (first) input.
    pub fn new(
        index: usize,
        planned: &LayerPlan,
        order: &Order,
        training: &Training,
        gpu: &Gpu,
        queue: &Queue,
    ) -> Result<Layer, DeviceError> {
        let (input, output) = (planned.input(), planned.output);
        Ok(match &planned.kind {
            Kind::Conv(conv) => Layer::Conv(Box::new(Conv::new(planned.conv(), conv.bias, gpu)?)),
            Kind::Fc(fc) => Layer::Fc(Fc::new(input.image_elements(), output, fc.bias, gpu)?),
            Kind::Relu => Layer::Relu(Relu::new(output, &gpu.arithmetic)?),
            Kind::MaxPool(pool) => Layer::MaxPool(MaxPool::new(pool, input, output, gpu)?),
            Kind::AvgPool(pool) => Layer::AvgPool(AvgPool::new(pool, input, output, gpu)?),
            Kind::Lrn(lrn) => Layer::Lrn(Lrn::new(lrn, output, gpu)?),
            Kind::Dropout(dropout) if training.dropout => {
                Layer::Dropout(Dropout::new(index, planned, dropout.p, order, training.seed, gpu)?)
            }
            Kind::Dropout(_) => Layer::Copy(Add::new(output.elements(), gpu)?),
            Kind::Flatten => Layer::Flatten,
            Kind::BatchNorm(norm) => Layer::BatchNorm(Box::new(BatchNorm::new(norm, output, gpu, queue)?)),
            Kind::Add => Layer::Add(Add::new(output.elements(), gpu)?),
            Kind::Concat => Layer::Concat(Concat::new(planned, gpu)?),
            Kind::SoftmaxLoss => Layer::SoftmaxLoss(SoftmaxLoss::new(output, gpu)?),
        })
    }

    /// Device memory that the layer holds for itself.
    pub fn bytes(&self) -> usize {
        match self {
            Layer::Conv(conv) => conv.bytes(),
            Layer::Fc(fc) => fc.bytes(),
            Layer::MaxPool(pool) => pool.bytes(),
            Layer::Lrn(lrn) => lrn.bytes(),
            Layer::Dropout(dropout) => dropout.mask().bytes(),
            Layer::BatchNorm(norm) => norm.bytes(),
            Layer::SoftmaxLoss(loss) => loss.bytes(),
            Layer::Relu(_) | Layer::AvgPool(_) | Layer::Copy(_) | Layer::Flatten | Layer::Add(_) | Layer::Concat(_) => {
                0
            }
        }
    }
}

/// Whether a layer has more elements than cuDNN and the kernels can count.
pub fn is_beyond_counting(planned: &LayerPlan) -> bool {
    let mut shapes = planned.input_shapes.iter().chain([&planned.output]);
    shapes.any(|shape| shape.elements() >= 1 << 31)
}
