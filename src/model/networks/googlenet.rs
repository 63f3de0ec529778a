//! GoogLeNet as torchvision has it, with its auxiliary heads: Szegedy et al. 2015, "Going Deeper with Convolutions". Batch norms
//! take the place of biases and of local response normalisation, and 3 × 3 filters that of 5 × 5 ones.

use super::builder::{Builder, Built};
use crate::model::Kind;

/// Weight of an auxiliary head's loss in the paper.
const AUXILIARY: f32 = 0.3;

/// Output channels of the branches: 1 × 1; 3 × 3 and what comes before it; 5 × 5 likewise; after the pool.
type Widths = [usize; 6];

pub fn googlenet(net: &mut Builder) -> Built<()> {
    net.eps = 1e-3;
    convolution(net, "conv1", 64, [7, 2, 3])?;
    net.max_pool("maxpool1", [3, 2, 0], true)?;
    convolution(net, "conv2", 64, [1, 1, 0])?;
    convolution(net, "conv3", 192, [3, 1, 1])?;
    net.max_pool("maxpool2", [3, 2, 0], true)?;
    inception(net, "inception3a", [64, 96, 128, 16, 32, 32])?;
    inception(net, "inception3b", [128, 128, 192, 32, 96, 64])?;
    net.max_pool("maxpool3", [3, 2, 0], true)?;
    inception(net, "inception4a", [192, 96, 208, 16, 48, 64])?;
    auxiliary_head(net, "aux1")?;
    inception(net, "inception4b", [160, 112, 224, 24, 64, 64])?;
    inception(net, "inception4c", [128, 128, 256, 24, 64, 64])?;
    inception(net, "inception4d", [112, 144, 288, 32, 64, 64])?;
    auxiliary_head(net, "aux2")?;
    inception(net, "inception4e", [256, 160, 320, 32, 128, 128])?;
    net.max_pool("maxpool4", [2, 2, 0], true)?;
    inception(net, "inception5a", [256, 160, 320, 32, 128, 128])?;
    inception(net, "inception5b", [384, 192, 384, 48, 128, 128])?;
    net.adaptive_pool("avgpool", 1)?;
    net.dropout("dropout", 0.2)?;
    net.fc("fc", 1000)
}

fn convolution(net: &mut Builder, name: &str, channels: usize, window: [usize; 3]) -> Built<()> {
    net.conv(&format!("{name}.conv"), channels, window, false)?;
    net.batch_norm(&format!("{name}.bn"))?;
    net.relu(&format!("{name}.relu"))
}

/// Four branches, joined along the channels.
fn inception(net: &mut Builder, name: &str, [one, before_3, three, before_5, five, pooled]: Widths) -> Built<()> {
    let input = net.last;
    convolution(net, &format!("{name}.branch1"), one, [1, 1, 0])?;
    let mut branches = vec![net.last];
    for (branch, before, channels) in [("branch2", before_3, three), ("branch3", before_5, five)] {
        net.last = input;
        convolution(net, &format!("{name}.{branch}.0"), before, [1, 1, 0])?;
        convolution(net, &format!("{name}.{branch}.1"), channels, [3, 1, 1])?;
        branches.push(net.last);
    }
    net.last = input;
    net.max_pool(&format!("{name}.branch4.0"), [3, 1, 1], true)?;
    convolution(net, &format!("{name}.branch4.1"), pooled, [1, 1, 0])?;
    branches.push(net.last);
    net.join(&format!("{name}.concat"), Kind::Concat, branches)
}

/// A loss halfway, after which the network goes on from where it was.
fn auxiliary_head(net: &mut Builder, name: &str) -> Built<()> {
    let input = net.last;
    net.adaptive_pool(&format!("{name}.pool"), 4)?;
    convolution(net, &format!("{name}.conv"), 128, [1, 1, 0])?;
    net.fc(&format!("{name}.fc1"), 1024)?;
    net.relu(&format!("{name}.relu"))?;
    net.dropout(&format!("{name}.dropout"), 0.7)?;
    net.fc(&format!("{name}.fc2"), 1000)?;
    net.auxiliary_loss(&format!("{name}.loss"), AUXILIARY)?;
    net.last = input;
    Ok(())
}
