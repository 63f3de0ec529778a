//! Does a device compute right?
//!
//! Two ways: against this module's own f64 arithmetic ([`mod@reference`]), or against tensors exported from another framework
//! (`exported`). Either way each phase is checked by itself, because end to end a single flipped ReLU or pool maximum moves a
//! gradient by 1e-3 in f32 without anything being wrong; then, in f32, the whole step is checked for what it is for: the
//! loss and the updated weights. Nothing here prints; [`Report`] is what was found.

mod error;
mod exported;
mod memory;
mod operands;
mod phases;
pub mod ranks;
pub mod reference;
mod start;
mod tensor_name;
mod whole_step;

#[cfg(test)]
mod test_session;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::PathBuf;

use anyhow::anyhow;

use crate::device::{Algorithm, Device, Session, Training, Transform, in_session};
use crate::model::Model;
use crate::plan::Precision;
use crate::plan::{LayerPlan, Options, Phase, Plan, Share};
use crate::step::Step;
use tensor_name::TensorName;

/// Bounds of what a whole step gives, in f32: the loss (and outputs), and gradients, which a few flipped ReLUs may move by 1e-3.
const LOSS_BOUND: f64 = 1e-4;
const GRADIENT_BOUND: f64 = 1e-2;

/// A loss below this is held against it: −log p cannot be better than the rounding of p, which is near one.
const LEAST_LOSS: f64 = 1.0;

/// A request to verify a device.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// A built-in model or a description's path; `None` is what the reference names, or alexnet.
    pub model: Option<String>,
    /// Images in the batch.
    pub batch: usize,
    /// Height and width in place of the model's own.
    pub image: Option<[usize; 2]>,
    /// Arithmetic of the device.
    pub precision: Precision,
    /// Check the gradient of the image too.
    pub input_gradient: bool,
    /// Constants of momentum SGD, and the seed.
    pub training: Training,
    /// Tensors from another framework; they bring batch, image and training constants of their own.
    pub reference: Option<PathBuf>,
}

impl Request {
    /// The plan that runs on the device, where no reference says so.
    pub fn plan(&self) -> anyhow::Result<Plan> {
        let Request { batch, image, input_gradient, precision, .. } = *self;
        let model = Model::open(self.model.as_deref().unwrap_or("alexnet"))?;
        Ok(Plan::new(&model, Options { batch, image, precision, input_gradient, share: Share::ALONE })?)
    }
}

/// One comparison.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// Name of the layer.
    pub layer: String,
    /// `None` for the whole step.
    pub phase: Option<Phase>,
    /// Named as in exported files: `grad.conv1.weight`.
    pub tensor: String,
    /// Relative L2 error.
    pub error: f64,
    /// The largest error that passes.
    pub bound: f64,
    /// How the phase was computed, where there is a choice.
    pub algorithm: Option<String>,
}

impl Check {
    fn new(plan: &Plan, layer: usize, phase: Option<Phase>, key: TensorName, error: f64, bound: f64) -> Check {
        Check { layer: plan.layers[layer].name.clone(), phase, tensor: key.name(plan), error, bound, algorithm: None }
    }

    /// The same, of a phase that was computed in this way.
    fn by(self, algorithm: Option<Algorithm>) -> Check {
        let Some(Algorithm { name, transform, .. }) = algorithm else { return self };
        Check { bound: self.bound.max(transform_bound(transform)), algorithm: Some(name), ..self }
    }

    /// NaN never passes.
    pub fn passes(&self) -> bool {
        self.error <= self.bound
    }

    /// Error as a share of what is allowed; NaN counts as infinitely much.
    pub fn severity(&self) -> f64 {
        if self.error == 0.0 {
            return 0.0;
        }
        let severity = self.error / self.bound;
        if severity.is_nan() { f64::INFINITY } else { severity }
    }
}

/// Everything that was compared, in the step's order, the whole step last.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Name of the model.
    pub model: String,
    /// Images in the batch.
    pub batch: usize,
    /// Height and width of an image.
    pub image: [usize; 2],
    /// Name of the device.
    pub device: String,
    /// Arithmetic of the device.
    pub precision: Precision,
    /// The side that the device was compared with: `f64`, or the exported file.
    pub reference: String,
    /// One per comparison.
    pub rows: Vec<Check>,
}

impl Report {
    /// Tells if every comparison passes.
    pub fn passes(&self) -> bool {
        self.failures().next().is_none()
    }

    /// The comparisons that do not pass.
    pub fn failures(&self) -> impl Iterator<Item = &Check> {
        self.rows.iter().filter(|row| !row.passes())
    }

    /// The comparison nearest to its bound, or furthest over it.
    pub fn worst(&self) -> Option<&Check> {
        self.rows.iter().max_by(|a, b| a.severity().total_cmp(&b.severity()))
    }
}

