//! `images/` and `labels/`, or `imagesTr/` and `labelsTr/` with `Va` and `Ts` beside them, whose
//! files pair by their names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use pdl_io::{is_volume_name, stack, stem};
use pdl_store::{StoreError, fault};

use super::description::file_name;
use super::named_channels::NamedChannels;
use super::{DiscoveredCase, Layout, is_stack};
use crate::CohortError;
use crate::attributes::Split;
use crate::case_id::CaseLabel;
use crate::volume_names::{is_image_name, is_label_name, words};

/// What the names of 3-D Slicer's segmentations have before `.nrrd`.
const SEGMENTATION: &str = ".seg";

/// The folders of the training cases.
const FOLDERS: [[&str; 2]; 2] = [["images", "labels"], ["imagesTr", "labelsTr"]];

/// The folders of held-out cases beside `imagesTr`.
const HELD_OUT: [([&str; 2], Split); 2] =
    [(["imagesVa", "labelsVa"], Split::Val), (["imagesTs", "labelsTs"], Split::Test)];

/// Signs between the name of a case and what follows.
const SEPARATORS: [char; 4] = ['_', '-', '.', ' '];

/// The cases of such folders, paired by name. Where there are labels in `labelsVa` or `labelsTs`,
/// their cases are for validation and test, and with the former all others for training.
pub(super) fn from_folders(root: &Path) -> Result<Layout, CohortError> {
    let mut pair = None;
    for folders in FOLDERS {
        let folder = root.join(folders[0]);
        if fault::is_dir(&folder).map_err(StoreError::io("look at the folder", &folder))? {
            pair = Some(folders);
            break;
        }
    }
    let pair = pair.ok_or_else(|| CohortError::NotACohort {
        path: root.to_owned(),
        problem: "the folder has neither images/ nor imagesTr/ nor a cohort.csv, and no DICOM file in it"
            .to_owned(),
    })?;
    let mut parts = vec![Part::read(root, pair, None)?];
    for (folders, split) in HELD_OUT.iter().filter(|_| pair == FOLDERS[1]) {
        let labels = root.join(folders[1]);
        if fault::is_dir(&labels).map_err(StoreError::io("look at the folder", &labels))? {
            parts.push(Part::read(root, *folders, Some(*split))?);
        }
    }
    if parts.iter().any(|part| part.split == Some(Split::Val) && part.has_cases()) {
        parts[0].split = Some(Split::Train);
    }
    let named = parts.iter().flat_map(Part::named_channels);
    let channels = NamedChannels::of_cohort(named);
    let mut cases: Vec<DiscoveredCase> =
        parts.into_iter().flat_map(|part| part.cases(root, &channels)).collect();
    if !cases.iter().any(|found| found.channels.len() > 1) {
        cases.iter_mut().for_each(|found| found.channels.clear());
    }
    Ok(Layout {
        cases,
        channel_names: channels.names(),
        modality: channels.modality(),
        kind: if pair == FOLDERS[0] { "images/ and labels/" } else { "imagesTr/ and labelsTr/" },
        ..Layout::default()
    })
}

/// A folder of images and one of labels.
struct Part {
    split: Option<Split>,
    labels: BTreeMap<String, Vec<PathBuf>>,
    /// The images of each case by what follows its name.
    images: BTreeMap<String, BTreeMap<Suffix, Vec<PathBuf>>>,
}

/// What follows the name of a case in that of an image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Suffix {
    /// nnU-Net's number of the channel, or nothing, which is 0.
    Number(u32),
    /// Its name, as in HECKTOR's `CASE__CT`.
    Name(String),
}

