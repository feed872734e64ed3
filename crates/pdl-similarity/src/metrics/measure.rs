//! What a metric is, and what it may ask of a pair.

use crate::label_overlap::CommonLabel;
use crate::ssim::views::{Similarity, VolumeView};

/// Which passes over a pair a metric needs; each is made once for all metrics that need it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequiredPasses {
    /// Squared differences.
    pub squares: bool,
    /// SSIM and UQI of every window, which brings squared differences with it.
    pub windows: bool,
    /// All of them over the bodies.
    pub bodies: bool,
    /// What both have of each label; only proxies with label maps say it.
    pub labels: bool,
}

impl RequiredPasses {
    /// What either needs.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            squares: self.squares || other.squares,
            windows: self.windows || other.windows,
            bodies: self.bodies || other.bodies,
            labels: self.labels || other.labels,
        }
    }
}

/// What is known of a pair.
#[derive(Clone, Copy, Debug)]
pub struct PairFacts<'a> {
    /// The first volume.
    pub a: VolumeView<'a>,
    /// The second volume.
    pub b: VolumeView<'a>,
    /// Over all voxels and windows, as far as a metric needs them.
    pub whole: Option<Similarity>,
    /// Over both bodies, when a metric needs that.
    pub bodies: Option<Similarity>,
    /// The labels that both have annotated, ascending, when a metric needs them; empty otherwise.
    pub labels: &'a [CommonLabel],
}

/// A metric: symmetric, and a pure function of two volumes. Bring your own with
/// [`compare_with`](crate::pairs::compare::compare_with).
pub trait Measure: Sync {
    /// The column's name; give it another one whenever its meaning changes.
    fn column(&self) -> &str;

    /// Whether larger values mean more alike.
    fn larger_is_alike(&self) -> bool;

    /// What it needs to be known.
    fn required_passes(&self) -> RequiredPasses;

    /// The value for a pair; NaN where it has none.
    fn value(&self, pair: &PairFacts<'_>) -> f64;
}
