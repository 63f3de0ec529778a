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
    Tf32,
    F16,
    Bf16,
}

impl Precision {
    /// Size of an activation.
    pub fn element_bytes(self) -> u64 {
        match self {
            Precision::F32 | Precision::Tf32 => 4,
            Precision::F16 | Precision::Bf16 => 2,
        }
    }

    /// f16 has so few exponents that small gradients vanish unless the loss is scaled up.
    pub fn needs_loss_scale(self) -> bool {
        self == Precision::F16
    }
}

words!(Precision { F32 = "f32", Tf32 = "tf32", F16 = "f16", Bf16 = "bf16" });
