//! Convolution, pooling, padding, and layers that work channel by channel.

use super::folded::Folded;
use super::import::{Import, Imports};
use super::linear;
use super::local_norm;
use super::node::Node;
use super::value::{OnnxActivation, Value, View};
use crate::model::Kind;
use crate::model::kind::{
    AvgPool, BatchNorm, Conv, ConvTranspose, Dropout, Dropped, LayerNorm, Lrn, MaxPool, PRelu, PadChannels, Padding,
    Pair, extent,
};
use crate::plan::Shape;

pub fn pair([h, w]: [usize; 2]) -> Pair {
    Pair { h, w }
}

/// Kernel, stride, dilation and padding of a window.
struct WindowKeys {
    kernel: Pair,
    stride: Pair,
    dilation: Pair,
    /// The window's own padding, without that of an earlier Pad.
    own: Padding,
}

impl WindowKeys {
    fn read(node: Node, [h, w]: [usize; 2], input: Shape) -> Result<WindowKeys, String> {
        let kernel = Pair { h, w };
        let (stride, dilation) = (pair(node.pair("strides", 1)?), pair(node.pair("dilations", 1)?));
        if h == 0 || w == 0 {
            return Err("the kernel's height and width must be at least 1".into());
        }
        if let Some(stated) = node.ints("kernel_shape").filter(|&stated| stated != [h as i64, w as i64]) {
            return Err(format!("`kernel_shape` {stated:?} is not that of its weights, [{h}, {w}]"));
        }
        let extent = extent(kernel, dilation);
        let own = match node.text("auto_pad") {
            None | Some("NOTSET" | "") => Padding::sides(node.pads()?),
            Some("VALID") => Padding::NONE,
            Some("SAME_UPPER") => Padding::Same,
            Some("SAME_LOWER") => {
                // An odd zero goes to the start.
                let [before, after] = Padding::Same.around([input.h, input.w], extent, stride);
                Padding::Sides { before: after, after: before }
            }
            Some(other) => return Err(format!("auto_pad `{other}` is not known")),
        };
        Ok(WindowKeys { kernel, stride, dilation, own })
    }

    /// The window's padding and that of an earlier Pad.
    fn with(&self, earlier: [usize; 4], input: Shape) -> Padding {
        if earlier == [0; 4] {
            return self.own;
        }
        let extent = extent(self.kernel, self.dilation);
        let padded = [input.h + earlier[0] + earlier[2], input.w + earlier[1] + earlier[3]];
        let [before, after] = self.own.around(padded, extent, self.stride);
        let own = [before.h, before.w, after.h, after.w];
        Padding::sides(std::array::from_fn(|side| own[side].saturating_add(earlier[side])))
    }
}

/// The image as a layer takes it, without the zeros around it.
fn bare(image: OnnxActivation) -> OnnxActivation {
    OnnxActivation { pad: [0; 4], ..image }
}

pub fn conv<'a>(import: &mut Import<'a>, node: Node<'a>) -> Imports<Value> {
    let image = import.image(node, 0)?;
    let Some(weight) = import.tensor(node, 1)? else { return Err("has no weights".into()) };
    let &[channels, group_channels, h, w] = weight.dims.as_slice() else {
        return Err(format!("has weights of {} sizes: 4 are known, as of images", weight.dims.len()).into());
    };
    let bias = import.tensor(node, 2)?;
    let groups = node.size("group")?.unwrap_or(1);
    let shape = import.draft.shape(image.source);
    if group_channels.checked_mul(groups) != Some(shape.c) {
        return Err(
            format!("has weights for {groups} groups of {group_channels} channels, but {} come in", shape.c).into()
        );
    }
    let keys = WindowKeys::read(node, [h, w], shape)?;
    let pad = keys.with(image.pad, shape);
    let WindowKeys { kernel, stride, dilation, .. } = keys;
    let folded = Folded::of(node, &weight, bias.as_ref());
    let bias = folded.has_bias(bias.as_ref());
    let kind = Kind::Conv(Conv { channels, kernel, stride, pad, dilation, groups, bias });
    let output = import.layer(node, Some(&weight), kind, &[bare(image)])?;
    folded.behind(import, output)
}

