//! SqueezeNet 1.1 as torchvision has it: Iandola et al. 2016, with the smaller first layers of release 1.1.

use super::builder::{Builder, Built};
use crate::model::Kind;

pub fn v1_1(net: &mut Builder) -> Built<()> {
    convolution(net, "features.0", 64, [3, 2, 0])?;
    // Place in `features`, channels that are squeezed to, and expanded to by either filter.
    let fires: [(usize, usize, usize); 8] = [
        (3, 16, 64),
        (4, 16, 64),
        (6, 32, 128),
        (7, 32, 128),
        (9, 48, 192),
        (10, 48, 192),
        (11, 64, 256),
        (12, 64, 256),
    ];
    for (place, squeeze, expand) in fires {
        if let 3 | 6 | 9 = place {
            net.max_pool(&format!("features.{}", place - 1), [3, 2, 0], true)?;
        }
        fire(net, &format!("features.{place}"), squeeze, expand)?;
    }
    net.dropout("classifier.0", 0.5)?;
    convolution(net, "classifier.1", 1000, [1, 1, 0])?;
    net.adaptive_pool("classifier.3", 1)
}

fn fire(net: &mut Builder, name: &str, squeeze: usize, expand: usize) -> Built<()> {
    convolution(net, &format!("{name}.squeeze"), squeeze, [1, 1, 0])?;
    let squeezed = net.last;
    convolution(net, &format!("{name}.expand1x1"), expand, [1, 1, 0])?;
    let narrow = std::mem::replace(&mut net.last, squeezed);
    convolution(net, &format!("{name}.expand3x3"), expand, [3, 1, 1])?;
    net.join(&format!("{name}.concat"), Kind::Concat, vec![narrow, net.last])
}

fn convolution(net: &mut Builder, name: &str, channels: usize, window: [usize; 3]) -> Built<()> {
    net.conv(name, channels, window, true)?;
    net.relu(&format!("{name}.relu"))
}
