//! A folder of images and one of label maps, whose files pair by their names: `images/` and
//! `labels/`, others that are called alike (`img/`, `masks/`), or `imagesTr/` and `labelsTr/` with
//! `Va` (`Val`) and `Ts` (`Test`) beside them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use pdl_findings::{Code, Finding};
use pdl_io::{is_volume_name, stack, stem};
use pdl_store::plural::counted;
use pdl_store::{StoreError, fault};
use unicode_normalization::UnicodeNormalization;

use super::description::{file_name, shown};
use super::named_channels::NamedChannels;
use super::{DiscoveredCase, Layout, is_stack};
use crate::CohortError;
use crate::attributes::Split;
use crate::discover::volume_names::{is_image_folder, is_image_name, is_label_folder, is_label_name, words};
use crate::identity::case_id::CaseLabel;

/// Ending of 3-D Slicer's segmentations, before `.nrrd`.
const SEGMENTATION: &str = ".seg";

/// The folders of the training cases.
const FOLDERS: [[&str; 2]; 2] = [["images", "labels"], ["imagesTr", "labelsTr"]];

/// The name of the layout of Decathlon and nnU-Net.
pub(super) const DECATHLON: &str = "imagesTr/ and labelsTr/";

/// The folders of held-out cases beside `imagesTr`.
const HELD_OUT: [([&str; 2], Split); 4] = [
    (["imagesVa", "labelsVa"], Split::Val),
    (["imagesVal", "labelsVal"], Split::Val),
    (["imagesTs", "labelsTs"], Split::Test),
    (["imagesTest", "labelsTest"], Split::Test),
];

/// Most names that a message lists.
const MOST_NAMES: usize = 5;

/// Signs between the name of a case and what follows.
const SEPARATORS: [char; 4] = ['_', '-', '.', ' '];

/// The cases of such folders, paired by name. If there are labels in `labelsVa` or `labelsTs`,
/// their cases are validation and test cases, and with the former all others are training cases.
pub(super) fn from_folders(root: &Path) -> Result<Layout, CohortError> {
    let problem = "the folder has neither images/ nor imagesTr/ nor a cohort.csv, and no DICOM file in it";
    let none = || CohortError::NotACohort { path: root.to_owned(), problem: problem.to_owned() };
    let pair = folders_of(root)?.ok_or_else(none)?;
    let is_split = pair[0] == FOLDERS[1][0];
    let [images, labels] = pair.each_ref().map(String::as_str);
    let mut parts = vec![Part::read(root, [images, labels], None)?];
    let mut findings = Vec::new();
    for (folders, split) in HELD_OUT.iter().filter(|_| is_split) {
        let labels = root.join(folders[1]);
        if fault::is_dir(&labels).map_err(StoreError::io("look at the folder", &labels))? {
            parts.push(Part::read(root, *folders, Some(*split))?);
        } else {
            findings.extend(unlabelled(&volumes(&root.join(folders[0]))?, *folders));
        }
    }
    let is_usual = FOLDERS.contains(&[images, labels]);
    if let Some(problem) = parts[0].problem([images, labels], is_usual) {
        return Err(unpaired(root, problem));
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
        kind: match (is_split, pair == FOLDERS[0]) {
            (true, _) => DECATHLON,
            (false, true) => "images/ and labels/",
            (false, false) => "a folder of images and one of label maps",
        },
        findings,
        ..Layout::default()
    })
}

fn unpaired(root: &Path, problem: String) -> CohortError {
    CohortError::FoldersUnpaired { path: root.to_owned(), problem }
}

