//! What each layer keeps between phases: planned kernels, windows, winners, masks, statistics.

use super::avgpool::AvgPool;
use super::batchnorm::BatchNorm;
use super::concat::Part;
use super::conv::Conv;
use super::dropout::Dropout;
use super::fc::Fc;
use super::lrn::Lrn;
use super::maxpool::{MaxPool, Winners};
use super::simd::Isa;
use crate::device::DeviceError;
use crate::device::order::Order;
use crate::model::Kind;
use crate::plan::LayerPlan;

pub enum Layer {
    Conv(Box<Conv>),
    Fc(Fc),
    Relu,
    MaxPool(MaxPool, Winners),
    AvgPool(AvgPool),
    Lrn(Lrn),
    /// With one byte per element: kept or not.
    Dropout(Dropout, Vec<u8>),
    Flatten,
    BatchNorm(Box<BatchNorm>),
    Add,
    /// Where each input's channels go.
    Concat(Vec<Part>),
    /// With scratch for each image's loss.
    SoftmaxLoss(Vec<f64>),
}

/// What every layer of a session is made with.
pub struct Setting {
    pub threads: usize,
    pub isa: Isa,
    pub seed: u64,
}

impl Layer {
    /// `order` is that of the layer's (first) input.
    pub fn new(index: usize, planned: &LayerPlan, order: &Order, setting: &Setting) -> Result<Layer, DeviceError> {
        let &Setting { threads, isa, seed } = setting;
        let input = planned.input();
        Ok(match &planned.kind {
            Kind::Conv(_) => Layer::Conv(Box::new(Conv::new(*planned.conv(), threads, isa))),
            Kind::Fc(fc) => Layer::Fc(Fc::new(input.n, input.image_elements(), fc.outputs, threads, isa)),
            Kind::Relu => Layer::Relu,
            Kind::MaxPool(_) => {
                let geometry = planned.pool().clone();
                let winners = Winners::new(&geometry);
                Layer::MaxPool(MaxPool::new(geometry), winners)
            }
            Kind::AvgPool(_) => Layer::AvgPool(AvgPool::new(planned.pool().clone())),
            Kind::Lrn(lrn) => Layer::Lrn(Lrn::new(lrn, input.c, threads)),
            Kind::Dropout(dropout) => {
                Layer::Dropout(Dropout::new(seed, index, dropout.p, order.positions()), vec![1; input.elements()])
            }
            Kind::Flatten => Layer::Flatten,
            Kind::BatchNorm(norm) => Layer::BatchNorm(Box::new(BatchNorm::new(norm, input.c, threads))),
            Kind::Add => Layer::Add,
            Kind::Concat => Layer::Concat(parts(planned)),
            Kind::SoftmaxLoss => Layer::SoftmaxLoss(vec![0.0; input.n]),
        })
    }

    /// Scratch memory that the layer's phases share with all others, in f32.
    pub fn workspace_floats(&self) -> usize {
        match self {
            Layer::Conv(conv) => conv.workspace_floats(),
            Layer::Fc(fc) => fc.workspace_floats(),
            Layer::Relu
            | Layer::MaxPool(..)
            | Layer::AvgPool(_)
            | Layer::Lrn(_)
            | Layer::Dropout(..)
            | Layer::Flatten
            | Layer::BatchNorm(_)
            | Layer::Add
            | Layer::Concat(_)
            | Layer::SoftmaxLoss(_) => 0,
        }
    }
}

fn parts(planned: &LayerPlan) -> Vec<Part> {
    let mut first = 0;
    let part = planned.input_shapes.iter().map(|shape| {
        let part = Part { first, channels: shape.c, total: planned.output.c };
        first += shape.c;
        part
    });
    part.collect()
}
