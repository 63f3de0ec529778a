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
    /// TF32 convolutions and IEEE f32 products of fully connected layers: PyTorch's default.
    #[serde(rename = "tf32+f32")]
    Tf32F32,
    /// IEEE f32 convolutions and TF32 products of fully connected layers.
    #[serde(rename = "f32+tf32")]
    F32Tf32,
}

impl Precision {
    /// The arithmetic of convolutions.
    pub fn convolutions(self) -> Precision {
        match self {
            Precision::Tf32F32 => Precision::Tf32,
            Precision::F32Tf32 => Precision::F32,
            Precision::F32 | Precision::Tf32 | Precision::F16 | Precision::Bf16 => self,
        }
    }

    /// The arithmetic of fully connected layers.
    pub fn products(self) -> Precision {
        match self {
            Precision::Tf32F32 => Precision::F32,
            Precision::F32Tf32 => Precision::Tf32,
            Precision::F32 | Precision::Tf32 | Precision::F16 | Precision::Bf16 => self,
        }
    }

    /// This arithmetic with another one for fully connected layers; `None` where the two do not store alike.
    pub fn with_products(self, products: Precision) -> Option<Precision> {
        match (self, products) {
            (Precision::Tf32, Precision::F32) => Some(Precision::Tf32F32),
            (Precision::F32, Precision::Tf32) => Some(Precision::F32Tf32),
            _ => (self == products).then_some(self),
        }
    }

    /// Tells if convolutions and fully connected layers have an arithmetic each.
    pub fn is_mixed(self) -> bool {
        self.convolutions() != self.products()
    }

    /// Bytes of an element of activations and their gradients.
    pub fn element_bytes(self) -> u64 {
        match self {
            Precision::F32 | Precision::Tf32 | Precision::Tf32F32 | Precision::F32Tf32 => 4,
            Precision::F16 | Precision::Bf16 => 2,
        }
    }

    /// True of f16, which has so few exponents that small gradients vanish unless the loss is scaled up.
    pub fn needs_loss_scale(self) -> bool {
        self == Precision::F16
    }
}

words!(Precision { F32 = "f32", Tf32 = "tf32", F16 = "f16", Bf16 = "bf16", Tf32F32 = "tf32+f32", F32Tf32 = "f32+tf32" });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_arithmetics_in_one_run() {
        assert_eq!(Precision::Tf32.with_products(Precision::F32), Some(Precision::Tf32F32));
        assert_eq!(Precision::F16.with_products(Precision::F32), None);
        assert_eq!(Precision::Bf16.with_products(Precision::Bf16), Some(Precision::Bf16));
        for precision in Precision::ALL {
            assert_eq!(precision.convolutions().with_products(precision.products()), Some(precision));
            assert_eq!(serde_json::to_string(&precision).unwrap(), format!("\"{precision}\""));
        }
    }
}
