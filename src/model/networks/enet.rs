//! ENet's encoder as its authors trained it on ImageNet, with a mean of each map and a fully connected layer behind it: Paszke et al.
//! 2016, "ENet: A Deep Neural Network Architecture for Real-Time Semantic Segmentation". Convolutions have no biases; what is not in
//! the paper (the epsilon, the quarter of the output's channels within a bottleneck) is as in the authors' own encoder.

use super::builder::{Builder, Built};
use crate::model::Kind;
use crate::model::kind::{Conv, Dropout, Dropped, PRelu, PadChannels, Pair};

/// Channels of a bottleneck's output for each within it.
const REDUCTION: usize = 4;

/// The convolution in the middle of a bottleneck.
#[derive(Clone, Copy)]
enum Middle {
    /// 3 × 3, its taps so many pixels apart.
    Dilated(usize),
    /// So many rows of one pixel, then as many columns.
    Asymmetric(usize),
}

/// Sections 2 and 3 without the bottleneck that halves the image.
const SECTION: [Middle; 8] = [
    Middle::Dilated(1),
    Middle::Dilated(2),
    Middle::Asymmetric(5),
    Middle::Dilated(4),
    Middle::Dilated(1),
    Middle::Dilated(8),
    Middle::Asymmetric(5),
    Middle::Dilated(16),
];

pub fn enet(net: &mut Builder) -> Built<()> {
    net.eps = 1e-3;
    let image = net.last;
    net.conv("initial.conv", 13, [3, 2, 1], false)?;
    let convolved = std::mem::replace(&mut net.last, image);
    net.max_pool("initial.pool", [2, 2, 0], false)?;
    net.join("initial.concat", Kind::Concat, vec![convolved, net.last])?;
    net.batch_norm("initial.bn")?;
    prelu(net, "initial.prelu")?;
    halving_bottleneck(net, "bottleneck1.0", 64, 0.01)?;
    for place in 1..5 {
        bottleneck(net, &format!("bottleneck1.{place}"), Middle::Dilated(1), 0.01)?;
    }
    halving_bottleneck(net, "bottleneck2.0", 128, 0.1)?;
    for (section, first) in [(2, 1), (3, 0)] {
        for (place, middle) in SECTION.into_iter().enumerate() {
            bottleneck(net, &format!("bottleneck{section}.{}", first + place), middle, 0.1)?;
        }
    }
    net.adaptive_pool("avgpool", 1)?;
    net.fc("fc", 1000)
}

/// Half as many rows and columns. Beside the convolutions go the maxima of 2 × 2 pixels, with zeros for the channels that are new.
fn halving_bottleneck(net: &mut Builder, name: &str, channels: usize, p: f32) -> Built<()> {
    let (input, before) = (net.last, net.channels());
    net.max_pool(&format!("{name}.pool"), [2, 2, 0], false)?;
    net.layer(&format!("{name}.pad"), Kind::PadChannels(PadChannels { before: 0, after: channels - before }))?;
    let beside = std::mem::replace(&mut net.last, input);
    net.conv(&format!("{name}.project"), channels / REDUCTION, [2, 2, 0], false)?;
    extension(net, name, Middle::Dilated(1), channels, p)?;
    sum(net, name, beside)
}

fn bottleneck(net: &mut Builder, name: &str, middle: Middle, p: f32) -> Built<()> {
    let (input, channels) = (net.last, net.channels());
    net.conv(&format!("{name}.project"), channels / REDUCTION, [1, 1, 0], false)?;
    extension(net, name, middle, channels, p)?;
    sum(net, name, input)
}

/// The rest of a bottleneck, behind the projection: the convolution in the middle, the expansion, and dropout.
fn extension(net: &mut Builder, name: &str, middle: Middle, channels: usize, p: f32) -> Built<()> {
    normalised(net, &format!("{name}.project"))?;
    match middle {
        Middle::Dilated(dilation) => window(net, &format!("{name}.conv"), Pair::square(3), dilation)?,
        Middle::Asymmetric(side) => {
            window(net, &format!("{name}.rows"), Pair { h: side, w: 1 }, 1)?;
            window(net, &format!("{name}.columns"), Pair { h: 1, w: side }, 1)?;
        }
    }
    net.conv(&format!("{name}.expand"), channels, [1, 1, 0], false)?;
    net.batch_norm(&format!("{name}.expand_bn"))?;
    net.layer(&format!("{name}.dropout"), Kind::Dropout(Dropout { p, of: Dropped::Channel }))
}

/// A convolution that keeps the image's size.
fn window(net: &mut Builder, name: &str, kernel: Pair, dilation: usize) -> Built<()> {
    let (channels, stride) = (net.channels(), Pair::square(1));
    let pad = Pair { h: kernel.h / 2 * dilation, w: kernel.w / 2 * dilation }.into();
    let dilation = Pair::square(dilation);
    net.layer(name, Kind::Conv(Conv { channels, kernel, stride, pad, dilation, groups: 1, bias: false }))?;
    normalised(net, name)
}

fn normalised(net: &mut Builder, name: &str) -> Built<()> {
    net.batch_norm(&format!("{name}_bn"))?;
    prelu(net, &format!("{name}_prelu"))
}

fn sum(net: &mut Builder, name: &str, beside: crate::model::Source) -> Built<()> {
    net.join(&format!("{name}.add"), Kind::Add, vec![beside, net.last])?;
    prelu(net, &format!("{name}.prelu"))
}

fn prelu(net: &mut Builder, name: &str) -> Built<()> {
    net.layer(name, Kind::PRelu(PRelu { shared: false }))
}
