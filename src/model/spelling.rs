//! A kind as descriptions spell it: its word, the range of its parameters, and the keys to write.

use toml::Spanned;

use super::Kind;
use super::kind::{Activation, AvgPool, ConvTranspose, Dropout, Dropped, Elu, LeakyRelu, Padding, Pair, extent};
use super::parse::{Parsed, TomlTable, fault};
use super::range::Range;
use crate::units::quotable;

/// No size in a description may pass this: it keeps every later product within 64 bits or caught by a checked one.
pub const LARGEST: u32 = 1 << 20;

/// Counts of channels, outputs, groups.
pub const SIZE: Range = Range::Whole(1, LARGEST);
/// Places of channels.
pub const INDEX: Range = Range::Whole(0, LARGEST);
/// Sides of windows, and of what adaptive pooling gives.
pub const SIDES: Range = Range::Sides(1, LARGEST);
/// Padding.
pub const PADS: Range = Range::Padding(0, LARGEST);
/// Rows and columns that an output has more.
pub const MORE: Range = Range::Sides(0, LARGEST);
/// The factor of local response normalisation, and elu's.
pub const ALPHA: Range = Range::From(0.0, 1e6);
/// Slopes below zero: a negative one would leave no trace in the output of where the input was negative.
pub const SLOPE: Range = Range::From(0.0, 1e6);
/// Numbers that divide, and exponents.
pub const POSITIVE: Range = Range::Above(0.0, 1e6);
/// The share of elements that dropout zeroes.
pub const DROPPED: Range = Range::Below(0.0, 1.0);
/// Shares that may be all.
pub const SHARE: Range = Range::From(0.0, 1.0);

/// The keys that hold numbers, of all kinds: none means another thing in another kind.
const NUMBERS: [(&str, Range); 21] = [
    ("channels", SIZE),
    ("outputs", SIZE),
    ("groups", SIZE),
    ("from", INDEX),
    ("before", INDEX),
    ("after", INDEX),
    ("size", SIZE),
    ("kernel", SIDES),
    ("stride", SIDES),
    ("dilation", SIDES),
    ("output", SIDES),
    ("pad", PADS),
    ("output_padding", MORE),
    ("alpha", ALPHA),
    ("slope", SLOPE),
    ("beta", POSITIVE),
    ("k", POSITIVE),
    ("eps", POSITIVE),
    ("loss_weight", POSITIVE),
    ("p", DROPPED),
    ("momentum", SHARE),
];

const KINDS: &str = "conv, conv_transpose, fc, relu, relu6, sigmoid, tanh, silu, hardsigmoid, hardswish, gelu, leaky_relu, elu, maxpool, \
                     avgpool, lrn, dropout, dropout2d, stochastic_depth, flatten, batchnorm, layernorm, scale, prelu, slice, channel_shuffle, pad_channels, max_unpool, add, multiply, concat, softmax_loss";

/// Reads a layer's kind with its parameters from what its table holds beside name and inputs.
pub fn read(name: &Spanned<String>, table: TomlTable) -> Parsed<Kind> {
    let at = table.at.clone();
    table.check_numbers(&NUMBERS)?;
    let kind = match name.get_ref().as_str() {
        "conv" => Kind::Conv(table.parameters()?),
        "conv_transpose" => Kind::ConvTranspose(table.parameters()?),
        "fc" => Kind::Fc(table.parameters()?),
        "leaky_relu" => Kind::Activation(Activation::LeakyRelu(table.parameters()?)),
        "elu" => Kind::Activation(Activation::Elu(table.parameters()?)),
        "maxpool" => Kind::MaxPool(table.parameters()?),
        "avgpool" => Kind::AvgPool(table.parameters()?),
        "lrn" => Kind::Lrn(table.parameters()?),
        word if Dropped::ALL.iter().any(|of| of.name() == word) => {
            let dropout: Dropout = table.parameters()?;
            let of = Dropped::ALL.into_iter().find(|of| of.name() == word).unwrap_or_default();
            Kind::Dropout(Dropout { of, ..dropout })
        }
        "flatten" => table.none(Kind::Flatten)?,
        "batchnorm" => Kind::BatchNorm(table.parameters()?),
        "layernorm" => Kind::LayerNorm(table.parameters()?),
        "scale" => Kind::Scale(table.parameters()?),
        "prelu" => Kind::PRelu(table.parameters()?),
        "slice" => Kind::Slice(table.parameters()?),
        "channel_shuffle" => Kind::ChannelShuffle(table.parameters()?),
        "pad_channels" => Kind::PadChannels(table.parameters()?),
        "max_unpool" => table.none(Kind::MaxUnpool)?,
        "add" => table.none(Kind::Add)?,
        "multiply" => table.none(Kind::Multiply)?,
        "concat" => table.none(Kind::Concat)?,
        "softmax_loss" => Kind::SoftmaxLoss(table.parameters()?),
        other => match Activation::PLAIN.into_iter().find(|function| function.name() == other) {
            Some(function) => table.none(Kind::Activation(function))?,
            None => return fault(name.span(), format!("unknown kind `{}`: one of {KINDS}", quotable(other))),
        },
    };
    match out_of_range(&kind) {
        Some(message) => fault(at, message),
        None => Ok(kind),
    }
}

