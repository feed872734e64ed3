//! A column of the pairs, by the name that users give it.

use std::fmt;
use std::str::FromStr;

use clap::ValueEnum;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::metrics::Metric;

/// A metric, over all channels (`ssim`) or of one (`ssim_CT`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct PairColumn {
    /// Metric of the column: intensities or label maps.
    pub metric: Metric,
    /// The name of the channel; the mean over all if there is none.
    pub channel: Option<String>,
}

impl PairColumn {
    /// Name of the column in the pairs.
    pub fn name(&self) -> String {
        match &self.channel {
            Some(channel) => format!("{}_{channel}", self.metric.column()),
            None => self.metric.column().to_owned(),
        }
    }
}

impl From<Metric> for PairColumn {
    fn from(metric: Metric) -> Self {
        Self { metric, channel: None }
    }
}

impl From<&PairColumn> for PairColumn {
    fn from(column: &PairColumn) -> Self {
        column.clone()
    }
}

impl FromStr for PairColumn {
    type Err = String;

    /// A metric with `-` or `_` between its words, and the name of a channel after another `_`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let begins = |metric: &&Metric| {
            let column = metric.column();
            let start = text.get(..column.len()).unwrap_or_default().replace('-', "_");
            let rest = text.get(column.len()..).unwrap_or_default();
            start.eq_ignore_ascii_case(column) && (rest.is_empty() || rest.len() > 1 && rest.starts_with('_'))
        };
        let longest =
            Metric::value_variants().iter().filter(begins).max_by_key(|metric| metric.column().len());
        let Some(metric) = longest else {
            return Err(format!(
                "expected ssim, mse, psnr, uqi, body-mse, body-ssim, label-dice or label-volume, of one channel with its \
                 name after it as in ssim_CT, found '{text}'"
            ));
        };
        let channel = text[metric.column().len()..].strip_prefix('_').map(str::to_owned);
        Ok(Self { metric: *metric, channel })
    }
}

impl fmt::Display for PairColumn {
    /// As users write it: `body-ssim`, `ssim_CT`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.metric.column().replace('_', "-"))?;
        self.channel.iter().try_for_each(|channel| write!(f, "_{channel}"))
    }
}

impl TryFrom<String> for PairColumn {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<PairColumn> for String {
    fn from(column: PairColumn) -> Self {
        column.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_a_metric_and_the_name_of_a_channel() {
        let column = |text: &str| text.parse::<PairColumn>().map(|column| column.name());
        assert_eq!(column("SSIM").unwrap(), "ssim");
        assert_eq!(column("ssim_CT").unwrap(), "ssim_CT");
        assert_eq!(column("body-mse_T1-gd").unwrap(), "body_mse_T1-gd");
        assert_eq!(column("body_ssim").unwrap(), "body_ssim");
        assert_eq!(column("mse_t1_post").unwrap(), "mse_t1_post");
        for wrong in ["", "ssim_", "ssimCT", "dice", "body"] {
            assert!(column(wrong).is_err(), "{wrong}");
        }
        for text in ["ssim", "body-ssim", "psnr_channel_1"] {
            assert_eq!(text.parse::<PairColumn>().unwrap().to_string(), text);
        }
    }
}
