//! Convolutions in cuDNN's graph API: an operation graph, the engine configurations that cuDNN offers for it, and plans made of them.
//!
//! A graph is for a GPU that a handle has, or for one whose properties are told: then nothing can run, but everything else is as it would be
//! on that GPU.

use std::ffi::{c_int, c_void};
use std::sync::Arc;

use super::Dnn;
use super::backend::{AttributeType, Descriptor, DescriptorKind, execute};
use crate::device::Transform;
use crate::device::cuda::driver::call::CallError;
use crate::device::cuda::driver::element::Element;
use crate::device::options::Layout;
use crate::plan::{ConvGeometry, Shape};

/// Attributes, as cudnnBackendAttributeName_t numbers them.
mod attribute {
    pub const CONVOLUTION: [i32; 7] = [100, 101, 102, 103, 104, 105, 106];
    pub const HEURISTICS_MODE: i32 = 200;
    pub const HEURISTICS_GRAPH: i32 = 201;
    pub const HEURISTICS_RESULTS: i32 = 202;
    pub const HEURISTICS_DEVICE: i32 = 204;
    pub const CONFIG_ENGINE: i32 = 300;
    pub const CONFIG_KNOBS: i32 = 302;
    pub const CONFIG_WORKSPACE: i32 = 303;
    pub const PLAN_HANDLE: i32 = 400;
    pub const PLAN_CONFIG: i32 = 401;
    pub const PLAN_WORKSPACE: i32 = 402;
    pub const PLAN_JSON: i32 = 405;
    pub const PLAN_DEVICE: i32 = 407;
    pub const KNOB_TYPE: i32 = 600;
    pub const KNOB_VALUE: i32 = 601;
    pub const GRAPH_HANDLE: i32 = 800;
    pub const GRAPH_OPERATIONS: i32 = 801;
    pub const TENSOR_ALIGNMENT: i32 = 900;
    pub const TENSOR_TYPE: i32 = 901;
    pub const TENSOR_SIZES: i32 = 902;
    pub const TENSOR_STRIDES: i32 = 903;
    pub const TENSOR_ID: i32 = 906;
    pub const PACK_IDS: i32 = 1000;
    pub const PACK_ADDRESSES: i32 = 1001;
    pub const PACK_WORKSPACE: i32 = 1003;
    pub const ENGINE_INDEX: i32 = 1301;
    pub const ENGINE_NUMERICAL_NOTE: i32 = 1303;
    pub const ENGINE_BEHAVIOR_NOTE: i32 = 1305;
    pub const DEVICE_JSON: i32 = 2702;
}

/// The alignment that tensors have at least: offsets of a session are multiples of 64 elements.
const ALIGNMENT: i64 = 16;
/// The tensors' names within a graph.
const X: i64 = 1;
const W: i64 = 2;
const Y: i64 = 3;

/// One of a convolution's three computations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConvDirection {
    /// y from x and w.
    Forward,
    /// x from w and y.
    BackwardData,
    /// w from x and y.
    BackwardFilter,
}

impl ConvDirection {
    /// The operation, and its attributes alpha, beta, convolution, x, w and y.
    fn operation(self) -> (DescriptorKind, [c_int; 6]) {
        match self {
            ConvDirection::Forward => (DescriptorKind::ForwardOperation, [700, 701, 702, 704, 703, 705]),
            ConvDirection::BackwardData => (DescriptorKind::BackwardDataOperation, [706, 707, 708, 710, 709, 711]),
            ConvDirection::BackwardFilter => (DescriptorKind::BackwardFilterOperation, [712, 713, 714, 716, 715, 717]),
        }
    }
}

/// A convolution to plan.
#[derive(Clone, Copy, Debug)]
pub struct ConvProblem {
    /// Sizes.
    pub geometry: ConvGeometry,
    /// Storage type of all three tensors; sums are f32.
    pub element: Element,
    /// Layout of all three tensors.
    pub layout: Layout,
    /// The tensor to compute.
    pub direction: ConvDirection,
    /// Add to what the result holds.
    pub accumulate: bool,
}

/// The GPU that graphs are for.
#[derive(Clone)]
pub enum Target {
    /// The one that a handle works on; the handle outlives the target.
    Handle(*mut c_void),
    /// One that is described, and need not be there.
    Described(Arc<Descriptor>),
}