pub fn conv_transpose<'a>(import: &mut Import<'a>, node: Node<'a>) -> Imports<Value> {
    let image = import.image(node, 0)?;
    let Some(weight) = import.tensor(node, 1)? else { return Err("has no weights".into()) };
    let &[input_channels, group_outputs, h, w] = weight.dims.as_slice() else {
        return Err(format!("has weights of {} sizes: 4 are known, as of images", weight.dims.len()).into());
    };
    let (shape, groups) = (import.draft.shape(image.source), node.size("group")?.unwrap_or(1));
    let channels = group_outputs.checked_mul(groups).filter(|_| input_channels == shape.c);
    let Some(channels) = channels else {
        let found = format!("has weights for {input_channels} channels in {groups} groups");
        return Err(format!("{found}, but {} come in", shape.c).into());
    };
    if node.ints("output_shape").is_some() {
        return Err("asks for an output_shape: pads and output_padding are known".into());
    }
    let bias = import.tensor(node, 2)?;
    let folded = Folded::of(node, &weight, bias.as_ref());
    let bias = folded.has_bias(bias.as_ref());
    let WindowKeys { kernel, stride, dilation, own: pad } = WindowKeys::read(node, [h, w], shape)?;
    let output_padding = pair(node.more()?);
    let kind =
        Kind::ConvTranspose(ConvTranspose { channels, kernel, stride, pad, output_padding, dilation, groups, bias });
    let output = import.layer(node, Some(&weight), kind, &[image])?;
    folded.behind(import, output)
}

pub fn max_pool<'a>(import: &mut Import<'a>, node: Node<'a>) -> Imports<Value> {
    let image = import.image(node, 0)?;
    if image.pad != [0; 4] {
        return Err("takes zeros around the image, which may be maxima: use the pool's own padding".into());
    }
    let WindowKeys { kernel, stride, dilation, own: pad } = pool_keys(import, node, image)?;
    let ceil = node.int("ceil_mode") == Some(1);
    let kind = Kind::MaxPool(MaxPool { kernel, stride: Some(stride), pad, dilation, ceil });
    Ok(Value::Activation(import.layer(node, None, kind, &[image])?))
}

pub fn average_pool<'a>(import: &mut Import<'a>, node: Node<'a>) -> Imports<Value> {
    if let Some(norm) = local_norm::averaged(import, node)? {
        return Ok(norm);
    }
    let image = import.image(node, 0)?;
    let keys = pool_keys(import, node, image)?;
    if keys.dilation != Pair::square(1) {
        return Err("dilations of an average are not known: 1 is, and any of a maximum".into());
    }
    let counts_own = node.int("count_include_pad") == Some(1);
    // Zeros of an earlier Pad always count.
    if !counts_own && image.pad != [0; 4] && keys.own != Padding::NONE {
        return Err("counts some of its padding and leaves out the rest: count_include_pad = 1 is known".into());
    }
    let count_include_pad = counts_own || keys.own == Padding::NONE;
    let pad = keys.with(image.pad, import.draft.shape(image.source));
    let (WindowKeys { kernel, stride, .. }, ceil) = (keys, node.int("ceil_mode") == Some(1));
    let kind = Kind::AvgPool(AvgPool::Windows { kernel, stride, pad, ceil, count_include_pad });
    Ok(Value::Activation(import.layer(node, None, kind, &[bare(image)])?))
}

fn pool_keys(import: &Import, node: Node, image: OnnxActivation) -> Imports<WindowKeys> {
    if node.ints("kernel_shape").is_none() {
        return Err("has no `kernel_shape`".into());
    }
    let kernel = node.pair("kernel_shape", 1)?;
    Ok(WindowKeys::read(node, kernel, import.draft.shape(image.source))?)
}

/// Zeros around an image become the padding of the window that takes them; channels of zeros are a layer.
pub fn pad<'a>(import: &mut Import<'a>, node: Node<'a>) -> Imports<Value> {
    if let Some(norm) = local_norm::padded(import, node)? {
        return Ok(norm);
    }
    let image = import.image(node, 0)?;
    let pads = match node.ints("pads") {
        Some(pads) => pads.iter().map(|&pad| pad as f64).collect(),
        None => import.tensor(node, 1)?.and_then(|pads| pads.known()).ok_or("its pads must be constants")?,
    };
    let value = import.tensor(node, 2)?.and_then(|value| value.scalar()).or(node.float("value")).unwrap_or(0.0);
    if !matches!(node.text("mode"), None | Some("constant")) || value != 0.0 {
        return Err("only padding with zeros is known".into());
    }
    let whole = pads.iter().all(|pad| pad.fract() == 0.0 && (0.0..=1048576.0).contains(pad));
    // All starts, then all ends; the batch must stay.
    let [c, h, w] = if image.view == View::ChannelsLast { [3, 1, 2] } else { [1, 2, 3] };
    if !whole || pads.len() != 8 || pads[0] + pads[4] != 0.0 {
        return Err(format!("pads {pads:?} are not those of images").into());
    }
    let [before, after] = [pads[c], pads[4 + c]].map(|channels| channels as usize);
    let image = match before + after {
        0 => image,
        // The zeros around the image stay for the next window: those of the new channels are none the less zeros.
        _ => {
            let padded = import.layer(node, None, Kind::PadChannels(PadChannels { before, after }), &[bare(image)])?;
            OnnxActivation { pad: image.pad, ..padded }
        }
    };
    let added = [pads[h], pads[w], pads[4 + h], pads[4 + w]].map(|pad| pad as usize);
    let pad = std::array::from_fn(|side| image.pad[side].saturating_add(added[side]));
    Ok(Value::Activation(OnnxActivation { pad, ..image }))
}

