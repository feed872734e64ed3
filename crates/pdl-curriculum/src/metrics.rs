//! By what cases are compared, and how each metric becomes a likeness.

use std::fmt;
use std::str::FromStr;

use clap::ValueEnum;
use pdl_similarity::metrics::Metric;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What identical cases count as in PSNR, in dB; their true value is infinite.
pub const PSNR_CAP_DB: f32 = 100.0;

/// One metric, or several: "ssim" or "ssim,mse".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Metrics(Vec<Metric>);

impl Metrics {
    /// The metrics, in the order in which they were named; at least one.
    pub fn all(&self) -> &[Metric] {
        &self.0
    }

    /// The metric named first.
    pub fn first(&self) -> Metric {
        self.0.first().copied().unwrap_or(Metric::Ssim)
    }

    /// Whether MSE and PSNR are both named, although they order pairs alike.
    pub fn repeat_each_other(&self) -> bool {
        self.0.contains(&Metric::Mse) && self.0.contains(&Metric::Psnr)
    }
}

impl From<Metric> for Metrics {
    fn from(metric: Metric) -> Self {
        Self(vec![metric])
    }
}

impl FromStr for Metrics {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut metrics = Vec::new();
        for name in text.split(',') {
            // Columns are written with underscores, and so is what this is stored as.
            let metric = Metric::from_str(&name.trim().replace('_', "-"), true).map_err(|_| {
                format!(
                    "'{name}' is no metric: choose among ssim, mse, psnr, uqi, body-mse, body-ssim, label-dice, \
                     label-volume"
                )
            })?;
            if metrics.contains(&metric) {
                return Err(format!("'{name}' is named twice"));
            }
            metrics.push(metric);
        }
        Ok(Self(metrics))
    }
}

impl fmt::Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.0.iter().map(|metric| metric.column()).collect();
        f.write_str(&names.join(","))
    }
}

impl TryFrom<String> for Metrics {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Metrics> for String {
    fn from(metrics: Metrics) -> Self {
        metrics.to_string()
    }
}

/// A pair's value so that larger is more alike and every value is finite: SSIM and UQI as they are, MSE
/// negative, PSNR in dB but at most [`PSNR_CAP_DB`]; Dice as SSIM, differences of volumes as MSE. Bodies that share no
/// voxel and cases without a label in common have no value: they count as unlike as can be.
pub fn alike(metric: Metric, value: f32) -> f32 {
    match metric {
        _ if value.is_nan() => -1.0,
        Metric::Mse | Metric::BodyMse | Metric::LabelVolume => -value,
        Metric::Psnr => value.min(PSNR_CAP_DB),
        Metric::Ssim | Metric::Uqi | Metric::BodySsim | Metric::LabelDice => value,
    }
}

/// The likeness of a case to itself.
pub fn identical(metric: Metric) -> f32 {
    match metric {
        Metric::Mse | Metric::BodyMse | Metric::LabelVolume => 0.0,
        Metric::Psnr => PSNR_CAP_DB,
        Metric::Ssim | Metric::Uqi | Metric::BodySsim | Metric::LabelDice => 1.0,
    }
}

/// A likeness as a similarity in [0, 1], as facility location and graphs need it: SSIM and UQI below zero
/// count as zero, MSE becomes 1 - MSE (the data range is 1), PSNR a share of [`PSNR_CAP_DB`].
pub fn unit(metric: Metric, alike: f32) -> f32 {
    match metric {
        Metric::Mse | Metric::BodyMse | Metric::LabelVolume => (1.0 + alike).max(0.0),
        Metric::Psnr => alike.max(0.0) / PSNR_CAP_DB,
        Metric::Ssim | Metric::Uqi | Metric::BodySsim | Metric::LabelDice => alike.max(0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_metrics_are_read_and_written() {
        let metrics: Metrics = "ssim, MSE".parse().unwrap();
        assert_eq!(metrics.all(), [Metric::Ssim, Metric::Mse]);
        assert_eq!(metrics.to_string(), "ssim,mse");
        for wrong in ["", "ssim,", "ssim,ssim", "dice"] {
            assert!(wrong.parse::<Metrics>().is_err(), "{wrong}");
        }
        for metric in Metric::value_variants() {
            let one = Metrics::from(*metric);
            assert_eq!(one.to_string().parse(), Ok(one));
        }
        assert!("psnr,mse".parse::<Metrics>().unwrap().repeat_each_other());
    }

    #[test]
    fn every_metric_grows_with_likeness_and_ends_at_the_identical() {
        assert!(alike(Metric::Mse, 0.1) > alike(Metric::Mse, 0.2));
        assert_eq!(alike(Metric::Psnr, f32::INFINITY), identical(Metric::Psnr));
        assert!(alike(Metric::Ssim, 0.9) > alike(Metric::Ssim, 0.8));
        for metric in Metric::value_variants().iter().copied() {
            assert_eq!(unit(metric, identical(metric)), 1.0);
        }
        assert_eq!(unit(Metric::Ssim, -0.2), 0.0);
        assert!(alike(Metric::LabelVolume, 0.1) > alike(Metric::LabelVolume, 0.2));
        for metric in [Metric::LabelDice, Metric::LabelVolume] {
            assert_eq!(unit(metric, alike(metric, f32::NAN)), 0.0);
        }
        assert_eq!(unit(Metric::Mse, alike(Metric::Mse, 0.25)), 0.75);
    }
}
