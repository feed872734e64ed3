//! `images/` and `labels/`, or `imagesTr/` and `labelsTr/`, whose files pair by their names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pdl_io::{is_volume_name, stem};
use pdl_store::{StoreError, fault};

use super::description::file_name;
use super::{DiscoveredCase, Layout, is_stack};
use crate::CohortError;
use crate::case_id::CaseLabel;

/// What the names of 3-D Slicer's segmentations have before `.nrrd`.
const SEGMENTATION: &str = ".seg";

/// `images/` and `labels/`, or `imagesTr/` and `labelsTr/` (Decathlon, nnU-Net), paired by name.
pub(super) fn from_folders(root: &Path) -> Result<Layout, CohortError> {
    let mut pair = None;
    for (images, labels) in [("images", "labels"), ("imagesTr", "labelsTr")] {
        let folder = root.join(images);
        if fault::is_dir(&folder).map_err(StoreError::io("look at the folder", &folder))? {
            pair = Some((images, labels));
            break;
        }
    }
    let pair = pair.ok_or_else(|| CohortError::NotACohort {
        path: root.to_owned(),
        problem: "the folder has neither images/ nor imagesTr/ nor a cohort.csv, and no DICOM file in it"
            .to_owned(),
    })?;
    let images = volumes(&root.join(pair.0))?;
    if images.is_empty() && is_stack(&root.join(pair.0))? {
        let problem = format!(
            "single slices lie in {0}/: put those of each volume into a folder of its own, as in {0}/CASE/slice_001.png, and \
             its labels into {1}/CASE/",
            pair.0, pair.1
        );
        return Err(CohortError::NotACohort { path: root.to_owned(), problem });
    }
    let mut labels = volumes(&root.join(pair.1))?;
    let mut cases: BTreeMap<String, DiscoveredCase> = BTreeMap::new();
    for (stem, paths) in images {
        // nnU-Net's names: CASE_0000 is channel 0 of CASE, unless the label bears the whole name.
        let (case, channel) = match split_channel(&stem) {
            Some((case, channel)) if !labels.contains_key(&stem) => (case.to_owned(), channel),
            _ => (stem, 0),
        };
        let label = labels.get(&case);
        let found = cases.entry(case).or_insert_with(|| DiscoveredCase {
            label: label.map(|paths| one(paths)),
            ..DiscoveredCase::default()
        });
        for paths in [Some(&paths), label].into_iter().flatten().filter(|paths| paths.len() > 1) {
            found.refuse_twins(paths);
        }
        found.channels.insert(channel, one(&paths));
    }
    for found in cases.values_mut() {
        found.image = found.channels.values().next().cloned();
        if found.channels.len() == 1 {
            found.channels.clear();
        }
    }
    labels.retain(|stem, _| !cases.contains_key(stem));
    let alone =
        |paths: Vec<PathBuf>| DiscoveredCase { label: Some(one(&paths)), ..DiscoveredCase::default() };
    cases.extend(labels.into_iter().map(|(stem, paths)| (stem, alone(paths))));
    let named = |(stem, mut found): (String, DiscoveredCase)| {
        let below = |path: &Option<PathBuf>| {
            path.as_deref().map(|path| path.strip_prefix(root).unwrap_or(path).to_owned())
        };
        let [image, label] = [&found.image, &found.label].map(below);
        found.name = CaseLabel::of_files(Some(stem), image.as_deref(), label.as_deref());
        found
    };
    Ok(Layout { cases: cases.into_iter().map(named).collect(), ..Layout::default() })
}

/// The first of the files that share a name.
fn one(paths: &[PathBuf]) -> PathBuf {
    paths.first().cloned().unwrap_or_default()
}

/// The volumes and stacks of a folder by the stem of their names; a missing folder has none. Hidden
/// files, such as the `._` twins that macOS leaves in archives, are passed over.
fn volumes(folder: &Path) -> Result<BTreeMap<String, Vec<PathBuf>>, CohortError> {
    if !fault::is_dir(folder).map_err(StoreError::io("look at the folder", folder))? {
        return Ok(BTreeMap::new());
    }
    let mut found: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for entry in fault::list(folder).map_err(StoreError::io("list the folder", folder))? {
        let path = entry.path();
        let name = file_name(&path);
        if !name.starts_with('.') && (is_volume_name(&name) || is_stack(&path)?) {
            found.entry(stem_of_pair(&name).to_owned()).or_default().push(path);
        }
    }
    found.values_mut().for_each(|paths| paths.sort());
    Ok(found)
}

/// A file's name without its ending; of a segmentation (`.seg.nrrd`) that of its image.
fn stem_of_pair(name: &str) -> &str {
    let stem = stem(name);
    let is_nrrd = name.len() > stem.len() && name[stem.len()..].eq_ignore_ascii_case(".nrrd");
    let image = stem.len().checked_sub(SEGMENTATION.len()).and_then(|end| stem.split_at_checked(end));
    match image {
        Some((image, end)) if is_nrrd && end.eq_ignore_ascii_case(SEGMENTATION) => image,
        _ => stem,
    }
}

/// A name of nnU-Net's such as `CASE_0001`: the image, and the number of its channel.
pub(crate) fn split_channel(stem: &str) -> Option<(&str, u32)> {
    let (case, channel) = stem.rsplit_once('_')?;
    (channel.len() == 4).then(|| Some((case, channel.parse().ok()?)))?
}
