//! The fit: least squares on the logarithms of predicted over published, far ones counting linearly, with a mild pull of each
//! constant to a first guess and of each generation to its neighbours.

use layertime::predict::Constants;
use layertime::predict::work::Does;

use super::published::{Of, Row};

/// An error that counts as one.
const SCALE: f64 = 0.15;
/// A step ends the search that lowers the cost by a smaller part.
const LEAST_GAIN: f64 = 1e-8;

/// How a constant is held: by the end of its name, its first guess, and how far (in its logarithm) it strays at one unit's cost.
/// The first line that fits holds.
const GUESSES: &[(&str, f64, f64)] = &[
    ("power", 0.4, 0.5),
    ("doubled", 0.7, 0.3),
    ("feed", 3000.0, 0.5),
    ("generation.volta.", 1.0, 0.01),
    ("generation.", 1.0, 1.5),
    ("program.layertime.launch_us", 6.0, 1.0),
    ("program.pytorch-eager.launch_us", 20.0, 0.7),
    ("launch_us", 10.0, 0.7),
    ("program.layertime.", 1.0, 1e-6),
    ("program.pytorch-eager.", 1.0, 1e-6),
    ("half_passes", 1.0, 0.05),
    ("passes", 1.15, 0.15),
    ("conv.direct.", 0.6, 1.0),
    ("conv.winograd.", 1.2, 1.0),
    ("conv.large.", 1.0, 1.0),
    ("conv.tensor.", 0.4, 1.0),
    ("conv.half.", 0.8, 0.3),
    ("conv.narrow", 8.0, 1.0),
    ("conv.patch", 8.0, 1.0),
    ("conv.short.backward_weights", 100.0, 1.0),
    ("conv.short.", 8.0, 1.0),
    ("conv.waves.", 0.5, 1.0),
    ("conv.strided_data", 1.5, 0.5),
    ("conv.strided_weights", 1.2, 0.3),
    ("conv.transforms", 1.0, 0.5),
    ("conv.reorder", 1.0, 0.5),
    ("conv.search_large", 0.5, 0.3),
    ("conv.search", 0.9, 0.1),
    ("gemm.cores", 0.75, 1.0),
    ("gemm.tensor", 0.5, 1.0),
    ("gemm.narrow", 8.0, 1.0),
    ("gemm.", 1.0, 1.0),
    ("memory.pool.backward", 0.25, 0.2),
    ("memory.l2", 2.5, 0.3),
    ("memory.fused", 0.3, 0.5),
    ("memory.load", 60.0, 0.5),
    ("memory.operands", 0.7, 0.3),
    ("memory.batchnorm.", 0.8, 0.12),
    ("memory.update", 0.8, 0.12),
    ("memory.", 0.7, 0.4),
];

/// How far neighbouring generations' logarithms lie apart at one unit's cost.
const WALK: [(&str, f64); 3] = [("cores", 0.15), ("tensor", 0.15), ("bandwidth", 0.05)];

const GENERATIONS: [&str; 10] =
    ["kepler", "maxwell", "pascal", "volta", "turing", "ampere", "ampere-ga10x", "ada", "hopper", "blackwell"];

/// Every constant by name, in the order of the struct.
pub fn named(constants: &impl serde::Serialize) -> Vec<(String, f64)> {
    fn walk(name: &str, value: &serde_json::Value, into: &mut Vec<(String, f64)>) {
        match value {
            serde_json::Value::Object(members) => members.iter().for_each(|(key, value)| {
                let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                walk(&name, value, into);
            }),
            number => into.push((name.into(), number.as_f64().unwrap())),
        }
    }
    let mut named = Vec::new();
    walk("", &serde_json::to_value(constants).unwrap(), &mut named);
    named
}

/// The constants of these logarithms, in the order of [`named`].
fn of_logarithms(logarithms: &[f64]) -> Constants {
    fn fill(value: &mut serde_json::Value, left: &mut std::slice::Iter<f64>) {
        match value {
            serde_json::Value::Object(members) => members.values_mut().for_each(|value| fill(value, left)),
            number => *number = left.next().unwrap().exp().into(),
        }
    }
    let mut value = serde_json::to_value(Constants::fitted()).unwrap();
    fill(&mut value, &mut logarithms.iter());
    serde_json::from_value(value).unwrap()
}

/// Constants on the way, and what they cost.
#[derive(Clone)]
pub struct Fit<'r> {
    rows: &'r [Row],
    names: Vec<String>,
    guesses: Vec<(f64, f64)>,
    neighbours: Vec<(usize, usize, f64)>,
    logarithms: Vec<f64>,
}

/// Of each row, the constants that move its error, and how it moves with their logarithms.
pub type Slopes = Vec<Vec<(usize, f64)>>;

