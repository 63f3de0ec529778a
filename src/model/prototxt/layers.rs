//! Caffe's layers as ours.

use super::Import;
use super::text::Message;
use crate::model::kind::{
    Activation, AvgPool, BatchNorm, ChannelShuffle, Conv, ConvTranspose, Dropout, Dropped, Elu, Fc, LeakyRelu, Lrn,
    MaxPool, PRelu, Padding, Pair, Scale, Slice,
};
use crate::model::range::Range;
use crate::model::spelling::{ALPHA, DROPPED, LARGEST, POSITIVE, SHARE, SIZE, SLOPE};
use crate::model::{Kind, Source};

/// The kind of a layer, as today's form names it. The older form has words in capitals.
fn kind_name(layer: &Message) -> &str {
    match layer.scalar("type").unwrap_or_default() {
        "CONVOLUTION" => "Convolution",
        "INNER_PRODUCT" => "InnerProduct",
        "RELU" => "ReLU",
        "POOLING" => "Pooling",
        "DROPOUT" => "Dropout",
        "CONCAT" => "Concat",
        "ELTWISE" => "Eltwise",
        "FLATTEN" => "Flatten",
        "SPLIT" => "Split",
        "SLICE" => "Slice",
        "SIGMOID" => "Sigmoid",
        "TANH" => "TanH",
        "DECONVOLUTION" => "Deconvolution",
        "SOFTMAX" => "Softmax",
        "SOFTMAX_LOSS" => "SoftmaxWithLoss",
        "ACCURACY" => "Accuracy",
        "SILENCE" => "Silence",
        "DATA" => "Data",
        "IMAGE_DATA" => "ImageData",
        "MEMORY_DATA" => "MemoryData",
        "HDF5_DATA" => "HDF5Data",
        "DUMMY_DATA" => "DummyData",
        "WINDOW_DATA" => "WindowData",
        "HDF5_OUTPUT" => "HDF5Output",
        "ARGMAX" => "ArgMax",
        other => other,
    }
}

/// Tells if the layer gives images and labels.
pub fn is_source(layer: &Message) -> bool {
    let sources = ["Input", "Data", "ImageData", "MemoryData", "HDF5Data", "DummyData", "WindowData"];
    sources.contains(&kind_name(layer))
}

/// Adds what a layer computes to the network.
pub fn import(import: &mut Import, layer: &Message) -> Result<(), String> {
    let name = kind_name(layer);
    let kind = match name {
        _ if is_source(layer) => return Ok(()),
        // They measure or write, and take no part in training.
        "Accuracy" | "Silence" | "HDF5Output" | "ArgMax" => return Ok(()),
        "Convolution" => Kind::Conv(convolution(layer)?),
        "Deconvolution" => Kind::ConvTranspose(deconvolution(layer)?),
        "InnerProduct" => Kind::Fc(inner_product(layer)?),
        "ReLU" | "ELU" | "Sigmoid" | "TanH" => Kind::Activation(activation(name, layer)?),
        "PReLU" => Kind::PRelu(PRelu { shared: is_on(of(layer, "prelu_param"), "channel_shared", false)? }),
        "ShuffleChannel" => Kind::ChannelShuffle(shuffle(layer)?),
        "Slice" => return slices(import, layer),
        "Pooling" => pooling(import, layer)?,
        "LRN" => Kind::Lrn(lrn(layer)?),
        "Dropout" => {
            let ratio = of(layer, "dropout_param").number("dropout_ratio", DROPPED)?;
            Kind::Dropout(Dropout { p: ratio.unwrap_or(0.5), of: Dropped::Element })
        }
        "BatchNorm" => batch_norm(layer)?,
        "Scale" if layer.scalars("bottom").count() > 1 => gate(import, layer)?,
        "Scale" => return scale(import, layer),
        "Concat" => match of(layer, "concat_param").scalar("axis").or(of(layer, "concat_param").scalar("concat_dim")) {
            None | Some("1") => Kind::Concat,
            Some(axis) => return Err(format!("joins along axis {axis}: channels, axis 1, are known")),
        },
        "Eltwise" => eltwise(layer)?,
        "Flatten" => {
            along_channels(of(layer, "flatten_param"))?;
            Kind::Flatten
        }
        "Split" => return written(import, layer, inputs(import, layer)?[0]),
        "Softmax" => {
            let source = inputs(import, layer)?[0];
            import.logits.push(source);
            return Ok(());
        }
        "SoftmaxWithLoss" => return loss(import, layer),
        other => return Err(format!("the kind `{}` is not known: see docs/networks.md", other.escape_debug())),
    };
    let mut sources = inputs(import, layer)?;
    if kind.joins() && sources.len() == 1 {
        return written(import, layer, sources[0]);
    }
    let most = kind.most_inputs().unwrap_or(sources.len());
    if !kind.joins() {
        sources.truncate(1);
    }
    let name = layer.scalar("name").unwrap_or_default();
    let rest = sources.split_off(most.min(sources.len()));
    let mut source = import.draft.push(name, kind.clone(), sources)?;
    for next in rest {
        source = import.draft.push(name, kind.clone(), vec![source, next])?;
    }
    written(import, layer, source)
}

