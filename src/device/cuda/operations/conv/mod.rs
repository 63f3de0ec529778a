//! Convolution, by cuDNN: its descriptors, one per direction since each has a math type of its own, and the chosen algorithms. The
//! bias is added, and its gradient summed up, by own kernels (`bias.rs` says why).

mod algorithms;
mod engines;
mod form;
mod padded;
mod planar;
mod route;
mod transposed;
mod widened;

pub use algorithms::{AlgorithmChooser, AlgorithmRequest};
pub use form::ConvAddresses;
pub use transposed::ConvTransposeOp;

use form::Form;
use padded::Padded;
use planar::Planar;
use route::Route;
use widened::Widened;

use super::bias::Bias;
use super::{BackwardData, BackwardWeights, Forward, Operation};
use crate::device::cuda::driver::dnn::{
    ConvMemory, ConvPack, ConvPlan, ConvolutionDescriptor, Direction, Math, Problem,
};
use crate::device::cuda::driver::{Buffer, CallError, Handles};
use crate::device::cuda::failure::Failure;
use crate::device::cuda::gpu::SharedGpu;
use crate::device::options::Layout;
use crate::device::{Algorithm, Transform};
use crate::plan::{ConvGeometry, Phase};

/// Kernels that one convolution call may enqueue: transforms before and after it.
const LAUNCHES: usize = 4;
const PHASES: [Phase; 3] = [Phase::Forward, Phase::BackwardData, Phase::BackwardWeights];
/// Scratch behind an algorithm's workspace begins at a multiple of this.
const ALIGNMENT: usize = 256;

/// A convolution layer.
pub struct ConvOp {
    /// As cuDNN sees it.
    geometry: ConvGeometry,
    own: Form,
    bias: Option<Bias>,
    ways: [Way; 3],
    /// The input with padding that differs on opposite sides.
    padded: Option<Padded>,
    /// The way around NHWC, for sessions that are NHWC.
    planar: Option<Planar>,
    /// Ways with more channels, for NHWC sessions and images.
    widened: Vec<Widened>,
    /// Plans of the graph API for the three directions, where that is used.
    planned: [Option<PlannedWay>; 3],
}

/// A plan of the graph API, with fixed addresses.
pub struct PlannedWay {
    plan: ConvPlan,
    /// Set before a step runs.
    pack: Option<ConvPack>,
    name: String,
    transform: Transform,
    route: Route,
}

/// The computation of one direction.
struct Way {
    convolution: ConvolutionDescriptor,
    chosen: Chosen,
}

/// An algorithm, and the memory it takes.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// The direction with its algorithm.
    pub direction: Direction,
    /// Scratch of the algorithm alone.
    pub workspace_bytes: usize,
    /// The algorithm and its math type, in cuDNN's words.
    pub name: String,
    /// It goes through NCHW.
    pub planar: bool,
}

impl ConvOp {
    /// With cuDNN's basic algorithms; others are chosen with [`ConvOp::choose`].
    pub fn new(planned: &ConvGeometry, bias: bool, gpu: &SharedGpu, handles: &Handles) -> Result<ConvOp, Failure> {
        let padded = Padded::new(planned, gpu, handles)?;
        let geometry = padded.as_ref().map_or(planned, |padded| &padded.geometry);
        let (element, layout) = (gpu.arithmetic.element(), gpu.arithmetic.layout);
        let way = |direction: Direction| -> Result<Way, CallError> {
            let convolution = ConvolutionDescriptor::new(geometry, Math::of(gpu.arithmetic.precision))?;
            let chosen = Chosen { direction, workspace_bytes: 0, name: direction.name(), planar: false };
            Ok(Way { convolution, chosen })
        };
        Ok(ConvOp {
            geometry: *geometry,
            planned: [None, None, None],
            own: Form::new(geometry, element, layout)?,
            bias: bias.then(|| Bias::new(geometry.output(), gpu)).transpose()?,
            ways: [way(Direction::FORWARD)?, way(Direction::BACKWARD_DATA)?, way(Direction::BACKWARD_FILTER)?],
            planar: (layout == Layout::Nhwc).then(|| Planar::new(geometry, gpu)).transpose()?,
            widened: Widened::all(geometry, gpu)?,
            padded,
        })
    }

