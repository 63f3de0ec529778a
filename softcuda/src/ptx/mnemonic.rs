//! An instruction's name, taken apart.

use super::isa::MemType;
use super::parse::Result;

/// A mnemonic: `ld.global.nc.f32` has the parts `ld`, `global`, `nc` and `f32`.
pub struct Mnemonic<'a> {
    pub whole: &'a str,
}

impl<'a> Mnemonic<'a> {
    pub fn new(whole: &'a str) -> Self {
        Mnemonic { whole }
    }

    pub fn has(&self, part: &str) -> bool {
        self.whole.split('.').any(|own| own == part)
    }

    pub fn unsupported(&self) -> String {
        format!("instruction `{}` is not supported", self.whole)
    }

    /// The type that a load or store moves, its last part.
    pub fn memory_type(&self) -> Result<MemType> {
        Ok(match self.whole.rsplit('.').next().unwrap_or_default() {
            "u8" | "b8" => MemType::U8,
            "s8" => MemType::S8,
            "u16" | "b16" => MemType::B16,
            "s16" => MemType::S16,
            "u32" | "s32" | "b32" | "f32" => MemType::B32,
            "u64" | "s64" | "b64" | "f64" => MemType::B64,
            _ => return Err(self.unsupported()),
        })
    }
}
