//! Momentum SGD as in PyTorch, weights and biases alike: g = gradient + weight_decay·w, v = momentum·v + g, w −= learning_rate·v.

use crate::device::Training;
use crate::device::cpu::compute::parallel::piece;
use crate::device::cpu::compute::tasks::{piece_of, pieces_of_two};
use crate::device::cpu::compute::vector::multiversioned;

pub fn update(training: &Training, weights: &mut [f32], momentum: &mut [f32], gradient: &[f32]) {
    let piece = piece(weights.len());
    pieces_of_two((weights, piece), (momentum, piece), |index, weights, momentum| {
        update_piece(training, weights, momentum, piece_of(gradient, piece, index));
    });
}

multiversioned! {
    fn update_piece(training: &Training, weights: &mut [f32], momentum: &mut [f32], gradient: &[f32]) {
        let Training { learning_rate, momentum: keep, weight_decay, .. } = *training;
        for ((w, v), gradient) in weights.iter_mut().zip(momentum).zip(gradient) {
            *v = keep * *v + (gradient + weight_decay * *w);
            *w -= learning_rate * *v;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::cpu::compute::testing::*;
    use proptest::prelude::*;

    fn training(learning_rate: f32, momentum: f32, weight_decay: f32) -> Training {
        Training { learning_rate, momentum, weight_decay, seed: 0, dropout: true }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn against_plain_loops(count in 1..40_000usize, seed: u64, constants in prop::array::uniform3(0f32..1.0)) {
            let [rate, keep, decay] = constants.map(f64::from);
            let [weights, momentum, gradient] = [0, 1, 2].map(|stream| numbers(seed ^ stream, count));
            let expected: Vec<(f64, f64)> = (0..count)
                .map(|at| {
                    let [w, v, g] = [weights[at], momentum[at], gradient[at]].map(f64::from);
                    let v = keep * v + g + decay * w;
                    (w - rate * v, v)
                })
                .collect();
            let (w, v): (Vec<f64>, Vec<f64>) = expected.into_iter().unzip();
            let training = training(constants[0], constants[1], constants[2]);
            let run = |new_weights: &mut [f32], new_momentum: &mut [f32]| {
                new_weights.copy_from_slice(&weights);
                new_momentum.copy_from_slice(&momentum);
                update(&training, new_weights, new_momentum, &gradient);
            };
            check_output(&w, |weights| run(weights, &mut momentum.clone()));
            check_output(&v, |momentum| run(&mut weights.clone(), momentum));
        }
    }

    /// By hand: g = 2 + 0.5·4 = 4; v = 0.5·8 + 4 = 8; w = 4 − 0.25·8 = 2.
    #[test]
    fn by_hand() {
        let (mut weights, mut momentum) = ([4.0], [8.0]);
        update(&training(0.25, 0.5, 0.5), &mut weights, &mut momentum, &[2.0]);
        assert_eq!((weights, momentum), ([2.0], [8.0]));
    }
}
