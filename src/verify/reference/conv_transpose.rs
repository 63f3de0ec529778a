//! Transposed convolution by its definition: every input element adds its filter to the output,
//! y\[n, c, p·stride + r·dilation − pad, q·stride + s·dilation − pad\] += w\[k,c,r,s\] · x\[n,k,p,q\], and b\[c\] once. So it is the gradient
//! of a convolution's input, and its own gradient is that convolution.

use super::conv;
use super::real::Real;
use crate::model::kind::ConvTranspose;
use crate::plan::Shape;

/// `weights` is \[K, C/groups, R, S\] of an input of K channels and an output of C; `biases` \[C\] or empty.
pub fn forward<T: Real>(
    params: &ConvTranspose,
    [input, output]: [Shape; 2],
    x: &[T],
    weights: &[T],
    biases: &[T],
) -> Vec<T> {
    let mut y = conv::backward_data(&params.transposed(input), output, input, weights, x);
    if !biases.is_empty() {
        let channel = |at: usize| at / (output.h * output.w) % output.c;
        y.iter_mut().enumerate().for_each(|(at, y)| *y += biases[channel(at)]);
    }
    y
}

/// dx\[n,k,p,q\]: what of dy the element's filter met.
pub fn backward_data<T: Real>(params: &ConvTranspose, [input, output]: [Shape; 2], weights: &[T], dy: &[T]) -> Vec<T> {
    conv::forward(&params.transposed(input), output, input, dy, weights, &[])
}

/// dw\[k,c,r,s\] = Σ x · dy over all places where the weight joins them.
pub fn backward_weights<T: Real>(params: &ConvTranspose, [input, output]: [Shape; 2], x: &[T], dy: &[T]) -> Vec<T> {
    conv::backward_weights(&params.transposed(input), output, input, dy, x)
}