impl<'r> Fit<'r> {
    /// Starts from the first guesses.
    pub fn guessed(rows: &'r [Row]) -> Fit<'r> {
        let names: Vec<String> = named(&Constants::fitted()).into_iter().map(|(name, _)| name).collect();
        let guess = |name: &String| {
            let fits = |(part, _, _): &&(&str, f64, f64)| name.contains(part);
            let (_, guess, reach) = GUESSES.iter().find(fits).unwrap_or_else(|| panic!("no guess for {name}"));
            (guess.ln(), *reach)
        };
        let guesses: Vec<(f64, f64)> = names.iter().map(guess).collect();
        let place = |generation, of| {
            let name = format!("generation.{generation}.{of}");
            names.iter().position(|known| *known == name).unwrap()
        };
        let pairs = GENERATIONS.windows(2);
        let neighbours =
            pairs.flat_map(|pair| WALK.map(|(of, reach)| (place(pair[0], of), place(pair[1], of), reach))).collect();
        let logarithms = guesses.iter().map(|(guess, _)| *guess).collect();
        Fit { rows, names, guesses, neighbours, logarithms }
    }

    /// Starts from the committed constants.
    pub fn committed(rows: &'r [Row]) -> Fit<'r> {
        let logarithms = named(&Constants::fitted()).into_iter().map(|(_, value)| value.ln()).collect();
        Fit { logarithms, ..Fit::guessed(rows) }
    }

    pub fn constants(&self) -> Constants {
        of_logarithms(&self.logarithms)
    }

    /// ln(predicted / published), row by row.
    pub fn errors(&self, logarithms: &[f64]) -> Vec<f64> {
        let constants = of_logarithms(logarithms);
        side_by_side(self.rows, |row| row.error(&constants))
    }

    /// How each row's error moves with each constant's logarithm.
    pub fn slopes(&self) -> Slopes {
        const STEP: f64 = 1e-4;
        let here = self.constants();
        let moved = |index: usize| {
            let mut moved = self.logarithms.clone();
            moved[index] += STEP;
            of_logarithms(&moved)
        };
        let moved: Vec<Constants> = (0..self.logarithms.len()).map(moved).collect();
        side_by_side(self.rows, |row| {
            let error = row.error(&here);
            let slope = |index: usize| (row.error(&moved[index]) - error) / STEP;
            let slopes = (0..moved.len()).filter(|&index| may_move(&self.names[index], row));
            slopes.map(|index| (index, slope(index))).filter(|(_, slope)| *slope != 0.0).collect()
        })
    }

    /// The cost of these constants on the rows that count.
    fn cost(&self, logarithms: &[f64], errors: &[f64], counts: &[bool]) -> f64 {
        let far = |(row, error): (&Row, &f64)| (1.0 + (row.weight * error / SCALE).powi(2)).sqrt() - 1.0;
        let rows = self.rows.iter().zip(errors).zip(counts).filter(|(_, counts)| **counts).map(|(pair, _)| far(pair));
        let held = logarithms.iter().zip(&self.guesses).map(|(now, (guess, reach))| ((now - guess) / reach).powi(2));
        let walked = self.neighbours.iter().map(|&(a, b, reach)| ((logarithms[b] - logarithms[a]) / reach).powi(2));
        2.0 * rows.sum::<f64>() + held.sum::<f64>() + walked.sum::<f64>()
    }

    /// Moves the constants downhill along the slopes, damped until the cost falls; the cost.
    pub fn improve(&mut self, slopes: &Slopes, counts: &[bool], steps: usize) -> f64 {
        let mut errors = self.errors(&self.logarithms);
        let mut cost = self.cost(&self.logarithms, &errors, counts);
        let mut damping = 1e-3;
        for _ in 0..steps {
            let (matrix, gradient) = self.normal_equations(slopes, &errors, counts);
            let mut found = false;
            for _ in 0..6 {
                let by = solve(&matrix, &gradient, damping);
                let moved: Vec<f64> =
                    self.logarithms.iter().zip(&by).map(|(now, by)| now - by.clamp(-0.7, 0.7)).collect();
                let there = self.errors(&moved);
                let less = self.cost(&moved, &there, counts);
                if less < cost {
                    (self.logarithms, errors, found) = (moved, there, cost - less > LEAST_GAIN * cost);
                    cost = less;
                    damping = (damping / 5.0f64).max(1e-6);
                    break;
                }
                damping *= 5.0;
            }
            if !found {
                break;
            }
        }
        cost
    }

    fn normal_equations(&self, slopes: &Slopes, errors: &[f64], counts: &[bool]) -> (Vec<Vec<f64>>, Vec<f64>) {
        let many = self.logarithms.len();
        let (mut matrix, mut gradient) = (vec![vec![0.0; many]; many], vec![0.0; many]);
        let rows = self.rows.iter().zip(errors).zip(slopes).zip(counts).filter(|(_, counts)| **counts);
        for (((row, error), slopes), _) in rows {
            let weight = row.weight / SCALE;
            let weight = weight * weight / (1.0 + (weight * error).powi(2)).sqrt();
            for &(a, slope) in slopes {
                gradient[a] += weight * slope * error;
                for &(b, other) in slopes {
                    matrix[a][b] += weight * slope * other;
                }
            }
        }
        for (a, (guess, reach)) in self.guesses.iter().enumerate() {
            matrix[a][a] += 1.0 / (reach * reach);
            gradient[a] += (self.logarithms[a] - guess) / (reach * reach);
        }
        for &(a, b, reach) in &self.neighbours {
            let (apart, weight) = (self.logarithms[b] - self.logarithms[a], 1.0 / (reach * reach));
            matrix[a][a] += weight;
            matrix[b][b] += weight;
            matrix[a][b] -= weight;
            matrix[b][a] -= weight;
            gradient[b] += weight * apart;
            gradient[a] -= weight * apart;
        }
        (matrix, gradient)
    }
}

/// Of every row, on all of the machine's cores.
fn side_by_side<T: Send>(rows: &[Row], of: impl Fn(&Row) -> T + Sync) -> Vec<T> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let of = &of;
    std::thread::scope(|scope| {
        // Every so many-th row, since the long ones stand together.
        let part = |first: usize| rows.iter().skip(first).step_by(threads).map(of).collect::<Vec<T>>();
        let parts: Vec<_> = (0..threads).map(|first| scope.spawn(move || part(first))).collect();
        let mut parts: Vec<_> = parts.into_iter().map(|part| part.join().unwrap().into_iter()).collect();
        (0..rows.len()).map(|index| parts[index % threads].next().unwrap()).collect()
    })
}

/// False where a constant has nothing to do with a row, which saves the arithmetic.
fn may_move(name: &str, row: &Row) -> bool {
    let has = |is: fn(&Does) -> bool| row.works.iter().any(|(work, _)| is(&work.does));
    match name.split_once('.') {
        Some(("program", of)) => of.strip_prefix(row.program.name()).is_some_and(|rest| rest.starts_with('.')),
        Some(("generation", of)) => of.starts_with(&format!("{}.", GENERATIONS[row.generation() as usize])),
        Some(("conv", _)) => has(|does| matches!(does, Does::Conv(..))),
        Some(("gemm", _)) => has(|does| matches!(does, Does::Gemm(_))),
        _ => true,
    }
}

/// x of (A + damping · diagonal of A) x = b, for a symmetric positive A, by Cholesky's decomposition.
fn solve(matrix: &[Vec<f64>], b: &[f64], damping: f64) -> Vec<f64> {
    let many = b.len();
    let mut lower = vec![vec![0.0; many]; many];
    for i in 0..many {
        for j in 0..=i {
            let damped = if i == j { matrix[i][i] * (1.0 + damping) } else { matrix[i][j] };
            let rest: f64 = damped - (0..j).map(|k| lower[i][k] * lower[j][k]).sum::<f64>();
            lower[i][j] = if i == j { rest.max(1e-12).sqrt() } else { rest / lower[j][j] };
        }
    }
    let mut x = vec![0.0; many];
    for i in 0..many {
        x[i] = (b[i] - (0..i).map(|k| lower[i][k] * x[k]).sum::<f64>()) / lower[i][i];
    }
    for i in (0..many).rev() {
        x[i] = (x[i] - (i + 1..many).map(|k| lower[k][i] * x[k]).sum::<f64>()) / lower[i][i];
    }
    x
}

/// From all rows and the first guesses.
pub fn fit(rows: &[Row]) -> Fit<'_> {
    let mut fit = Fit::guessed(rows);
    let all = vec![true; rows.len()];
    let mut before = f64::INFINITY;
    for _ in 0..40 {
        let slopes = fit.slopes();
        let cost = fit.improve(&slopes, &all, 3);
        if before - cost < LEAST_GAIN * cost {
            break;
        }
        before = cost;
    }
    fit
}

/// The errors of all rows, each with constants that know none of the rows that share its mark.
pub fn left_out(fitted: &Fit, slopes: &Slopes, mark: impl Fn(&Row) -> String) -> Vec<f64> {
    let rows = fitted.rows;
    let marks: Vec<String> = rows.iter().map(mark).collect();
    let mut errors = vec![f64::NAN; rows.len()];
    let distinct: std::collections::BTreeSet<&String> = marks.iter().collect();
    for mark in distinct {
        let constants = without(fitted, slopes, &marks.iter().map(|of| of != mark).collect::<Vec<_>>());
        for (index, row) in rows.iter().enumerate().filter(|(index, _)| marks[*index] == *mark) {
            errors[index] = row.error(&constants);
        }
    }
    errors
}

/// The constants that know only the rows that count.
pub fn without(fitted: &Fit, slopes: &Slopes, counts: &[bool]) -> Constants {
    let mut fit = fitted.clone();
    fit.improve(slopes, counts, 8);
    fit.constants()
}

/// Tells if a row is a whole step of at least eight images.
pub fn is_step(row: &Row) -> bool {
    row.of == Of::Step && row.batch >= 8
}
