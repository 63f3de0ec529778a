//! The formula: what a piece of work takes on a GPU. docs/prediction.md has it in words.

use super::Question;
use super::constants::{Constants, Reach};
use super::gpu::{Generation, Gpu};
use super::program::Program;
use super::work::{Does, FastAlgorithm, MatrixProduct, PhaseWork, Shortcut};
use crate::device::options::{Layout, Search};
use crate::plan::{Bound, Mover, Phase, Precision};

/// Part of the L2 that operands can count on.
const L2_SHARE: f64 = 0.8;
/// Channels that tensor cores take together; fewer are padded.
const TENSOR_CHANNELS: f64 = 8.0;
/// Columns below which a convolution takes no longer: other algorithms serve.
const LEAST_COLUMNS: f64 = 8.0;

/// The time of a phase, in parts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimeParts {
    /// All of it, in µs.
    pub us: f64,
    /// The part that made it as long as it is.
    pub bound: Bound,
}

/// A GPU under a question, its rates worked out.
#[derive(Clone, Copy, Debug)]
pub struct GpuRates<'a> {
    constants: &'a Constants,
    /// FLOP per µs that ordinary cores reach at the most.
    cores: f64,
    /// FLOP per µs of tensor cores in the precision of convolutions, where they serve.
    conv_tensor: Option<f64>,
    /// The same for fully connected layers.
    gemm_tensor: Option<f64>,
    /// Bytes per µs that kernels and memory together move at the most.
    bandwidth: f64,
    /// The same of kernels in f32.
    bandwidth_f32: f64,
    l2_bytes: f64,
    sms: f64,
    generation: Generation,
    /// Elements of 16 bits.
    half: bool,
    /// The same, and tensor cores for them.
    half_tensors: bool,
    /// Batch normalisation does what is behind it on the way.
    fuses: bool,
    search: Search,
    layout: Layout,
    program: Program,
}

