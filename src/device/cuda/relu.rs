//! ReLU, by cuDNN. Its backward takes x too; y serves, being positive at the same places, so that x need not be kept.

use super::call::Fault;
use super::dnn::{Activation, At, Tensor};
use super::gpu::Arithmetic;
use super::queue::Queue;
use crate::plan::Shape;

pub struct Relu {
    activation: Activation,
    tensor: Tensor,
}

impl Relu {
    pub fn new(shape: Shape, arithmetic: &Arithmetic) -> Result<Relu, Fault> {
        let tensor = Tensor::new(shape, arithmetic.element(), arithmetic.layout)?;
        Ok(Relu { activation: Activation::relu()?, tensor })
    }

    fn at(&self, address: u64) -> At<'_> {
        At { tensor: &self.tensor, address }
    }

    pub fn forward(&self, queue: &Queue, x: u64, y: u64) -> Result<(), Fault> {
        queue.stream.count(1);
        queue.dnn.activation_forward(&self.activation, self.at(x), self.at(y))
    }

    pub fn backward_data(&self, queue: &Queue, [y, dy, dx]: [u64; 3], accumulate: bool) -> Result<(), Fault> {
        queue.stream.count(1);
        queue.dnn.activation_backward(&self.activation, [y, dy, y, dx].map(|address| self.at(address)), accumulate)
    }
}
