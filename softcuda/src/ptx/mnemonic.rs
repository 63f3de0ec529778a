//! An instruction's name, taken apart.

use super::isa::MemType;
use super::parse::Result;

const TYPES: [&str; 18] = [
    "pred", "b8", "s8", "u8", "b16", "s16", "u16", "f16", "bf16", "b32", "s32", "u32", "f32", "b64", "s64", "u64",
    "f64", "f16x2",
];

/// A mnemonic taken apart: `setp.lt.u32` is base `setp`, modifiers `lt`, types `u32`.
pub(super) struct Mnemonic<'a> {
    pub whole: &'a str,
    pub base: &'a str,
    pub modifiers: Vec<&'a str>,
    pub types: Vec<&'a str>,
}

impl<'a> Mnemonic<'a> {
    pub fn new(whole: &'a str) -> Self {
        let mut parts = whole.split('.');
        let base = parts.next().unwrap_or_default();
        let (types, modifiers) = parts.partition(|part| TYPES.contains(part));
        Mnemonic { whole, base, modifiers, types }
    }

    pub fn has(&self, modifier: &str) -> bool {
        self.modifiers.contains(&modifier)
    }

    pub fn ty(&self) -> &'a str {
        self.types.last().copied().unwrap_or_default()
    }

    pub fn unsupported(&self) -> String {
        format!("instruction `{}` is not supported", self.whole)
    }

    pub fn memory_type(&self) -> Result<MemType> {
        Ok(match self.ty() {
            "u8" | "b8" => MemType::U8,
            "s8" => MemType::S8,
            "u16" | "b16" | "f16" | "bf16" => MemType::B16,
            "s16" => MemType::S16,
            "u32" | "s32" | "b32" | "f32" => MemType::B32,
            "u64" | "s64" | "b64" | "f64" => MemType::B64,
            _ => return Err(self.unsupported()),
        })
    }
}