impl<'a> GpuRates<'a> {
    /// Works out the rates. A precision that the GPU has not runs on ordinary cores, in f32 with elements of its own size.
    pub fn new(constants: &'a Constants, question: &Question) -> GpuRates<'a> {
        let gpu = question.gpu;
        let generation = gpu.generation();
        let reach: &Reach = constants.generation.of(generation);
        let clock = gpu.power_ratio().powf(constants.power);
        let half = question.precision.element_bytes() == 2;
        // Operands of 16 bits: twice as many in a clock.
        let feed = gpu.clocks_per_us() * constants.feed * if half { 1.0 } else { 0.5 };
        let tensor = |precision: Precision| {
            let peak = gpu.peak(precision).filter(|_| gpu.uses_tensor_cores(precision))?;
            Some(in_turn(peak * 1e6, feed) * reach.tensor * clock)
        };
        let conv_tensor = tensor(question.precision.convolutions());
        // A kernel loads an element at a time: with 16 bits half of the bytes. What f16 costs on ordinary cores is `half`.
        let load = gpu.clocks_per_us() * constants.memory.load;
        let bandwidth = |load: f64| in_turn(gpu.bandwidth * 1e3, load) * reach.bandwidth;
        let half_tensors = gpu.has_half_tensors(question.precision);
        let issue = match generation {
            Generation::Kepler => Generation::KEPLER_ISSUE,
            _ if generation.is_doubled() => constants.doubled,
            _ => 1.0,
        };
        GpuRates {
            constants,
            cores: gpu.f32 * 1e6 * issue * reach.cores * clock,
            conv_tensor,
            gemm_tensor: tensor(question.precision.products()),
            bandwidth: bandwidth(if half_tensors { 0.5 * load } else { load }),
            bandwidth_f32: bandwidth(load),
            l2_bytes: gpu.l2_mb.unwrap_or(0.0) * 1e6,
            sms: f64::from(gpu.sms),
            generation,
            half,
            half_tensors,
            fuses: half_tensors && question.layout == Layout::Nhwc && question.program.fuses(),
            search: question.search,
            layout: question.layout,
            program: question.program,
        }
    }

    /// The time of a piece of work.
    pub fn time(&self, work: &PhaseWork) -> TimeParts {
        let overhead = self.constants.program.of(self.program);
        let memory = self.memory_us(work);
        let (compute, extra) = match &work.does {
            Does::Conv(product, shortcut) => self.conv(work, product, shortcut),
            Does::Gemm(product) => (self.gemm(product), 0.0),
            Does::Move(_) | Does::BehindNorm | Does::Update => (0.0, 0.0),
        };
        let half = if self.half_tensors { overhead.half_passes } else { 1.0 };
        let busy = (compute.max(memory) + extra) * overhead.passes * half;
        let bound = match (overhead.launch_us > busy, compute >= memory) {
            (true, _) => Bound::Latency,
            (false, true) => Bound::Compute,
            (false, false) => Bound::Memory,
        };
        TimeParts { us: busy + overhead.launch_us, bound }
    }

    /// The arithmetic of the fastest algorithm in µs, and what it moves beside its operands.
    fn conv(&self, work: &PhaseWork, product: &MatrixProduct, shortcut: &Shortcut) -> (f64, f64) {
        let cores = self.conv_cores(work.phase, product, shortcut);
        let Some(peak) = self.conv_tensor else { return (cores, 0.0) };
        let (conv, phase) = (&self.constants.conv, work.phase);
        let padding = (shortcut.channels / TENSOR_CHANNELS).ceil() * TENSOR_CHANNELS / shortcut.channels;
        let slow = self.slowed(phase, product, true) * self.strided(phase, shortcut) * self.picked(conv.search);
        let tensor = 2.0 * product.macs * padding * slow / (conv.tensor.of(phase) * peak);
        let reorder = match self.layout {
            Layout::Nchw => conv.reorder * self.operands_us(work.bytes),
            Layout::Nhwc => 0.0,
        };
        let memory = self.memory_us(work);
        // The library may run the ordinary cores' algorithm as well, and picks the faster one.
        if cores.max(memory) < tensor.max(memory) + reorder { (cores, 0.0) } else { (tensor, reorder) }
    }

    fn conv_cores(&self, phase: Phase, product: &MatrixProduct, shortcut: &Shortcut) -> f64 {
        let conv = &self.constants.conv;
        // Where tensor cores take f16, what runs beside them computes on f32.
        let half = if self.half && !self.half_tensors { conv.half.of(phase) } else { 1.0 };
        let at = |fraction: f64, slow: f64| 2.0 * product.macs * slow / (half * fraction * self.cores);
        let slow = self.slowed(phase, product, false);
        let padding = if phase == Phase::BackwardData { product.padding() } else { 1.0 };
        let direct = slow * padding * self.strided(phase, shortcut) * self.picked(conv.search);
        let direct = at(conv.direct.of(phase), direct);
        if !self.program.takes_shortcuts() {
            return direct;
        }
        let narrow = 1.0 + conv.narrow.of(phase) / product.n.max(LEAST_COLUMNS);
        let waves = 1.0 + conv.waves.of(phase, false) * self.sms / product.pieces(is_weights(phase));
        match shortcut.algorithm {
            FastAlgorithm::Direct => direct,
            FastAlgorithm::Winograd { padding, weight_bytes } => {
                let short = 1.0 + conv.short.of(phase, false) / shortcut.channels;
                let slow = padding * narrow * short * waves * self.picked(conv.search);
                let transforms = conv.transforms * weight_bytes / self.bandwidth_f32;
                direct.min(at(conv.winograd.of(phase), slow) + transforms)
            }
            FastAlgorithm::Large => {
                direct.min(at(conv.large.of(phase), narrow * waves * self.picked(conv.search_large)))
            }
        }
    }

    /// How much longer than at full efficiency: narrow results, short sums, multiprocessors without work.
    fn slowed(&self, phase: Phase, product: &MatrixProduct, tensor: bool) -> f64 {
        let conv = &self.constants.conv;
        let narrow = if tensor { conv.narrow_tensor } else { conv.narrow.of(phase) };
        let patch = if is_weights(phase) { 1.0 + conv.patch / product.m } else { 1.0 };
        let short = 1.0 + conv.short.of(phase, tensor) / product.k;
        let waves = 1.0 + conv.waves.of(phase, tensor) * self.sms / product.pieces(is_weights(phase));
        patch * (1.0 + narrow / product.n.max(LEAST_COLUMNS)) * short * waves
    }

    fn strided(&self, phase: Phase, shortcut: &Shortcut) -> f64 {
        match (shortcut.strided, phase) {
            (true, Phase::BackwardData) => self.constants.conv.strided_data,
            (true, Phase::BackwardWeights) => self.constants.conv.strided_weights,
            (true, Phase::Forward | Phase::AllReduce | Phase::LossScale | Phase::WeightUpdate) | (false, _) => 1.0,
        }
    }

    fn picked(&self, gain: f64) -> f64 {
        if self.search == Search::Exhaustive { gain } else { 1.0 }
    }

    fn gemm(&self, product: &MatrixProduct) -> f64 {
        let gemm = &self.constants.gemm;
        let least = product.m.min(product.n).max(1.0);
        let old = self.generation < Generation::Volta;
        let (tile, narrow) = if old { (32.0, gemm.narrow_before_volta) } else { (16.0, gemm.narrow) };
        let columns = (least / tile).ceil() * tile;
        let short = 1.0 + gemm.short / product.k.min(product.m.max(product.n));
        let waves = 1.0 + gemm.waves * self.sms / product.pieces(true);
        let at = |narrow: f64, rate: f64| {
            2.0 * product.macs * columns / least * (1.0 + narrow / columns) * short * waves / rate
        };
        let cores = at(narrow, gemm.cores * self.cores);
        match self.gemm_tensor {
            Some(peak) => cores.min(at(gemm.narrow_tensor, gemm.tensor * peak)),
            None => cores,
        }
    }

    /// The bytes at the part of the bandwidth that they reach; what the L2 holds comes faster.
    fn memory_us(&self, work: &PhaseWork) -> f64 {
        let memory = &self.constants.memory;
        let part = match &work.does {
            Does::Conv(..) | Does::Gemm(_) => memory.operands,
            Does::Move(Mover::Pool) => memory.pool.of(work.phase),
            Does::Move(Mover::Batchnorm) => memory.batchnorm.of(work.phase),
            Does::Move(Mover::Lrn) => memory.lrn.of(work.phase),
            Does::BehindNorm if self.fuses => memory.elementwise.of(work.phase) / memory.fused,
            Does::Move(Mover::Elementwise) | Does::BehindNorm => memory.elementwise.of(work.phase),
            Does::Update => memory.update,
        };
        let held = if work.footprint > 0.0 { (L2_SHARE * self.l2_bytes / work.footprint).min(1.0) } else { 0.0 };
        // Masters, momentum and gradients of the update are f32 for the most part.
        let bandwidth = if work.does == Does::Update { self.bandwidth_f32 } else { self.bandwidth };
        work.bytes / (bandwidth * part) * (1.0 - held + held / memory.l2)
    }

    fn operands_us(&self, bytes: f64) -> f64 {
        bytes / (self.bandwidth * self.constants.memory.operands)
    }
}

/// The rate of what passes at two rates, one after the other.
fn in_turn(one: f64, other: f64) -> f64 {
    1.0 / (1.0 / one + 1.0 / other)
}

fn is_weights(phase: Phase) -> bool {
    phase == Phase::BackwardWeights
}

impl Gpu {
    /// Watts per TFLOP/s against what the generation's large boards have, at the most 1.
    pub fn power_ratio(&self) -> f64 {
        let full = self.generation().full_power();
        self.watts.map_or(1.0, |watts| (watts / self.f32 / full).min(1.0))
    }
}
