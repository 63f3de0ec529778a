//! ResNets as torchvision has them: He et al. 2016, "Deep Residual Learning for Image Recognition", table 1, with the stride of
//! a bottleneck in its 3 × 3 convolution.

use super::builder::{Builder, Built};
use crate::model::Kind;

/// Blocks of two 3 × 3 convolutions.
pub fn basic(net: &mut Builder, blocks: [usize; 4]) -> Built<()> {
    resnet(net, blocks, 1, |net, name, width, stride| {
        convolution(net, name, 1, width, [3, stride, 1])?;
        net.relu(&format!("{name}.relu1"))?;
        convolution(net, name, 2, width, [3, 1, 1])
    })
}

/// Blocks of 1 × 1, 3 × 3 and 1 × 1, the last four times as wide.
pub fn bottleneck(net: &mut Builder, blocks: [usize; 4]) -> Built<()> {
    resnet(net, blocks, 4, |net, name, width, stride| {
        convolution(net, name, 1, width, [1, 1, 0])?;
        net.relu(&format!("{name}.relu1"))?;
        convolution(net, name, 2, width, [3, stride, 1])?;
        net.relu(&format!("{name}.relu2"))?;
        convolution(net, name, 3, 4 * width, [1, 1, 0])
    })
}

fn convolution(net: &mut Builder, block: &str, number: usize, channels: usize, window: [usize; 3]) -> Built<()> {
    net.conv(&format!("{block}.conv{number}"), channels, window, false)?;
    net.batch_norm(&format!("{block}.bn{number}"))
}

fn resnet(
    net: &mut Builder,
    blocks: [usize; 4],
    expansion: usize,
    residual: impl Fn(&mut Builder, &str, usize, usize) -> Built<()>,
) -> Built<()> {
    net.conv("conv1", 64, [7, 2, 3], false)?;
    net.batch_norm("bn1")?;
    net.relu("relu")?;
    net.max_pool("maxpool", [3, 2, 1], false)?;
    for (stage, blocks) in blocks.into_iter().enumerate() {
        let width = 64 << stage;
        for block in 0..blocks {
            let name = format!("layer{}.{block}", stage + 1);
            let stride = if stage > 0 && block == 0 { 2 } else { 1 };
            let before = net.last;
            let same = stride == 1 && net.channels() == expansion * width;
            residual(net, &name, width, stride)?;
            let after = std::mem::replace(&mut net.last, before);
            if !same {
                net.conv(&format!("{name}.downsample.0"), expansion * width, [1, stride, 0], false)?;
                net.batch_norm(&format!("{name}.downsample.1"))?;
            }
            net.join(&format!("{name}.add"), Kind::Add, vec![after, net.last])?;
            net.relu(&format!("{name}.relu"))?;
        }
    }
    net.adaptive_pool("avgpool", 1)?;
    net.fc("fc", 1000)
}
