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
    if let Some(oldest) = all.iter().find(|layer| layer.message("layer").is_some()) {
        return Err((
            oldest.line,
            "is in Caffe's oldest form: write it anew with Caffe's upgrade_net_proto_text".into(),
        ));
    }
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

/// Tells if a layer takes part in training: in the phase TRAIN, at level 0, at the stage `train`, as DIGITS calls it.
fn is_trained(layer: &Message) -> bool {
    let meets = |rule: &Message| {
        let in_phase = !matches!(rule.scalar("phase"), Some("TEST" | "1"));
        let level = |key| rule.scalar(key).and_then(|level| level.parse::<i64>().ok()).unwrap_or(0);
        let at_level = level("min_level") <= 0 && level("max_level") >= 0;
        let at_stage = rule.scalars("stage").all(|stage| stage == "train");
        in_phase && at_level && at_stage && rule.scalars("not_stage").all(|stage| stage != "train")
    };
    let included = layer.messages("include").next().is_none() || layer.messages("include").any(meets);
    included && !layer.messages("exclude").any(meets)
}

struct Input {
    blob: String,
    /// Channels, height, width.
    size: [usize; 3],
}

/// The image: of the net itself, of an Input layer, or of a layer that makes data up, or reads and crops it. Further inputs are
/// labels, which losses alone read.
fn input(net: &Message, layers: &[&Message]) -> Result<Input, (usize, String)> {
    if let Some(blob) = net.scalars("input").next() {
        let dims: Vec<&str> = match net.messages("input_shape").next() {
            Some(shape) => shape.scalars("dim").collect(),
            None => net.scalars("input_dim").take(4).collect(),
        };
        return sized(1, blob, &dims);
    }
    let Some(layer) = layers.iter().find(|layer| layers::is_source(layer)) else {
        return Err((1, "has no input: an Input layer with the image's shape is wanted".into()));
    };
    let blob = layer.scalars("top").next().unwrap_or_default();
    match dims(layer) {
        Some(dims) => sized(layer.line, blob, &dims),
        None => Err((
            layer.line,
            "reads data of an unknown shape: give the network an Input layer with `input_param { shape { dim … } }`"
                .into(),
        )),
    }
}

/// The sizes of the first blob that a source gives, as far as it tells them.
fn dims(layer: &Message) -> Option<Vec<&str>> {
    let of = |param| layer.message(param);
    for param in ["input_param", "dummy_data_param"].into_iter().filter_map(of) {
        if let Some(shape) = param.messages("shape").next() {
            return Some(shape.scalars("dim").collect());
        }
    }
    // One number for each blob.
    for param in ["dummy_data_param", "memory_data_param"].into_iter().filter_map(of) {
        let size = |key| param.scalars(key).next();
        if let (Some(c), Some(h), Some(w)) = (size("channels"), size("height"), size("width")) {
            return Some(vec!["1", c, h, w]);
        }
    }
    // Images of data sets have three colours.
    let params = ["transform_param", "data_param", "image_data_param", "memory_data_param", "window_data_param"];
    let crop = params.into_iter().filter_map(|param| of(param)?.scalar("crop_size")).find(|side| *side != "0");
    let resized =
        || Some((of("image_data_param")?.scalar("new_height")?, of("image_data_param")?.scalar("new_width")?));
    crop.map(|side| (side, side)).or_else(resized).map(|(h, w)| vec!["1", "3", h, w])
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
