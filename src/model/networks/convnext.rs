//! ConvNeXt as torchvision has it: Liu et al. 2022, "A ConvNet for the 2020s".

use super::builder::{Builder, Built};
use crate::model::Kind;
use crate::model::kind::{Activation, Conv, Padding, Pair, Scale};

pub fn tiny(net: &mut Builder) -> Built<()> {
    // Channels, and blocks.
    let stages: [[usize; 2]; 4] = [[96, 3], [192, 3], [384, 9], [768, 3]];
    let blocks: usize = stages.iter().map(|[_, blocks]| blocks).sum();
    net.eps = 1e-6;
    net.conv("features.0.0", 96, [4, 4, 0], true)?;
    net.layer_norm("features.0.1")?;
    let mut block = 0;
    for (stage, [channels, count]) in stages.into_iter().enumerate() {
        if stage > 0 {
            net.layer_norm(&format!("features.{}.0", 2 * stage))?;
            net.conv(&format!("features.{}.1", 2 * stage), channels, [2, 2, 0], true)?;
        }
        for index in 0..count {
            // Deeper blocks are left out more often, the last one in a tenth of the images.
            let p = 0.1 * block as f32 / (blocks as f32 - 1.0);
            residual(net, &format!("features.{}.{index}", 2 * stage + 1), channels, p)?;
            block += 1;
        }
    }
    net.adaptive_pool("avgpool", 1)?;
    net.layer_norm("classifier.0")?;
    net.fc("classifier.2", 1000)
}

/// Filters of 7 × 7 for each channel by itself, and two matrices for each pixel: torchvision has them as fully connected layers of
/// pixels, which are convolutions of 1 × 1.
fn residual(net: &mut Builder, name: &str, channels: usize, p: f32) -> Built<()> {
    let before = net.last;
    let (pad, dilation) = (Padding::from(Pair::square(3)), Pair::square(1));
    let (kernel, stride) = (Pair::square(7), Pair::square(1));
    let depthwise = Conv { channels, kernel, stride, pad, dilation, groups: channels, bias: true };
    net.layer(&format!("{name}.block.0"), Kind::Conv(depthwise))?;
    net.layer_norm(&format!("{name}.block.2"))?;
    net.conv(&format!("{name}.block.3"), 4 * channels, [1, 1, 0], true)?;
    net.activation(&format!("{name}.block.4"), Activation::Gelu)?;
    net.conv(&format!("{name}.block.5"), channels, [1, 1, 0], true)?;
    net.layer(&format!("{name}.layer_scale"), Kind::Scale(Scale { bias: false }))?;
    net.stochastic_depth(&format!("{name}.stochastic_depth"), p)?;
    net.join(&format!("{name}.add"), Kind::Add, vec![net.last, before])
}
