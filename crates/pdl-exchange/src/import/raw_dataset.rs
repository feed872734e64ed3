//! Reads nnU-Net's raw datasets: `dataset.json`, `imagesTr`, `labelsTr`, and `imagesTs` with
//! `labelsTs`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use pdl_cohort::attributes::Split;
use pdl_store::{StoreError, fault, json};
use serde::Deserialize;

use crate::ExchangeError;
use crate::import::types::{
    Channels, DatasetHeader, ImportOptions, ImportedCase, ImportedDataset, validation,
};

#[derive(Deserialize)]
struct DatasetDescription {
    #[serde(flatten)]
    head: DatasetHeader,
    #[serde(default = "nifti")]
    file_ending: String,
    dataset: Option<BTreeMap<String, DatasetFiles>>,
}

/// Digits of a channel's number in nnU-Net's names of files.
const CHANNEL_DIGITS: usize = 4;

fn nifti() -> String {
    ".nii.gz".to_owned()
}

#[derive(Deserialize)]
struct DatasetFiles {
    images: Vec<String>,
    label: String,
}

/// Reads the dataset at `root`. Validation cases are those of `splits_final.json`, if that is
/// present.
pub(crate) fn read(root: &Path, parameters: &ImportOptions) -> Result<ImportedDataset, ExchangeError> {
    let description: DatasetDescription = json::read(&root.join("dataset.json"))?;
    let ending = &description.file_ending;
    let mut learnt = match &description.dataset {
        Some(listed) => listed
            .iter()
            .map(|(case, files)| {
                let images =
                    files.images.iter().enumerate().map(|(n, image)| (n, root.join(image))).collect();
                (case.clone(), (images, Some(root.join(&files.label))))
            })
            .collect(),
        None => cases(root, "Tr", ending)?,
    };
    let tested = cases(root, "Ts", ending)?;
    let last = learnt.values().flat_map(|(images, _)| images.keys()).max();
    let chosen = parameters.channel.as_deref();
    let Channels { names, modality } = description.head.channels(chosen, last.map_or(0, |last| last + 1))?;
    let (numbers, channels): (Vec<usize>, Vec<String>) = names.into_iter().unzip();
    let folds = folds(root)?;
    let held_out = validation(&folds, parameters.fold)?;
    let normalisations = description.head.normalisations();
    let DatasetHeader { labels, regions_class_order, .. } = description.head;
    let mut dataset = ImportedDataset {
        modality,
        channels,
        normalisations,
        labels,
        regions_class_order,
        ..ImportedDataset::default()
    };
    let of_learnt =
        |case: &str| held_out.map(|held_out| if held_out.contains(case) { Split::Val } else { Split::Train });
    let mut take = |case: String, (mut images, label): CasePaths, split| {
        let images: Vec<Option<PathBuf>> = numbers.iter().map(|number| images.remove(number)).collect();
        match (images.iter().any(Option::is_some), label) {
            (true, Some(label)) => {
                dataset.cases.push(ImportedCase { case_id: Some(case), images, label, patient: None, split });
            }
            _ => dataset.unlabelled += 1,
        }
    };
    for (case, files) in std::mem::take(&mut learnt) {
        let split = of_learnt(&case);
        take(case, files, split);
    }
    for (case, files) in tested {
        take(case, files, Some(Split::Test));
    }
    Ok(dataset)
}

/// Images of a case by channel, and its label map.
type CasePaths = (BTreeMap<usize, PathBuf>, Option<PathBuf>);

/// The cases of `imagesTr` or `imagesTs` by name; none where the folder is missing.
fn cases(root: &Path, part: &str, ending: &str) -> Result<BTreeMap<String, CasePaths>, ExchangeError> {
    let folder = root.join(format!("images{part}"));
    let mut cases: BTreeMap<String, CasePaths> = BTreeMap::new();
    if !fault::is_dir(&folder).map_err(StoreError::io("look at the folder", &folder))? {
        return Ok(cases);
    }
    for entry in fault::list(&folder).map_err(StoreError::io("list the folder", &folder))? {
        let path = entry.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(stem) = name.strip_suffix(ending).filter(|stem| !stem.is_empty()) else { continue };
        if name.starts_with('.') {
            continue; //  such as the AppleDouble files of macOS
        }
        let (case, channel) = match label_of(root, part, stem, ending)? {
            // Decathlon's images have no number of a channel, and the name of their label map.
            Some(_) => (stem, 0),
            None => numbered(stem).unwrap_or((stem, 0)),
        };
        cases.entry(case.to_owned()).or_default().0.insert(channel, path);
    }
    for (case, files) in &mut cases {
        files.1 = label_of(root, part, case, ending)?;
    }
    Ok(cases)
}

/// The label map of a case, if there is one.
fn label_of(root: &Path, part: &str, case: &str, ending: &str) -> Result<Option<PathBuf>, StoreError> {
    let label = root.join(format!("labels{part}")).join(format!("{case}{ending}"));
    let is_there = fault::is_file(&label).map_err(StoreError::io("look at the file", &label))?;
    Ok(is_there.then_some(label))
}

/// The case and the channel of a name such as `CASE_0001`.
fn numbered(stem: &str) -> Option<(&str, usize)> {
    let (case, channel) = stem.rsplit_once('_').filter(|(_, channel)| channel.len() == CHANNEL_DIGITS)?;
    Some((case, channel.parse().ok()?))
}

/// The validation cases of every fold of `splits_final.json`; empty where that is missing.
fn folds(root: &Path) -> Result<Vec<BTreeSet<String>>, ExchangeError> {
    #[derive(Deserialize)]
    struct SplitsFold {
        val: BTreeSet<String>,
    }
    let path = root.join("splits_final.json");
    if !fault::is_file(&path).map_err(StoreError::io("look at the file", &path))? {
        return Ok(Vec::new());
    }
    let folds: Vec<SplitsFold> = json::read(&path)?;
    Ok(folds.into_iter().map(|fold| fold.val).collect())
}
