//! A network as our own TOML, to read, keep and edit.

use std::fmt::Write;

use super::{IMAGE, Model, Source, spelling};

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
        for (key, value) in spelling::keys(&layer.kind) {
            let _ = writeln!(text, "{key} = {value}");
        }
    }
    text
}

/// Names hold no character that TOML escapes.
fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}
