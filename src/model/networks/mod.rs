//! Built-in networks that repeat themselves: each is built by a few lines. Layers have the names that torchvision gives its modules.
//!
//! Adding one is a builder and a line in `NETWORKS`.

mod builder;
mod convnext;
mod densenet;
mod enet;
mod googlenet;
mod inception;
mod inception_v4;
mod mobilenet;
mod nin;
mod resnet;
mod squeezenet;

use super::draft::Imported;
use builder::{Builder, Built};

/// Name, channels, height and width of the image, and the builder.
type Network = (&'static str, [usize; 3], fn(&mut Builder) -> Built<()>);

const NETWORKS: [Network; 18] = [
    ("nin", [3, 224, 224], |net| nin::nin(net, false)),
    ("bn-nin", [3, 224, 224], |net| nin::nin(net, true)),
    ("bn-alexnet", [3, 224, 224], nin::bn_alexnet),
    ("resnet18", [3, 224, 224], |net| resnet::basic(net, [2, 2, 2, 2])),
    ("resnet34", [3, 224, 224], |net| resnet::basic(net, [3, 4, 6, 3])),
    ("resnet50", [3, 224, 224], |net| resnet::bottleneck(net, [3, 4, 6, 3])),
    ("resnet101", [3, 224, 224], |net| resnet::bottleneck(net, [3, 4, 23, 3])),
    ("resnet152", [3, 224, 224], |net| resnet::bottleneck(net, [3, 8, 36, 3])),
    ("inception-v3", [3, 299, 299], inception::v3),
    ("inception-v4", [3, 299, 299], inception_v4::v4),
    ("squeezenet1_1", [3, 224, 224], squeezenet::v1_1),
    ("googlenet", [3, 224, 224], googlenet::googlenet),
    ("mobilenet-v2", [3, 224, 224], mobilenet::v2),
    ("mobilenet-v3-large", [3, 224, 224], mobilenet::v3_large),
    ("efficientnet-b0", [3, 224, 224], mobilenet::efficientnet_b0),
    ("convnext-tiny", [3, 224, 224], convnext::tiny),
    ("densenet121", [3, 224, 224], densenet::densenet121),
    ("enet", [3, 224, 224], enet::enet),
];

pub fn names() -> impl Iterator<Item = &'static str> {
    NETWORKS.iter().map(|(name, _, _)| *name)
}

/// Builds a network; `None` if none has the name.
pub fn build(name: &str) -> Option<Built<Imported>> {
    let (_, input, build) = NETWORKS.iter().find(|(known, _, _)| *known == name)?;
    let mut net = Builder::new(*input);
    Some(build(&mut net).and_then(|()| net.finish(*input)))
}
