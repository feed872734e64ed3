//! A raw dataset of nnU-Net, read: `dataset.json`, `imagesTr`, `labelsTr`, and `imagesTs` with `labelsTs`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use pdl_cohort::attributes::Split;
use pdl_store::{StoreError, fault, json};
use serde::Deserialize;

use crate::ExchangeError;
use crate::import::{Dataset, Head, ImportParameters, Taken, validation};

#[derive(Deserialize)]
struct Description {
    #[serde(flatten)]
    head: Head,
    #[serde(default = "nifti")]
    file_ending: String,
    dataset: Option<BTreeMap<String, Files>>,
}

fn nifti() -> String {
    ".nii.gz".to_owned()
}

#[derive(Deserialize)]
struct Files {
    images: Vec<String>,
    label: String,
}

/// Reads the dataset at `root`. Where `splits_final.json` is there too, its validation cases validate.
pub(crate) fn read(root: &Path, parameters: &ImportParameters) -> Result<Dataset, ExchangeError> {
    let description: Description = json::read(&root.join("dataset.json"))?;
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
    let (channel, modality) =
        description.head.channel(parameters.channel.as_deref(), last.map_or(0, |last| last + 1))?;
    let folds = folds(root)?;
    let held_out = validation(&folds, parameters.fold)?;
    let mut dataset = Dataset { modality, labels: description.head.labels, ..Dataset::default() };
    let of_learnt =
        |case: &str| held_out.map(|held_out| if held_out.contains(case) { Split::Val } else { Split::Train });
    let mut take = |case: String, (mut images, label): Paths, split| match (images.remove(&channel), label) {
        (Some(image), Some(label)) => {
            dataset.cases.push(Taken { case_id: Some(case), image, label, patient: None, split });
        }
        _ => dataset.unlabelled += 1,
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
type Paths = (BTreeMap<usize, PathBuf>, Option<PathBuf>);

/// The cases of `imagesTr` or `imagesTs` by name; a missing folder has none.
fn cases(root: &Path, part: &str, ending: &str) -> Result<BTreeMap<String, Paths>, ExchangeError> {
    let folder = root.join(format!("images{part}"));
    let mut cases: BTreeMap<String, Paths> = BTreeMap::new();
    if !fault::is_dir(&folder).map_err(StoreError::io("look at the folder", &folder))? {
        return Ok(cases);
    }
    for entry in fault::list(&folder).map_err(StoreError::io("list the folder", &folder))? {
        let path = entry.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let parts = name.strip_suffix(ending).and_then(|stem| stem.rsplit_once('_'));
        let Some((case, Ok(channel))) = parts.map(|(case, channel)| (case, channel.parse())) else {
            continue;
        };
        if name.starts_with('.') {
            continue; // such as the twins that macOS leaves in archives
        }
        cases.entry(case.to_owned()).or_default().0.insert(channel, path);
    }
    for (case, files) in &mut cases {
        let label = root.join(format!("labels{part}")).join(format!("{case}{ending}"));
        let is_there = fault::is_file(&label).map_err(StoreError::io("look at the file", &label))?;
        files.1 = is_there.then_some(label);
    }
    Ok(cases)
}

/// The validation cases of every fold of `splits_final.json`; none where there is no such file.
fn folds(root: &Path) -> Result<Vec<BTreeSet<String>>, ExchangeError> {
    #[derive(Deserialize)]
    struct Fold {
        val: BTreeSet<String>,
    }
    let path = root.join("splits_final.json");
    if !fault::is_file(&path).map_err(StoreError::io("look at the file", &path))? {
        return Ok(Vec::new());
    }
    let folds: Vec<Fold> = json::read(&path)?;
    Ok(folds.into_iter().map(|fold| fold.val).collect())
}
