//! A folder for each case, with the role of each file in its name: BraTS (`CASE-t1n`, `CASE-t1c`,
//! ..., `CASE-seg`), KiTS (`imaging`, `segmentation`) and the like.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::named_channels::NamedChannels;
use super::volume_files::{VolumeFile, VolumeFiles, last_name, unique};
use super::{DiscoveredCase, Layout};
use crate::attributes::Modality;
use crate::discover::patient_names;
use crate::discover::volume_names::{is_image_name, is_label_name};

/// The folder of a KiTS case with each annotator's mask of each instance; they are not used.
const INSTANCES: &str = "instances";

/// A case's folder.
struct CaseFolder<'a> {
    name: String,
    folder: &'a Path,
    /// Images by channel name.
    images: BTreeMap<String, &'a VolumeFile>,
    label: Option<&'a VolumeFile>,
}

/// The cases of such folders; `None` if another folder has volumes, or none has a label map.
pub(super) fn find(files: &VolumeFiles) -> Option<Layout> {
    let folders = files.by_folder();
    let mut cases = Vec::new();
    let mut instances = false;
    for (folder, volumes) in &folders {
        let is_of_case = folder.parent().is_some_and(|parent| folders.contains_key(parent));
        if last_name(folder) == INSTANCES && is_of_case {
            instances = true;
            continue;
        }
        cases.push(CaseFolder::of(folder, volumes)?);
    }
    if !cases.iter().any(|case| case.label.is_some() && !case.images.is_empty()) {
        return None;
    }
    let label_names = label_names(&cases, instances);
    let channels = NamedChannels::of_cohort(cases.iter().map(|case| case.images.keys().cloned().collect()));
    let names = unique(cases.iter().map(|case| &case.name));
    let patients = patients(&cases);
    let found = |(number, case): (usize, &CaseFolder<'_>)| {
        let stated = Some(case.name.clone()).filter(|name| names.contains(name));
        let image = case.images.keys().min_by_key(|name| channels.place(name));
        let image = image.map(|name| case.images[name].path.as_path());
        let found = files.case(stated, image, case.label.map(|file| file.path.as_path()));
        let modality = match case.images.len() {
            1 => case.images.keys().next().and_then(|name| modality(name)),
            _ => None,
        };
        DiscoveredCase {
            channels: channels
                .of_case(case.images.iter().map(|(name, file)| (name, files.root.join(&file.path)))),
            patient: patients.as_ref().map(|patients| patients[number].clone()),
            modality,
            ..found
        }
    };
    Some(Layout {
        cases: cases.iter().enumerate().map(found).collect(),
        modality: channels.modality(),
        channel_names: channels.names(),
        label_names,
        kind: "a folder for each case",
        ..Layout::default()
    })
}

impl<'a> CaseFolder<'a> {
    /// `None` if a file of the folder is neither an image nor the label map by its name.
    fn of(folder: &'a Path, volumes: &[&'a VolumeFile]) -> Option<Self> {
        let name = last_name(folder);
        if name.is_empty() {
            return None;
        }
        let mut case = Self { name, folder, images: BTreeMap::new(), label: None };
        for &file in volumes {
            let own = own_name(&file.stem, &case.name);
            let taken = match (is_label_name(&own), is_image_name(&own)) {
                (true, _) => case.label.replace(file).is_some(),
                (false, true) => case.images.insert(own, file).is_some(),
                (false, false) => true,
            };
            if taken {
                return None;
            }
        }
        Some(case)
    }
}

/// A file's name without that of its case, in lower case.
fn own_name(stem: &str, case: &str) -> String {
    let (stem, case) = (stem.to_lowercase(), case.to_lowercase());
    let own = stem.strip_prefix(&case).map(|own| own.trim_start_matches(['-', '_', '.', ' ']));
    own.filter(|own| !own.is_empty()).unwrap_or(&stem).to_owned()
}

/// The modality that the name of the only image states.
fn modality(name: &str) -> Option<Modality> {
    name.parse().ok().filter(|modality| *modality != Modality::OT)
}

/// The patient of each case, if the names of all state one.
fn patients(cases: &[CaseFolder<'_>]) -> Option<Vec<String>> {
    cases
        .iter()
        .map(|case| patient_names::of_brats(&case.name).or_else(|| patient_names::of_folder(case.folder)))
        .collect()
}

/// Names of labels where the layout is that of a data set that documents them: BraTS of adult
/// glioma (1 necrotic core, 2 oedema, enhancing 4 until 2022, then 3), KiTS.
fn label_names(cases: &[CaseFolder<'_>], instances: bool) -> BTreeMap<u16, String> {
    let all = |says: &dyn Fn(&CaseFolder<'_>) -> bool| cases.iter().all(says);
    let of_brats = |enhancing: u16| {
        vec![(1, "necrotic tumour core"), (2, "peritumoural oedema"), (enhancing, "enhancing tumour")]
    };
    let is_kits = |case: &CaseFolder<'_>| {
        let images: BTreeSet<&str> = case.images.keys().map(String::as_str).collect();
        let label = case.label.is_none_or(|file| file.stem == "segmentation");
        images == BTreeSet::from(["imaging"]) && label
    };
    let names = if all(&|case| case.name.starts_with("BraTS20")) {
        of_brats(4)
    } else if all(&|case| case.name.starts_with("BraTS-GLI-")) {
        of_brats(3)
    } else if instances && all(&is_kits) {
        vec![(1, "kidney"), (2, "tumour"), (3, "cyst")]
    } else {
        Vec::new()
    };
    names.into_iter().map(|(value, name)| (value, name.to_owned())).collect()
}
