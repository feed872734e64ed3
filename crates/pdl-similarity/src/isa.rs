//! Which instructions the kernels use, found out when the program runs.
//!
//! Every kernel is written once over [`pulp::Simd`]. Sums, products, fused products and quotients are IEEE ones
//! in a fixed order on every instruction set, so that all of them give the same bits; the instruction set is
//! part of a tile's parameters all the same, because a promise that nobody checks is none.

use std::fmt;

use pulp::{Simd, WithSimd};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::SimilarityError;

/// An instruction set.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Isa {
    /// The best that this machine has.
    #[default]
    Auto,
    /// AVX-512: sixteen lanes.
    Avx512,
    /// AVX2 with FMA: eight lanes.
    Avx2,
    /// NEON, the vector instructions of 64-bit ARM: four lanes.
    Neon,
    /// No vector instructions asked for.
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
    /// All that this machine has, the best first.
    pub fn available() -> Vec<Isa> {
        let candidates = [Isa::Avx512, Isa::Avx2, Isa::Neon, Isa::Scalar];
        candidates.into_iter().filter(|isa| isa.is_available()).collect()
    }

    /// A concrete instruction set in place of [`Isa::Auto`].
    ///
    /// # Errors
    /// [`SimilarityError::Option`] when this machine lacks the one that is named.
    pub fn resolve(self) -> Result<Isa, SimilarityError> {
        let available = Self::available();
        let chosen =
            if self == Isa::Auto { available.first() } else { available.iter().find(|i| **i == self) };
        chosen.copied().ok_or_else(|| {
            let names: Vec<String> = available.iter().map(Isa::to_string).collect();
            SimilarityError::Option(format!(
                "this machine has no {self} instructions; --isa takes one of: auto, {}",
                names.join(", ")
            ))
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

    /// Runs `op` with these instructions; with none where the machine lacks them.
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
