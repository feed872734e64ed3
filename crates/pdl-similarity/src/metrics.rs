//! Metrics of pairs of cases: for each an implementation of [`Measure`] and a column of the pairs.
//!
//! A new metric also needs an arm in the `match`es of `unit` and `identical` in
//! `pdl_curriculum::metrics`, which convert values to similarities. Metrics of predictions (Dice,
//! HD95) are in `pdl_metrics`.

mod channel;
mod label;
mod measure;
mod pair_column;
mod volume;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::metrics::label::LabelMetric;
use crate::metrics::volume::{BodyMetric, WholeMetric};
use crate::ssim::views::{Similarity, VolumeView};
pub use channel::ChannelMetric;
pub use measure::{Measure, PairFacts, RequiredPasses};
pub use pair_column::PairColumn;

/// A built-in metric, and so a column of the pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Mean squared difference; smaller is more similar.
    Mse,
    /// Peak signal-to-noise ratio, dB. With one data range it orders pairs exactly as MSE does.
    Psnr,
    /// Structural similarity (Wang et al. 2004).
    Ssim,
    /// Universal quality index (Wang and Bovik 2002).
    Uqi,
    /// MSE over the voxels inside both bodies.
    BodyMse,
    /// SSIM over the windows whose centre lies inside both bodies.
    BodySsim,
    /// Mean Dice over the labels that both cases have annotated; needs proxies with label maps.
    LabelDice,
    /// Mean relative difference of the volumes of the labels that both cases have annotated;
    /// smaller is more similar.
    LabelVolume,
}

impl Metric {
    /// The default metrics.
    pub const USUAL: [Metric; 4] = [Metric::Mse, Metric::Psnr, Metric::Ssim, Metric::Uqi];

    /// Name of its column in the pairs.
    pub fn column(self) -> &'static str {
        self.measure().column()
    }

    /// Whether a larger value means more similar.
    pub fn larger_is_alike(self) -> bool {
        self.measure().larger_is_alike()
    }

    /// Value for identical volumes.
    pub fn of_identical(self) -> f32 {
        match self {
            Metric::Mse | Metric::BodyMse | Metric::LabelVolume => 0.0,
            Metric::Psnr => f32::INFINITY,
            Metric::Ssim | Metric::Uqi | Metric::BodySsim | Metric::LabelDice => 1.0,
        }
    }

    /// Value where only the intensities of whole volumes were compared; NaN where it needs more.
    pub fn of_intensities(self, similarity: &Similarity) -> f64 {
        let facts = PairFacts {
            a: VolumeView::default(),
            b: VolumeView::default(),
            whole: Some(*similarity),
            bodies: None,
            whole_channels: &[],
            bodies_channels: &[],
            labels: &[],
        };
        self.measure().value(&facts)
    }

    /// Implementation.
    pub fn measure(self) -> &'static dyn Measure {
        match self {
            Metric::Mse => &WholeMetric { column: "mse", value: |similarity| similarity.mse, windows: false },
            Metric::Psnr => {
                &WholeMetric { column: "psnr", value: |similarity| similarity.psnr, windows: false }
            }
            Metric::Ssim => {
                &WholeMetric { column: "ssim", value: |similarity| similarity.ssim, windows: true }
            }
            Metric::Uqi => &WholeMetric { column: "uqi", value: |similarity| similarity.uqi, windows: true },
            Metric::BodyMse => &BodyMetric { column: "body_mse", value: |similarity| similarity.mse },
            Metric::BodySsim => &BodyMetric { column: "body_ssim", value: |similarity| similarity.ssim },
            Metric::LabelDice => {
                &LabelMetric { column: "label_dice", larger_is_alike: true, value: label::dice }
            }
            Metric::LabelVolume => &LabelMetric {
                column: "label_volume",
                larger_is_alike: false,
                value: label::volume_difference,
            },
        }
    }
}
