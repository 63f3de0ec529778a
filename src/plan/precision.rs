//! The arithmetic of a training step.

use serde::{Deserialize, Serialize};

use crate::words::words;

/// The arithmetic of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// IEEE single precision everywhere.
    #[default]
    F32,
    /// f32 in memory; products round their operands to ten bits of mantissa.
    Tf32,
    /// IEEE half precision in memory, sums in f32.
    F16,
    /// bfloat16 in memory, sums in f32.
    Bf16,
}

impl Precision {
    /// Bytes of an element of activations and their gradients.
    pub fn element_bytes(self) -> u64 {
        match self {
            Precision::F32 | Precision::Tf32 => 4,
            Precision::F16 | Precision::Bf16 => 2,
        }
    }

    /// True of f16, which has so few exponents that small gradients vanish unless the loss is scaled up.
    pub fn needs_loss_scale(self) -> bool {
        self == Precision::F16
    }
}

words!(Precision { F32 = "f32", Tf32 = "tf32", F16 = "f16", Bf16 = "bf16" });
