//! Parameters and results of reading a dataset, whatever its format.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use pdl_cohort::attributes::{Modality, Split};
use pdl_cohort::regions::DatasetLabels;
use serde::Deserialize;
use serde_json::Value;

use crate::ExchangeError;

/// Choices for datasets with several channels or folds.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct ImportOptions {
    /// Channel to import, by its name in the dataset or its number from 0; required when there are
    /// several.
    #[arg(long, value_name = "NAME")]
    pub channel: Option<String>,
    /// Fold whose validation cases are held out, from 0; required when the folds differ in them.
    #[arg(long, value_name = "K")]
    pub fold: Option<usize>,
}

/// One row of `cohort.csv`.
#[derive(Clone, Debug, Default)]
pub(crate) struct ImportedCase {
    pub case_id: Option<String>,
    pub image: PathBuf,
    pub label: PathBuf,
    pub patient: Option<String>,
    pub split: Option<Split>,
}

/// A dataset as read from its files.
#[derive(Debug, Default)]
pub(crate) struct ImportedDataset {
    pub cases: Vec<ImportedCase>,
    pub unlabelled: usize,
    pub modality: Option<Modality>,
    /// As the dataset states them.
    pub labels: Option<DatasetLabels>,
    /// The values that its regions are written as.
    pub regions_class_order: Option<Value>,
}

/// The part of the description that MONAI and nnU-Net share.
#[derive(Deserialize)]
pub(crate) struct DatasetHeader {
    #[serde(alias = "modality")]
    pub channel_names: Option<BTreeMap<String, String>>,
    pub labels: Option<DatasetLabels>,
    pub regions_class_order: Option<Value>,
}

impl DatasetHeader {
    /// Number of the chosen channel, out of `channels` channels of the cases, and its modality.
    pub fn channel(
        &self,
        chosen: Option<&str>,
        channels: usize,
    ) -> Result<(usize, Option<Modality>), ExchangeError> {
        let empty = BTreeMap::new();
        let names = self.channel_names.as_ref().unwrap_or(&empty);
        let listed = || {
            let text: Vec<String> = (0..channels.max(names.len()))
                .map(|n| names.get(&n.to_string()).cloned().unwrap_or_else(|| n.to_string()))
                .collect();
            text.join(", ")
        };
        let number = match chosen {
            None if channels.max(names.len()) > 1 => {
                return Err(ExchangeError::Channel {
                    problem: "expected one of several channels, found none",
                    channels: listed(),
                });
            }
            None => 0,
            Some(name) => names
                .iter()
                .find(|(_, own)| own.eq_ignore_ascii_case(name))
                .and_then(|(number, _)| number.parse().ok())
                .or_else(|| name.parse().ok())
                .filter(|number| *number < channels.max(names.len()))
                .ok_or_else(|| ExchangeError::Channel {
                    problem: "no channel has this name or number",
                    channels: listed(),
                })?,
        };
        Ok((number, names.get(&number.to_string()).and_then(|name| name.parse().ok())))
    }
}

/// The validation cases of the chosen fold, or those that all folds share.
pub(crate) fn validation(
    folds: &[BTreeSet<String>],
    chosen: Option<usize>,
) -> Result<Option<&BTreeSet<String>>, ExchangeError> {
    match chosen {
        Some(fold) => folds.get(fold).map(Some).ok_or(ExchangeError::Fold { folds: folds.len() }),
        None if folds.windows(2).any(|pair| pair[0] != pair[1]) => {
            Err(ExchangeError::Fold { folds: folds.len() })
        }
        None => Ok(folds.first()),
    }
}
