//! Networks from ONNX files: what PyTorch's exporters, tf2onnx and the ONNX model zoo write for image classification.
//!
//! A file is a description here. Sizes come from the graph and its initializers, whose numbers are skipped while reading, but
//! for those of small constants; external data is never opened. The graph is walked once, in its order; every operator gives a
//! [`value::Value`], and those that are layers are added to a [`Draft`].
//!
//! A damaged or hostile file costs bounded time and memory: `file` limits what is read, `tensor` what is kept of a constant,
//! `Draft` the number of layers, and each operator does work in proportion to its inputs.

mod arrange;
mod constants;
mod curve;
mod elementwise;
mod file;
mod folded;
mod import;
mod linear;
mod list;
mod local_norm;
mod node;
mod noise;
mod proto;
mod reduce;
mod spread;
mod tensor;
#[cfg(test)]
mod tests;
mod value;
mod views;
mod windows;
mod zeros;

use std::io::{Read, Seek};

use prost::Message;

use super::Source;
use super::draft::{Draft, Imported};
use crate::units::quotable;
use file::FileBuf;
use import::Import;
use proto::{DimensionProto, GraphProto, ModelProto, ValueInfoProto};
use tensor::ConstTensor;
use value::{OnnxActivation, Value, View};

/// Reads a network. An error is one sentence.
pub fn read(source: impl Read + Seek) -> Result<Imported, String> {
    let mut file = FileBuf::new(source).map_err(|fault| fault.to_string())?;
    let decoded = ModelProto::decode(&mut file);
    if let Some(fault) = file.fault() {
        return Err(fault.to_string());
    }
    let model = decoded.map_err(|error| format!("is no ONNX file, or is damaged: {error}"))?;
    let Some(graph) = model.graph.as_ref().filter(|graph| !graph.node.is_empty()) else {
        return Err("is no ONNX file: it has no graph".into());
    };
    import(&model, graph)
}

fn import(model: &ModelProto, graph: &GraphProto) -> Result<Imported, String> {
    let opset = model.opset_import.iter().find(|set| matches!(set.domain.as_str(), "" | "ai.onnx"));
    let image = image(graph)?;
    let mut import = Import::new(graph, opset.map_or(1, |set| set.version), Draft::new(image.input));
    for tensor in &graph.initializer {
        import.values.insert(&tensor.name, Value::Tensor(ConstTensor::read(tensor)?));
    }
    import.values.insert(&image.name, Value::Activation(OnnxActivation::viewed(Source::Image, image.view)));
    import.run();
    let (layers, notes) = import.finish()?;
    Ok(Imported { input: image.input, layers, notes })
}

/// The graph's only input that is not an initializer.
struct Image {
    name: String,
    /// Channels, height, width.
    input: [usize; 3],
    view: View,
}

fn image(graph: &GraphProto) -> Result<Image, String> {
    let initializers: std::collections::HashSet<&str> =
        graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    let inputs: Vec<&ValueInfoProto> =
        graph.input.iter().filter(|input| !initializers.contains(input.name.as_str())).collect();
    let [input] = inputs.as_slice() else {
        let names: Vec<String> = inputs.iter().take(4).map(|input| quotable(&input.name)).collect();
        return Err(match names.as_slice() {
            [] => "has no input: a network of one batch of images is wanted".into(),
            names => {
                let (count, names) = (inputs.len(), names.join(", "));
                format!("has {count} inputs ({names}): a network of one batch of images is wanted")
            }
        });
    };
    let (name, quoted) = (input.name.clone(), quotable(&input.name));
    let (rank, sizes) = sizes(input, &quoted)?;
    match (sizes.as_deref(), rank) {
        // Channels that come last are few, and fewer than the pixels of a side.
        (Some(&[h, w, c]), _) if c <= 4 && h > 4 => Ok(Image { name, input: [c, h, w], view: View::ChannelsLast }),
        (Some(&[c, h, w]), _) => Ok(Image { name, input: [c, h, w], view: View::ChannelsFirst }),
        (None, 3) => Err(format!("leaves a size of its input `{quoted}` free: export it for images of one size")),
        (_, rank) => {
            Err(format!("has an input `{quoted}` of {} sizes: images have 4, [N, channels, height, width]", rank + 1))
        }
    }
}

/// How many sizes an input has behind the batch, and which they are if all are known.
fn sizes(input: &ValueInfoProto, quoted: &str) -> Result<(usize, Option<Vec<usize>>), String> {
    let shape = input.r#type.as_ref().and_then(|of| of.tensor_type.as_ref()).and_then(|tensor| tensor.shape.as_ref());
    let Some(shape) = shape else {
        return Err(format!(
            "does not tell the shape of its input `{quoted}`: export it with [N, channels, height, width]"
        ));
    };
    let [_, rest @ ..] = shape.dim.as_slice() else {
        return Err(format!(
            "has an input `{quoted}` of one number: images of [N, channels, height, width] are wanted"
        ));
    };
    // A size of -1 is free too, as some exporters write it.
    let stated = |dim: &DimensionProto| dim.dim_value.filter(|&size| size != -1);
    let size = |size: i64| usize::try_from(size).ok().filter(|size| (1..=1 << 16).contains(size));
    if let Some(bad) = rest.iter().filter_map(stated).find(|&stated| size(stated).is_none()) {
        return Err(format!("gives its input `{quoted}` a size of {bad}: whole numbers from 1 to 65536 are wanted"));
    }
    Ok((rest.len(), rest.iter().map(|dim| stated(dim).and_then(size)).collect()))
}
