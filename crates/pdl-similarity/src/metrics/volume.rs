//! Metrics of intensities, over whole volumes and inside bodies.

use crate::metrics::measure::{Measure, PairFacts, RequiredPasses};
use crate::ssim::views::Similarity;

/// A metric from the passes over all voxels.
#[derive(Clone, Copy)]
pub(super) struct WholeMetric {
    pub(super) column: &'static str,
    pub(super) value: fn(&Similarity) -> f64,
    pub(super) windows: bool,
}

impl Measure for WholeMetric {
    fn column(&self) -> &str {
        self.column
    }

    fn larger_is_alike(&self) -> bool {
        self.column != "mse"
    }

    fn required_passes(&self) -> RequiredPasses {
        RequiredPasses { squares: true, windows: self.windows, ..RequiredPasses::default() }
    }

    fn value(&self, pair: &PairFacts<'_>) -> f64 {
        pair.whole.as_ref().map_or(f64::NAN, self.value)
    }
}

/// A metric from the pass inside both bodies.
pub(super) struct BodyMetric {
    pub(super) column: &'static str,
    pub(super) value: fn(&Similarity) -> f64,
}

impl Measure for BodyMetric {
    fn column(&self) -> &str {
        self.column
    }

    fn larger_is_alike(&self) -> bool {
        self.column != "body_mse"
    }

    fn required_passes(&self) -> RequiredPasses {
        RequiredPasses { bodies: true, ..RequiredPasses::default() }
    }

    fn value(&self, pair: &PairFacts<'_>) -> f64 {
        pair.bodies.as_ref().map_or(f64::NAN, self.value)
    }
}
