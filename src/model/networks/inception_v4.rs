//! Inception v4: Szegedy et al. 2016, "Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning". Layers have
//! the names of timm's modules; means of windows leave the padding out, as there.

use super::builder::{Builder, Built};
use super::inception::{BranchConv, branch, concat, convolution, max_pooled};
use crate::model::Source;

const ONE: ([usize; 2], [usize; 2]) = ([1, 1], [0, 0]);
const THREE: ([usize; 2], [usize; 2]) = ([3, 3], [1, 1]);
const WIDE: ([usize; 2], [usize; 2]) = ([1, 7], [0, 3]);
const HIGH: ([usize; 2], [usize; 2]) = ([7, 1], [3, 0]);

/// A convolution of a branch: its channels, and its filter with the padding.
type UnitConv = (usize, ([usize; 2], [usize; 2]));

pub fn v4(net: &mut Builder) -> Built<()> {
    net.eps = 1e-3;
    convolution(net, "features.0", 32, [3, 3], 2, [0, 0])?;
    convolution(net, "features.1", 32, [3, 3], 1, [0, 0])?;
    convolution(net, "features.2", 64, [3, 3], 1, [1, 1])?;
    stem(net)?;
    for block in 6..10 {
        let branches: [&[UnitConv]; 3] =
            [&[(96, ONE)], &[(64, ONE), (96, THREE)], &[(64, ONE), (96, THREE), (96, THREE)]];
        inception(net, block, &branches, 96)?;
    }
    reduction(net, 10, &[&[], &[(192, ONE), (224, THREE)]], [384, 256])?;
    for block in 11..18 {
        let long = [(192, ONE), (192, HIGH), (224, WIDE), (224, HIGH), (256, WIDE)];
        inception(net, block, &[&[(384, ONE)], &[(192, ONE), (224, WIDE), (256, HIGH)], &long], 128)?;
    }
    reduction(net, 18, &[&[(192, ONE)], &[(256, ONE), (256, WIDE), (320, HIGH)]], [192, 320])?;
    for block in 19..22 {
        block_c(net, block)?;
    }
    net.adaptive_pool("global_pool", 1)?;
    net.dropout("dropout", 0.2)?;
    net.fc("last_linear", 1000)
}

/// Three blocks in which a pool and a convolution, or two rows of convolutions, are joined.
fn stem(net: &mut Builder) -> Built<()> {
    let input = net.last;
    let pooled = max_pooled(net, "features.3", input)?;
    let conv = branch(net, "features.3", input, &[("conv", 96, [3, 3], 2, [0, 0])])?;
    concat(net, "features.3", vec![pooled, conv])?;
    let input = net.last;
    let short = parts(net, "features.4.branch0", input, &[(64, ONE)])?;
    let short = branch(net, "features.4.branch0", short, &[("1", 96, [3, 3], 1, [0, 0])])?;
    let long = parts(net, "features.4.branch1", input, &[(64, ONE), (64, WIDE), (64, HIGH)])?;
    let long = branch(net, "features.4.branch1", long, &[("3", 96, [3, 3], 1, [0, 0])])?;
    concat(net, "features.4", vec![short, long])?;
    let input = net.last;
    let conv = branch(net, "features.5", input, &[("conv", 192, [3, 3], 2, [0, 0])])?;
    let pooled = max_pooled(net, "features.5", input)?;
    concat(net, "features.5", vec![conv, pooled])
}

/// Convolutions one behind the other that keep the image's size, numbered from 0.
fn parts(net: &mut Builder, name: &str, input: Source, parts: &[UnitConv]) -> Built<Source> {
    let numbers: Vec<String> = (0..parts.len()).map(|number| number.to_string()).collect();
    let steps: Vec<BranchConv> = numbers
        .iter()
        .zip(parts)
        .map(|(number, &(channels, (kernel, pad)))| (number.as_str(), channels, kernel, 1, pad))
        .collect();
    branch(net, name, input, &steps)
}

/// Branches of convolutions, and one of a mean.
fn inception(net: &mut Builder, block: usize, branches: &[&[UnitConv]; 3], pooled: usize) -> Built<()> {
    let (name, input) = (format!("features.{block}"), net.last);
    let mut joined = Vec::new();
    for (index, branch) in branches.iter().enumerate() {
        joined.push(parts(net, &format!("{name}.branch{index}"), input, branch)?);
    }
    joined.push(mean(net, &name, input, pooled)?);
    concat(net, &name, joined)
}

/// A mean of 3 × 3 pixels without the padding, and a 1 × 1 convolution.
fn mean(net: &mut Builder, name: &str, input: Source, channels: usize) -> Built<Source> {
    net.last = input;
    net.inner_average_pool(&format!("{name}.branch3.pool"), [3, 1, 1])?;
    parts(net, &format!("{name}.branch3"), net.last, &[(channels, ONE)])
}

/// Branches that end in a 3 × 3 filter of stride 2, and a pool.
fn reduction(net: &mut Builder, block: usize, branches: &[&[UnitConv]; 2], last: [usize; 2]) -> Built<()> {
    let (name, input) = (format!("features.{block}"), net.last);
    let mut joined = Vec::new();
    for (index, (before, channels)) in branches.iter().zip(last).enumerate() {
        let name = format!("{name}.branch{index}");
        let before = parts(net, &name, input, before)?;
        joined.push(branch(net, &name, before, &[("reduce", channels, [3, 3], 2, [0, 0])])?);
    }
    joined.push(max_pooled(net, &name, input)?);
    concat(net, &name, joined)
}

/// Two of the branches split into a wide and a high filter.
fn block_c(net: &mut Builder, block: usize) -> Built<()> {
    let (name, input) = (format!("features.{block}"), net.last);
    let (wide, high) = (([1, 3], [0, 1]), ([3, 1], [1, 0]));
    let mut joined = vec![parts(net, &format!("{name}.branch0"), input, &[(256, ONE)])?];
    let before: [&[UnitConv]; 2] = [&[(384, ONE)], &[(384, ONE), (448, high), (512, wide)]];
    for (index, before) in (1..).zip(before) {
        let name = format!("{name}.branch{index}");
        let split = parts(net, &name, input, before)?;
        for (side, filter) in [("wide", wide), ("high", high)] {
            joined.push(parts(net, &format!("{name}.{side}"), split, &[(256, filter)])?);
        }
    }
    joined.push(mean(net, &name, input, 256)?);
    concat(net, &name, joined)
}
