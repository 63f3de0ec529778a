//! Planning layer by layer: shapes forward, wanted gradients, and who adds to whose gradient.

use super::{ConvGeometry, F32_BYTES, LayerPlan, Options, Plan, PlanError, PoolGeometry, Shape, fc};
use crate::model::kind::Pair;
use crate::model::{Kind, Layer, Model, Source};

/// Why a layer cannot be planned.
pub enum Fault {
    /// The layer, and what is wrong in words.
    Layer(usize, String),
    TooSmall(usize, String),
}

const TOO_SMALL: &str = "window ";

pub fn window_too_large(kernel: Pair, input: Shape, pad: Pair) -> String {
    format!(
        "{TOO_SMALL}{}x{} is larger than its input {}x{} with padding {}x{}",
        kernel.h, kernel.w, input.h, input.w, pad.h, pad.w
    )
}

impl Fault {
    /// Says the least image that fits when a smaller one is to blame.
    pub fn explain(self, model: &Model, options: Options) -> PlanError {
        let (index, message) = match self {
            Fault::Layer(index, message) => (index, message),
            Fault::TooSmall(index, message) => match (least_image(model, options), options.image) {
                (Some(least), Some([h, w])) => {
                    let layer = &model.layers[index].name;
                    let least = format!("at `{layer}` the {message}; the least that fits is {least}");
                    return PlanError::ImageTooSmall { model: model.name.clone(), h, w, least };
                }
                (Some(least), None) => (index, format!("{message}; the least image that fits is {least}x{least}")),
                (None, _) => (index, message),
            },
        };
        let Layer { name, line, .. } = &model.layers[index];
        PlanError::Layer { file: model.file.clone(), layer: name.clone(), line: *line, message }
    }
}

/// The least square image that the model takes, looked for up to 4096.
fn least_image(model: &Model, options: Options) -> Option<usize> {
    let fits = |side: usize| {
        let input = Shape { n: 1, c: model.input[0], h: side, w: side };
        plan_all(model, input, options.input_gradient).is_ok()
    };
    (1..=4096).find(|&side| fits(side))
}

pub fn plan_all(model: &Model, input: Shape, input_gradient: bool) -> Result<Vec<LayerPlan>, Fault> {
    let mut layers: Vec<LayerPlan> = Vec::with_capacity(model.layers.len());
    for (index, layer) in model.layers.iter().enumerate() {
        let inputs: Vec<Source> = layer.inputs.iter().map(|&source| through_flatten(source, &layers)).collect();
        let shapes = layer.inputs.iter().map(|source| match *source {
            Source::Image => input,
            Source::Layer(of) => layers[of].output,
        });
        let input_gradients = inputs
            .iter()
            .map(|source| match *source {
                Source::Image => input_gradient,
                Source::Layer(of) => layers[of].weights > 0 || layers[of].input_gradients.contains(&true),
            })
            .collect();
        let planned = plan_one(layer, inputs, shapes.collect(), input_gradients).map_err(|message| {
            match message.starts_with(TOO_SMALL) {
                true => Fault::TooSmall(index, message),
                false => Fault::Layer(index, message),
            }
        })?;
        if planned.output.checked_elements().is_none() || planned.weights > 1 << 48 {
            return Err(Fault::Layer(index, "its tensors pass 2^48 elements: choose a smaller batch or image".into()));
        }
        layers.push(planned);
    }
    mark_accumulation(&mut layers);
    Ok(layers)
}

/// The layer in whose memory a source's values are.
fn through_flatten(source: Source, layers: &[LayerPlan]) -> Source {
    match source {
        Source::Layer(index) if layers[index].kind == Kind::Flatten => layers[index].inputs[0],
        other => other,
    }
}

fn plan_one(
    layer: &Layer,
    inputs: Vec<Source>,
    input_shapes: Vec<Shape>,
    input_gradients: Vec<bool>,
) -> Result<LayerPlan, String> {
    let input = input_shapes[0];
    let (output, weights, biases) = match &layer.kind {
        Kind::Conv(conv) => {
            let geometry = ConvGeometry::new(conv, input)?;
            (geometry.output(), geometry.weight_len() as u64, if conv.bias { conv.channels } else { 0 })
        }
        Kind::Fc(params) => {
            (fc::output(params, input), fc::weights(params, input), if params.bias { params.outputs } else { 0 })
        }
        Kind::MaxPool(pool) => (PoolGeometry::max(pool, input)?.output(), 0, 0),
        Kind::AvgPool(pool) => (PoolGeometry::average(pool, input)?.output(), 0, 0),
        Kind::BatchNorm(_) => (input, input.c as u64, input.c),
        Kind::Flatten => (input.flattened(), 0, 0),
        Kind::SoftmaxLoss => (softmax(input)?, 0, 0),
        Kind::Add => (sum(&input_shapes)?, 0, 0),
        Kind::Concat => (concatenation(&input_shapes)?, 0, 0),
        Kind::Relu | Kind::Lrn(_) | Kind::Dropout(_) => (input, 0, 0),
    };
    let accumulate = vec![false; inputs.len()];
    let (name, kind) = (layer.name.clone(), layer.kind.clone());
    Ok(LayerPlan {
        name,
        kind,
        inputs,
        input_shapes,
        output,
        weights,
        biases: biases as u64,
        input_gradients,
        accumulate,
        element_bytes: F32_BYTES,
        checked_gradients: 0,
    })
}

fn softmax(input: Shape) -> Result<Shape, String> {
    match (input.h, input.w) {
        (1, 1) => Ok(input),
        (h, w) => Err(format!(
            "needs one value per class, but its input is {}x{h}x{w}: put an fc or a flatten before",
            input.c
        )),
    }
}

fn sum(inputs: &[Shape]) -> Result<Shape, String> {
    match inputs.iter().find(|&&other| other != inputs[0]) {
        Some(other) => Err(format!("adds {} to {other}: shapes must be equal", inputs[0])),
        None => Ok(inputs[0]),
    }
}

fn concatenation(inputs: &[Shape]) -> Result<Shape, String> {
    let first = inputs[0];
    match inputs.iter().find(|other| (other.h, other.w) != (first.h, first.w)) {
        Some(other) => Err(format!("joins {first} with {other}: heights and widths must be equal")),
        None => Ok(Shape { c: inputs.iter().map(|shape| shape.c).sum(), ..first }),
    }
}

/// Backward runs from the last layer to the first, and within a layer from the first input to the last: whoever comes
/// to a gradient first writes it, the others add.
fn mark_accumulation(layers: &mut [LayerPlan]) {
    let mut written = std::collections::HashSet::new();
    for layer in layers.iter_mut().rev().filter(|layer| layer.kind != Kind::Flatten) {
        for (slot, &source) in layer.inputs.iter().enumerate() {
            if layer.input_gradients[slot] {
                layer.accumulate[slot] = !written.insert(source);
            }
        }
    }
}

impl Plan {
    /// The convolution of a layer, or `None` for another kind. Cannot fail: the plan has checked it.
    pub fn conv(&self, layer: usize) -> Option<ConvGeometry> {
        match &self.layers[layer].kind {
            Kind::Conv(conv) => ConvGeometry::new(conv, self.layers[layer].input()).ok(),
            _ => None,
        }
    }
}
