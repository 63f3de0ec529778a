//! The program's constants are what the fit gives.

use std::fmt::Write as _;
use std::path::Path;

use layertime::predict::{Constants, Spread};

use super::fit::named;
use super::{outcome, spread};

const HEAD: &str = "\
# What part of a GPU's datasheet peaks a phase reaches: the fitted constants of `layertime predict`, and how far off they leave it.
#
# tests/prediction fits them anew from tests/published and fails when they differ; `WRITE_CONSTANTS=1 cargo test --test prediction
# the_constants_are_the_fit` writes this file. docs/prediction.md explains each.
";

/// As TOML, three significant digits and a little more.
fn text(constants: &[(String, f64)]) -> String {
    let mut text = String::from(HEAD);
    let mut of = "";
    for (name, value) in constants {
        let (table, key) = name.rsplit_once('.').unwrap();
        if table != of {
            let _ = write!(text, "\n[{table}]\n");
            of = table;
        }
        let _ = writeln!(text, "{key} = {value:.4}");
    }
    text
}

/// Scalars before tables, as TOML wants them.
fn sorted(mut constants: Vec<(String, f64)>) -> Vec<(String, f64)> {
    constants.sort_by_key(|(name, _)| name.rsplit_once('.').map(|(table, _)| table.to_owned()));
    constants
}

fn all(constants: &Constants, spread: &Spread) -> Vec<(String, f64)> {
    let under = |head: &str, named: Vec<(String, f64)>| {
        named.into_iter().map(|(name, value)| (format!("{head}.{name}"), value)).collect::<Vec<_>>()
    };
    sorted([under("constants", named(constants)), under("spread", named(spread))].concat())
}

/// Within one percent: the last digits depend on the machine's logarithm.
#[test]
fn the_constants_are_the_fit() {
    let outcome = outcome();
    let fitted = all(&outcome.fit.constants(), &spread::fitted(outcome));
    if std::env::var_os("WRITE_CONSTANTS").is_some() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/predict/constants.toml");
        std::fs::write(file, text(&fitted)).unwrap();
        return;
    }
    let used = all(&Constants::fitted(), &Spread::fitted());
    assert_eq!(fitted.len(), used.len());
    for ((name, fitted), (_, used)) in fitted.iter().zip(&used) {
        assert!((fitted / used - 1.0).abs() < 0.01, "{name} is {used}, but the fit gives {fitted:.4}");
    }
}