pub fn batch_norm<'a>(import: &mut Import<'a>, node: Node<'a>) -> Imports<Value> {
    let image = import.activation(node, 0)?;
    let Some(weight) = import.tensor(node, 1)? else { return Err("has no weights".into()) };
    let channels = import.draft.shape(image.source).c;
    if weight.dims != [channels] {
        return Err(format!("has weights {:?} for {channels} channels", weight.dims).into());
    }
    let eps = node.float("epsilon").unwrap_or(1e-5) as f32;
    // ONNX's momentum is the share of what was before.
    let momentum = (1.0 - node.float("momentum").unwrap_or(0.9)).clamp(0.0, 1.0);
    let momentum = (momentum * 1e6).round() as f32 / 1e6;
    let kind = Kind::BatchNorm(BatchNorm { eps, momentum });
    Ok(Value::Activation(import.layer(node, Some(&weight), kind, &[image])?))
}

/// Over the channels of each pixel, which must lie last.
pub fn layer_norm<'a>(import: &mut Import<'a>, node: Node<'a>) -> Imports<Value> {
    let input = import.activation(node, 0)?;
    let [Some(weight), Some(_)] = [import.tensor(node, 1)?, import.tensor(node, 2)?] else {
        return Err("has no weights or no biases: both are known".into());
    };
    let channels = import.draft.shape(input.source).c;
    let rank = if input.view == View::Vector { 2 } else { 4 };
    let last = matches!(node.int("axis").unwrap_or(-1), axis if axis == -1 || axis == rank - 1);
    let together = matches!(input.view, View::ChannelsLast | View::Vector);
    if !last || !together || weight.dims != [channels] {
        let sizes = &weight.dims;
        return Err(
            format!("normalises sizes {sizes:?} of {}: channels that lie last are known", input.view.words()).into()
        );
    }
    let kind = Kind::LayerNorm(LayerNorm { eps: node.float("epsilon").unwrap_or(1e-5) as f32 });
    Ok(Value::Activation(import.layer(node, Some(&weight), kind, &[input])?))
}

/// One slope for all, or one for each channel.
pub fn prelu<'a>(import: &mut Import<'a>, node: Node<'a>) -> Imports<Value> {
    let input = import.activation(node, 0)?;
    let Some(slopes) = import.tensor(node, 1)? else { return Err("has no slopes".into()) };
    let channels = import.draft.shape(input.source).c;
    let shared = slopes.dims.iter().all(|&size| size == 1);
    // ONNX puts [C] along the width. Where it does not fit there, PyTorch's order is meant: one slope for each channel.
    let width = import.draft.shape(input.source).w;
    let of_pytorch = input.view == View::ChannelsFirst && slopes.dims == [channels];
    if of_pytorch && width == channels && !shared {
        return Err(format!(
            "has slopes of sizes [{channels}], for channels or for columns: [{channels}, 1, 1] is known"
        )
        .into());
    }
    let along = of_pytorch || linear::is_along_channels(input.view, &slopes, channels);
    if !shared && (slopes.vector() != Some(channels) || !along) {
        return Err(format!("has slopes of sizes {:?}: one, or one for each channel, are known", slopes.dims).into());
    }
    Ok(Value::Activation(import.layer(node, Some(&slopes), Kind::PRelu(PRelu { shared }), &[input])?))
}

pub fn lrn<'a>(import: &mut Import<'a>, node: Node<'a>) -> Imports<Value> {
    let image = import.image(node, 0)?;
    let size = node.size("size")?.ok_or("has no `size`")?;
    let of = |name: &str, default: f64| node.float(name).unwrap_or(default) as f32;
    let (alpha, beta, k) = (of("alpha", 1e-4), of("beta", 0.75), of("bias", 1.0));
    let kind = Kind::Lrn(Lrn { size, alpha, beta, k, within_channel: false });
    Ok(Value::Activation(import.layer(node, None, kind, &[image])?))
}

/// Training draws a mask, whatever mode the file was exported in. Its second output, the mask, is of no use to a network.
pub fn dropout<'a>(import: &mut Import<'a>, node: Node<'a>) -> Imports<Value> {
    let input = import.activation(node, 0)?;
    let ratio = import.tensor(node, 1)?.and_then(|ratio| ratio.scalar()).or(node.float("ratio")).unwrap_or(0.5);
    let kind = Kind::Dropout(Dropout { p: ratio as f32, of: Dropped::Element });
    Ok(Value::Activation(import.layer(node, None, kind, &[input])?))
}
