//! Metrics: one implementation of [`Measure`] and one column each.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::label_overlap::CommonLabel;
use crate::ssim::setup::{Similarity, VolumeView};

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
            Metric::Mse => &Whole { column: "mse", value: |similarity| similarity.mse, windows: false },
            Metric::Psnr => &Whole { column: "psnr", value: |similarity| similarity.psnr, windows: false },
            Metric::Ssim => &Whole { column: "ssim", value: |similarity| similarity.ssim, windows: true },
            Metric::Uqi => &Whole { column: "uqi", value: |similarity| similarity.uqi, windows: true },
            Metric::BodyMse => &Body { column: "body_mse", value: |similarity| similarity.mse },
            Metric::BodySsim => &Body { column: "body_ssim", value: |similarity| similarity.ssim },
            Metric::LabelDice => &Labels { column: "label_dice", larger_is_alike: true, value: dice },
            Metric::LabelVolume => {
                &Labels { column: "label_volume", larger_is_alike: false, value: volume_difference }
            }
        }
    }
}

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

/// A metric over the whole volumes.
struct Whole {
    column: &'static str,
    value: fn(&Similarity) -> f64,
    windows: bool,
}

impl Measure for Whole {
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

/// A metric over both bodies.
struct Body {
    column: &'static str,
    value: fn(&Similarity) -> f64,
}

impl Measure for Body {
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

/// The mean over the labels that both have annotated; those without a value are left out.
struct Labels {
    column: &'static str,
    larger_is_alike: bool,
    /// Of a label; nothing where it is absent from both.
    value: fn(&CommonLabel) -> Option<f64>,
}

impl Measure for Labels {
    fn column(&self) -> &str {
        self.column
    }

    fn larger_is_alike(&self) -> bool {
        self.larger_is_alike
    }

    fn required_passes(&self) -> RequiredPasses {
        RequiredPasses { labels: true, ..RequiredPasses::default() }
    }

    fn value(&self, pair: &PairFacts<'_>) -> f64 {
        let values: Vec<f64> = pair.labels.iter().filter_map(self.value).collect();
        if values.is_empty() { f64::NAN } else { values.iter().sum::<f64>() / values.len() as f64 }
    }
}

/// 2 |A and B| / (|A| + |B|) (Dice 1945).
fn dice(label: &CommonLabel) -> Option<f64> {
    let all = label.voxels.iter().sum::<u64>();
    (all > 0).then(|| (2 * label.shared) as f64 / all as f64)
}

/// |Va - Vb| / (Va + Vb).
fn volume_difference(label: &CommonLabel) -> Option<f64> {
    let [a, b] = label.volumes_mm3;
    (a + b > 0.0).then(|| (a - b).abs() / (a + b))
}
