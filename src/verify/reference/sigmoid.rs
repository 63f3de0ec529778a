//! Sigmoid: y = 1 / (1 + e⁻ˣ); its gradient is y · (1 − y) times the output's.

pub fn forward(x: &[f64]) -> Vec<f64> {
    x.iter().map(|x| 1.0 / (1.0 + (-x).exp())).collect()
}

pub fn backward_data(y: &[f64], dy: &[f64]) -> Vec<f64> {
    y.iter().zip(dy).map(|(&y, &dy)| dy * y * (1.0 - y)).collect()
}
