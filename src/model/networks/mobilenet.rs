//! MobileNetV2, MobileNetV3 and EfficientNet as torchvision has them: Sandler et al. 2018, "Inverted Residuals and Linear
//! Bottlenecks"; Howard et al. 2019, "Searching for MobileNetV3"; Tan and Le 2019, "EfficientNet".

use super::builder::{Builder, Built};
use crate::model::Kind;
use crate::model::kind::Activation;

/// A block that expands the channels, convolves each by itself, and projects without an activation; the input is added where
/// sizes agree.
struct InvertedResidual {
    /// Channels after the expansion; there is none where they are the input's.
    expanded: usize,
    channels: usize,
    /// Side of the depthwise filter.
    kernel: usize,
    stride: usize,
    function: Activation,
    /// Squeeze and excitation: its inner channels and its two functions.
    squeeze: Option<(usize, [Activation; 2])>,
    /// The probability that an image leaves the block out, where the input is added.
    left_out: f32,
}

pub fn v2(net: &mut Builder) -> Built<()> {
    // Expansion, channels, repetitions, stride of the first: table 2 of the paper.
    let stages: [[usize; 4]; 7] =
        [[1, 16, 1, 1], [6, 24, 2, 2], [6, 32, 3, 2], [6, 64, 4, 2], [6, 96, 3, 1], [6, 160, 3, 2], [6, 320, 1, 1]];
    let function = Activation::Relu6;
    convolution(net, "features.0", 32, [3, 2], Some(function))?;
    let mut place = 1;
    for [expansion, channels, repetitions, stride] in stages {
        for repetition in 0..repetitions {
            let stride = if repetition == 0 { stride } else { 1 };
            let expanded = expansion * net.channels();
            let block =
                InvertedResidual { expanded, channels, kernel: 3, stride, function, squeeze: None, left_out: 0.0 };
            block.build_flat(net, &format!("features.{place}"))?;
            place += 1;
        }
    }
    convolution(net, "features.18", 1280, [1, 1], Some(function))?;
    net.adaptive_pool("avgpool", 1)?;
    net.dropout("classifier.0", 0.2)?;
    net.fc("classifier.1", 1000)
}

pub fn v3_large(net: &mut Builder) -> Built<()> {
    const RE: Activation = Activation::Relu;
    const HS: Activation = Activation::Hardswish;
    // Kernel, expanded channels, channels, squeeze and excitation, function, stride: table 1 of the paper.
    let blocks = [
        (3, 16, 16, false, RE, 1),
        (3, 64, 24, false, RE, 2),
        (3, 72, 24, false, RE, 1),
        (5, 72, 40, true, RE, 2),
        (5, 120, 40, true, RE, 1),
        (5, 120, 40, true, RE, 1),
        (3, 240, 80, false, HS, 2),
        (3, 200, 80, false, HS, 1),
        (3, 184, 80, false, HS, 1),
        (3, 184, 80, false, HS, 1),
        (3, 480, 112, true, HS, 1),
        (3, 672, 112, true, HS, 1),
        (5, 672, 160, true, HS, 2),
        (5, 960, 160, true, HS, 1),
        (5, 960, 160, true, HS, 1),
    ];
    (net.eps, net.momentum) = (1e-3, 0.01);
    convolution(net, "features.0", 16, [3, 2], Some(HS))?;
    for (place, (kernel, expanded, channels, squeezes, function, stride)) in blocks.into_iter().enumerate() {
        let squeeze = squeezes.then(|| (divisible_by_8(expanded / 4), [RE, Activation::Hardsigmoid]));
        let block = InvertedResidual { expanded, channels, kernel, stride, function, squeeze, left_out: 0.0 };
        block.build_nested(net, &format!("features.{}", place + 1))?;
    }
    convolution(net, "features.16", 960, [1, 1], Some(HS))?;
    net.adaptive_pool("avgpool", 1)?;
    net.fc("classifier.0", 1280)?;
    net.activation("classifier.1", HS)?;
    net.dropout("classifier.2", 0.2)?;
    net.fc("classifier.3", 1000)
}

