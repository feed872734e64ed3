//! Parameters and results of reading a dataset, whatever its format.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use pdl_cohort::attributes::{Modality, OTHER_NORMALISATIONS, Split};
use pdl_cohort::labels::regions::DatasetLabels;
use serde::Deserialize;
use serde_json::Value;

use crate::ExchangeError;

/// Choices for datasets with several channels or folds.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct ImportOptions {
    /// Channel to import of cases that have several, by its name in the dataset or its number from
    /// 0. All when not given.
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
    /// One for each imported channel; `None` for a missing one.
    pub images: Vec<Option<PathBuf>>,
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
    /// Names of the imported channels.
    pub channels: Vec<String>,
    /// Normalisations that the names of its channels state and that are not followed.
    pub normalisations: Vec<String>,
    /// Labels as the dataset states them.
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
    /// The names of the channels in an nnU-Net dataset exported by pdl, as nnU-Net's own names
    /// state the normalisation.
    pub pdl_channel_names: Option<Vec<String>>,
}

impl DatasetHeader {
    /// Normalisations that the names of the channels state and that are not followed.
    pub fn normalisations(&self) -> Vec<String> {
        let names = || self.channel_names.iter().flat_map(BTreeMap::values);
        let is_stated = |known: &&str| names().any(|name| name.eq_ignore_ascii_case(known));
        OTHER_NORMALISATIONS.into_iter().filter(is_stated).map(str::to_owned).collect()
    }

    /// The chosen one of the `channels` channels that cases have, or all where none is chosen.
    pub fn channels(&self, chosen: Option<&str>, channels: usize) -> Result<Channels, ExchangeError> {
        let empty = BTreeMap::new();
        let names = self.channel_names.as_ref().unwrap_or(&empty);
        let own = self.pdl_channel_names.as_deref().unwrap_or_default();
        let all = channels.max(names.len()).max(1);
        let stated = |number: usize| own.get(number).or_else(|| names.get(&number.to_string()));
        let name = |number: usize| stated(number).cloned().unwrap_or_else(|| format!("channel_{number}"));
        let listed = || (0..all).map(name).collect::<Vec<_>>().join(", ");
        let number = |chosen: &str| {
            let named = (0..all).find(|number| name(*number).eq_ignore_ascii_case(chosen));
            let number = named.or_else(|| chosen.parse().ok()).filter(|number| *number < all);
            number.ok_or_else(|| ExchangeError::Channel {
                problem: "no channel has this name or number",
                channels: listed(),
            })
        };
        let numbers = match chosen {
            Some(chosen) => vec![number(chosen)?],
            None => (0..all).collect(),
        };
        let modality = numbers.first().and_then(|first| stated(*first)?.parse().ok());
        Ok(Channels { names: numbers.into_iter().map(|number| (number, name(number))).collect(), modality })
    }
}

/// The channels that are imported.
#[derive(Debug)]
pub(crate) struct Channels {
    /// Number and name of each.
    pub names: Vec<(usize, String)>,
    /// Modality of the first.
    pub modality: Option<Modality>,
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