/// The names of the folders of images and of label maps; nothing where there is none of images, or
/// more than one may be that of either.
fn folders_of(root: &Path) -> Result<Option<[String; 2]>, CohortError> {
    let folders: Vec<String> = subfolders(root)?.iter().map(|path| file_name(path)).collect();
    let has = |name: &str| folders.iter().any(|folder| folder == name);
    for [images, labels] in FOLDERS {
        if has(images) && (has(labels) || images == FOLDERS[1][0]) {
            return Ok(Some([images, labels].map(str::to_owned)));
        }
    }
    let one = |is: &dyn Fn(&str) -> bool| {
        let mut found = folders.iter().filter(|name| !name.starts_with('.') && is(name));
        found.next().filter(|_| found.next().is_none()).cloned()
    };
    if let (Some(images), Some(labels)) = (one(&is_image_folder), one(&is_label_folder)) {
        return Ok(Some([images, labels]));
    }
    let of_labels: Vec<&str> =
        folders.iter().map(String::as_str).filter(|name| is_label_folder(name)).collect();
    match (has(FOLDERS[0][0]), of_labels.len()) {
        (true, 0 | 1) => Ok(Some(FOLDERS[0].map(str::to_owned))),
        (true, _) => {
            let [images, _] = FOLDERS[0];
            let problem = format!(
                "several folders may hold the label maps of {images}/ ({}): write a table with the columns image and label",
                of_labels.join(", ")
            );
            Err(unpaired(root, problem))
        }
        (false, _) => Ok(None),
    }
}

/// The folders in a folder.
///
/// # Errors
/// [`StoreError`] when the machine keeps it from being listed.
pub(super) fn subfolders(root: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let mut folders = Vec::new();
    for entry in fault::list(root).map_err(StoreError::io("list the folder", root))? {
        let path = entry.path();
        // Most file systems tell what an entry is with its name.
        let known = entry.file_type().ok().filter(|kind| !kind.is_symlink());
        let is_folder = known.map_or_else(|| fault::is_dir(&path), |kind| Ok(kind.is_dir()));
        if is_folder.map_err(StoreError::io("look at the folder", &path))? {
            folders.push(path);
        }
    }
    folders.sort();
    Ok(folders)
}

/// Finding about images of held-out cases for which there is no folder of label maps.
fn unlabelled(images: &BTreeMap<String, Vec<PathBuf>>, [folder, labels]: [&str; 2]) -> Option<Finding> {
    let message = format!(
        "{} in {folder}/ are not used, as there is no {labels}/: to compare them with the others, give {folder}/ in a \
         table, with a blank label",
        counted(images.len(), "image")
    );
    (!images.is_empty()).then(|| Finding::new(Code::ImagesUnused, message))
}

/// A folder of images and one of labels.
struct Part {
    split: Option<Split>,
    labels: BTreeMap<String, Vec<PathBuf>>,
    /// The images of each case by what follows its name.
    images: BTreeMap<String, BTreeMap<Suffix, Vec<PathBuf>>>,
}

/// The part of an image's name after that of its case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Suffix {
    /// nnU-Net's number of the channel; 0 without a suffix.
    Number(u32),
    /// Name, as in HECKTOR's `CASE__CT`.
    Name(String),
}