/// Relative L2 error that a phase may have, by the rounding of its operands.
fn phase_bound(precision: Precision) -> f64 {
    match precision {
        Precision::F32 => 1e-5,
        Precision::Tf32 | Precision::Tf32F32 | Precision::F32Tf32 | Precision::F16 => 2e-3,
        Precision::Bf16 => 2e-2,
    }
}

/// Relative L2 error that a transform may have in f32. tests/reference/winograd.py computes Winograd's in f32: up to 7e-6 for tiles that turn
/// into 6 x 6 outputs or fewer and 512 channels, which the bound of a plain sum covers; 1e-3 for tiles of 13 x 13, through good points. Which
/// points cuDNN takes is not known, and other good ones are a few times worse. A Fourier transform's rounding grows with the logarithm of its
/// size only (Schatzman 1996, "Accuracy of the discrete Fourier transform and the fast Fourier transform").
fn transform_bound(transform: Transform) -> f64 {
    const SMALL_TILE: u8 = 8;
    match transform {
        Transform::Winograd(Some(tile)) if tile > SMALL_TILE => 1e-2,
        Transform::Plain | Transform::Fourier | Transform::Winograd(_) => phase_bound(Precision::F32),
    }
}

/// The largest bound of a step's phases by their transforms: a whole step is no more exact than its parts.
fn step_bound(session: &dyn Session, step: &Step) -> f64 {
    let transforms = step.ops.iter().filter_map(|&op| Some(session.algorithm(op)?.transform));
    transforms.map(transform_bound).fold(0.0, f64::max)
}

/// Bound of the parameters that a whole step leaves, in f32: that of a phase, and what [`GRADIENT_BOUND`] admits of the update,
/// which counts as no smaller than what a gradient whose terms do not cancel would make it.
fn updated_bound(before: &[f32], after: impl Fn(usize) -> f64, least_update: f64) -> f64 {
    phase_bound(Precision::F32) + GRADIENT_BOUND * update_share(before, after, least_update)
}

/// The norm of the update over that of the updated parameters.
fn update_share(before: &[f32], after: impl Fn(usize) -> f64, least_update: f64) -> f64 {
    let (mut update, mut updated) = (0.0, 0.0);
    for (index, &before) in before.iter().enumerate() {
        let after = after(index);
        update += (after - f64::from(before)).powi(2);
        updated += after * after;
    }
    if updated > 0.0 { update.sqrt().max(least_update) / updated.sqrt() } else { 0.0 }
}

/// Verifies a device in one precision.
pub fn run(device: &dyn Device, request: &Request) -> anyhow::Result<Report> {
    match &request.reference {
        Some(path) => exported::run(device, request, path),
        None => against_f64(device, request),
    }
}

fn against_f64(device: &dyn Device, request: &Request) -> anyhow::Result<Report> {
    let Request { precision, training, .. } = *request;
    let step = Step::new(request.plan()?);
    let phases = phases::PhaseCheck {
        step: &step,
        training: &training,
        bound: phase_bound(precision),
        first_maximum_wins: device.info().first_maximum_wins,
    };
    let rows = in_session(device, &step, training, |session| {
        memory::check(&step.plan).map_err(|error| anyhow!("the reference in f64 {error}"))?;
        start::fresh(session, &step, &training)?;
        let initial = whole_step::Initial::read(&step.plan, |key| session.read(key.tensor(&step.plan)))?;
        let mut rows = phases.run(session)?;
        if precision == Precision::F32 {
            let least_bound = step_bound(session, &step);
            let (plan, rounding) = (&step.plan, forward_errors(&step.plan, &rows));
            let momentum = |layer, index| start::momentum(training.seed, layer, index);
            let (training, momentum) = (&training, &momentum);
            let whole = whole_step::WholeStep { plan, training, initial, momentum, least_bound, rounding };
            rows.extend(whole.check(session)?);
        }
        anyhow::Ok(rows)
    })?;
    Ok(report(device, request, &step.plan, "f64".into(), rows))
}

/// By layer, the error of its forward phase, as far as it may be one of rounding.
fn forward_errors(plan: &Plan, rows: &[Check]) -> Vec<f64> {
    let of_forward = rows.iter().filter(|row| row.phase == Some(Phase::Forward) && row.passes());
    let errors: HashMap<&str, f64> = of_forward.map(|row| (row.layer.as_str(), row.error)).collect();
    let error =
        |layer: &LayerPlan| errors.get(&*layer.name).map_or(0.0, |error| error.min(phase_bound(Precision::F32)));
    plan.layers.iter().map(error).collect()
}

fn report(device: &dyn Device, request: &Request, plan: &Plan, reference: String, rows: Vec<Check>) -> Report {
    Report {
        model: plan.model.name.clone(),
        batch: plan.batch,
        image: plan.image(),
        device: device.info().name.clone(),
        precision: request.precision,
        reference,
        rows,
    }
}
