//! Against tensors that another framework exported: `layertime verify --reference FILE.safetensors`.
//!
//! [`file`] reads the format, [`contents`] says what must be in it, [`passes`] compares.

mod contents;
mod file;
mod passes;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use anyhow::{Result, ensure};

use super::tensor_name::TensorName;
use super::whole_step::{Drawn, Initial, WholeStep};
use super::{Check, Report, Request, forward_errors, memory, report};
use crate::device::{Device, Session, Tensor, in_session};
use crate::plan::Precision;
use crate::step::Step;
use contents::Exported;
use passes::{ExportedPass, PassScope};

/// Verifies a device against a file. First every phase from the file's own tensors, then, in f32, the whole step.
pub fn run(device: &dyn Device, request: &Request, path: &Path) -> Result<Report> {
    let mut exported = Exported::open(path, request)?;
    let step = Step::new(exported.plan.clone());
    let training = exported.training;
    let (first_maximum_wins, precision) = (device.info().first_maximum_wins, request.precision);
    let rows = in_session(device, &step, training, |session| {
        let mut pass = |exported: &mut Exported, scope: PassScope, rounding: HashMap<TensorName, f64>| {
            fill(session, exported)?;
            ExportedPass { step: &step, exported, scope, rounding, first_maximum_wins, precision }.run(session)
        };
        let mut rows = pass(&mut exported, PassScope::EachPhase, HashMap::new())?;
        if precision == Precision::F32 {
            let rounding = rounding(&mut exported, &rows)?;
            rows.extend(pass(&mut exported, PassScope::WholeStep, rounding)?);
        }
        anyhow::Ok(rows)
    })?;
    let path = path.display().to_string();
    ensure!(
        !rows.is_empty(),
        "{path} holds nothing to compare: export output.*, grad_output.*, grad.* and updated.* too"
    );
    Ok(report(device, request, &step.plan, path, rows))
}

/// How far rounding may move what a whole step gives, from the f64 reference and the same in f32; nothing where memory does not hold
/// them.
fn rounding(exported: &mut Exported, rows: &[Check]) -> Result<HashMap<TensorName, f64>> {
    let (plan, training) = (exported.plan.clone(), exported.training);
    if memory::check(&plan).is_err() {
        return Ok(HashMap::new());
    }
    let initial = Initial::read(&plan, |key| exported.values(key))?;
    let labels = exported.values(TensorName::Labels)?.into_iter().map(|label| label as usize).collect();
    let drawn = Drawn { image: exported.values(TensorName::Input)?, labels, masks: BTreeMap::new() };
    let (rounding, momentum) = (forward_errors(&plan, rows), &|_, _| 0.0);
    let whole = WholeStep { plan: &plan, training: &training, initial, momentum, least_bound: 0.0, rounding };
    Ok(whole.bounds(&drawn)?)
}

/// Input, labels and parameters from the file; momentum begins at zero.
fn fill(session: &mut dyn Session, exported: &mut Exported) -> Result<()> {
    let plan = exported.plan.clone();
    for key in contents::required(&plan) {
        let values = exported.values(key)?;
        session.fill(key.tensor(&plan), &|index| values[index])?;
    }
    for (index, layer) in plan.layers.iter().enumerate() {
        if layer.weights > 0 {
            session.fill(Tensor::WeightMomentum(index), &|_| 0.0)?;
        }
        if layer.biases > 0 {
            session.fill(Tensor::BiasMomentum(index), &|_| 0.0)?;
        }
    }
    Ok(())
}
