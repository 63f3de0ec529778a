//! Convolution, by cuDNN: its descriptors, one per direction since each has a math type of its own, and the chosen algorithms.

use super::call::Fault;
use super::dnn::{At, Convolution, Direction, Filter, Places, Problem, Tensor};
use super::element::dnn_math;
use super::gpu::Gpu;
use super::memory::Buffer;
use super::queue::Queue;
use crate::plan::{ConvGeometry, Phase};

/// Kernels that one convolution call may enqueue: transforms before and after it.
const LAUNCHES: usize = 4;

pub struct Conv {
    x: Tensor,
    w: Filter,
    y: Tensor,
    bias: Tensor,
    ways: [Way; 3],
}

/// How a direction is computed.
pub struct Way {
    convolution: Convolution,
    direction: Direction,
    workspace_bytes: usize,
    /// The algorithm and its math type, in cuDNN's words.
    name: String,
}

/// Addresses of a convolution's tensors, or of their gradients.
#[derive(Clone, Copy)]
pub struct Operands {
    pub x: u64,
    pub w: u64,
    pub y: u64,
}

impl Conv {
    /// With cuDNN's basic algorithms; others are chosen with [`Conv::set_way`].
    pub fn new(geometry: &ConvGeometry, gpu: &Gpu) -> Result<Conv, Fault> {
        let (element, layout) = (gpu.arithmetic.element(), gpu.arithmetic.layout);
        let input = crate::plan::Shape { n: geometry.n, c: geometry.c, h: geometry.h, w: geometry.w };
        let way = |direction: Direction| -> Result<Way, Fault> {
            let convolution = Convolution::new(geometry, dnn_math(gpu.arithmetic.precision))?;
            Ok(Way { convolution, direction, workspace_bytes: 0, name: direction.name() })
        };
        Ok(Conv {
            x: Tensor::new(input, element, layout)?,
            w: Filter::new(geometry, element, layout)?,
            y: Tensor::new(geometry.output(), element, layout)?,
            bias: Tensor::channels(geometry.k, element)?,
            ways: [way(Direction::FORWARD)?, way(Direction::BACKWARD_DATA)?, way(Direction::BACKWARD_FILTER)?],
        })
    }

    fn way(&self, phase: Phase) -> &Way {
        &self.ways[index(phase)]
    }

    /// The problem of a phase, with any algorithm of its direction.
    pub fn problem(&self, phase: Phase) -> (Direction, Problem<'_>) {
        let way = self.way(phase);
        (way.direction, Problem { x: &self.x, w: &self.w, y: &self.y, convolution: &way.convolution })
    }

    /// Takes an algorithm, whose math type the problem's descriptor has.
    pub fn set_way(&mut self, phase: Phase, direction: Direction, workspace_bytes: usize, name: String) {
        let way = &mut self.ways[index(phase)];
        (way.direction, way.workspace_bytes, way.name) = (direction, workspace_bytes, name);
    }

    /// Name and workspace of a phase's algorithm.
    pub fn algorithm(&self, phase: Phase) -> (&str, usize) {
        let way = self.way(phase);
        (&way.name, way.workspace_bytes)
    }

    /// The most that a phase needs.
    pub fn workspace_bytes(&self) -> usize {
        self.ways.iter().map(|way| way.workspace_bytes).max().unwrap_or(0)
    }

    fn convolve(
        &self,
        queue: &Queue,
        phase: Phase,
        at: Operands,
        space: &Buffer,
        accumulate: bool,
    ) -> Result<(), Fault> {
        let (direction, problem) = self.problem(phase);
        let Operands { x, w, y } = at;
        let workspace_bytes = self.way(phase).workspace_bytes;
        queue.stream.count(LAUNCHES);
        let places = Places { x, w, y, workspace: space.address(), workspace_bytes };
        queue.dnn.convolve(direction, &problem, places, accumulate)
    }

    pub fn forward(&self, queue: &Queue, at: Operands, bias: Option<u64>, space: &Buffer) -> Result<(), Fault> {
        self.convolve(queue, Phase::Forward, at, space, false)?;
        let Some(bias) = bias else { return Ok(()) };
        queue.stream.count(1);
        queue.dnn.add_bias(At { tensor: &self.bias, address: bias }, At { tensor: &self.y, address: at.y })
    }

    pub fn backward_data(&self, queue: &Queue, at: Operands, accumulate: bool, space: &Buffer) -> Result<(), Fault> {
        self.convolve(queue, Phase::BackwardData, at, space, accumulate)
    }

    pub fn backward_weights(
        &self,
        queue: &Queue,
        at: Operands,
        dbias: Option<u64>,
        space: &Buffer,
    ) -> Result<(), Fault> {
        self.convolve(queue, Phase::BackwardWeights, at, space, false)?;
        let Some(dbias) = dbias else { return Ok(()) };
        queue.stream.count(1);
        queue.dnn.bias_gradient(At { tensor: &self.y, address: at.y }, At { tensor: &self.bias, address: dbias })
    }
}

/// The direction that a phase asks of cuDNN; the last two ask nothing.
fn index(phase: Phase) -> usize {
    match phase {
        Phase::Forward => 0,
        Phase::BackwardData => 1,
        Phase::BackwardWeights | Phase::LossScale | Phase::WeightUpdate => 2,
    }
}