fn activation(name: &str, layer: &Message) -> Result<Activation, String> {
    Ok(match name {
        "ELU" => {
            let alpha = of(layer, "elu_param").number("alpha", ALPHA)?;
            Activation::Elu(alpha.map_or(Elu::default(), |alpha| Elu { alpha }))
        }
        "Sigmoid" => Activation::Sigmoid,
        "TanH" => Activation::Tanh,
        _ => match of(layer, "relu_param").number::<f32>("negative_slope", SLOPE)? {
            None | Some(0.0) => Activation::Relu,
            Some(slope) => Activation::LeakyRelu(LeakyRelu { slope }),
        },
    })
}

/// A layer's parameters; without any, all have their defaults.
fn of<'a>(layer: &'a Message, param: &'a str) -> &'a Message {
    const NONE: &Message = &Message::NONE;
    layer.message(param).unwrap_or(NONE)
}

/// The layers that a layer reads; at least one.
fn inputs(import: &Import, layer: &Message) -> Result<Vec<Source>, String> {
    let bottoms: Vec<&str> = layer.scalars("bottom").collect();
    // A loss and an accuracy read labels too, which nothing computes.
    let counted = if kind_name(layer).starts_with("Softmax") { 1 } else { bottoms.len() };
    let of = |blob: &&str| {
        import
            .blobs
            .get(*blob)
            .copied()
            .ok_or(format!("reads `{}`, which no layer before it gives", blob.escape_debug()))
    };
    let sources: Vec<Source> = bottoms.iter().take(counted).map(of).collect::<Result<_, _>>()?;
    if sources.is_empty() { Err("has no `bottom`".into()) } else { Ok(sources) }
}

/// All blobs that the layer writes hold the same values.
fn written(import: &mut Import, layer: &Message, source: Source) -> Result<(), String> {
    for top in layer.scalars("top") {
        import.blobs.insert(top.to_owned(), source);
    }
    Ok(())
}

/// `size` for both sides, or one for each, or `size_h` and `size_w`.
fn pair(param: &Message, size: &str, sides: [&str; 2], default: Option<usize>) -> Result<Pair, String> {
    let both: Vec<&str> = param.scalars(size).collect();
    let range = if size == "pad" { Range::Whole(0, LARGEST) } else { SIZE };
    let parsed = |text: &str| range.parse(size, text);
    match both.as_slice() {
        [side] => Ok(Pair::square(parsed(side)?)),
        [h, w] => Ok(Pair { h: parsed(h)?, w: parsed(w)? }),
        [] => {
            let [h, w] = [param.number(sides[0], range)?.or(default), param.number(sides[1], range)?.or(default)];
            let missing = || format!("has no `{size}`");
            Ok(Pair { h: h.ok_or_else(missing)?, w: w.ok_or_else(missing)? })
        }
        more => Err(format!("`{size}` has {} values: images have two sides", more.len())),
    }
}

/// A switch, in the words of protobuf's text format.
fn is_on(param: &Message, key: &str, default: bool) -> Result<bool, String> {
    match param.scalar(key) {
        None => Ok(default),
        Some("true" | "True" | "t" | "1") => Ok(true),
        Some("false" | "False" | "f" | "0") => Ok(false),
        Some(other) => Err(format!("{key} must be true or false, not `{}`", other.escape_debug())),
    }
}

/// One of two words or their numbers, the first of which is the default.
fn is_second(param: &Message, key: &str, [first, second]: [&str; 2]) -> Result<bool, String> {
    match param.scalar(key) {
        None | Some("0") => Ok(false),
        Some("1") => Ok(true),
        Some(word) if word == first => Ok(false),
        Some(word) if word == second => Ok(true),
        Some(other) => Err(format!("{key} must be {first} or {second}, not `{}`", other.escape_debug())),
    }
}

