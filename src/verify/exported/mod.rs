//! Against tensors that another framework exported: `layertime verify --reference FILE.safetensors`.
//!
//! [`file`] reads the format, [`contents`] says what must be in it, [`passes`] compares.

mod contents;
mod file;
mod passes;
#[cfg(test)]
mod tests;

use std::path::Path;

use anyhow::{Result, ensure};

use super::{Report, Request, report};
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
    let mut pass = |session: &mut dyn Session, scope: PassScope| {
        fill(session, &mut exported)?;
        ExportedPass { step: &step, exported: &mut exported, scope, first_maximum_wins, precision }.run(session)
    };
    let rows = in_session(device, &step, training, |session| {
        let mut rows = pass(session, PassScope::EachPhase)?;
        if precision == Precision::F32 {
            rows.extend(pass(session, PassScope::WholeStep)?);
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
