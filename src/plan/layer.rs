//! Planning layer by layer: shapes forward, wanted gradients, and who adds to whose gradient.

use super::kinds::{MaxUnpool, Misfit, Planned, rules};
use super::{F32_BYTES, LayerPlan, Options, PlanError, Shape};
use crate::model::{Kind, Layer, Model, Source};

/// A layer that cannot be planned, and why.
pub struct Unplannable {
    layer: usize,
    misfit: Misfit,
}

impl Unplannable {
    /// Says the least image that fits when a smaller one is to blame.
    pub fn explain(self, model: &Model, options: Options) -> PlanError {
        let Layer { name, line, .. } = &model.layers[self.layer];
        let mut message = self.misfit.to_string();
        if let Misfit::Window { .. } = self.misfit
            && let Some(least) = least_image(model, options)
        {
            if let Some([h, w]) = options.image {
                let least = format!("at `{name}` the {message}; the least that fits is {least}");
                return PlanError::ImageTooSmall { model: model.name.clone(), h, w, least };
            }
            message += &format!("; the least image that fits is {least}x{least}");
        }
        let place = line.map_or(model.file.clone(), |line| format!("{}:{line}", model.file));
        PlanError::Layer { place, layer: name.clone(), message }
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

pub fn plan_all(model: &Model, input: Shape, input_gradient: bool) -> Result<Vec<LayerPlan>, Unplannable> {
    let mut layers: Vec<LayerPlan> = Vec::with_capacity(model.layers.len());
    for (index, layer) in model.layers.iter().enumerate() {
        let mut inputs: Vec<Source> = layer.inputs.iter().map(|&source| through_flatten(source, &layers)).collect();
        let shapes = layer.inputs.iter().map(|source| match *source {
            Source::Image => input,
            Source::Layer(of) => layers[of].output,
        });
        let mut shapes: Vec<Shape> = shapes.collect();
        let unplannable = |misfit| Unplannable { layer: index, misfit };
        let pool = positions_of(layer, &layers).map_err(unplannable)?;
        if let Some((slot, pool)) = pool {
            (inputs[slot], shapes[slot]) = (layers[pool].inputs[0], layers[pool].input());
            layers[pool].gives_positions = true;
        }
        let input_gradients = inputs
            .iter()
            .enumerate()
            .map(|(slot, source)| match *source {
                _ if layer.kind.takes_positions(slot) => false,
                Source::Image => input_gradient,
                Source::Layer(of) => layers[of].weights > 0 || layers[of].input_gradients.contains(&true),
            })
            .collect();
        let mut planned = plan_one(layer, inputs, shapes, input_gradients).map_err(unplannable)?;
        if let Some((_, pool)) = pool {
            MaxUnpool::check(layers[pool].pool(), planned.input()).map_err(unplannable)?;
            planned.geometry = layers[pool].geometry.clone();
            planned.positions_of = Some(pool);
        }
        layers.push(planned);
    }
    mark_accumulation(&mut layers);
    agreeing_losses(layers)
}

/// Fails where losses have different classes: there is one label for each image.
fn agreeing_losses(layers: Vec<LayerPlan>) -> Result<Vec<LayerPlan>, Unplannable> {
    let classes = layers.last().map_or(0, |loss| loss.output.image_elements());
    let differs = |layer: &LayerPlan| layer.kind.is_loss() && layer.output.image_elements() != classes;
    match layers.iter().position(differs) {
        None => Ok(layers),
        Some(layer) => {
            let found = layers[layer].output.image_elements();
            let message = format!("has {found} classes, but the last loss has {classes}: they share labels");
            Err(Unplannable { layer, misfit: Misfit::Other(message) })
        }
    }
}

/// The input whose positions a layer takes, and the pooling layer that it is.
fn positions_of(layer: &Layer, layers: &[LayerPlan]) -> Result<Option<(usize, usize)>, Misfit> {
    let Some(slot) = (0..layer.inputs.len()).find(|&slot| layer.kind.takes_positions(slot)) else { return Ok(None) };
    match layer.inputs[slot] {
        Source::Layer(pool) if matches!(layers[pool].kind, Kind::MaxPool(_)) => Ok(Some((slot, pool))),
        Source::Layer(_) | Source::Image => {
            Err(Misfit::Other("its second input must be the maxpool layer whose positions it takes".into()))
        }
    }
}

/// The layer in whose memory a source's values are.
fn through_flatten(source: Source, layers: &[LayerPlan]) -> Source {
    match source {
        Source::Layer(index) if layers[index].kind.is_view() => layers[index].inputs[0],
        other => other,
    }
}

fn plan_one(
    layer: &Layer,
    inputs: Vec<Source>,
    input_shapes: Vec<Shape>,
    input_gradients: Vec<bool>,
) -> Result<LayerPlan, Misfit> {
    let Planned { output, geometry, weight_shape, biases } = rules(&layer.kind).plan(&input_shapes)?;
    let weights = if weight_shape.is_empty() { 0 } else { weight_shape.iter().product::<usize>() as u64 };
    if output.checked_elements().is_none() || weights > 1 << 48 {
        return Err(Misfit::Other("its tensors pass 2^48 elements: choose a smaller batch or image".into()));
    }
    Ok(LayerPlan {
        name: layer.name.clone(),
        kind: layer.kind.clone(),
        geometry,
        accumulate: vec![false; inputs.len()],
        inputs,
        input_shapes,
        output,
        weight_shape,
        weights,
        biases: biases as u64,
        input_gradients,
        element_bytes: F32_BYTES,
        checked_gradients: 0,
        positions_of: None,
        gives_positions: false,
        ranks: 1,
    })
}

/// Backward runs from the last layer to the first, and within a layer from the first input to the last: whoever comes
/// to a gradient first writes it, the others add.
fn mark_accumulation(layers: &mut [LayerPlan]) {
    let mut written = std::collections::HashSet::new();
    for layer in layers.iter_mut().rev().filter(|layer| !layer.kind.is_view()) {
        for (slot, &source) in layer.inputs.iter().enumerate() {
            if layer.input_gradients[slot] {
                layer.accumulate[slot] = !written.insert(source);
            }
        }
    }
}