// SAFETY: a handle may be used from any thread, one at a time; whoever owns the session that has both uses them alone.
unsafe impl Send for Target {}

impl Target {
    /// The GPU that cuDNN's handle works on.
    pub fn of(dnn: &Dnn) -> Target {
        Target::Handle(dnn.handle.cast())
    }

    /// A GPU with the properties that cuDNN's JSON representation of a device tells.
    pub fn described(json: &str) -> Result<Target, CallError> {
        let descriptor = Descriptor::new(DescriptorKind::DeviceProperties)?.text(attribute::DEVICE_JSON, json)?;
        Ok(Target::Described(descriptor.finalize()?))
    }
}

/// A source of engine configurations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heuristics {
    /// cuDNN's model of the GPU, the best first.
    ModeA,
    /// Engines that support most, in no order of speed.
    Fallback,
}

/// A graph of one convolution.
pub struct ConvGraph {
    descriptor: Arc<Descriptor>,
    target: Target,
}

/// An engine with values for its knobs: an algorithm.
pub struct EngineConfig {
    descriptor: Arc<Descriptor>,
    target: Target,
    /// cuDNN's number of the engine.
    pub engine: i64,
    /// Knob types and their values.
    pub knobs: Vec<(i32, i64)>,
    /// Properties of the engine.
    pub notes: EngineNotes,
    /// Scratch that it will need.
    pub workspace_bytes: u64,
}

/// cuDNN's notes on an engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineNotes {
    /// Tensor cores, which round f32 operands.
    pub tensor_core: bool,
    /// Operands are converted to a narrower type.
    pub down_convert: bool,
    /// Other bits each time.
    pub nondeterministic: bool,
    /// A fast Fourier transform, or Winograd's.
    pub transform: Transform,
    /// Compiled when its plan is made.
    pub compiled: bool,
}

impl Transform {
    /// From cuDNN's numerical notes, of which an engine may have Winograd's general one and one with its tile.
    fn of_notes(numerical: &[c_int]) -> Transform {
        let of = |note: &c_int| match note {
            3 => Some(Transform::Fourier),
            5 => Some(Transform::Winograd(None)),
            6 => Some(Transform::Winograd(Some(4))),
            7 => Some(Transform::Winograd(Some(6))),
            8 => Some(Transform::Winograd(Some(13))),
            _ => None,
        };
        numerical.iter().filter_map(of).max().unwrap_or_default()
    }
}

impl EngineNotes {
    /// From cuDNN's numbers; those that are not known here say nothing.
    fn new(numerical: &[c_int], behavior: &[c_int]) -> EngineNotes {
        let noted = |range: std::ops::RangeInclusive<c_int>| numerical.iter().any(|note| range.contains(note));
        EngineNotes {
            tensor_core: noted(0..=0),
            down_convert: noted(1..=1),
            nondeterministic: noted(4..=4),
            transform: Transform::of_notes(numerical),
            compiled: behavior.contains(&0),
        }
    }
}

impl ConvGraph {
    /// A graph for a GPU.
    pub fn new(problem: &ConvProblem, target: &Target) -> Result<ConvGraph, CallError> {
        let ConvProblem { geometry: conv, element, layout, direction, accumulate } = *problem;
        let filter = Shape { n: conv.k, c: conv.group_c(), h: conv.kernel[0], w: conv.kernel[1] };
        let input = Shape { n: conv.n, c: conv.c, h: conv.h, w: conv.w };
        let x = tensor(X, input, element, layout)?;
        let (w, y) = (tensor(W, filter, element, layout)?, tensor(Y, conv.output(), element, layout)?);
        let (kind, [alpha, beta, convolution, x_name, w_name, y_name]) = direction.operation();
        let operation = Descriptor::new(kind)?
            .float(alpha, 1.0)?
            .float(beta, if accumulate { 1.0 } else { 0.0 })?
            .refer(convolution, &windows(&conv)?)?
            .refer(x_name, &x)?
            .refer(w_name, &w)?
            .refer(y_name, &y)?
            .finalize()?;
        let mut graph =
            Descriptor::new(DescriptorKind::OperationGraph)?.refer(attribute::GRAPH_OPERATIONS, &operation)?;
        if let Target::Handle(handle) = target {
            graph = graph.handle(attribute::GRAPH_HANDLE, *handle)?;
        }
        Ok(ConvGraph { descriptor: graph.finalize()?, target: target.clone() })
    }