/// Finds a fault in a kind's parameters taken by themselves.
pub fn out_of_range(kind: &Kind) -> Option<String> {
    match kind {
        Kind::Conv(conv) => size("channels", conv.channels)
            .or_else(|| window_out_of_range(conv.kernel, conv.stride, conv.pad))
            .or_else(|| sides(SIDES, "dilation", conv.dilation))
            .or_else(|| size("groups", conv.groups))
            .or_else(|| undivided(conv.channels, conv.groups)),
        Kind::ConvTranspose(conv) => conv_transpose_out_of_range(conv),
        Kind::Fc(fc) => size("outputs", fc.outputs),
        Kind::MaxPool(pool) => {
            pool_out_of_range(pool.kernel, pool.stride.unwrap_or(pool.kernel), pool.pad, pool.dilation)
        }
        Kind::AvgPool(AvgPool::Windows { kernel, stride, pad, .. }) => {
            pool_out_of_range(*kernel, *stride, *pad, Pair::square(1))
        }
        Kind::AvgPool(AvgPool::Adaptive { output }) => sides(SIDES, "output", *output),
        Kind::Lrn(lrn) => size("size", lrn.size)
            .or_else(|| ALPHA.refuses("alpha", lrn.alpha))
            .or_else(|| POSITIVE.refuses("beta", lrn.beta))
            .or_else(|| POSITIVE.refuses("k", lrn.k))
            .or_else(|| {
                let even = lrn.within_channel && lrn.size.is_multiple_of(2);
                even.then(|| "size must be odd within a channel".into())
            }),
        Kind::Dropout(dropout) => DROPPED.refuses("p", dropout.p),
        Kind::BatchNorm(norm) => POSITIVE.refuses("eps", norm.eps).or_else(|| SHARE.refuses("momentum", norm.momentum)),
        Kind::LayerNorm(norm) => POSITIVE.refuses("eps", norm.eps),
        Kind::Activation(Activation::LeakyRelu(LeakyRelu { slope })) => SLOPE.refuses("slope", *slope),
        Kind::Activation(Activation::Elu(Elu { alpha })) => ALPHA.refuses("alpha", *alpha),
        Kind::Activation(_)
        | Kind::Flatten
        | Kind::MaxUnpool
        | Kind::Add
        | Kind::Multiply
        | Kind::Concat
        | Kind::Scale(_)
        | Kind::PRelu(_) => None,
        Kind::Slice(slice) => INDEX.refuses_size("from", slice.from).or_else(|| size("channels", slice.channels)),
        Kind::ChannelShuffle(shuffle) => size("groups", shuffle.groups),
        Kind::PadChannels(pad) => INDEX
            .refuses_size("before", pad.before)
            .or_else(|| INDEX.refuses_size("after", pad.after))
            .or_else(|| (pad.before + pad.after == 0).then(|| "before or after must be above 0".into())),
        Kind::SoftmaxLoss(loss) => POSITIVE.refuses("loss_weight", loss.loss_weight),
    }
}

