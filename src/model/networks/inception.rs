//! Inception v3 as torchvision has it, without its auxiliary head: Szegedy et al. 2016, "Rethinking the Inception Architecture".

use super::builder::{Builder, Built};
use crate::model::kind::{Conv, Pair};
use crate::model::{Kind, Source};

/// One convolution of a branch: its name, channels, height and width of the filter, stride, padding.
pub type BranchConv<'n> = (&'n str, usize, [usize; 2], usize, [usize; 2]);

pub fn v3(net: &mut Builder) -> Built<()> {
    net.eps = 1e-3;
    convolution(net, "Conv2d_1a_3x3", 32, [3, 3], 2, [0, 0])?;
    convolution(net, "Conv2d_2a_3x3", 32, [3, 3], 1, [0, 0])?;
    convolution(net, "Conv2d_2b_3x3", 64, [3, 3], 1, [1, 1])?;
    net.max_pool("maxpool1", [3, 2, 0], false)?;
    convolution(net, "Conv2d_3b_1x1", 80, [1, 1], 1, [0, 0])?;
    convolution(net, "Conv2d_4a_3x3", 192, [3, 3], 1, [0, 0])?;
    net.max_pool("maxpool2", [3, 2, 0], false)?;
    for (name, pooled) in [("Mixed_5b", 32), ("Mixed_5c", 64), ("Mixed_5d", 64)] {
        block_a(net, name, pooled)?;
    }
    block_b(net, "Mixed_6a")?;
    for (name, width) in [("Mixed_6b", 128), ("Mixed_6c", 160), ("Mixed_6d", 160), ("Mixed_6e", 192)] {
        block_c(net, name, width)?;
    }
    block_d(net, "Mixed_7a")?;
    block_e(net, "Mixed_7b")?;
    block_e(net, "Mixed_7c")?;
    net.adaptive_pool("avgpool", 1)?;
    net.dropout("dropout", 0.5)?;
    net.fc("fc", 1000)
}

pub fn convolution(
    net: &mut Builder,
    name: &str,
    channels: usize,
    [h, w]: [usize; 2],
    stride: usize,
    [top, left]: [usize; 2],
) -> Built<()> {
    let (kernel, stride, pad) = (Pair { h, w }, Pair::square(stride), Pair { h: top, w: left });
    let (pad, dilation) = (pad.into(), Pair::square(1));
    net.layer(
        &format!("{name}.conv"),
        Kind::Conv(Conv { channels, kernel, stride, pad, dilation, groups: 1, bias: false }),
    )?;
    net.batch_norm(&format!("{name}.bn"))?;
    net.relu(&format!("{name}.relu"))
}

/// Convolutions one behind the other, from `input`.
pub fn branch(net: &mut Builder, block: &str, input: Source, steps: &[BranchConv]) -> Built<Source> {
    net.last = input;
    for &(name, channels, kernel, stride, pad) in steps {
        convolution(net, &format!("{block}.{name}"), channels, kernel, stride, pad)?;
    }
    Ok(net.last)
}

/// A mean of 3 × 3 pixels and a 1 × 1 convolution.
fn pooled(net: &mut Builder, block: &str, input: Source, channels: usize) -> Built<Source> {
    net.last = input;
    net.average_pool(&format!("{block}.pool"), [3, 1, 1])?;
    branch(net, block, net.last, &[("branch_pool", channels, [1, 1], 1, [0, 0])])
}

pub fn max_pooled(net: &mut Builder, block: &str, input: Source) -> Built<Source> {
    net.last = input;
    net.max_pool(&format!("{block}.pool"), [3, 2, 0], false)?;
    Ok(net.last)
}

pub fn concat(net: &mut Builder, block: &str, branches: Vec<Source>) -> Built<()> {
    net.join(&format!("{block}.concat"), Kind::Concat, branches)
}