impl Part {
    fn read(root: &Path, [images, labels]: [&str; 2], split: Option<Split>) -> Result<Self, CohortError> {
        let found = volumes(&root.join(images))?;
        let in_labels = volumes(&root.join(labels))?;
        if in_labels.is_empty() && !found.is_empty() {
            check_inner_folders(root, labels)?;
        }
        let labels_found = with_image_names(with_spelling(in_labels, &found), &found);
        let in_pairs = found.keys().any(|stem| of_case(stem, &labels_found).is_some());
        let is_loose = match found.is_empty() {
            true => is_stack(&root.join(images))?,
            false => are_pictures(&found)? && (!in_pairs || are_named_slices(images, &found)),
        };
        if is_loose {
            let problem = format!(
                "{images}/ has single slices: put those of each volume into a separate folder, as in \
                 {images}/CASE/slice_001.png, and its labels into {labels}/CASE/. A 2-D image needs a label map of its \
                 name, and another name than slice"
            );
            return Err(unpaired(root, problem));
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

    /// Describes the problem that there are images and label maps, but no two with one name. Where
    /// the folders have other names than usual, there must be such.
    fn problem(&self, [images, labels]: [&str; 2], is_usual: bool) -> Option<String> {
        if self.has_cases() {
            return None;
        }
        let Some((image, label)) = self.images.keys().next().zip(self.labels.keys().next()) else {
            let is_nothing = !is_usual || self.images.is_empty() && self.labels.is_empty();
            return is_nothing.then(|| format!("no image lies in {images}/ itself"));
        };
        Some(format!(
            "no label map in {labels}/ has the name of an image in {images}/ (the first are {label} and {image}): name each \
             label map like its image, or with _seg appended, or write a table with the columns image and label"
        ))
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

/// Refuses a folder of label maps that holds them in folders of its own, as one for each annotator
/// or structure: their images would count as unlabelled.
fn check_inner_folders(root: &Path, labels: &str) -> Result<(), CohortError> {
    let path = root.join(labels);
    if !fault::is_dir(&path).map_err(StoreError::io("look at the folder", &path))? {
        return Ok(());
    }
    let mut inner = Vec::new();
    for folder in subfolders(&path)? {
        if !volumes(&folder)?.is_empty() {
            inner.push(shown(&file_name(&folder)));
        }
    }
    if inner.is_empty() {
        return Ok(());
    }
    let problem = format!(
        "the label maps in {labels}/ lie in folders of their own ({}): write a table with the columns image and label, or \
         label_NAME for each structure, or let `pdl init` propose one",
        listed(&inner)
    );
    Err(unpaired(root, problem))
}

/// The first of some names, and how many more there are.
fn listed(names: &[String]) -> String {
    let shown: Vec<&str> = names.iter().take(MOST_NAMES).map(String::as_str).collect();
    match names.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
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

/// Whether all images are slices by their names. In `imagesTr` (nnU-Net) they are 2-D images
/// whatever their names.
fn are_named_slices(folder: &str, images: &BTreeMap<String, Vec<PathBuf>>) -> bool {
    let is_slice = |stem: &String| words(stem).iter().any(|word| word.starts_with("slice"));
    !folder.starts_with(FOLDERS[1][0]) && images.keys().all(is_slice)
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

/// Labels whose names are those of images but for upper and lower case, under the images' names.
fn with_spelling(
    labels: BTreeMap<String, Vec<PathBuf>>,
    images: &BTreeMap<String, Vec<PathBuf>>,
) -> BTreeMap<String, Vec<PathBuf>> {
    let mut spellings: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for stem in images.keys() {
        let case = split_channel(stem).map_or(stem.as_str(), |(case, _)| case);
        for name in [stem, case] {
            spellings.entry(name.to_lowercase()).or_default().insert(name);
        }
    }
    let taken: BTreeSet<String> = labels.keys().cloned().collect();
    let mut found: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for (stem, paths) in labels {
        let known = spellings.get(&stem.to_lowercase()).filter(|known| known.len() == 1);
        let other = known.and_then(|known| known.first()).filter(|name| !taken.contains(**name));
        found.entry(other.map_or(stem, |name| (*name).to_owned())).or_default().extend(paths);
    }
    found
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
/// files, such as the `._` files that macOS writes into archives, are skipped.
fn volumes(folder: &Path) -> Result<BTreeMap<String, Vec<PathBuf>>, CohortError> {
    if !fault::is_dir(folder).map_err(StoreError::io("look at the folder", folder))? {
        return Ok(BTreeMap::new());
    }
    let mut found: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for entry in fault::list(folder).map_err(StoreError::io("list the folder", folder))? {
        let path = entry.path();
        let name = file_name(&path);
        if !name.starts_with('.') && (is_volume_name(&name) || is_stack(&path)?) {
            found.entry(stem_of_pair(&name).nfc().collect()).or_default().push(path);
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
