//! A raw dataset for nnU-Net v2.

use std::collections::BTreeMap;

use pdl_cohort::attributes::Split;
use pdl_curriculum::manifest::{Manifest, ManifestRow};
use pdl_store::json;
use serde::Serialize;

use crate::ExchangeError;
use crate::export::context::{ExportContext, ExportedCase};
use crate::export::files::{CaseFiles, TransferMode};

#[derive(Serialize)]
struct DatasetJson<'a> {
    /// "noNorm" keeps nnU-Net from normalising the images again.
    channel_names: BTreeMap<String, &'static str>,
    /// What the channels are called, where there are several, since `channel_names` cannot say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pdl_channel_names: Option<&'a [String]>,
    labels: BTreeMap<&'a str, u16>,
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
    Ok(())
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
    let mut labels = BTreeMap::from([("background", 0)]);
    labels.extend(export.manifest.info.labels.iter().map(|label| (label.name.as_str(), label.value)));
    labels.extend(export.manifest.info.index.ignored_label().map(|value| ("ignore", value)));
    let files = |case: &'_ ExportedCase<'_>| (case.row.case_id.clone(), case.files.clone());
    let referred: Vec<(String, CaseFiles)> =
        if export.transfer == TransferMode::Reference { learnt().map(files).collect() } else { Vec::new() };
    let dataset = DatasetJson {
        channel_names: export.channels().map(|(number, _)| (number.to_string(), "noNorm")).collect(),
        pdl_channel_names: export.has_channels().then_some(export.manifest.info.channel_names.as_slice()),
        labels,
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
