//! Network in Network (Lin et al. 2014) for ImageNet, and the two of its time with batch norm.

use super::builder::{Builder, Built};

/// NIN as Caffe's model zoo has it, at 224 pixels. `norms` puts a batch norm behind each convolution in place of its bias.
pub fn nin(net: &mut Builder, norms: bool) -> Built<()> {
    // Channels and window of a block's first convolution; two of 1 × 1 follow, the last of these channels.
    let blocks = [
        ("conv1", [96, 96], [11, 4, 0]),
        ("conv2", [256, 256], [5, 1, 2]),
        ("conv3", [384, 384], [3, 1, 1]),
        ("conv4", [1024, 1000], [3, 1, 1]),
    ];
    for (index, (name, [channels, last], window)) in blocks.into_iter().enumerate() {
        convolution(net, name, channels, window, norms)?;
        convolution(net, &format!("cccp{}", 2 * index + 1), channels, [1, 1, 0], norms)?;
        convolution(net, &format!("cccp{}", 2 * index + 2), last, [1, 1, 0], norms)?;
        match index {
            3 => net.adaptive_pool("pool4", 1)?,
            _ => net.max_pool(&format!("pool{}", index + 1), [3, 2, 0], true)?,
        }
        if index == 2 {
            net.dropout("drop", 0.5)?;
        }
    }
    Ok(())
}

fn convolution(net: &mut Builder, name: &str, channels: usize, window: [usize; 3], norms: bool) -> Built<()> {
    net.conv(name, channels, window, !norms)?;
    if norms {
        net.batch_norm(&format!("{name}.bn"))?;
    }
    net.relu(&format!("{name}.relu"))
}

/// AlexNet in one tower with a batch norm behind every convolution and fully connected layer but the last, in place of biases
/// of convolutions.
pub fn bn_alexnet(net: &mut Builder) -> Built<()> {
    let convolutions = [(64, [11, 4, 2]), (192, [5, 1, 2]), (384, [3, 1, 1]), (256, [3, 1, 1]), (256, [3, 1, 1])];
    for (index, (channels, window)) in convolutions.into_iter().enumerate() {
        let number = index + 1;
        convolution(net, &format!("conv{number}"), channels, window, true)?;
        if let 1 | 2 | 5 = number {
            net.max_pool(&format!("pool{number}"), [3, 2, 0], false)?;
        }
    }
    net.adaptive_pool("avgpool", 6)?;
    for number in [6, 7] {
        net.dropout(&format!("drop{number}"), 0.5)?;
        net.fc(&format!("fc{number}"), 4096)?;
        net.batch_norm(&format!("bn{number}"))?;
        net.relu(&format!("relu{number}"))?;
    }
    net.fc("fc8", 1000)
}
