//! `dataset.json` of the Medical Segmentation Decathlon and of nnU-Net.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use pdl_findings::{Code, Finding};
use pdl_io::stem;
use pdl_store::memory::MemoryShare;
use pdl_store::plural::counted;
use pdl_store::{StoreError, fault};
use serde::Deserialize;

use super::description::{file_name, not_json, read_json, shown};
use super::folders::{DECATHLON, split_channel, subfolders};
use super::maskable_finding::MaskableFinding;
use super::{DiscoveredCase, Layout};
use crate::CohortError;
use crate::attributes::{Modality, OTHER_NORMALISATIONS, Split};
use crate::identity::case_id::CaseLabel;
use crate::labels::regions::{DatasetLabels, DatasetRegions};

/// The last number of AMOS's CT; above it are those of MR (amos22.grand-challenge.org).
const LAST_CT_OF_AMOS: u32 = 500;

#[derive(Deserialize)]
struct Dataset {
    name: Option<String>,
    modality: Option<BTreeMap<String, String>>,
    channel_names: Option<BTreeMap<String, String>>,
    labels: Option<DatasetLabels>,
    regions_class_order: Option<serde_json::Value>,
    training: Option<serde_json::Value>,
    dataset: Option<serde_json::Value>,
}

/// A case of nnU-Net's `dataset`: images in the order of their channels, relative to the folder of
/// `dataset.json`.
#[derive(Deserialize)]
struct ListedCase {
    images: Vec<PathBuf>,
    label: Option<PathBuf>,
}

/// The name of the file that describes a data set.
pub(super) const FILE: &str = "dataset.json";

/// nnU-Net's splits of a data set.
const SPLITS: &str = "splits_final.json";

/// The cases that the `dataset.json` of a folder lists with their files, as nnU-Net takes data sets
/// whose files lie elsewhere than in `imagesTr`; nothing where it lists none.
///
/// # Errors
/// [`CohortError::TableValue`] when it is no JSON of a data set.
pub(super) fn listed_cases(root: &Path, memory: &MemoryShare<'_>) -> Result<Option<Layout>, CohortError> {
    let path = root.join(FILE);
    if !fault::is_file(&path).map_err(StoreError::io("look at the file", &path))? {
        return Ok(None);
    }
    let part = memory.part();
    let bytes = read_json(&path, &part)?;
    let dataset: Dataset = serde_json::from_slice(&bytes).map_err(|error| not_json(&path, &error))?;
    let Some(listed) = dataset.dataset.filter(serde_json::Value::is_object) else { return Ok(None) };
    let listed: BTreeMap<String, ListedCase> =
        serde_json::from_value(listed).map_err(|error| not_json(&path, &error))?;
    let case = |(id, ListedCase { images, label }): (String, ListedCase)| {
        let name = CaseLabel::of_files(Some(id), images.first().map(PathBuf::as_path), label.as_deref());
        let channels: BTreeMap<u32, PathBuf> =
            (0..).zip(images.iter().map(|image| root.join(image))).collect();
        DiscoveredCase {
            name,
            image: channels.values().next().cloned(),
            label: label.map(|label| root.join(label)),
            channels: if channels.len() > 1 { channels } else { BTreeMap::new() },
            ..DiscoveredCase::default()
        }
    };
    let cases = listed.into_iter().map(case).collect();
    Ok(Some(Layout { cases, kind: "the cases that dataset.json lists", ..Layout::default() }))
}

/// Finding about nnU-Net's splits beside a data set.
///
/// # Errors
/// [`StoreError`] when the machine keeps the file from being looked at.
pub(super) fn splits_beside(root: &Path) -> Result<Option<Finding>, StoreError> {
    let path = root.join(SPLITS);
    let message = format!(
        "{SPLITS} is not used: pdl draws its own splits. `pdl import DATASET --dest COHORT --fold K` makes a cohort that holds \
         out the validation cases of one of its folds"
    );
    let is_there = fault::is_file(&path).map_err(StoreError::io("look at the file", &path))?;
    Ok(is_there.then(|| Finding::new(Code::FoldsGiven, message)))
}

/// The folders of data sets in a folder, those with a `dataset.json` of their own; none where it
/// has one itself.
///
/// # Errors
/// [`StoreError`] when the machine keeps a folder from being looked at.
pub(super) fn data_sets_in(root: &Path) -> Result<Vec<String>, StoreError> {
    let has_own = |folder: &Path| {
        let path = folder.join(FILE);
        fault::is_file(&path).map_err(StoreError::io("look at the file", &path))
    };
    let mut folders = Vec::new();
    if has_own(root)? {
        return Ok(folders);
    }
    for folder in subfolders(root)? {
        if has_own(&folder)? {
            folders.push(shown(&file_name(&folder)));
        }
    }
    Ok(folders)
}

