//! Instruction sets, chosen when the program runs.
//!
//! Every kernel is written once over [`pulp::Simd`]. Sums, products, fused products and quotients
//! are IEEE operations in a fixed order on every instruction set, so all of them give the same
//! bits. The instruction set is nevertheless part of a tile's parameters, so that a difference
//! would be noticed.

use std::fmt;

use pulp::{Simd, WithSimd};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::SimilarityError;

/// A SIMD instruction set for float32 lanes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Isa {
    /// The widest that this machine supports.
    #[default]
    Auto,
    /// AVX-512: 16 lanes.
    Avx512,
    /// AVX2 with FMA: 8 lanes.
    Avx2,
    /// NEON of 64-bit ARM: 4 lanes.
    Neon,
    /// No vector instructions.
    Scalar,
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Isa::Auto => "auto",
            Isa::Avx512 => "avx512",
            Isa::Avx2 => "avx2",
            Isa::Neon => "neon",
            Isa::Scalar => "scalar",
        })
    }
}

impl Isa {
    /// The instruction sets that this machine supports, widest first.
    pub fn available() -> Vec<Isa> {
        let candidates = [Isa::Avx512, Isa::Avx2, Isa::Neon, Isa::Scalar];
        candidates.into_iter().filter(|isa| isa.is_available()).collect()
    }

    /// The instruction set that runs: the widest for [`Isa::Auto`], else itself.
    ///
    /// # Errors
    /// [`SimilarityError::InvalidOption`] when this machine does not support it.
    pub fn resolve(self) -> Result<Isa, SimilarityError> {
        let available = Self::available();
        let chosen =
            if self == Isa::Auto { available.first() } else { available.iter().find(|i| **i == self) };
        chosen.copied().ok_or_else(|| {
            let names: Vec<String> = available.iter().map(Isa::to_string).collect();
            SimilarityError::InvalidOption {
                name: "isa",
                problem: format!(
                    "this machine does not support {self}; expected one of: auto, {}",
                    names.join(", ")
                ),
            }
        })
    }

    #[cfg(target_arch = "x86_64")]
    fn is_available(self) -> bool {
        match self {
            Isa::Avx512 => pulp::x86::V4::try_new().is_some(),
            Isa::Avx2 => pulp::x86::V3::try_new().is_some(),
            Isa::Auto | Isa::Scalar => true,
            Isa::Neon => false,
        }
    }

    #[cfg(target_arch = "aarch64")]
    fn is_available(self) -> bool {
        match self {
            Isa::Neon => pulp::aarch64::Neon::try_new().is_some(),
            Isa::Auto | Isa::Scalar => true,
            Isa::Avx512 | Isa::Avx2 => false,
        }
    }

    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    fn is_available(self) -> bool {
        matches!(self, Isa::Auto | Isa::Scalar)
    }

    /// Runs `op` with these instructions; without vector instructions where the machine lacks them.
    pub(crate) fn run<Op: WithSimd>(self, op: Op) -> Op::Output {
        #[cfg(target_arch = "x86_64")]
        {
            if let (Isa::Avx512, Some(simd)) = (self, pulp::x86::V4::try_new()) {
                return Simd::vectorize(simd, op);
            }
            if let (Isa::Avx2, Some(simd)) = (self, pulp::x86::V3::try_new()) {
                return Simd::vectorize(simd, op);
            }
        }
        #[cfg(target_arch = "aarch64")]
        if let (Isa::Neon, Some(simd)) = (self, pulp::aarch64::Neon::try_new()) {
            return Simd::vectorize(simd, op);
        }
        Simd::vectorize(pulp::Scalar256b, op)
    }
}