    /// The configurations that cuDNN offers.
    pub fn configs(&self, from: Heuristics) -> Result<Vec<EngineConfig>, CallError> {
        const MOST: usize = 256;
        let mode = match from {
            Heuristics::ModeA => 3,
            Heuristics::Fallback => 2,
        };
        let mut heuristics = Descriptor::new(DescriptorKind::EngineHeuristics)?
            .refer(attribute::HEURISTICS_GRAPH, &self.descriptor)?
            .choice(attribute::HEURISTICS_MODE, AttributeType::HeuristicMode, mode)?;
        if let Target::Described(device) = &self.target {
            heuristics = heuristics.refer(attribute::HEURISTICS_DEVICE, device)?;
        }
        let heuristics = heuristics.finalize()?;
        let offers = heuristics.get_descriptors(attribute::HEURISTICS_RESULTS, DescriptorKind::EngineConfig, MOST)?;
        offers.into_iter().map(|offer| EngineConfig::read(offer.belonging_to(&heuristics), &self.target)).collect()
    }
}

impl EngineConfig {
    fn read(descriptor: Arc<Descriptor>, target: &Target) -> Result<EngineConfig, CallError> {
        const MOST_NOTES: usize = 32;
        const MOST_KNOBS: usize = 64;
        let engines = descriptor.get_descriptors(attribute::CONFIG_ENGINE, DescriptorKind::Engine, 1)?;
        let (mut engine, mut notes) = (0, EngineNotes::default());
        if let Some(of) = engines.first() {
            engine = of.get_number(attribute::ENGINE_INDEX)?;
            let numerical =
                of.get_choices(attribute::ENGINE_NUMERICAL_NOTE, AttributeType::NumericalNote, MOST_NOTES)?;
            let behavior = of.get_choices(attribute::ENGINE_BEHAVIOR_NOTE, AttributeType::BehaviorNote, MOST_NOTES)?;
            notes = EngineNotes::new(&numerical, &behavior);
        }
        let choices = descriptor.get_descriptors(attribute::CONFIG_KNOBS, DescriptorKind::KnobChoice, MOST_KNOBS)?;
        let knob = |choice: &Descriptor| -> Result<(i32, i64), CallError> {
            let kinds = choice.get_choices(attribute::KNOB_TYPE, AttributeType::KnobType, 1)?;
            Ok((kinds.first().copied().unwrap_or(-1), choice.get_number(attribute::KNOB_VALUE)?))
        };
        let knobs = choices.iter().map(knob).collect::<Result<Vec<_>, _>>()?;
        let workspace_bytes = descriptor.get_number(attribute::CONFIG_WORKSPACE)?.max(0) as u64;
        Ok(EngineConfig { descriptor, target: target.clone(), engine, knobs, notes, workspace_bytes })
    }

    /// Engine and knobs, as reports name an algorithm: `engine 67 k2=3 k14=1`.
    pub fn name(&self) -> String {
        let knobs = self.knobs.iter().map(|(kind, value)| format!(" k{kind}={value}"));
        format!("engine {}{}", self.engine, knobs.collect::<String>())
    }

    /// Makes a plan; an engine that is compiled at run time is compiled here.
    pub fn plan(&self) -> Result<ConvPlan, CallError> {
        let plan = Descriptor::new(DescriptorKind::ExecutionPlan)?.refer(attribute::PLAN_CONFIG, &self.descriptor)?;
        let plan = match &self.target {
            Target::Handle(handle) => plan.handle(attribute::PLAN_HANDLE, *handle)?,
            Target::Described(device) => plan.refer(attribute::PLAN_DEVICE, device)?,
        };
        let descriptor = plan.finalize()?;
        let workspace_bytes = descriptor.get_number(attribute::PLAN_WORKSPACE)?.max(0) as u64;
        Ok(ConvPlan { descriptor, workspace_bytes })
    }
}

/// A convolution that can be run.
pub struct ConvPlan {
    descriptor: Arc<Descriptor>,
    /// Scratch that it needs.
    pub workspace_bytes: u64,
}

/// Device addresses for a plan, fixed before a step: nothing is allocated in one.
pub struct ConvPack(Arc<Descriptor>);

