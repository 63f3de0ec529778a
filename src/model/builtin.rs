//! The networks that come with the program. Adding one is adding its file and a line here.

const MODELS: [(&str, &str); 6] = [
    ("alexnet", include_str!("../models/alexnet.toml")),
    ("alexnet-2012", include_str!("../models/alexnet-2012.toml")),
    ("vgg11", include_str!("../models/vgg11.toml")),
    ("vgg16", include_str!("../models/vgg16.toml")),
    ("vgg19", include_str!("../models/vgg19.toml")),
    ("tiny", include_str!("../models/tiny.toml")),
];

pub fn names() -> impl Iterator<Item = &'static str> {
    MODELS.iter().map(|(name, _)| *name)
}

pub fn text(name: &str) -> Option<&'static str> {
    MODELS.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}