    /// A request on the tensors that cuDNN computes on.
    pub fn inner<'a>(&self, request: &AlgorithmRequest<'a>) -> AlgorithmRequest<'a> {
        match &self.padded {
            Some(padded) => AlgorithmRequest {
                at: ConvAddresses { x: padded.address(), ..request.at },
                // A gradient is taken out of its copy by adding it; a transposed convolution's is that of the other side.
                accumulate: request.accumulate && request.phase == Phase::Forward,
                ..*request
            },
            None => *request,
        }
    }

    fn way(&self, phase: Phase) -> &Way {
        &self.ways[index(phase)]
    }

    /// The way around NHWC, where there is one.
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

    /// Takes a plan of the graph API.
    fn choose_plan(&mut self, phase: Phase, way: PlannedWay) {
        self.planned[index(phase)] = Some(way);
    }

    fn scratch_bytes(&self, phase: Phase) -> usize {
        match (&self.planned[index(phase)], &self.way(phase).chosen) {
            (Some(way), _) => self.scratch_for(way.plan.workspace_bytes as usize, way.route),
            (None, chosen) => self.scratch_for(chosen.workspace_bytes, Route::planar_if(chosen.planar)),
        }
    }

    fn run_planned(
        &self,
        handles: &Handles,
        phase: Phase,
        way: &PlannedWay,
        at: ConvAddresses,
        space: &Buffer,
        adds: bool,
    ) -> Result<(), CallError> {
        let Some(pack) = &way.pack else { return Ok(()) };
        handles.stream.count(LAUNCHES);
        let ends = self.ends(way.route, way.plan.workspace_bytes as usize, at, space);
        self.enter(handles, way.route, phase, ends, adds)?;
        way.plan.execute(&handles.dnn, pack)?;
        self.leave(handles, way.route, phase, ends, adds)
    }

    /// The most scratch that a phase needs.
    pub fn workspace_bytes(&self) -> usize {
        PHASES.map(|phase| self.scratch_bytes(phase)).into_iter().max().unwrap_or(0)
    }

    /// The gradient of the input at `x`.
    fn input_gradient(
        &self,
        handles: &Handles,
        at: ConvAddresses,
        space: &Buffer,
        adds: bool,
    ) -> Result<(), CallError> {
        let Some(padded) = &self.padded else {
            return self.convolve(handles, Phase::BackwardData, at, space, adds);
        };
        let inner = ConvAddresses { x: padded.address(), ..at };
        self.convolve(handles, Phase::BackwardData, inner, space, false)?;
        padded.leave(handles, at.x, adds)
    }

    fn convolve(
        &self,
        handles: &Handles,
        phase: Phase,
        at: ConvAddresses,
        space: &Buffer,
        adds: bool,
    ) -> Result<(), CallError> {
        if let Some(way) = &self.planned[index(phase)] {
            return self.run_planned(handles, phase, way, at, space, adds);
        }
        let &Chosen { workspace_bytes, planar, .. } = &self.way(phase).chosen;
        let (direction, problem) = self.problem(phase, planar);
        let memory = |ConvAddresses { x, w, y }: ConvAddresses| ConvMemory {
            x,
            w,
            y,
            workspace: space.address(),
            workspace_bytes,
        };
        handles.stream.count(LAUNCHES);
        let route = Route::planar_if(planar);
        let ends = self.ends(route, workspace_bytes, at, space);
        self.enter(handles, route, phase, ends, adds)?;
        handles.dnn.convolve(direction, &problem, memory(ends.computed), adds)?;
        self.leave(handles, route, phase, ends, adds)
    }
}

impl Operation for ConvOp {
    fn forward(&self, handles: &Handles, at: &Forward) -> Result<(), CallError> {
        let mut addresses = ConvAddresses { x: at.x(), w: at.parameters.weights, y: at.output };
        if let Some(padded) = &self.padded {
            padded.enter(handles, at.x())?;
            addresses.x = padded.address();
        }
        self.convolve(handles, Phase::Forward, addresses, at.workspace, false)?;
        self.bias.as_ref().map_or(Ok(()), |bias| bias.add(handles, at.output, at.parameters.biases))
    }

    fn backward_data(&self, handles: &Handles, at: &BackwardData) -> Result<(), CallError> {
        let addresses = ConvAddresses { x: at.dx, w: at.parameters.weights, y: at.dy };
        self.input_gradient(handles, addresses, at.workspace, at.accumulate)
    }

    fn backward_weights(&self, handles: &Handles, at: &BackwardWeights) -> Result<(), CallError> {
        // Forward has left the input with its zeros there.
        let x = self.padded.as_ref().map_or(at.x, Padded::address);
        let addresses = ConvAddresses { x, w: at.parameters.weight_gradients, y: at.dy };
        self.convolve(handles, Phase::BackwardWeights, addresses, at.workspace, false)?;
        self.bias.as_ref().map_or(Ok(()), |bias| bias.gradient(handles, at.dy, at.parameters.bias_gradients))
    }

    fn bytes(&self) -> usize {
        self.bias.as_ref().map_or(0, Bias::bytes) + self.padded.as_ref().map_or(0, Padded::bytes)
    }

    fn algorithm(&self, phase: Phase) -> Option<Algorithm> {
        let (name, transform) = match &self.planned[index(phase)] {
            Some(way) => (way.name.clone(), way.transform),
            None => {
                let Chosen { name, direction, .. } = &self.way(phase).chosen;
                (name.clone(), direction.transform(self.geometry.kernel))
            }
        };
        Some(Algorithm { name, workspace_bytes: self.scratch_bytes(phase) as u64, transform })
    }

    fn convolution(&mut self) -> Option<&mut ConvOp> {
        Some(self)
    }
}

/// The direction that a phase asks of cuDNN; the last two ask nothing.
fn index(phase: Phase) -> usize {
    match phase {
        Phase::Forward => 0,
        Phase::BackwardData => 1,
        Phase::BackwardWeights | Phase::AllReduce | Phase::LossScale | Phase::WeightUpdate => 2,
    }
}
