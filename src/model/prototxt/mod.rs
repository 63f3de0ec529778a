//! Networks from Caffe's prototxt: train_val and deploy files, in the TRAIN phase.
//!
//! Layers and keys are those of caffe.proto (<https://github.com/BVLC/caffe/blob/master/src/caffe/proto/caffe.proto>), in
//! the form of today (`layer`) and in the older one (`layers`, with kinds in capitals). A blob's name stands for the last layer
//! that wrote it, so layers that work in place need nothing of their own.

mod layers;
mod text;

use std::collections::HashMap;

use super::Source;
use super::draft::{Draft, Imported};
use text::Message;

/// Longer files are refused.
const LARGEST_FILE: usize = 16 << 20;

/// A network that is read layer by layer.
struct Import {
    draft: Draft,
    /// The owner of each blob's values.
    blobs: HashMap<String, Source>,
    /// The inputs of softmax layers that are no losses.
    logits: Vec<Source>,
    /// There are losses.
    has_losses: bool,
}

/// Reads a network. An error is one sentence, with its line.
pub fn read(text: &str) -> Result<(String, Imported), (usize, String)> {
    if text.len() > LARGEST_FILE {
        return Err((1, "has more than 16 MiB: the description is wanted, not the weights".into()));
    }
    let net = text::parse(text)?;
    let all: Vec<&Message> =
        net.messages("layer").chain(net.messages("layers")).filter(|layer| is_trained(layer)).collect();
    if all.is_empty() {
        return Err((1, "is no network of Caffe's: it has no `layer`".into()));
    }
    let input = input(&net, &all)?;
    let mut import =
        Import { draft: Draft::new(input.size), blobs: HashMap::new(), logits: Vec::new(), has_losses: false };
    import.blobs.insert(input.blob, Source::Image);
    for layer in &all {
        let name = layer.scalar("name").unwrap_or_default();
        layers::import(&mut import, layer)
            .map_err(|message| (layer.line, format!("layer `{}`: {message}", name.escape_debug())))?;
    }
    let Import { draft, mut logits, has_losses, .. } = import;
    let layers = match logits.pop() {
        _ if has_losses => draft.pruned(),
        Some(last) => draft.finish(last).map_err(|message| (1, format!("its loss {message}")))?,
        None => return Err((1, "has no Softmax or SoftmaxWithLoss over the classes".into())),
    };
    let name = net.scalar("name").unwrap_or_default().into();
    Ok((name, Imported { input: input.size, layers, notes: Vec::new() }))
}

/// Tells if a layer takes part in training. Rules name a phase, or nothing.
fn is_trained(layer: &Message) -> bool {
    let names = |key, phase| layer.messages(key).any(|rule: &Message| rule.scalar("phase") == Some(phase));
    let for_tests_alone = names("include", "TEST") && !names("include", "TRAIN");
    !for_tests_alone && !names("exclude", "TRAIN")
}

struct Input {
    blob: String,
    /// Channels, height, width.
    size: [usize; 3],
}

/// The image: of the net itself, of an Input layer, or of a layer that reads data and crops it.
fn input(net: &Message, layers: &[&Message]) -> Result<Input, (usize, String)> {
    let of_net = net.scalar("input").map(|blob| {
        let dims: Vec<&str> = match net.message("input_shape") {
            Some(shape) => shape.scalars("dim").collect(),
            None => net.scalars("input_dim").collect(),
        };
        sized(1, blob, &dims)
    });
    if net.scalars("input").count() > 1 {
        return Err((1, "has several inputs: one batch of images is wanted".into()));
    }
    if let Some(input) = of_net {
        return input;
    }
    let source = layers.iter().find(|layer| layers::is_source(layer));
    let Some(layer) = source else {
        return Err((1, "has no input: an Input layer with the image's shape is wanted".into()));
    };
    let blob = layer.scalars("top").next().unwrap_or_default();
    if let Some(shape) = layer.message("input_param").and_then(|param| param.message("shape")) {
        return sized(layer.line, blob, &shape.scalars("dim").collect::<Vec<_>>());
    }
    let crop = ["transform_param", "data_param", "image_data_param", "memory_data_param"]
        .iter()
        .filter_map(|param| layer.message(param)?.scalar("crop_size"))
        .next();
    match crop {
        // Images of data sets have three colours.
        Some(side) => sized(layer.line, blob, &["1", "3", side, side]),
        None => Err((
            layer.line,
            "reads data of an unknown shape: give the network an Input layer with `input_param { shape { dim … } }`"
                .into(),
        )),
    }
}

fn sized(line: usize, blob: &str, dims: &[&str]) -> Result<Input, (usize, String)> {
    let sizes: Option<Vec<usize>> =
        dims.iter().map(|dim| dim.parse().ok().filter(|size| (1..=1 << 16).contains(size))).collect();
    match sizes.as_deref() {
        Some(&[_, c, h, w]) => Ok(Input { blob: blob.into(), size: [c, h, w] }),
        _ => {
            let found = crate::units::quotable(&dims.join(", "));
            let wanted = "four whole numbers from 1 to 65536: images, channels, height, width";
            Err((line, format!("the input's sizes must be {wanted}; not `{found}`")))
        }
    }
}
