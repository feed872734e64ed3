//! Import of a MONAI datalist or an nnU-Net raw dataset as a cohort: a folder with `cohort.csv`,
//! whose paths lead to the volumes in place, and `dataset.json` with the names of the labels.

mod datalist;
mod raw_dataset;
pub mod results;
mod types;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use pdl_cohort::attributes::Split;
use pdl_cohort::labels::regions::DatasetLabels;
use pdl_store::printable::{cell, path_cell};
use pdl_store::{StoreError, atomic, json, paths};
use serde::Serialize;
use serde_json::Value;

use crate::ExchangeError;
pub use crate::import::types::ImportOptions;
use crate::import::types::ImportedDataset;

/// Result of an import.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// Number of cases in `cohort.csv`.
    pub cases: usize,
    /// Cases for which the dataset states a split: training, validation and test.
    pub split: [usize; 3],
    /// Cases without a label map, which are skipped.
    pub unlabelled: usize,
    /// Normalisations that nnU-Net's names of the channels state and that are not followed.
    pub normalisations: Vec<String>,
}

/// Writes the cohort folder `dest` from `source`, a MONAI datalist (a `.json` file) or the folder
/// of an nnU-Net raw dataset. Volumes stay in place.
///
/// # Errors
/// [`ExchangeError`] when `source` is neither, lacks a required choice, or `dest` cannot be
/// written.
pub fn import(source: &Path, dest: &Path, parameters: &ImportOptions) -> Result<Imported, ExchangeError> {
    let dataset = if source.is_dir() {
        raw_dataset::read(source, parameters)?
    } else {
        datalist::read(source, parameters)?
    };
    if dataset.cases.is_empty() {
        let (unlabelled, path) = (dataset.unlabelled, source.to_owned());
        return Err(ExchangeError::NoCases { unlabelled, path });
    }
    fs::create_dir_all(dest).map_err(StoreError::io("create the folder", dest))?;
    let dest = dest.canonicalize().map_err(StoreError::io("resolve the folder", dest))?;
    if source.is_dir() && source.canonicalize().is_ok_and(|source| source == dest) {
        let problem = "expected another folder than that of the dataset";
        return Err(ExchangeError::InvalidOption { name: "dest", problem });
    }
    write_table(&dest, &dataset)?;
    let count = |split| dataset.cases.iter().filter(|case| case.split == Some(split)).count();
    let split = [Split::Train, Split::Val, Split::Test].map(count);
    let head = DatasetJson {
        labels: dataset.labels,
        modality: dataset.modality.map(|modality| BTreeMap::from([("0", modality.to_string())])),
        regions_class_order: dataset.regions_class_order,
    };
    json::write(&dest.join("dataset.json"), &head)?;
    let normalisations = dataset.normalisations;
    Ok(Imported { cases: dataset.cases.len(), split, unlabelled: dataset.unlabelled, normalisations })
}

/// The `dataset.json` beside the table.
#[derive(Serialize)]
struct DatasetJson {
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<DatasetLabels>,
    #[serde(skip_serializing_if = "Option::is_none")]
    modality: Option<BTreeMap<&'static str, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    regions_class_order: Option<Value>,
}

fn write_table(dest: &Path, dataset: &ImportedDataset) -> Result<(), ExchangeError> {
    let path = dest.join("cohort.csv");
    let problem = |error: &dyn std::fmt::Display| ExchangeError::Table {
        path: path.clone(),
        problem: error.to_string(),
    };
    let mut writer = csv::Writer::from_writer(Vec::new());
    let several = dataset.channels.len() > 1;
    let of_channels = dataset.channels.iter().filter(|_| several).map(|name| format!("image_{name}"));
    let head = ["image", "label", "patient", "split", "case_id"].map(str::to_owned);
    writer.write_record(head.into_iter().chain(of_channels)).map_err(|error| problem(&error))?;
    for case in &dataset.cases {
        let path = |image: &Option<PathBuf>| {
            image.as_deref().map_or(String::new(), |image| path_cell(&from(dest, image)).into_owned())
        };
        let first = case.images.iter().find(|image| image.is_some()).map_or(String::new(), path);
        let record = [
            first,
            path_cell(&from(dest, &case.label)).into_owned(),
            cell(case.patient.as_deref().unwrap_or_default()).into_owned(),
            case.split.map_or(String::new(), |split| split.to_string()),
            cell(case.case_id.as_deref().unwrap_or_default()).into_owned(),
        ];
        let images = case.images.iter().filter(|_| several).map(path);
        writer.write_record(record.into_iter().chain(images)).map_err(|error| problem(&error))?;
    }
    let bytes = writer.into_inner().map_err(|error| problem(&error))?;
    atomic::write_if_changed(&path, &bytes)?;
    Ok(())
}

/// The path relative to `dest`. Missing files are listed, too: `pdl index` reports them.
fn from(dest: &Path, path: &Path) -> String {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let folder = absolute.parent().and_then(|folder| folder.canonicalize().ok());
    let absolute = match (folder, absolute.file_name()) {
        (Some(folder), Some(name)) => folder.join(name),
        _ => absolute,
    };
    paths::relative(dest, &absolute)
}
