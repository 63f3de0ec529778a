//! Profiles one batch of a model: plan, device, measurement and statistics in one call.

use std::time::Duration;

use super::measure::{MeasureError, MeasureSettings, Unwatched, measure};
use super::stopping::StoppingRule;
use super::summary::Summary;
use super::{Measured, Status};
use crate::device::options::{Choice, DeviceOptions};
use crate::device::{self, Device, DeviceError, Training};
use crate::interrupt::Interrupt;
use crate::model::Model;
use crate::plan::{self, Plan, PlanError, Share};
use crate::ranks::Ranks;
use crate::step::Step;

/// A measurement to be made, with the defaults of `layertime run`.
#[derive(Clone, Debug)]
pub struct Profiler {
    /// The network.
    pub model: Model,
    /// Batch and image size, and whether the image's gradient is wanted. The precision is the device's.
    pub plan: plan::Options,
    /// The device to open.
    pub device: Choice,
    /// Precision, layout, threads and so on of the device.
    pub options: DeviceOptions,
    /// Constants of momentum SGD, and the seed.
    pub training: Training,
    /// Decides when enough steps have been timed.
    pub rule: StoppingRule,
}

/// Why a batch could not be profiled.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// The model cannot be planned as asked.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The device failed.
    #[error(transparent)]
    Measure(#[from] MeasureError),
    /// No step could be timed.
    #[error("batch {batch} was not measured: {}", status.name())]
    NotMeasured {
        /// Images in the batch.
        batch: usize,
        /// How the measurement ended.
        status: Status,
    },
}

impl From<DeviceError> for ProfileError {
    fn from(error: DeviceError) -> ProfileError {
        ProfileError::Measure(error.into())
    }
}

impl Profiler {
    /// Batches of one image of the model's own size, on a GPU where one is usable, else on the CPU.
    pub fn new(model: Model) -> Profiler {
        Profiler {
            model,
            plan: plan::Options::of_batch(1),
            device: Choice::default(),
            options: DeviceOptions::default(),
            training: Training::default(),
            rule: StoppingRule::default(),
        }
    }

    /// Trains with this many images.
    pub fn batch(mut self, images: usize) -> Profiler {
        self.plan.batch = images;
        self
    }

    /// Measures on this device.
    pub fn device(mut self, device: Choice) -> Profiler {
        self.device = device;
        self
    }

    /// Samples no longer than this, warm-up apart.
    pub fn max_time(mut self, time: Duration) -> Profiler {
        self.rule.max_time = time;
        self
    }

    /// Opens the device and profiles the batch on it.
    ///
    /// Fails where the model does not fit the image, where the device cannot be opened or fails, and where the batch does not fit in
    /// memory.
    pub fn run(&self) -> Result<Summary, ProfileError> {
        self.run_on(device::open(self.device, &self.options)?.device.as_ref())
    }

    /// Profiles the batch on a device that is open already.
    pub fn run_on(&self, device: &dyn Device) -> Result<Summary, ProfileError> {
        let measured = self.measure(device)?;
        let Measured { ref plan, status, .. } = measured;
        Summary::of(&measured).ok_or(ProfileError::NotMeasured { batch: plan.batch, status })
    }

    fn measure(&self, device: &dyn Device) -> Result<Measured, ProfileError> {
        let share = device.ranks().map_or(Share::ALONE, Ranks::share);
        let options = plan::Options { precision: device.info().precision, share, ..self.plan };
        let step = Step::new(Plan::new(&self.model, options)?);
        let settings = MeasureSettings {
            rule: self.rule,
            seed: self.training.seed,
            device: device.monitor().map(|monitor| monitor.settings()).unwrap_or_default(),
            interrupt: Interrupt::default(),
        };
        Ok(measure(device, &step, self.training, &settings, &mut Unwatched)?)
    }
}
