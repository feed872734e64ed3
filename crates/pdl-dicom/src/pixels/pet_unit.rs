//! Units that PET values are stored in.

use std::fmt;

/// A unit that PET values are stored in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PetUnit {
    /// Bq/ml (BQML).
    Bqml,
    /// g/ml, SUV by body weight (GML).
    SuvBw,
    /// SUV by lean body mass, surface or ideal weight.
    OtherSuv,
    /// Counts (CNTS).
    Counts,
    /// Any other.
    Other,
    /// None is stated.
    Unstated,
}

impl fmt::Display for PetUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Bqml => "Bq/ml",
            Self::SuvBw => "SUVbw (g/ml)",
            Self::OtherSuv => "SUV by another measure than weight",
            Self::Counts => "counts",
            Self::Other => "another unit",
            Self::Unstated => "no stated unit",
        })
    }
}
