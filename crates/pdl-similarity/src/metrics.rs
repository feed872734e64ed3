//! Metrics: one implementation of [`Measure`] and one column each.

mod label;
mod measure;
mod volume;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::metrics::label::LabelMetric;
use crate::metrics::volume::{BodyMetric, WholeMetric};
pub use measure::{Measure, PairFacts, RequiredPasses};

/// A column by which cases can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Mean of squared differences: small is alike.
    Mse,
    /// Peak signal-to-noise ratio; with one data range it orders pairs exactly as MSE does.
    Psnr,
    /// Structural similarity.
    Ssim,
    /// Universal quality index.
    Uqi,
    /// MSE over the voxels inside both bodies.
    BodyMse,
    /// SSIM over the windows whose middle lies inside both bodies.
    BodySsim,
    /// Mean Dice of the labels that both cases have annotated, on proxies with label maps.
    LabelDice,
    /// Mean difference of those labels' volumes as a share of their sum: small is alike.
    LabelVolume,
}

impl Metric {
    /// The metrics that are computed unless others are asked for.
    pub const USUAL: [Metric; 4] = [Metric::Mse, Metric::Psnr, Metric::Ssim, Metric::Uqi];

    /// The column's name.
    pub fn column(self) -> &'static str {
        self.measure().column()
    }

    /// Whether larger values mean more alike.
    pub fn larger_is_alike(self) -> bool {
        self.measure().larger_is_alike()
    }

    /// How it is computed.
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