impl Part {
    fn read(
        root: &Path,
        [images, labels]: [&'static str; 2],
        split: Option<Split>,
    ) -> Result<Self, CohortError> {
        let found = volumes(&root.join(images))?;
        let labels_found = with_image_names(volumes(&root.join(labels))?, &found);
        let in_pairs = found.keys().any(|stem| of_case(stem, &labels_found).is_some());
        let is_loose = match found.is_empty() {
            true => is_stack(&root.join(images))?,
            false => are_pictures(&found)? && (!in_pairs || are_named_slices(images, &found)),
        };
        if is_loose {
            let problem = format!(
                "single slices lie in {images}/: put those of each volume into a folder of its own, as in \
                 {images}/CASE/slice_001.png, and its labels into {labels}/CASE/. A 2-D image needs a label map of its name, and \
                 another name than slice"
            );
            return Err(CohortError::NotACohort { path: root.to_owned(), problem });
        }
        let mut part = Self { split, labels: labels_found, images: BTreeMap::new() };
        for (stem, paths) in found {
            let (case, suffix) = of_case(&stem, &part.labels).unwrap_or_else(|| match split_channel(&stem) {
                Some((case, channel)) => (case.to_owned(), Suffix::Number(channel)),
                None => (stem, Suffix::Number(0)),
            });
            part.images.entry(case).or_default().insert(suffix, paths);
        }
        Ok(part)
    }

    fn has_cases(&self) -> bool {
        self.images.keys().any(|case| self.labels.contains_key(case))
    }

    /// The names of the channels of each case that has such.
    fn named_channels(&self) -> impl Iterator<Item = BTreeSet<String>> {
        let names = |suffixes: &BTreeMap<Suffix, Vec<PathBuf>>| {
            let name = |suffix: &Suffix| match suffix {
                Suffix::Name(name) => Some(name.clone()),
                Suffix::Number(_) => None,
            };
            suffixes.keys().filter_map(name).collect()
        };
        self.images.values().map(names)
    }

    fn cases(mut self, root: &Path, channels: &NamedChannels) -> Vec<DiscoveredCase> {
        let mut cases: BTreeMap<String, DiscoveredCase> = BTreeMap::new();
        for (case, images) in std::mem::take(&mut self.images) {
            let label = self.labels.remove(&case);
            let found = cases.entry(case).or_insert_with(|| DiscoveredCase {
                label: label.as_deref().map(one),
                ..DiscoveredCase::default()
            });
            for paths in images.values().chain(&label).filter(|paths| paths.len() > 1) {
                found.refuse_twins(paths);
            }
            let numbers = channels.names();
            let number = |suffix: &Suffix| match suffix {
                Suffix::Number(number) => Some(*number),
                Suffix::Name(name) => {
                    numbers.iter().find(|(_, known)| *known == name).map(|(number, _)| *number)
                }
            };
            let numbered =
                |(suffix, paths): (&Suffix, &Vec<PathBuf>)| (number(suffix).unwrap_or(0), one(paths));
            found.channels = images.iter().map(numbered).collect();
            found.image = found.channels.values().next().cloned();
        }
        let alone =
            |paths: &Vec<PathBuf>| DiscoveredCase { label: Some(one(paths)), ..DiscoveredCase::default() };
        cases.extend(self.labels.iter().map(|(stem, paths)| (stem.clone(), alone(paths))));
        let split = self.split;
        let named = |(stem, mut found): (String, DiscoveredCase)| {
            let below = |path: &Option<PathBuf>| {
                path.as_deref().map(|path| path.strip_prefix(root).unwrap_or(path).to_owned())
            };
            let [image, label] = [&found.image, &found.label].map(below);
            found.name = CaseLabel::of_files(Some(stem), image.as_deref(), label.as_deref());
            found.split = split;
            found
        };
        cases.into_iter().map(named).collect()
    }
}

/// Whether all images are 2-D.
fn are_pictures(images: &BTreeMap<String, Vec<PathBuf>>) -> Result<bool, StoreError> {
    for path in images.values().flatten() {
        if !stack::is_picture(path).map_err(StoreError::io("look at the file", path))? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether all images are slices by their names. In `imagesTr`, as nnU-Net has them, they are 2-D
/// whatever they are called.
fn are_named_slices(folder: &str, images: &BTreeMap<String, Vec<PathBuf>>) -> bool {
    let is_slice = |stem: &String| words(stem).iter().any(|word| word.starts_with("slice"));
    folder == FOLDERS[0][0] && images.keys().all(is_slice)
}

/// The case with a label map that an image's name begins with, and what follows: a number as in
/// nnU-Net, or the name of a channel. nnU-Net's numbers count unless the label bears the whole
/// name.
fn of_case(stem: &str, labels: &BTreeMap<String, Vec<PathBuf>>) -> Option<(String, Suffix)> {
    if labels.contains_key(stem) {
        return Some((stem.to_owned(), Suffix::Number(0)));
    }
    if let Some((case, channel)) = split_channel(stem).filter(|(case, _)| labels.contains_key(*case)) {
        return Some((case.to_owned(), Suffix::Number(channel)));
    }
    let places = stem.char_indices().filter(|(_, c)| SEPARATORS.contains(c)).map(|(place, _)| place);
    places.rev().find_map(|place| {
        let (case, rest) = stem.split_at(place);
        let name = rest.trim_start_matches(SEPARATORS);
        let is_channel = is_image_name(name) && labels.contains_key(case);
        is_channel.then(|| (case.to_owned(), Suffix::Name(name.to_owned())))
    })
}

/// Labels under the names of their images, where these have no `_seg` or the like behind them.
fn with_image_names(
    labels: BTreeMap<String, Vec<PathBuf>>,
    images: &BTreeMap<String, Vec<PathBuf>>,
) -> BTreeMap<String, Vec<PathBuf>> {
    let is_image = |name: &str| {
        images.contains_key(name)
            || images.keys().any(|stem| split_channel(stem).is_some_and(|(c, _)| c == name))
    };
    let image = |stem: &str| {
        let mut places = stem.char_indices().filter(|(_, c)| SEPARATORS.contains(c)).map(|(place, _)| place);
        let image = |place: usize| {
            Some(stem.split_at(place)).filter(|(name, end)| is_image(name) && is_label_name(end))
        };
        places.find_map(image).map(|(name, _)| name.to_owned())
    };
    let taken: BTreeSet<String> = labels.keys().cloned().collect();
    let mut named: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for (stem, paths) in labels {
        let name = if is_image(&stem) { None } else { image(&stem).filter(|name| !taken.contains(name)) };
        named.entry(name.unwrap_or(stem)).or_default().extend(paths);
    }
    named
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
