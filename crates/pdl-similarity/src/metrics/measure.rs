//! The interface of a metric, and the facts about a pair that it can ask for.

use crate::label_overlap::CommonLabel;
use crate::ssim::views::{Similarity, VolumeView};

/// Passes over a pair that a metric requires. Each pass runs once for all metrics that require it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequiredPasses {
    /// Sum of squared differences over all voxels.
    pub squares: bool,
    /// SSIM and UQI over all windows; the squared differences come with them.
    pub windows: bool,
    /// Squared differences, SSIM and UQI inside both bodies.
    pub bodies: bool,
    /// Overlap of the labels; needs proxies with label maps.
    pub labels: bool,
}

impl RequiredPasses {
    /// The union of both.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            squares: self.squares || other.squares,
            windows: self.windows || other.windows,
            bodies: self.bodies || other.bodies,
            labels: self.labels || other.labels,
        }
    }
}

/// Results of the passes for a pair.
#[derive(Clone, Copy, Debug)]
pub struct PairFacts<'a> {
    /// The case of the smaller row number.
    pub a: VolumeView<'a>,
    /// The case of the larger row number.
    pub b: VolumeView<'a>,
    /// Over all voxels and windows, the mean over the channels; `None` unless a metric requires it.
    pub whole: Option<Similarity>,
    /// Inside both bodies of the first channel, the mean over the channels; `None` unless a metric
    /// requires it.
    pub bodies: Option<Similarity>,
    /// `whole` of each channel; empty unless a metric requires it.
    pub whole_channels: &'a [Similarity],
    /// `bodies` of each channel; empty unless a metric requires it.
    pub bodies_channels: &'a [Similarity],
    /// Ascending by label; empty unless a metric requires it.
    pub labels: &'a [CommonLabel],
}

/// A metric: symmetric, and a pure function of two volumes.
/// [`compare_with`](crate::pairs::compare::compare_with) takes metrics from outside this crate.
pub trait Measure: Sync {
    /// Name of its column. Change the name whenever the meaning changes: stored pairs are reused by
    /// it.
    fn column(&self) -> &str;

    /// Whether a larger value means more similar.
    fn larger_is_alike(&self) -> bool;

    /// The passes whose results [`Measure::value`] reads.
    fn required_passes(&self) -> RequiredPasses;

    /// The value of a pair; NaN if it is undefined.
    fn value(&self, pair: &PairFacts<'_>) -> f64;
}