fn undivided(channels: usize, groups: usize) -> Option<String> {
    (!channels.is_multiple_of(groups)).then(|| format!("{channels} channels do not divide into {groups} groups"))
}

fn conv_transpose_out_of_range(conv: &ConvTranspose) -> Option<String> {
    let ConvTranspose { kernel, stride, pad, dilation, output_padding: more, .. } = *conv;
    size("channels", conv.channels)
        .or_else(|| window_out_of_range(kernel, stride, pad))
        .or_else(|| sides(SIDES, "dilation", dilation))
        .or_else(|| sides(MORE, "output_padding", more))
        .or_else(|| size("groups", conv.groups))
        .or_else(|| undivided(conv.channels, conv.groups))
        .or_else(|| {
            let exceeds = more.h >= stride.h.max(dilation.h) || more.w >= stride.w.max(dilation.w);
            exceeds.then(|| "output_padding must be less than stride or dilation".into())
        })
        .or_else(|| (pad == Padding::Same).then(|| "pad of a conv_transpose must be numbers, not \"same\"".into()))
}

fn size(key: &str, value: usize) -> Option<String> {
    SIZE.refuses_size(key, value)
}

fn sides(range: Range, key: &str, pair: Pair) -> Option<String> {
    range.refuses_size(key, pair.h).or_else(|| range.refuses_size(key, pair.w))
}

fn window_out_of_range(kernel: Pair, stride: Pair, pad: Padding) -> Option<String> {
    let pads = || match pad {
        Padding::Sides { before, after } => sides(PADS, "pad", before).or_else(|| sides(PADS, "pad", after)),
        Padding::Same => None,
    };
    sides(SIDES, "kernel", kernel).or_else(|| sides(SIDES, "stride", stride)).or_else(pads)
}

fn pool_out_of_range(kernel: Pair, stride: Pair, pad: Padding, dilation: Pair) -> Option<String> {
    let beyond = || beyond_window(extent(kernel, dilation), pad).map(str::to_owned);
    window_out_of_range(kernel, stride, pad).or_else(|| sides(SIDES, "dilation", dilation)).or_else(beyond)
}

/// A kind's parameters, as a description spells them.
pub fn keys(kind: &Kind) -> Vec<(&'static str, String)> {
    match kind {
        Kind::Conv(conv) => given([
            Some(("channels", conv.channels.to_string())),
            Some(("kernel", conv.kernel.to_string())),
            unless(conv.stride == Pair::square(1), "stride", conv.stride.to_string()),
            unless(conv.pad == Padding::NONE, "pad", conv.pad.to_string()),
            unless(conv.dilation == Pair::square(1), "dilation", conv.dilation.to_string()),
            unless(conv.groups == 1, "groups", conv.groups.to_string()),
            unless(conv.bias, "bias", conv.bias.to_string()),
        ]),
        Kind::ConvTranspose(conv) => conv_transpose_keys(conv),
        Kind::Fc(fc) => {
            given([Some(("outputs", fc.outputs.to_string())), unless(fc.bias, "bias", fc.bias.to_string())])
        }
        Kind::MaxPool(pool) => {
            let mut keys = window(pool.kernel, pool.stride.unwrap_or(pool.kernel), pool.pad, pool.ceil);
            keys.extend(unless(pool.dilation == Pair::square(1), "dilation", pool.dilation.to_string()));
            keys
        }
        Kind::AvgPool(AvgPool::Windows { kernel, stride, pad, ceil, count_include_pad }) => {
            let mut keys = window(*kernel, *stride, *pad, *ceil);
            keys.extend(unless(*count_include_pad, "count_include_pad", count_include_pad.to_string()));
            keys
        }
        Kind::AvgPool(AvgPool::Adaptive { output }) => vec![("output", output.to_string())],
        Kind::Lrn(lrn) => given([
            Some(("size", lrn.size.to_string())),
            Some(("alpha", float(lrn.alpha))),
            Some(("beta", float(lrn.beta))),
            Some(("k", float(lrn.k))),
            unless(!lrn.within_channel, "within_channel", lrn.within_channel.to_string()),
        ]),
        Kind::Dropout(dropout) => vec![("p", float(dropout.p))],
        Kind::BatchNorm(norm) => given([
            unless(norm.eps == 1e-5, "eps", float(norm.eps)),
            unless(norm.momentum == 0.1, "momentum", float(norm.momentum)),
        ]),
        Kind::LayerNorm(norm) => unless(norm.eps == 1e-5, "eps", float(norm.eps)).into_iter().collect(),
        Kind::PRelu(prelu) => unless(!prelu.shared, "shared", prelu.shared.to_string()).into_iter().collect(),
        Kind::Slice(slice) => vec![("from", slice.from.to_string()), ("channels", slice.channels.to_string())],
        Kind::ChannelShuffle(shuffle) => vec![("groups", shuffle.groups.to_string())],
        Kind::PadChannels(pad) => given([
            unless(pad.before == 0, "before", pad.before.to_string()),
            unless(pad.after == 0, "after", pad.after.to_string()),
        ]),
        Kind::Scale(scale) => unless(!scale.bias, "bias", scale.bias.to_string()).into_iter().collect(),
        Kind::Activation(Activation::LeakyRelu(LeakyRelu { slope })) => {
            unless(*slope == LeakyRelu::default().slope, "slope", float(*slope)).into_iter().collect()
        }
        Kind::Activation(Activation::Elu(Elu { alpha })) => {
            unless(*alpha == Elu::default().alpha, "alpha", float(*alpha)).into_iter().collect()
        }
        Kind::SoftmaxLoss(loss) => {
            unless(loss.loss_weight == 1.0, "loss_weight", float(loss.loss_weight)).into_iter().collect()
        }
        Kind::Activation(_) | Kind::Flatten | Kind::MaxUnpool | Kind::Add | Kind::Multiply | Kind::Concat => Vec::new(),
    }
}

