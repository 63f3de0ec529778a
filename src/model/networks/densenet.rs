//! DenseNet-121 as torchvision has it: Huang et al. 2017, "Densely Connected Convolutional Networks", table 1.

use super::builder::{Builder, Built};
use crate::model::Kind;

/// Channels that each layer adds.
const GROWTH: usize = 32;

pub fn densenet121(net: &mut Builder) -> Built<()> {
    net.conv("features.conv0", 2 * GROWTH, [7, 2, 3], false)?;
    net.batch_norm("features.norm0")?;
    net.relu("features.relu0")?;
    net.max_pool("features.pool0", [3, 2, 1], false)?;
    let blocks = [6, 12, 24, 16];
    for (index, layers) in blocks.into_iter().enumerate() {
        for layer in 1..=layers {
            dense(net, &format!("features.denseblock{}.denselayer{layer}", index + 1))?;
        }
        if index + 1 < blocks.len() {
            transition(net, &format!("features.transition{}", index + 1))?;
        }
    }
    net.batch_norm("features.norm5")?;
    net.relu("relu")?;
    net.adaptive_pool("avgpool", 1)?;
    net.fc("classifier", 1000)
}

/// A bottleneck whose output is joined to its input.
fn dense(net: &mut Builder, name: &str) -> Built<()> {
    let before = net.last;
    for (number, channels, window) in [(1, 4 * GROWTH, [1, 1, 0]), (2, GROWTH, [3, 1, 1])] {
        net.batch_norm(&format!("{name}.norm{number}"))?;
        net.relu(&format!("{name}.relu{number}"))?;
        net.conv(&format!("{name}.conv{number}"), channels, window, false)?;
    }
    net.join(&format!("{name}.concat"), Kind::Concat, vec![before, net.last])
}

/// Half the channels, and a quarter of the pixels.
fn transition(net: &mut Builder, name: &str) -> Built<()> {
    let channels = net.channels() / 2;
    net.batch_norm(&format!("{name}.norm"))?;
    net.relu(&format!("{name}.relu"))?;
    net.conv(&format!("{name}.conv"), channels, [1, 1, 0], false)?;
    net.average_pool(&format!("{name}.pool"), [2, 2, 0])
}
