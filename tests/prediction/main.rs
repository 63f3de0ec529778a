//! `predict` against published measurements: the fit of its constants, and how far off it is on what they have not seen.

mod committed;
mod errors;
mod fit;
mod page;
mod published;
mod spread;

use std::sync::OnceLock;

use fit::{Fit, Slopes};
use published::Row;

/// The start of every test here: made once.
struct Outcome {
    rows: &'static [Row],
    /// The committed constants.
    fit: Fit<'static>,
    slopes: Slopes,
    /// ln(predicted / published), with constants that know no row of the row's chip.
    by_chip: Vec<f64>,
    /// The same for whole steps by network; other rows have what the fit leaves.
    by_network: Vec<f64>,
}

fn outcome() -> &'static Outcome {
    static OUTCOME: OnceLock<Outcome> = OnceLock::new();
    OUTCOME.get_or_init(|| {
        let rows: &'static [Row] = Vec::leak(published::rows());
        let fit = if committed::writes() { fit::fit(rows) } else { Fit::committed(rows) };
        let slopes = fit.slopes();
        let by_chip = fit::left_out(&fit, &slopes, |row| row.chip().to_string());
        let by_network = fit::left_out(&fit, &slopes, |row| row.network.clone());
        Outcome { rows, fit, slopes, by_chip, by_network }
    })
}
