//! MobileNetV2 as torchvision has it: Sandler et al. 2018, "Inverted Residuals and Linear Bottlenecks".

use super::builder::{Builder, Built};
use crate::model::Kind;
use crate::model::kind::Activation;

pub fn v2(net: &mut Builder) -> Built<()> {
    // Expansion, channels, repetitions, stride of the first: table 2 of the paper.
    let stages: [[usize; 4]; 7] =
        [[1, 16, 1, 1], [6, 24, 2, 2], [6, 32, 3, 2], [6, 64, 4, 2], [6, 96, 3, 1], [6, 160, 3, 2], [6, 320, 1, 1]];
    convolution(net, "features.0", 32, [3, 2, 1], false)?;
    let mut place = 1;
    for [expansion, channels, repetitions, stride] in stages {
        for repetition in 0..repetitions {
            let stride = if repetition == 0 { stride } else { 1 };
            inverted_residual(net, &format!("features.{place}"), expansion, channels, stride)?;
            place += 1;
        }
    }
    convolution(net, "features.18", 1280, [1, 1, 0], false)?;
    net.adaptive_pool("avgpool", 1)?;
    net.dropout("classifier.0", 0.2)?;
    net.fc("classifier.1", 1000)
}

/// Expands the channels, convolves each by itself, and projects without an activation; the input is added where sizes agree.
fn inverted_residual(net: &mut Builder, name: &str, expansion: usize, channels: usize, stride: usize) -> Built<()> {
    let (before, inputs) = (net.last, net.channels());
    let mut part = 0;
    if expansion > 1 {
        convolution(net, &format!("{name}.conv.0"), expansion * inputs, [1, 1, 0], false)?;
        part = 1;
    }
    convolution(net, &format!("{name}.conv.{part}"), expansion * inputs, [3, stride, 1], true)?;
    net.conv(&format!("{name}.conv.{}", part + 1), channels, [1, 1, 0], false)?;
    net.batch_norm(&format!("{name}.conv.{}", part + 2))?;
    if stride == 1 && inputs == channels {
        net.join(&format!("{name}.add"), Kind::Add, vec![before, net.last])?;
    }
    Ok(())
}

/// Convolution, batch norm, ReLU6. A depthwise one keeps the channels.
fn convolution(net: &mut Builder, name: &str, channels: usize, window: [usize; 3], depthwise: bool) -> Built<()> {
    let [conv, norm, relu] = [0, 1, 2].map(|place| format!("{name}.{place}"));
    match depthwise {
        true => net.depthwise_conv(&conv, window)?,
        false => net.conv(&conv, channels, window, false)?,
    }
    net.batch_norm(&norm)?;
    net.layer(&relu, Kind::Activation(Activation::Relu6))
}
