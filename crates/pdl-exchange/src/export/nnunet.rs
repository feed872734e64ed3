//! A raw dataset for nnU-Net v2.

use std::collections::BTreeMap;

use pdl_cohort::attributes::Split;
use pdl_cohort::labels::regions::DatasetLabels;
use pdl_curriculum::manifest::{Manifest, ManifestInfo, ManifestRow};
use pdl_store::json;
use serde::Serialize;
use serde_json::Value;

use crate::ExchangeError;
use crate::export::context::{ExportContext, ExportedCase};
use crate::export::files::{CaseFiles, TransferMode};

#[derive(Serialize)]
struct DatasetJson<'a> {
    /// "noNorm" keeps nnU-Net from normalising the images again.
    channel_names: BTreeMap<String, &'static str>,
    /// The names of the channels, if there are several, since `channel_names` cannot hold them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pdl_channel_names: Option<&'a [String]>,
    labels: DatasetLabels,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    regions_class_order: Vec<u16>,
    #[serde(rename = "numTraining")]
    num_training: usize,
    file_ending: &'static str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    dataset: BTreeMap<&'a str, DatasetFiles<'a>>,
}

#[derive(Serialize)]
struct DatasetFiles<'a> {
    images: &'a [String],
    label: &'a str,
}

#[derive(Serialize)]
struct SplitsFold<'a> {
    train: Vec<&'a str>,
    val: Vec<&'a str>,
}

/// Refuses label values that nnU-Net does not support.
pub(crate) fn check(manifest: &Manifest) -> Result<(), ExchangeError> {
    let ignored = manifest.info.index.ignored_label();
    let labels: Vec<u16> = manifest.info.labels.iter().map(|label| label.value).chain(ignored).collect();
    if labels.iter().zip(1..).any(|(label, expected)| *label != expected) {
        return Err(ExchangeError::LabelGaps { labels });
    }
    let regions = &manifest.info.regions;
    let is_learnt = |value: &u16| regions.iter().any(|region| region.labels.contains(value));
    let outside = manifest.info.labels.iter().map(|label| label.value).filter(|value| !is_learnt(value));
    let outside: Vec<u16> = outside.collect();
    if !regions.is_empty() && !outside.is_empty() {
        return Err(ExchangeError::LabelOutsideRegions { labels: outside });
    }
    Ok(())
}

/// The labels of `dataset.json`: values, or the lists of regions in the order in which they are
/// written.
fn dataset_labels(info: &ManifestInfo) -> DatasetLabels {
    let ignored = info.index.ignored_label().map(|value| ("ignore".to_owned(), Value::from(value)));
    let background = ("background".to_owned(), Value::from(0));
    if info.regions.is_empty() {
        let labels = info.labels.iter().map(|label| (label.name.clone(), Value::from(label.value)));
        let sorted: BTreeMap<String, Value> = [background].into_iter().chain(labels).chain(ignored).collect();
        return DatasetLabels(sorted.into_iter().collect());
    }
    let regions = info.regions.iter().map(|region| (region.name.clone(), Value::from(region.labels.clone())));
    DatasetLabels([background].into_iter().chain(regions).chain(ignored).collect())
}

/// `imagesTr/CASE_0000.nii.gz`, `CASE_0001.nii.gz` for the second channel and so on, and
/// `labelsTr/CASE.nii.gz`; test cases in `imagesTs` and `labelsTs`.
pub(crate) fn names(row: &ManifestRow) -> CaseFiles {
    let part = if row.split == Split::Test { "Ts" } else { "Tr" };
    let case = &row.case_id;
    CaseFiles {
        images: (0..row.images.len()).map(|n| format!("images{part}/{case}_{n:04}.nii.gz")).collect(),
        label: format!("labels{part}/{case}.nii.gz"),
    }
}

/// Writes `dataset.json`, and `splits_final.json` for the dataset's folder in nnUNet_preprocessed:
/// fold k trains on the cases that are active at stage k; all folds have the same validation cases.
pub(crate) fn write(export: &ExportContext<'_>) -> Result<Vec<String>, ExchangeError> {
    let learnt = || export.of(Split::Train).chain(export.of(Split::Val));
    let info = &export.manifest.info;
    let files = |case: &'_ ExportedCase<'_>| (case.row.case_id.clone(), case.files.clone());
    let referred: Vec<(String, CaseFiles)> =
        if export.transfer == TransferMode::Reference { learnt().map(files).collect() } else { Vec::new() };
    let dataset = DatasetJson {
        channel_names: export.channels().map(|(number, _)| (number.to_string(), "noNorm")).collect(),
        pdl_channel_names: export.has_channels().then_some(export.manifest.info.channel_names.as_slice()),
        labels: dataset_labels(info),
        regions_class_order: info.regions.iter().map(|region| region.value).collect(),
        num_training: learnt().count(),
        file_ending: ".nii.gz",
        dataset: referred
            .iter()
            .map(|(case, files)| (case.as_str(), DatasetFiles { images: &files.images, label: &files.label }))
            .collect(),
    };
    json::write(&export.dest.join("dataset.json"), &dataset)?;
    let ids = |split| export.of(split).map(|case| case.row.case_id.as_str());
    let folds: Vec<SplitsFold<'_>> = export
        .manifest
        .info
        .stages
        .iter()
        .map(|stage| SplitsFold {
            train: ids(Split::Train).take(stage.active_cases as usize).collect(),
            val: ids(Split::Val).collect(),
        })
        .collect();
    json::write(&export.dest.join("splits_final.json"), &folds)?;
    Ok(vec!["dataset.json".to_owned(), "splits_final.json".to_owned()])
}