/// Decathlon's and nnU-Net's `dataset.json`: modality, channels and names of labels. Missing is
/// fine.
pub(super) fn read_dataset_json(
    path: &Path,
    layout: &mut Layout,
    memory: &MemoryShare<'_>,
) -> Result<(), CohortError> {
    if !fault::is_file(path).map_err(StoreError::io("look at the file", path))? {
        return Ok(());
    }
    let part = memory.part();
    let bytes = read_json(path, &part)?;
    let dataset: Dataset = serde_json::from_slice(&bytes).map_err(|error| not_json(path, &error))?;
    let channels = dataset.modality.or(dataset.channel_names).unwrap_or_default();
    layout.findings.extend(other_normalisation(channels.values()));
    if let Some(name) = channels.get("0") {
        layout.modality = name.parse().ok();
    }
    if layout.channel_names.is_empty() {
        let named = channels.iter().filter_map(|(number, name)| Some((number.parse().ok()?, shown(name))));
        layout.channel_names = named.collect();
    }
    let labels = dataset.labels.unwrap_or_default();
    layout.regions = DatasetRegions { labels: labels.clone(), order: dataset.regions_class_order };
    let (mut names, mut doubly) = (BTreeMap::new(), Vec::new());
    for (key, value) in labels.0 {
        // Decathlon writes {"1": "liver"}, nnU-Net {"liver": 1}, some {"liver": "1"}; regions
        // (lists) have no single value.
        let label = match (key.parse::<u16>(), &value) {
            (Ok(number), serde_json::Value::String(name)) => Some((number, name.clone())),
            (Err(_), serde_json::Value::String(number)) => number.trim().parse().ok().map(|n| (n, key)),
            (_, serde_json::Value::Number(number)) => {
                number.as_u64().and_then(|n| u16::try_from(n).ok()).map(|n| (n, key))
            }
            _ => None,
        };
        if let Some((number, name)) = label.filter(|(number, _)| *number > 0) {
            let name = shown(&name);
            if let Some(earlier) = names.insert(number, name.clone()) {
                doubly.push((number, format!("{number} has the names {earlier} and {name}")));
            }
        }
    }
    layout.label_names.extend(names);
    layout.add_maskable(named_twice(&doubly));
    if layout.kind == DECATHLON {
        layout.findings.extend(dataset.training.and_then(|list| unlike_the_list(&list, &layout.cases)));
    }
    if dataset.name.is_some_and(|name| name.to_uppercase().starts_with("AMOS")) {
        layout.cases.iter_mut().for_each(|found| found.modality = found.modality.or_else(|| of_amos(found)));
    }
    Ok(())
}

/// Finding about labels with several names; each comes with words that hold these.
fn named_twice(labels: &[(u16, String)]) -> Option<MaskableFinding> {
    let told = |of: fn(&(u16, String)) -> String| labels.iter().map(of).collect::<Vec<_>>().join(", ");
    let message = |labels: String| format!("{FILE} names labels twice: {labels}; the last name is used");
    (!labels.is_empty()).then(|| MaskableFinding {
        finding: Finding::new(Code::LabelsUnknown, message(told(|(_, words)| words.clone()))),
        nameless: message(told(|(value, _)| format!("{value} has two names"))),
    })
}

/// Finding about channels whose names state a normalisation.
fn other_normalisation<'a>(names: impl Iterator<Item = &'a String>) -> Option<Finding> {
    let names: Vec<&String> = names.collect();
    let is_stated = |known: &&str| names.iter().any(|name| name.eq_ignore_ascii_case(known));
    let stated: Vec<&str> = OTHER_NORMALISATIONS.into_iter().filter(is_stated).collect();
    let message = format!(
        "{FILE} states a normalisation of intensities ({}) that is not followed: images are normalised by --normalise",
        stated.join(", ")
    );
    (!stated.is_empty()).then(|| Finding::new(Code::NormalisationStated, message))
}

/// Finding about training images that Decathlon's list names and that are not there, or that are
/// there and not in the list.
fn unlike_the_list(training: &serde_json::Value, cases: &[DiscoveredCase]) -> Option<Finding> {
    let case = |path: &str| {
        let name = stem(path.rsplit(['/', '\\']).next().unwrap_or(path)).to_owned();
        split_channel(&name).map_or(name.clone(), |(case, _)| case.to_owned())
    };
    let item = |item: &serde_json::Value| item.get("image").unwrap_or(item).as_str().map(case);
    let listed: BTreeSet<String> = training.as_array()?.iter().map(item).collect::<Option<_>>()?;
    let is_of_training = |found: &&DiscoveredCase| found.split.is_none_or(|split| split == Split::Train);
    let found: BTreeSet<String> = cases
        .iter()
        .filter(is_of_training)
        .filter(|found| found.image.is_some() && found.label.is_some())
        .filter_map(|found| Some(case(&file_name(found.image.as_deref()?))))
        .collect();
    let missing = listed.difference(&found).count();
    let further = found.difference(&listed).count();
    // A list of other files altogether, such as channels in a file each, says nothing.
    if listed.is_empty() || missing == listed.len() || missing == 0 && further == 0 {
        return None;
    }
    // Without an example: the names may be people's.
    let message = format!(
        "the list of training cases in {FILE} is not that of the folders, whose cases are used: {} of the list not there, {} \
         there and not in the list",
        counted(missing, "case"),
        counted(further, "case")
    );
    Some(Finding::new(Code::FilesUnused, message))
}

/// CT or MR by the number in the names of AMOS, whose `dataset.json` states CT for all.
fn of_amos(found: &DiscoveredCase) -> Option<Modality> {
    let number: u32 = found.name.stated.as_deref()?.strip_prefix("amos_")?.parse().ok()?;
    Some(if number > LAST_CT_OF_AMOS { Modality::MR } else { Modality::CT })
}