/// Refuses an `axis` that is not the first behind the images.
fn along_channels(param: &Message) -> Result<(), String> {
    match param.scalar("axis").filter(|axis| *axis != "1") {
        Some(axis) => Err(format!("axis {} is not known: 1 is, behind the images", axis.escape_debug())),
        None => Ok(()),
    }
}

fn convolution(layer: &Message) -> Result<Conv, String> {
    let param = of(layer, "convolution_param");
    along_channels(param)?;
    Ok(Conv {
        channels: param.number("num_output", SIZE)?.ok_or("has no `num_output`")?,
        kernel: pair(param, "kernel_size", ["kernel_h", "kernel_w"], None)?,
        stride: pair(param, "stride", ["stride_h", "stride_w"], Some(1))?,
        pad: pair(param, "pad", ["pad_h", "pad_w"], Some(0))?.into(),
        dilation: pair(param, "dilation", ["dilation_h", "dilation_w"], Some(1))?,
        groups: param.number("group", SIZE)?.unwrap_or(1),
        bias: is_on(param, "bias_term", true)?,
    })
}

fn deconvolution(layer: &Message) -> Result<ConvTranspose, String> {
    let Conv { channels, kernel, stride, pad, dilation, groups, bias } = convolution(layer)?;
    Ok(ConvTranspose { channels, kernel, stride, pad, output_padding: Pair::square(0), dilation, groups, bias })
}

fn shuffle(layer: &Message) -> Result<ChannelShuffle, String> {
    let groups = of(layer, "shuffle_channel_param").number("group", SIZE)?.ok_or("has no `group`")?;
    Ok(ChannelShuffle { groups })
}

/// Parts of the channels: between the slice points, or all alike.
fn slices(import: &mut Import, layer: &Message) -> Result<(), String> {
    let param = of(layer, "slice_param");
    if let Some(axis) = param.scalar("axis").or(param.scalar("slice_dim")).filter(|axis| *axis != "1") {
        return Err(format!("slices along axis {}: channels, axis 1, are known", axis.escape_debug()));
    }
    let source = inputs(import, layer)?[0];
    let (total, tops) = (import.draft.shape(source).c, layer.scalars("top").count());
    let mut points = param.scalars("slice_point").map(|point| SIZE.parse("slice_point", point));
    let mut ends: Vec<usize> = points.by_ref().collect::<Result<_, _>>()?;
    if ends.is_empty() && tops > 0 && total.is_multiple_of(tops) {
        ends = (1..tops).map(|index| index * (total / tops)).collect();
    }
    ends.push(total);
    if ends.len() != tops || !ends.is_sorted_by(|a, b| a < b) {
        return Err(format!("slices {total} channels at {ends:?} for {tops} tops"));
    }
    let mut from = 0;
    for (top, end) in layer.scalars("top").zip(ends) {
        let kind = Kind::Slice(Slice { from, channels: end - from });
        let slice = import.draft.push(top, kind, vec![source])?;
        import.blobs.insert(top.to_owned(), slice);
        from = end;
    }
    Ok(())
}

/// Caffe's loss is the sum of all losses, each times its weight. One of weight zero is only looked at.
fn loss(import: &mut Import, layer: &Message) -> Result<(), String> {
    let weight = layer.number("loss_weight", ALPHA)?.unwrap_or(1.0);
    if weight > 0.0 {
        let logits = inputs(import, layer)?[0];
        import.draft.loss(layer.scalar("name").unwrap_or_default(), logits, weight)?;
        import.has_losses = true;
    }
    Ok(())
}

/// Sums and products of blobs of equal shapes.
fn eltwise(layer: &Message) -> Result<Kind, String> {
    let param = of(layer, "eltwise_param");
    if let Some(factor) = param.scalars("coeff").find(|factor| factor.parse() != Ok(1.0)) {
        return Err(format!("the coeff {} is not known: 1 is", factor.escape_debug()));
    }
    match param.scalar("operation") {
        None | Some("SUM" | "1") => Ok(Kind::Add),
        Some("PROD" | "0") => Ok(Kind::Multiply),
        Some(other) => Err(format!("the operation {} is not known: SUM and PROD are", other.escape_debug())),
    }
}

