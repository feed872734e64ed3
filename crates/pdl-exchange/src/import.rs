//! A MONAI datalist or a raw dataset of nnU-Net as a cohort: a folder with `cohort.csv`, whose paths lead to the
//! volumes where they are, and `dataset.json` with the names of the labels.

mod datalist;
mod raw_dataset;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use pdl_cohort::attributes::{Modality, Split};
use pdl_store::{StoreError, atomic, json, paths};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ExchangeError;

/// What to take from a dataset that holds more than a cohort does.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct ImportOptions {
    /// Which channel, by its name in the dataset or its number from 0; must be given when there are several.
    #[arg(long, value_name = "NAME")]
    pub channel: Option<String>,
    /// Which fold's validation cases to hold out, from 0; must be given when the folds differ in them.
    #[arg(long, value_name = "K")]
    pub fold: Option<usize>,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// Cases of cohort.csv.
    pub cases: usize,
    /// Of them those for which the dataset states a split: training, validation and test.
    pub split: [usize; 3],
    /// Cases that have no label map in the dataset, and so are left out.
    pub unlabelled: usize,
}

/// One case of `cohort.csv`.
#[derive(Clone, Debug, Default)]
pub(crate) struct ImportedCase {
    pub case_id: Option<String>,
    pub image: PathBuf,
    pub label: PathBuf,
    pub patient: Option<String>,
    pub split: Option<Split>,
}

/// A dataset that was read.
#[derive(Debug, Default)]
pub(crate) struct ImportedDataset {
    pub cases: Vec<ImportedCase>,
    pub unlabelled: usize,
    pub modality: Option<Modality>,
    /// As the dataset writes them.
    pub labels: Option<Value>,
}

/// What both forms say of themselves.
#[derive(Deserialize)]
pub(crate) struct DatasetHeader {
    #[serde(alias = "modality")]
    pub channel_names: Option<BTreeMap<String, String>>,
    pub labels: Option<Value>,
}

impl DatasetHeader {
    /// The chosen channel's number, out of `channels` that cases have, and how its images were made.
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
                return Err(ExchangeError::Channel { problem: "one must be chosen", channels: listed() });
            }
            None => 0,
            Some(name) => names
                .iter()
                .find(|(_, own)| own.eq_ignore_ascii_case(name))
                .and_then(|(number, _)| number.parse().ok())
                .or_else(|| name.parse().ok())
                .filter(|number| *number < channels.max(names.len()))
                .ok_or_else(|| ExchangeError::Channel {
                    problem: "there is none of that name",
                    channels: listed(),
                })?,
        };
        Ok((number, names.get(&number.to_string()).and_then(|name| name.parse().ok())))
    }
}

/// Writes the cohort folder `dest` from `source`, a MONAI datalist (a `.json` file) or the folder of an nnU-Net raw
/// dataset. Volumes stay where they are.
///
/// # Errors
/// [`ExchangeError`] when `source` is neither, needs a choice that was not made, or `dest` cannot be written.
pub fn import(source: &Path, dest: &Path, parameters: &ImportOptions) -> Result<Imported, ExchangeError> {
    let dataset = if source.is_dir() {
        raw_dataset::read(source, parameters)?
    } else {
        datalist::read(source, parameters)?
    };
    fs::create_dir_all(dest).map_err(StoreError::io("make the folder", dest))?;
    let dest = dest.canonicalize().map_err(StoreError::io("find the folder", dest))?;
    if source.is_dir() && source.canonicalize().is_ok_and(|source| source == dest) {
        return Err(ExchangeError::Option("--dest must be another folder than the dataset's own"));
    }
    write_table(&dest, &dataset)?;
    let mut head = BTreeMap::new();
    if let Some(modality) = dataset.modality {
        head.insert("modality", serde_json::json!({ "0": modality.to_string() }));
    }
    head.extend(dataset.labels.map(|labels| ("labels", labels)));
    json::write(&dest.join("dataset.json"), &head)?;
    let count = |split| dataset.cases.iter().filter(|case| case.split == Some(split)).count();
    Ok(Imported {
        cases: dataset.cases.len(),
        split: [Split::Train, Split::Val, Split::Test].map(count),
        unlabelled: dataset.unlabelled,
    })
}

fn write_table(dest: &Path, dataset: &ImportedDataset) -> Result<(), ExchangeError> {
    let path = dest.join("cohort.csv");
    let problem = |error: &dyn std::fmt::Display| ExchangeError::Table {
        path: path.clone(),
        problem: error.to_string(),
    };
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer
        .write_record(["image", "label", "patient", "split", "case_id"])
        .map_err(|error| problem(&error))?;
    for case in &dataset.cases {
        let record = [
            from(dest, &case.image),
            from(dest, &case.label),
            case.patient.clone().unwrap_or_default(),
            case.split.map_or(String::new(), |split| split.to_string()),
            case.case_id.clone().unwrap_or_default(),
        ];
        writer.write_record(record).map_err(|error| problem(&error))?;
    }
    let bytes = writer.into_inner().map_err(|error| problem(&error))?;
    atomic::write_if_changed(&path, &bytes)?;
    Ok(())
}

/// A path as the table in `dest` names it; a file that is missing is named all the same, and index reports it.
fn from(dest: &Path, path: &Path) -> String {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let folder = absolute.parent().and_then(|folder| folder.canonicalize().ok());
    let absolute = match (folder, absolute.file_name()) {
        (Some(folder), Some(name)) => folder.join(name),
        _ => absolute,
    };
    paths::relative(dest, &absolute)
}

/// Which cases validate, by the folds of validation cases.
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
