//! A network as our own TOML, to read, keep and edit.

use std::fmt::Write;

use super::kind::{AvgPool, Pair};
use super::{IMAGE, Kind, Model, Source};

/// The description of a model. Keys that have their default are left out; a long network is one line per key.
pub fn toml(model: &Model) -> String {
    let [c, h, w] = model.input;
    let mut text = format!("name = {}\ninput = [{c}, {h}, {w}]\n", quoted(&model.name));
    for (index, layer) in model.layers.iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n[[layer]]\nname = {}\nkind = \"{}\"\n", quoted(&layer.name), layer.kind.name());
        let before = index.checked_sub(1).map_or(Source::Image, Source::Layer);
        if layer.inputs != [before] {
            let names = layer.inputs.iter().map(|source| match *source {
                Source::Image => quoted(IMAGE),
                Source::Layer(index) => quoted(&model.layers[index].name),
            });
            let _ = writeln!(text, "inputs = [{}]", names.collect::<Vec<_>>().join(", "));
        }
        for (key, value) in keys(&layer.kind) {
            let _ = writeln!(text, "{key} = {value}");
        }
    }
    text
}

/// Names hold no character that TOML escapes.
fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}

/// A kind's parameters, as a description spells them.
fn keys(kind: &Kind) -> Vec<(&'static str, String)> {
    match kind {
        Kind::Conv(conv) => [
            Some(("channels", conv.channels.to_string())),
            Some(("kernel", pair(conv.kernel))),
            unless(conv.stride == Pair::square(1), "stride", pair(conv.stride)),
            unless(conv.pad == Pair::square(0), "pad", pair(conv.pad)),
            unless(conv.groups == 1, "groups", conv.groups.to_string()),
            unless(conv.bias, "bias", conv.bias.to_string()),
        ]
        .into_iter()
        .flatten()
        .collect(),
        Kind::Fc(fc) => [Some(("outputs", fc.outputs.to_string())), unless(fc.bias, "bias", fc.bias.to_string())]
            .into_iter()
            .flatten()
            .collect(),
        Kind::MaxPool(pool) => window(pool.kernel, pool.stride.unwrap_or(pool.kernel), pool.pad, pool.ceil),
        Kind::AvgPool(AvgPool::Windows { kernel, stride, pad, ceil }) => window(*kernel, *stride, *pad, *ceil),
        Kind::AvgPool(AvgPool::Adaptive { output }) => vec![("output", pair(*output))],
        Kind::Lrn(lrn) => vec![
            ("size", lrn.size.to_string()),
            ("alpha", float(lrn.alpha)),
            ("beta", float(lrn.beta)),
            ("k", float(lrn.k)),
        ],
        Kind::Dropout(dropout) => vec![("p", float(dropout.p))],
        Kind::BatchNorm(norm) => [
            unless(norm.eps == 1e-5, "eps", float(norm.eps)),
            unless(norm.momentum == 0.1, "momentum", float(norm.momentum)),
        ]
        .into_iter()
        .flatten()
        .collect(),
        Kind::Relu | Kind::Flatten | Kind::Add | Kind::Concat | Kind::SoftmaxLoss => Vec::new(),
    }
}

fn window(kernel: Pair, stride: Pair, pad: Pair, ceil: bool) -> Vec<(&'static str, String)> {
    let keys = [
        Some(("kernel", pair(kernel))),
        unless(stride == kernel, "stride", pair(stride)),
        unless(pad == Pair::square(0), "pad", pair(pad)),
        unless(!ceil, "ceil", ceil.to_string()),
    ];
    keys.into_iter().flatten().collect()
}

fn unless(default: bool, key: &'static str, value: String) -> Option<(&'static str, String)> {
    (!default).then_some((key, value))
}

fn pair(pair: Pair) -> String {
    if pair.h == pair.w { pair.h.to_string() } else { format!("[{}, {}]", pair.h, pair.w) }
}

/// The shortest form that reads back as the same number, with a point or an exponent, as TOML's floats have.
fn float(value: f32) -> String {
    format!("{value:?}")
}