impl ConvPlan {
    /// The name of the first kernel that the plan launches, where the plan tells: that of an engine compiled at run time.
    pub fn kernel_name(&self) -> Option<String> {
        const MOST: usize = 1 << 22;
        let json: serde_json::Value =
            serde_json::from_str(&self.descriptor.get_text(attribute::PLAN_JSON, MOST).ok()?).ok()?;
        Some(json.pointer("/engine/payload/kernels/0/kernelName")?.as_str()?.to_owned())
    }

    /// Fixes the addresses of x, w, y and of the scratch.
    pub fn pack(&self, [x, w, y]: [u64; 3], workspace: u64) -> Result<ConvPack, CallError> {
        let pack = Descriptor::new(DescriptorKind::VariantPack)?
            .numbers(attribute::PACK_IDS, &[X, W, Y])?
            .addresses(attribute::PACK_ADDRESSES, &[x, w, y])?
            .addresses(attribute::PACK_WORKSPACE, &[workspace])?;
        Ok(ConvPack(pack.finalize()?))
    }

    /// Enqueues the convolution.
    pub fn execute(&self, dnn: &Dnn, pack: &ConvPack) -> Result<(), CallError> {
        execute(dnn.handle.cast(), &self.descriptor, &pack.0)
    }
}

fn tensor(id: i64, shape: Shape, element: Element, layout: Layout) -> Result<Arc<Descriptor>, CallError> {
    let sizes = [shape.n, shape.c, shape.h, shape.w].map(|size| size as i64);
    Descriptor::new(DescriptorKind::Tensor)?
        .choice(attribute::TENSOR_TYPE, AttributeType::DataType, element.dnn() as c_int)?
        .numbers(attribute::TENSOR_SIZES, &sizes)?
        .numbers(attribute::TENSOR_STRIDES, &strides(sizes, layout))?
        .numbers(attribute::TENSOR_ID, &[id])?
        .numbers(attribute::TENSOR_ALIGNMENT, &[ALIGNMENT])?
        .finalize()
}

fn strides([_, c, h, w]: [i64; 4], layout: Layout) -> [i64; 4] {
    match layout {
        Layout::Nchw => [c * h * w, h * w, w, 1],
        Layout::Nhwc => [c * h * w, 1, w * c, c],
    }
}

/// Padding, strides and arithmetic: a cross-correlation with f32 sums.
fn windows(conv: &ConvGeometry) -> Result<Arc<Descriptor>, CallError> {
    const F32: c_int = 0;
    const CROSS_CORRELATION: c_int = 1;
    let [compute, mode, dilations, steps, after, before, dimensions] = attribute::CONVOLUTION;
    let [pad, pad_after, stride, dilation] =
        [conv.pad, conv.pad_after, conv.stride, conv.dilation].map(|pair| pair.map(|size| size as i64));
    Descriptor::new(DescriptorKind::Convolution)?
        .numbers(dimensions, &[2])?
        .choice(compute, AttributeType::DataType, F32)?
        .choice(mode, AttributeType::ConvolutionMode, CROSS_CORRELATION)?
        .numbers(before, &pad)?
        .numbers(after, &pad_after)?
        .numbers(dilations, &dilation)?
        .numbers(steps, &stride)?
        .finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strides_of_both_layouts() {
        let sizes = [2, 3, 4, 5];
        assert_eq!(strides(sizes, Layout::Nchw), [60, 20, 5, 1]);
        assert_eq!(strides(sizes, Layout::Nhwc), [60, 1, 15, 3]);
    }

    /// Numbers as in cudnn_graph.h; 9 and 99 are newer than this program.
    #[test]
    fn notes_by_their_numbers() {
        let none = EngineNotes::default();
        assert_eq!(EngineNotes::new(&[0, 4], &[]), EngineNotes { tensor_core: true, nondeterministic: true, ..none });
        assert_eq!(
            EngineNotes::new(&[1, 6], &[0]),
            EngineNotes { down_convert: true, transform: Transform::Winograd(Some(4)), compiled: true, ..none }
        );
        assert_eq!(EngineNotes::new(&[8, 5], &[]).transform, Transform::Winograd(Some(13)));
        assert_eq!(EngineNotes::new(&[3], &[]).transform, Transform::Fourier);
        assert_eq!(EngineNotes::new(&[9, 99], &[3, 4]), none);
    }
}