fn conv_transpose_keys(conv: &ConvTranspose) -> Vec<(&'static str, String)> {
    given([
        Some(("channels", conv.channels.to_string())),
        Some(("kernel", conv.kernel.to_string())),
        unless(conv.stride == Pair::square(1), "stride", conv.stride.to_string()),
        unless(conv.pad == Padding::NONE, "pad", conv.pad.to_string()),
        unless(conv.output_padding == Pair::square(0), "output_padding", conv.output_padding.to_string()),
        unless(conv.dilation == Pair::square(1), "dilation", conv.dilation.to_string()),
        unless(conv.groups == 1, "groups", conv.groups.to_string()),
        unless(conv.bias, "bias", conv.bias.to_string()),
    ])
}

/// Padding of a pool with which a window of this extent could lie beyond the image. PyTorch too takes at most half of it on equal sides.
fn beyond_window(kernel: Pair, pad: Padding) -> Option<&'static str> {
    match pad {
        Padding::Same => None,
        Padding::Sides { before, after } if before == after => {
            (2 * before.h > kernel.h || 2 * before.w > kernel.w).then_some("pad must be at most half the kernel")
        }
        Padding::Sides { before, after } => (before.h.max(after.h) >= kernel.h || before.w.max(after.w) >= kernel.w)
            .then_some("pad must be less than the kernel"),
    }
}

fn window(kernel: Pair, stride: Pair, pad: Padding, ceil: bool) -> Vec<(&'static str, String)> {
    given([
        Some(("kernel", kernel.to_string())),
        unless(stride == kernel, "stride", stride.to_string()),
        unless(pad == Padding::NONE, "pad", pad.to_string()),
        unless(!ceil, "ceil", ceil.to_string()),
    ])
}

/// The keys that there are.
fn given<const N: usize>(keys: [Option<(&'static str, String)>; N]) -> Vec<(&'static str, String)> {
    keys.into_iter().flatten().collect()
}

fn unless(default: bool, key: &'static str, value: String) -> Option<(&'static str, String)> {
    (!default).then_some((key, value))
}

/// The shortest form that reads back as the same number, with a point or an exponent, as TOML's floats have.
fn float(value: f32) -> String {
    format!("{value:?}")
}
