//! Convolution, by cuDNN: its descriptors, one per direction since each has a math type of its own, and the chosen algorithms. The
//! bias is added, and its gradient summed up, by own kernels (`bias.rs` says why).

mod form;
mod planar;

use form::Form;
pub use form::Operands;
use planar::Planar;

use super::bias::Bias;
use super::call::Fault;
use super::dnn::{Convolution, Direction, Places, Problem};
use super::element::dnn_math;
use super::gpu::Gpu;
use super::memory::Buffer;
use super::queue::Queue;
use crate::device::DeviceError;
use crate::device::options::Layout;
use crate::plan::{ConvGeometry, Phase};

/// Kernels that one convolution call may enqueue: transforms before and after it.
const LAUNCHES: usize = 4;
/// Where scratch behind an algorithm's workspace begins.
const ALIGNMENT: usize = 256;

pub struct Conv {
    own: Form,
    bias: Option<Bias>,
    ways: [Way; 3],
    /// The way around NHWC, for sessions that are NHWC.
    planar: Option<Planar>,
}

/// How a direction is computed.
pub struct Way {
    convolution: Convolution,
    chosen: Chosen,
}

/// An algorithm, and what it takes.
#[derive(Clone, Debug)]
pub struct Chosen {
    pub direction: Direction,
    pub workspace_bytes: usize,
    /// The algorithm and its math type, in cuDNN's words.
    pub name: String,
    /// Whether it goes through NCHW.
    pub planar: bool,
}

impl Conv {
    /// With cuDNN's basic algorithms; others are chosen with [`Conv::choose`].
    pub fn new(geometry: &ConvGeometry, bias: bool, gpu: &Gpu) -> Result<Conv, DeviceError> {
        let (element, layout) = (gpu.arithmetic.element(), gpu.arithmetic.layout);
        let way = |direction: Direction| -> Result<Way, Fault> {
            let convolution = Convolution::new(geometry, dnn_math(gpu.arithmetic.precision))?;
            let chosen = Chosen { direction, workspace_bytes: 0, name: direction.name(), planar: false };
            Ok(Way { convolution, chosen })
        };
        Ok(Conv {
            own: Form::new(geometry, element, layout)?,
            bias: bias.then(|| Bias::new(geometry.output(), gpu)).transpose()?,
            ways: [way(Direction::FORWARD)?, way(Direction::BACKWARD_DATA)?, way(Direction::BACKWARD_FILTER)?],
            planar: (layout == Layout::Nhwc).then(|| Planar::new(geometry, gpu)).transpose()?,
        })
    }

    fn way(&self, phase: Phase) -> &Way {
        &self.ways[index(phase)]
    }

    pub fn planar(&self) -> Option<&Planar> {
        self.planar.as_ref()
    }

    /// The problem of a phase, with any algorithm of its direction: in the session's layout, or around it.
    pub fn problem(&self, phase: Phase, planar: bool) -> (Direction, Problem<'_>) {
        let Way { convolution, chosen } = self.way(phase);
        let around = self.planar.as_ref().filter(|_| planar);
        let Form { x, w, y } = around.map_or(&self.own, |planar| &planar.form);
        (chosen.direction, Problem { x, w, y, convolution })
    }

    /// Takes an algorithm, whose math type the problem's descriptor has.
    pub fn choose(&mut self, phase: Phase, chosen: Chosen) {
        self.ways[index(phase)].chosen = chosen;
    }

    /// Name and scratch of a phase's algorithm.
    pub fn algorithm(&self, phase: Phase) -> (&str, usize) {
        let chosen = &self.way(phase).chosen;
        (&chosen.name, self.scratch_bytes(chosen))
    }

    fn scratch_bytes(&self, chosen: &Chosen) -> usize {
        match self.around_bytes(chosen.planar) {
            0 => chosen.workspace_bytes,
            around => chosen.workspace_bytes.next_multiple_of(ALIGNMENT) + around,
        }
    }

    /// What a way takes besides its algorithm's workspace.
    pub fn around_bytes(&self, planar: bool) -> usize {
        self.planar.as_ref().filter(|_| planar).map_or(0, Planar::bytes)
    }

    /// The most scratch that a phase needs.
    pub fn workspace_bytes(&self) -> usize {
        self.ways.iter().map(|way| self.scratch_bytes(&way.chosen)).max().unwrap_or(0)
    }

    fn convolve(&self, queue: &Queue, phase: Phase, at: Operands, space: &Buffer, adds: bool) -> Result<(), Fault> {
        let &Chosen { workspace_bytes, planar, .. } = &self.way(phase).chosen;
        let (direction, problem) = self.problem(phase, planar);
        let places = |Operands { x, w, y }: Operands| Places { x, w, y, workspace: space.address(), workspace_bytes };
        queue.stream.count(LAUNCHES);
        let Some(around) = self.planar.as_ref().filter(|_| planar) else {
            return queue.dnn.convolve(direction, &problem, places(at), adds);
        };
        let scratch = around.operands(space.at(workspace_bytes.next_multiple_of(ALIGNMENT)));
        around.enter(queue, phase, at, scratch, adds)?;
        queue.dnn.convolve(direction, &problem, places(scratch), adds)?;
        around.leave(queue, phase, scratch, at)
    }

    pub fn forward(&self, queue: &Queue, at: Operands, bias: Option<u64>, space: &Buffer) -> Result<(), Fault> {
        self.convolve(queue, Phase::Forward, at, space, false)?;
        self.bias.as_ref().zip(bias).map_or(Ok(()), |(own, bias)| own.add(queue, at.y, bias))
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
        self.bias.as_ref().zip(dbias).map_or(Ok(()), |(own, dbias)| own.gradient(queue, at.y, dbias))
    }

    /// Device memory held beside the session's workspace.
    pub fn bytes(&self) -> usize {
        self.bias.as_ref().map_or(0, Bias::bytes)
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
