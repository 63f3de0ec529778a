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

/// Tells if this run is to write the constants.
pub fn writes() -> bool {
    std::env::var_os("WRITE_CONSTANTS").is_some()
}

/// How far a committed constant may lie from the best one.
const NEAR: f64 = 0.01;

fn assert_near(found: &[(String, f64)], what: &str) {
    let used = all(&Constants::fitted(), &Spread::fitted());
    assert_eq!(found.len(), used.len());
    for ((name, found), (_, used)) in found.iter().zip(&used) {
        assert!((found / used - 1.0).abs() < NEAR, "{name} is {used}, but {what} gives {found:.4}");
    }
}

/// The committed constants are the best there are near them: from them the search goes nowhere.
#[test]
fn the_constants_are_the_fit() {
    let outcome = outcome();
    let spread = spread::fitted(outcome);
    if writes() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/predict/constants.toml");
        std::fs::write(file, text(&all(&outcome.fit.constants(), &spread))).unwrap();
        return;
    }
    let mut fit = outcome.fit.clone();
    fit.improve(&outcome.slopes, &vec![true; outcome.rows.len()], 3);
    assert_near(&all(&fit.constants(), &spread), "a better fit");
}

/// From the first guesses the search comes to the committed constants. `.ci/checks` runs it.
#[test]
#[ignore = "the whole fit, half a minute: .ci/checks runs it"]
fn the_constants_are_the_fit_from_first_guesses() {
    let outcome = outcome();
    let fit = super::fit::fit(outcome.rows);
    assert_near(&all(&fit.constants(), &Spread::fitted()), "the fit from first guesses");
}
