//! The metrics by which cases are ranked, and the conversion of their values to similarities. The
//! metrics themselves are in [`pdl_similarity::metrics`], those of predictions in `pdl_metrics`.

use std::fmt;
use std::str::FromStr;

use pdl_similarity::metrics::{Metric, PairColumn};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// PSNR of identical cases, in dB; the true value is infinite.
pub const PSNR_CAP_DB: f32 = 100.0;

/// One metric or several, as in "ssim" or "ssim,mse"; of one channel as in "ssim_CT".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Metrics(Vec<PairColumn>);

impl Metrics {
    /// At least one metric, in the given order.
    pub fn all(&self) -> &[PairColumn] {
        &self.0
    }

    /// The first metric, which orders that need single pairs use.
    pub fn first(&self) -> PairColumn {
        self.0.first().cloned().unwrap_or(Metric::Ssim.into())
    }

    /// Whether both MSE and PSNR are named, although they order pairs equally.
    pub fn repeat_each_other(&self) -> bool {
        let with = |metric: Metric, other: &PairColumn| {
            self.0.contains(&PairColumn { metric, channel: other.channel.clone() })
        };
        self.0.iter().any(|column| column.metric == Metric::Mse && with(Metric::Psnr, column))
    }
}

impl From<Metric> for Metrics {
    fn from(metric: Metric) -> Self {
        Self(vec![metric.into()])
    }
}

impl FromStr for Metrics {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut metrics = Vec::new();
        for name in text.split(',') {
            let metric: PairColumn = name.parse()?;
            if metrics.contains(&metric) {
                return Err(format!("{name} is named more than once"));
            }
            metrics.push(metric);
        }
        Ok(Self(metrics))
    }
}

impl fmt::Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.0.iter().map(PairColumn::name).collect();
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

/// A pair's value as a similarity: finite, and larger is more similar. SSIM, UQI and Dice stay as
/// they are, MSE and volume differences become negative, PSNR is at most [`PSNR_CAP_DB`]. NaN
/// (bodies without a common voxel, cases without a common label) becomes the smallest similarity,
/// -1.
pub fn as_similarity(metric: Metric, value: f32) -> f32 {
    match metric {
        _ if value.is_nan() => -1.0,
        Metric::Mse | Metric::BodyMse | Metric::LabelVolume => -value,
        Metric::Psnr => value.min(PSNR_CAP_DB),
        Metric::Ssim | Metric::Uqi | Metric::BodySsim | Metric::LabelDice => value,
    }
}

/// The similarity of a case to itself.
pub fn identical(metric: Metric) -> f32 {
    match metric {
        Metric::Mse | Metric::BodyMse | Metric::LabelVolume => 0.0,
        Metric::Psnr => PSNR_CAP_DB,
        Metric::Ssim | Metric::Uqi | Metric::BodySsim | Metric::LabelDice => 1.0,
    }
}

/// A similarity mapped to [0, 1], as facility location and graphs need it: negative SSIM and UQI
/// become 0, MSE becomes 1 - MSE (the data range is 1), PSNR is divided by [`PSNR_CAP_DB`].
pub fn unit(metric: Metric, similarity: f32) -> f32 {
    match metric {
        Metric::Mse | Metric::BodyMse | Metric::LabelVolume => (1.0 + similarity).max(0.0),
        Metric::Psnr => similarity.max(0.0) / PSNR_CAP_DB,
        Metric::Ssim | Metric::Uqi | Metric::BodySsim | Metric::LabelDice => similarity.max(0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn several_metrics_are_read_and_written() {
        let metrics: Metrics = "ssim, MSE".parse().unwrap();
        assert_eq!(metrics.all(), [Metric::Ssim.into(), Metric::Mse.into()]);
        let of_channels: Metrics = "ssim_CT,mse_PT".parse().unwrap();
        assert_eq!(of_channels.to_string(), "ssim_CT,mse_PT");
        assert!(!"mse_CT,psnr_PT".parse::<Metrics>().unwrap().repeat_each_other());
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
    fn every_metric_grows_with_similarity_and_ends_at_the_identical() {
        assert!(as_similarity(Metric::Mse, 0.1) > as_similarity(Metric::Mse, 0.2));
        assert_eq!(as_similarity(Metric::Psnr, f32::INFINITY), identical(Metric::Psnr));
        assert!(as_similarity(Metric::Ssim, 0.9) > as_similarity(Metric::Ssim, 0.8));
        for metric in Metric::value_variants().iter().copied() {
            assert_eq!(unit(metric, identical(metric)), 1.0);
        }
        assert_eq!(unit(Metric::Ssim, -0.2), 0.0);
        assert!(as_similarity(Metric::LabelVolume, 0.1) > as_similarity(Metric::LabelVolume, 0.2));
        for metric in [Metric::LabelDice, Metric::LabelVolume] {
            assert_eq!(unit(metric, as_similarity(metric, f32::NAN)), 0.0);
        }
        assert_eq!(unit(Metric::Mse, as_similarity(Metric::Mse, 0.25)), 0.75);
    }
}
