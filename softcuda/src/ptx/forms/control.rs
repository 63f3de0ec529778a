//! Branches, barriers, shuffles.

use super::super::isa::ShuffleMode;
use super::{Form, Shape::*};

pub const FORMS: &[Form] = &[
    ("bra.uni?", Branch),
    ("ret.uni?", Return),
    ("exit", Return),
    ("bar.sync", Barrier),
    ("barrier.sync.aligned?", Barrier),
    ("shfl.sync.up.b32", Shuffle(ShuffleMode::Up)),
    ("shfl.sync.down.b32", Shuffle(ShuffleMode::Down)),
    ("shfl.sync.bfly.b32", Shuffle(ShuffleMode::Butterfly)),
    ("shfl.sync.idx.b32", Shuffle(ShuffleMode::Index)),
];
