//! `predict` against published measurements: how far off it is, each network left out of the fit that predicts it.

mod errors;
mod fit;
mod published;

use layertime::predict::Fractions;

/// Every constant, by name.
fn constants(fractions: &Fractions) -> Vec<(String, f64)> {
    fn walk(name: &str, value: &serde_json::Value, into: &mut Vec<(String, f64)>) {
        match value {
            serde_json::Value::Object(members) => members.iter().for_each(|(key, value)| {
                let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                walk(&name, value, into);
            }),
            number => into.push((name.into(), number.as_f64().unwrap())),
        }
    }
    let mut constants = Vec::new();
    walk("", &serde_json::to_value(fractions).unwrap(), &mut constants);
    constants
}

/// The program's constants are what the published measurements give, to three decimals.
#[test]
fn the_constants_are_the_fit() {
    let titan_x = published::titan_x();
    let fitted = constants(&fit::fit(&titan_x.network.iter().collect::<Vec<_>>()));
    let used = constants(&Fractions::fitted());
    for (name, value) in &fitted {
        println!("{name} = {value:.3}");
    }
    for ((name, fitted), (_, used)) in fitted.iter().zip(&used) {
        assert!((fitted - used).abs() <= 0.0005 + 1e-9, "{name} is {used}, but the fit gives {fitted:.3}");
    }
    assert_eq!(fitted.len(), used.len());
}
