//! Do several ranks train as one? N ranks at batch b must have, after a step, the gradients of one rank at batch N·b, and after ten the
//! same bits each.
//!
//! Ranks are threads here, and every one computes as the CPU device does. Dropout is off where gradients are compared: a mask is drawn
//! for a place in its own rank's batch.

use anyhow::{Result, anyhow};

use super::error::relative_error;
use super::tensor_name::{Parameter, TensorName};
use super::{Check, GRADIENT_BOUND, LEAST_LOSS, LOSS_BOUND, Report, Request, report};
use crate::device::options::{Choice, DeviceOptions};
use crate::device::{self, Device, DeviceError, Session, Training, in_session};
use crate::init;
use crate::model::{Kind, Model};
use crate::plan::{Options, Phase, Plan, Share};
use crate::ranks::threads;
use crate::step::Step;

/// Steps after which the ranks' parameters must still be the same bits.
const STEPS: usize = 10;

/// The tensors of one session, by name.
type Tensors = Vec<(TensorName, Vec<f32>)>;

/// One rank's tensors after a step, and after [`STEPS`].
struct Trained {
    first: Tensors,
    last: Tensors,
}

/// Verifies `ranks` ranks on the CPU, with the request's batch each; `options` are those of every rank's device.
pub fn run(request: &Request, ranks: usize, options: &DeviceOptions) -> Result<Report> {
    let model = Model::open(request.model.as_deref().unwrap_or("alexnet"))?;
    let plan = |batch: usize, share: Share| {
        let Request { image, input_gradient, precision, .. } = *request;
        Plan::new(&model, Options { batch, image, precision, input_gradient, share })
    };
    let all = plan(request.batch * ranks, Share::ALONE)?;
    let trained = std::thread::scope(|scope| {
        let started = threads::ranks(ranks).into_iter().map(|rank| {
            let (plan, options) = (plan(request.batch, rank.share()), options.clone());
            scope.spawn(move || train(request, plan?, &DeviceOptions { ranks: Some(rank), ..options }))
        });
        // All of them, before the first is waited for.
        let started: Vec<_> = started.collect();
        let ended = started.into_iter().map(|thread| thread.join().map_err(|_| anyhow!("a rank ended early"))?);
        first_cause(ended.collect())
    })?;
    let device = device::open(Choice::Cpu, options)?.device;
    let mut rows = Vec::new();
    // Batch norm's statistics are those of each rank's own batch.
    if !all.layers.iter().any(|layer| matches!(layer.kind, Kind::BatchNorm(_))) {
        let alone = after_one_step(device.as_ref(), &Step::new(all.clone()), request.training)?;
        rows.extend(against_one(&all, &trained, &alone));
    }
    rows.extend(bits(&all, &trained));
    let reference = format!("one rank at batch {}, and one another", all.batch);
    let report = report(device.as_ref(), request, &all, reference, rows);
    Ok(Report { batch: request.batch, device: format!("{ranks} ranks of {}", report.device), ..report })
}

/// The results of all ranks, or the reason why one failed, not that the others lost it.
fn first_cause(ended: Vec<Result<Trained>>) -> Result<Vec<Trained>> {
    let lost = |error: &anyhow::Error| error.to_string().ends_with("is gone");
    let (trained, mut errors): (Vec<_>, Vec<_>) = ended.into_iter().partition(Result::is_ok);
    errors.sort_by_key(|result| result.as_ref().err().is_some_and(lost));
    match errors.into_iter().next() {
        Some(error) => Err(error.err().unwrap_or_else(|| anyhow!("a rank failed"))),
        None => trained.into_iter().collect(),
    }
}

/// As one rank.
fn train(request: &Request, plan: Plan, options: &DeviceOptions) -> Result<Trained> {
    let device = device::open(Choice::Cpu, options)?.device;
    let (device, step, training) = (device.as_ref(), Step::new(plan), request.training);
    let first = after_one_step(device, &step, training)?;
    let last = in_session(device, &step, training, |session| {
        init::fill(session, &step.plan, &training)?;
        for _ in 0..STEPS {
            step.plain(session)?;
        }
        let parameters = parameters(&step.plan);
        let updated = parameters.map(|(layer, part)| TensorName::Updated(layer, part));
        read(session, &step.plan, updated)
    })?;
    Ok(Trained { first, last })
}

/// The loss and all gradients of weights and biases.
fn after_one_step(device: &dyn Device, step: &Step, training: Training) -> Result<Tensors, DeviceError> {
    let training = Training { dropout: false, ..training };
    in_session(device, step, training, |session| {
        init::fill(session, &step.plan, &training)?;
        step.plain(session)?;
        let gradients = parameters(&step.plan).map(|(layer, part)| TensorName::Gradient(layer, part));
        read(session, &step.plan, [TensorName::Loss].into_iter().chain(gradients))
    })
}

fn parameters(plan: &Plan) -> impl Iterator<Item = (usize, Parameter)> + use<'_> {
    plan.layers.iter().enumerate().flat_map(|(index, layer)| Parameter::of(layer).map(move |part| (index, part)))
}

fn read(
    session: &mut dyn Session,
    plan: &Plan,
    names: impl Iterator<Item = TensorName>,
) -> Result<Tensors, DeviceError> {
    names.map(|name| Ok((name, session.read(name.tensor(plan))?))).collect()
}

