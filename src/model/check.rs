//! The limits of a kind's parameters taken by themselves.

use super::Kind;
use super::kind::{AvgPool, Pair};

/// No size in a description may pass this: it keeps every later product within 64 bits or caught by a checked one.
pub const LARGEST: usize = 1 << 20;

/// Finds a fault in a kind's parameters taken by themselves.
pub fn out_of_range(kind: &Kind) -> Option<String> {
    let size = |what: &str, value: usize| {
        (value == 0 || value > LARGEST).then(|| format!("{what} must be from 1 to {LARGEST}"))
    };
    let sizes = |what: &str, pair: Pair| size(what, pair.h).or_else(|| size(what, pair.w));
    let window = |kernel: Pair, stride: Pair, pad: Pair| {
        sizes("kernel", kernel)
            .or_else(|| sizes("stride", stride))
            .or_else(|| (pad.h.max(pad.w) > LARGEST).then(|| format!("pad must be at most {LARGEST}")))
    };
    let pooling = |kernel: Pair, stride: Pair, pad: Pair| {
        let half = 2 * pad.h > kernel.h || 2 * pad.w > kernel.w;
        window(kernel, stride, pad).or_else(|| half.then(|| "pad must be at most half the kernel".into()))
    };
    match kind {
        Kind::Conv(conv) => size("channels", conv.channels)
            .or_else(|| window(conv.kernel, conv.stride, conv.pad))
            .or_else(|| size("groups", conv.groups))
            .or_else(|| {
                (conv.channels % conv.groups != 0)
                    .then(|| format!("{} channels do not divide into {} groups", conv.channels, conv.groups))
            }),
        Kind::Fc(fc) => size("outputs", fc.outputs),
        Kind::MaxPool(pool) => pooling(pool.kernel, pool.stride.unwrap_or(pool.kernel), pool.pad),
        Kind::AvgPool(AvgPool::Windows { kernel, stride, pad, .. }) => pooling(*kernel, *stride, *pad),
        Kind::AvgPool(AvgPool::Adaptive { output }) => sizes("output", *output),
        Kind::Lrn(lrn) => size("size", lrn.size).or_else(|| {
            let sound = lrn.k > 0.0 && lrn.alpha >= 0.0 && lrn.beta > 0.0;
            (!(sound && [lrn.alpha, lrn.beta, lrn.k].iter().all(|v| v.is_finite())))
                .then(|| "lrn needs k > 0, alpha ≥ 0 and beta > 0".into())
        }),
        Kind::Dropout(dropout) => (!(0.0..1.0).contains(&dropout.p)).then(|| "p must be at least 0 and below 1".into()),
        Kind::BatchNorm(norm) => (!(norm.eps > 0.0 && norm.eps.is_finite() && (0.0..=1.0).contains(&norm.momentum)))
            .then(|| "batchnorm needs eps > 0 and a momentum from 0 to 1".into()),
        Kind::Relu | Kind::Flatten | Kind::Add | Kind::Concat | Kind::SoftmaxLoss => None,
    }
}
