//! The contents of an exported file: the network, the training constants, and which tensors there are.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use safetensors::Dtype;

use super::file::ExportedFile;
use crate::device::Training;
use crate::model::{Model, Source};
use crate::plan::{Options, Plan, Share};
use crate::verify::Request;
use crate::verify::tensor_name::{Parameter, TensorName, memory_of};

/// A file whose every tensor has been found to fit its network.
pub struct Exported {
    file: ExportedFile,
    pub plan: Plan,
    pub training: Training,
}

impl Exported {
    /// The model is the request's, or else the one that the file names; batch and image are those of `input`.
    pub fn open(path: &Path, request: &Request) -> Result<Exported> {
        let file = ExportedFile::open(path)?;
        let model = match (request.model.as_deref(), file.entry("model")) {
            (Some(model), _) | (None, Some(model)) => Model::open(model)
                .with_context(|| format!("the model of {}, which --model FILE.toml can give", file.path()))?,
            (None, None) => bail!("{} names no model in its metadata: give --model", file.path()),
        };
        let &[batch, channels, h, w] = file.sizes("input")? else {
            bail!("{}: `input` must be [N, C, H, W]", file.path());
        };
        ensure!(
            batch * h * w > 0 && channels == model.input[0],
            "{}: `input` is {:?}, but {} takes [N, {}, H, W]",
            file.path(),
            [batch, channels, h, w],
            model.name,
            model.input[0]
        );
        let Request { precision, input_gradient, .. } = *request;
        let plan =
            Plan::new(&model, Options { batch, image: Some([h, w]), precision, input_gradient, share: Share::ALONE })?;
        let training = training(&file, request.training)?;
        let mut exported = Exported { file, plan, training };
        exported.check()?;
        Ok(exported)
    }

    pub fn has(&self, key: TensorName) -> bool {
        self.file.has(&key.name(&self.plan))
    }

    /// A tensor's elements; labels as whole numbers.
    pub fn values(&mut self, key: TensorName) -> Result<Vec<f32>> {
        let name = key.name(&self.plan);
        if key != TensorName::Labels {
            return self.file.floats(&name);
        }
        let classes = self.plan.classes();
        let mut labels = Vec::new();
        for label in self.file.integers(&name)? {
            let fits = usize::try_from(label).is_ok_and(|label| label < classes);
            ensure!(fits, "{}: `labels` holds {label}, but there are {classes} classes", self.file.path());
            labels.push(label as f32);
        }
        Ok(labels)
    }

    /// The outputs of a source are known: the image's always are.
    pub fn has_output(&self, source: Source) -> bool {
        match source {
            Source::Image => true,
            Source::Layer(layer) => self.output_keys(layer).any(|key| self.has(key)),
        }
    }

    /// The gradient of a layer's output is known; the loss has none and needs none.
    pub fn has_gradient(&self, layer: usize) -> bool {
        self.plan.layers[layer].kind.is_loss() || self.gradient_keys(Source::Layer(layer)).any(|key| self.has(key))
    }

    /// The output of a layer under its own name and those of the flatten layers that rename it.
    pub fn output_keys(&self, layer: usize) -> impl Iterator<Item = TensorName> + '_ {
        std::iter::once(layer).chain(flattened(&self.plan, Source::Layer(layer))).map(TensorName::Output)
    }

    /// The gradient of a source, and those of flatten layers that are its only readers and so have the same.
    pub fn gradient_keys(&self, source: Source) -> impl Iterator<Item = TensorName> + '_ {
        let flattened = flattened(&self.plan, source).filter(|&layer| reads_alone(&self.plan, layer));
        std::iter::once(TensorName::gradient_of(source)).chain(flattened.map(TensorName::OutputGradient))
    }

    /// Everything needed is there, everything there has a meaning, and all have the right type and size.
    fn check(&mut self) -> Result<()> {
        for key in required(&self.plan) {
            self.file.sizes(&key.name(&self.plan))?;
        }
        for name in self.file.names() {
            let Some(key) = TensorName::parse(&name, &self.plan) else {
                bail!("{}: `{name}` is no tensor of {}", self.file.path(), self.plan.model.name);
            };
            self.file.check_type(&name, if key == TensorName::Labels { Dtype::I64 } else { Dtype::F32 })?;
            let (found, expected) = (self.file.sizes(&name)?, key.sizes(&self.plan));
            ensure!(
                without_ones(found) == without_ones(&expected),
                "{}: `{name}` is {found:?}, but must be {expected:?}",
                self.file.path()
            );
        }
        self.values(TensorName::Labels).map(drop)
    }
}

/// The tensors that no step can do without.
pub fn required(plan: &Plan) -> Vec<TensorName> {
    let layers = plan.layers.iter().enumerate();
    let parameters =
        layers.flat_map(|(index, layer)| Parameter::of(layer).map(move |part| TensorName::Parameter(index, part)));
    [TensorName::Input, TensorName::Labels].into_iter().chain(parameters).collect()
}

/// The request's constants with those that the file gives in their place.
fn training(file: &ExportedFile, default: Training) -> Result<Training> {
    let number = |key: &str, default: f32| match file.entry(key) {
        None => Ok(default),
        Some(text) => text
            .trim()
            .parse()
            .ok()
            .filter(|value: &f32| value.is_finite())
            .with_context(|| format!("{}: `{key}` is `{text}` in its metadata, which is no number", file.path())),
    };
    if let Some(dropout) = file.entry("dropout").filter(|&dropout| dropout != "off") {
        bail!("{}: dropout is `{dropout}`, but only steps with dropout \"off\" can be compared", file.path());
    }
    Ok(Training {
        learning_rate: number("learning_rate", default.learning_rate)?,
        momentum: number("momentum", default.momentum)?,
        weight_decay: number("weight_decay", default.weight_decay)?,
        seed: default.seed,
        dropout: false,
    })
}

/// Frameworks differ in whether a vector per image is [N, C] or [N, C, 1, 1], and a scalar [] or [1].
fn without_ones(sizes: &[usize]) -> Vec<usize> {
    sizes.iter().copied().filter(|&size| size != 1).collect()
}

/// The flatten layers that rename a source.
fn flattened(plan: &Plan, source: Source) -> impl Iterator<Item = usize> + '_ {
    let all = 0..plan.layers.len();
    all.filter(move |&layer| plan.layers[layer].kind.is_view() && memory_of(plan, layer) == source)
}

/// Tells if a flatten layer, and each flatten layer before it, is the only reader of its input.
fn reads_alone(plan: &Plan, flatten: usize) -> bool {
    let layers = &plan.model.layers;
    let input = layers[flatten].inputs[0];
    let readers = layers.iter().flat_map(|layer| &layer.inputs).filter(|&&source| source == input).count();
    let before = match input {
        Source::Layer(layer) if plan.layers[layer].kind.is_view() => reads_alone(plan, layer),
        Source::Layer(_) | Source::Image => true,
    };
    readers == 1 && before
}