/// The mean of the ranks' losses, and each rank's gradients, against those of one rank with all images.
fn against_one(plan: &Plan, trained: &[Trained], alone: &Tensors) -> Vec<Check> {
    let check = |(at, (name, expected)): (usize, &(TensorName, Vec<f32>))| {
        let of_rank = |trained: &Trained| trained.first[at].1.clone();
        match *name {
            TensorName::Gradient(layer, _) => {
                let error =
                    |rank: &Trained| relative_error(&of_rank(rank), |at| f64::from(expected[at]), |_| true, 0.0);
                // NaN is the largest of all.
                let error = trained.iter().map(error).max_by(f64::total_cmp).unwrap_or(f64::NAN);
                Check::new(plan, layer, Some(Phase::AllReduce), *name, error, GRADIENT_BOUND)
            }
            _ => {
                let mean = trained.iter().map(|rank| of_rank(rank)[0]).sum::<f32>() / trained.len() as f32;
                let error = relative_error(&[mean], |_| f64::from(expected[0]), |_| true, LEAST_LOSS);
                Check::new(plan, plan.loss(), None, *name, error, LOSS_BOUND)
            }
        }
    };
    alone.iter().enumerate().map(check).collect()
}

/// The part of each tensor's elements that have other bits on some rank than on the first.
fn bits(plan: &Plan, trained: &[Trained]) -> Vec<Check> {
    let [first, others @ ..] = trained else { return Vec::new() };
    let check = |(at, (name, values)): (usize, &(TensorName, Vec<f32>))| {
        let differs =
            |index: usize| others.iter().any(|other| other.last[at].1[index].to_bits() != values[index].to_bits());
        let error = (0..values.len()).filter(|&index| differs(index)).count() as f64 / values.len() as f64;
        let layer = if let TensorName::Updated(layer, _) = *name { layer } else { plan.loss() };
        Check::new(plan, layer, None, *name, error, 0.0)
    };
    first.last.iter().enumerate().map(check).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Precision;

    const NETWORK: &str = r#"
        name = "small"
        input = [3, 8, 8]
        [[layer]]
        name = "conv1"
        kind = "conv"
        channels = 4
        kernel = 3
        pad = 1
        [[layer]]
        name = "relu1"
        kind = "relu"
        [[layer]]
        name = "drop1"
        kind = "dropout"
        p = 0.5
        [[layer]]
        name = "fc2"
        kind = "fc"
        outputs = 5
        [[layer]]
        name = "loss"
        kind = "softmax_loss"
    "#;

    fn request(folder: &tempfile::TempDir, text: &str) -> Request {
        let path = folder.path().join("model.toml");
        std::fs::write(&path, text).unwrap();
        Request {
            model: Some(path.display().to_string()),
            batch: 3,
            image: None,
            precision: Precision::F32,
            input_gradient: false,
            training: Training::default(),
            reference: None,
        }
    }

    fn options() -> DeviceOptions {
        DeviceOptions { threads: Some(1), ..DeviceOptions::default() }
    }

    /// Loss, and weights and biases of two layers: gradients after one step, bits after ten.
    #[test]
    fn ranks_train_as_one() {
        let folder = tempfile::tempdir().unwrap();
        for ranks in [2, 3] {
            let report = run(&request(&folder, NETWORK), ranks, &options()).unwrap();
            assert!(report.passes(), "{report:?}");
            assert_eq!((report.rows.len(), report.batch), (1 + 4 + 4, 3));
            // Rounding alone, far from the bound.
            assert!(report.rows.iter().all(|row| row.error < 1e-5), "{report:?}");
        }
    }

    /// Each rank has images of its own, and their gradients before the exchange are far from the mean.
    #[test]
    fn a_rank_that_keeps_its_own_gradients_fails() {
        let folder = tempfile::tempdir().unwrap();
        let request = request(&folder, NETWORK);
        let model = Model::open(request.model.as_deref().unwrap()).unwrap();
        let plan = |batch, share| Plan::new(&model, Options { share, ..Options::of_batch(batch) }).unwrap();
        let device = device::open(Choice::Cpu, &options()).unwrap().device;
        let all = plan(6, Share::ALONE);
        let of = |plan| after_one_step(device.as_ref(), &Step::new(plan), request.training).unwrap();
        let alone = of(all.clone());
        let own = Trained { first: of(plan(3, Share::ALONE)), last: Vec::new() };
        let rows = against_one(&all, &[own], &alone);
        assert!(rows.iter().filter(|row| row.phase.is_some()).all(|row| !row.passes()), "{rows:?}");
    }

    /// Gradients differ where statistics are those of each rank's batch; the parameters still are the same bits.
    #[test]
    fn batch_norm_stays_with_its_rank() {
        let folder = tempfile::tempdir().unwrap();
        let text = NETWORK
            .replace("name = \"relu1\"\n        kind = \"relu\"", "name = \"bn1\"\n        kind = \"batchnorm\"");
        let report = run(&request(&folder, &text), 2, &options()).unwrap();
        assert!(report.passes() && report.rows.len() == 6, "{report:?}");
        assert!(report.rows.iter().all(|row| row.phase.is_none()), "{report:?}");
    }
}