fn inner_product(layer: &Message) -> Result<Fc, String> {
    let param = of(layer, "inner_product_param");
    along_channels(param)?;
    let outputs = param.number("num_output", SIZE)?.ok_or("has no `num_output`")?;
    Ok(Fc { outputs, bias: is_on(param, "bias_term", true)? })
}

/// Caffe rounds the number of windows up, and means count the padding that their window covers.
fn pooling(import: &Import, layer: &Message) -> Result<Kind, String> {
    let param = of(layer, "pooling_param");
    let average = match param.scalar("pool") {
        None | Some("MAX" | "0") => false,
        Some("AVE" | "1") => true,
        Some(other) => return Err(format!("the pool {} is not known: MAX and AVE are", other.escape_debug())),
    };
    let dilation = Pair::square(1);
    if is_on(param, "global_pooling", false)? {
        let image = import.draft.shape(inputs(import, layer)?[0]);
        let kernel = Pair { h: image.h, w: image.w };
        return Ok(match average {
            true => Kind::AvgPool(AvgPool::Adaptive { output: Pair::square(1) }),
            false => Kind::MaxPool(MaxPool { kernel, stride: Some(kernel), pad: Padding::NONE, dilation, ceil: false }),
        });
    }
    let kernel = pair(param, "kernel_size", ["kernel_h", "kernel_w"], None)?;
    let stride = pair(param, "stride", ["stride_h", "stride_w"], Some(1))?;
    let pad = pair(param, "pad", ["pad_h", "pad_w"], Some(0))?.into();
    let ceil = !is_second(param, "round_mode", ["CEIL", "FLOOR"])?;
    Ok(match average {
        true => Kind::AvgPool(AvgPool::Windows { kernel, stride, pad, ceil, count_include_pad: true }),
        false => Kind::MaxPool(MaxPool { kernel, stride: Some(stride), pad, dilation, ceil }),
    })
}

fn lrn(layer: &Message) -> Result<Lrn, String> {
    let param = of(layer, "lrn_param");
    Ok(Lrn {
        size: param.number("local_size", SIZE)?.unwrap_or(5),
        alpha: param.number("alpha", ALPHA)?.unwrap_or(1.0),
        beta: param.number("beta", POSITIVE)?.unwrap_or(0.75),
        k: param.number("k", POSITIVE)?.unwrap_or(1.0),
        within_channel: is_second(param, "norm_region", ["ACROSS_CHANNELS", "WITHIN_CHANNEL"])?,
    })
}

fn batch_norm(layer: &Message) -> Result<Kind, String> {
    let param = of(layer, "batch_norm_param");
    let eps = param.number("eps", POSITIVE)?.unwrap_or(1e-5);
    // Caffe's fraction is the share of what was before.
    let kept: f32 = param.number("moving_average_fraction", SHARE)?.unwrap_or(0.999);
    Ok(Kind::BatchNorm(BatchNorm { eps, momentum: 1.0 - kept }))
}

/// A Scale of two blobs: a number for each image and channel, where the axis is 0, multiplies its map.
fn gate(import: &Import, layer: &Message) -> Result<Kind, String> {
    let param = of(layer, "scale_param");
    let shapes: Vec<_> = inputs(import, layer)?.into_iter().map(|source| import.draft.shape(source)).collect();
    let per_channel = shapes.len() == 2 && (shapes[1].h, shapes[1].w, shapes[1].c) == (1, 1, shapes[0].c);
    match (param.scalar("axis"), is_on(param, "bias_term", false)?) {
        (Some("0"), false) if per_channel || shapes[0] == shapes[1] => Ok(Kind::Multiply),
        _ => Err("a Scale of two blobs is known with axis 0, and a number for each channel or each element".into()),
    }
}

/// Scale and bias behind a BatchNorm are ours' own weights and biases.
fn scale(import: &mut Import, layer: &Message) -> Result<(), String> {
    let source = inputs(import, layer)?[0];
    let follows = import.draft.layer(source).is_some_and(|before| matches!(before.kind, Kind::BatchNorm(_)));
    match follows {
        true => written(import, layer, source),
        false => {
            let bias = is_on(of(layer, "scale_param"), "bias_term", false)?;
            let name = layer.scalar("name").unwrap_or_default();
            let source = import.draft.push(name, Kind::Scale(Scale { bias }), vec![source])?;
            written(import, layer, source)
        }
    }
}