fn block_a(net: &mut Builder, name: &str, pool_channels: usize) -> Built<()> {
    let input = net.last;
    let branches = vec![
        branch(net, name, input, &[("branch1x1", 64, [1, 1], 1, [0, 0])])?,
        branch(net, name, input, &[("branch5x5_1", 48, [1, 1], 1, [0, 0]), ("branch5x5_2", 64, [5, 5], 1, [2, 2])])?,
        branch(
            net,
            name,
            input,
            &[
                ("branch3x3dbl_1", 64, [1, 1], 1, [0, 0]),
                ("branch3x3dbl_2", 96, [3, 3], 1, [1, 1]),
                ("branch3x3dbl_3", 96, [3, 3], 1, [1, 1]),
            ],
        )?,
        pooled(net, name, input, pool_channels)?,
    ];
    concat(net, name, branches)
}

fn block_b(net: &mut Builder, name: &str) -> Built<()> {
    let input = net.last;
    let branches = vec![
        branch(net, name, input, &[("branch3x3", 384, [3, 3], 2, [0, 0])])?,
        branch(
            net,
            name,
            input,
            &[
                ("branch3x3dbl_1", 64, [1, 1], 1, [0, 0]),
                ("branch3x3dbl_2", 96, [3, 3], 1, [1, 1]),
                ("branch3x3dbl_3", 96, [3, 3], 2, [0, 0]),
            ],
        )?,
        max_pooled(net, name, input)?,
    ];
    concat(net, name, branches)
}

fn block_c(net: &mut Builder, name: &str, width: usize) -> Built<()> {
    let input = net.last;
    let (wide, high) = (([1, 7], [0, 3]), ([7, 1], [3, 0]));
    let branches = vec![
        branch(net, name, input, &[("branch1x1", 192, [1, 1], 1, [0, 0])])?,
        branch(
            net,
            name,
            input,
            &[
                ("branch7x7_1", width, [1, 1], 1, [0, 0]),
                ("branch7x7_2", width, wide.0, 1, wide.1),
                ("branch7x7_3", 192, high.0, 1, high.1),
            ],
        )?,
        branch(
            net,
            name,
            input,
            &[
                ("branch7x7dbl_1", width, [1, 1], 1, [0, 0]),
                ("branch7x7dbl_2", width, high.0, 1, high.1),
                ("branch7x7dbl_3", width, wide.0, 1, wide.1),
                ("branch7x7dbl_4", width, high.0, 1, high.1),
                ("branch7x7dbl_5", 192, wide.0, 1, wide.1),
            ],
        )?,
        pooled(net, name, input, 192)?,
    ];
    concat(net, name, branches)
}

fn block_d(net: &mut Builder, name: &str) -> Built<()> {
    let input = net.last;
    let branches = vec![
        branch(net, name, input, &[("branch3x3_1", 192, [1, 1], 1, [0, 0]), ("branch3x3_2", 320, [3, 3], 2, [0, 0])])?,
        branch(
            net,
            name,
            input,
            &[
                ("branch7x7x3_1", 192, [1, 1], 1, [0, 0]),
                ("branch7x7x3_2", 192, [1, 7], 1, [0, 3]),
                ("branch7x7x3_3", 192, [7, 1], 1, [3, 0]),
                ("branch7x7x3_4", 192, [3, 3], 2, [0, 0]),
            ],
        )?,
        max_pooled(net, name, input)?,
    ];
    concat(net, name, branches)
}

/// Two of the branches split into a wide and a high filter.
fn block_e(net: &mut Builder, name: &str) -> Built<()> {
    let input = net.last;
    let mut branches = vec![branch(net, name, input, &[("branch1x1", 320, [1, 1], 1, [0, 0])])?];
    let narrow = branch(net, name, input, &[("branch3x3_1", 384, [1, 1], 1, [0, 0])])?;
    branches.push(branch(net, name, narrow, &[("branch3x3_2a", 384, [1, 3], 1, [0, 1])])?);
    branches.push(branch(net, name, narrow, &[("branch3x3_2b", 384, [3, 1], 1, [1, 0])])?);
    let double = branch(
        net,
        name,
        input,
        &[("branch3x3dbl_1", 448, [1, 1], 1, [0, 0]), ("branch3x3dbl_2", 384, [3, 3], 1, [1, 1])],
    )?;
    branches.push(branch(net, name, double, &[("branch3x3dbl_3a", 384, [1, 3], 1, [0, 1])])?);
    branches.push(branch(net, name, double, &[("branch3x3dbl_3b", 384, [3, 1], 1, [1, 0])])?);
    branches.push(pooled(net, name, input, 192)?);
    concat(net, name, branches)
}