pub fn efficientnet_b0(net: &mut Builder) -> Built<()> {
    // Expansion, kernel, stride of the first, channels, repetitions: table 1 of the paper.
    let stages: [[usize; 5]; 7] = [
        [1, 3, 1, 16, 1],
        [6, 3, 2, 24, 2],
        [6, 5, 2, 40, 2],
        [6, 3, 2, 80, 3],
        [6, 5, 1, 112, 3],
        [6, 5, 2, 192, 4],
        [6, 3, 1, 320, 1],
    ];
    let (mut place, blocks) = (0, stages.iter().map(|stage| stage[4]).sum::<usize>());
    let function = Activation::Silu;
    convolution(net, "features.0", 32, [3, 2], Some(function))?;
    for (stage, [expansion, kernel, stride, channels, repetitions]) in stages.into_iter().enumerate() {
        for repetition in 0..repetitions {
            let inputs = net.channels();
            let stride = if repetition == 0 { stride } else { 1 };
            let squeeze = Some((inputs / 4, [function, Activation::Sigmoid]));
            // Deeper blocks are left out more often.
            let left_out = 0.2 * place as f32 / blocks as f32;
            let expanded = expansion * inputs;
            let block = InvertedResidual { expanded, channels, kernel, stride, function, squeeze, left_out };
            block.build_nested(net, &format!("features.{}.{repetition}", stage + 1))?;
            place += 1;
        }
    }
    convolution(net, "features.8", 1280, [1, 1], Some(function))?;
    net.adaptive_pool("avgpool", 1)?;
    net.dropout("classifier.0", 0.2)?;
    net.fc("classifier.1", 1000)
}

/// The multiple of eight that is nearest, and not below nine tenths.
fn divisible_by_8(channels: usize) -> usize {
    let nearest = ((channels + 4) / 8 * 8).max(8);
    if 10 * nearest < 9 * channels { nearest + 8 } else { nearest }
}

impl InvertedResidual {
    /// With MobileNetV2's names: the projection and its batch norm are modules of the block itself.
    fn build_flat(&self, net: &mut Builder, name: &str) -> Built<()> {
        let (before, inputs) = (net.last, net.channels());
        let part = self.expand(net, &format!("{name}.conv"))?;
        net.conv(&format!("{name}.conv.{part}"), self.channels, [1, 1, 0], false)?;
        net.batch_norm(&format!("{name}.conv.{}", part + 1))?;
        self.shortcut(net, name, before, inputs)
    }

    /// With the names of the later networks.
    fn build_nested(&self, net: &mut Builder, name: &str) -> Built<()> {
        let (before, inputs) = (net.last, net.channels());
        let mut part = self.expand(net, &format!("{name}.block"))?;
        if let Some((squeezed, functions)) = self.squeeze {
            net.squeeze_excite(&format!("{name}.block.{part}"), squeezed, functions)?;
            part += 1;
        }
        convolution(net, &format!("{name}.block.{part}"), self.channels, [1, 1], None)?;
        self.shortcut(net, name, before, inputs)
    }

    /// Expansion and depthwise convolution; the number of the next part.
    fn expand(&self, net: &mut Builder, name: &str) -> Built<usize> {
        let mut part = 0;
        if self.expanded != net.channels() {
            convolution(net, &format!("{name}.0"), self.expanded, [1, 1], Some(self.function))?;
            part = 1;
        }
        let name = format!("{name}.{part}");
        net.depthwise_conv(&format!("{name}.0"), [self.kernel, self.stride, self.kernel / 2])?;
        net.batch_norm(&format!("{name}.1"))?;
        net.activation(&format!("{name}.2"), self.function)?;
        Ok(part + 1)
    }

    fn shortcut(&self, net: &mut Builder, name: &str, before: crate::model::Source, inputs: usize) -> Built<()> {
        if self.stride != 1 || inputs != self.channels {
            return Ok(());
        }
        net.stochastic_depth(&format!("{name}.stochastic_depth"), self.left_out)?;
        net.join(&format!("{name}.add"), Kind::Add, vec![before, net.last])
    }
}

/// Convolution with padding that keeps the image's size, batch norm, and a function where there is one.
fn convolution(
    net: &mut Builder,
    name: &str,
    channels: usize,
    [kernel, stride]: [usize; 2],
    function: Option<Activation>,
) -> Built<()> {
    net.conv(&format!("{name}.0"), channels, [kernel, stride, kernel / 2], false)?;
    net.batch_norm(&format!("{name}.1"))?;
    function.map_or(Ok(()), |function| net.activation(&format!("{name}.2"), function))
}
