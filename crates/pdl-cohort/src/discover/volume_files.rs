//! The files below a cohort's folder, sorted into volumes, folders of slices, and others that may
//! be DICOM.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use pdl_io::{is_volume_name, stack, stem};

use super::DiscoveredCase;
use crate::discover::volume_names::MAC_FOLDER;
use crate::identity::case_id::CaseLabel;

/// A volume below a cohort's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct VolumeFile {
    /// Relative to the cohort.
    pub path: PathBuf,
    /// The name of the file without its ending.
    pub stem: String,
}

impl VolumeFile {
    /// The folder that it lies in, relative to the cohort.
    pub fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }
}

/// The contents of a cohort's folder; paths are relative to it, in ascending order.
#[derive(Debug, Default)]
pub(super) struct VolumeFiles {
    pub root: PathBuf,
    pub volumes: Vec<VolumeFile>,
    /// Folders with PNG, TIFF or JPEG files in them.
    pub slices: BTreeSet<PathBuf>,
    /// The first file of each folder with other files, which may be DICOM.
    pub others: BTreeMap<PathBuf, PathBuf>,
}

impl VolumeFiles {
    /// Selects the volumes among the files below `root`, without hidden ones.
    pub fn of(root: &Path, files: &[PathBuf]) -> Self {
        let mut found = Self { root: root.to_owned(), ..Self::default() };
        for file in files {
            let Ok(path) = file.strip_prefix(root) else { continue };
            let names = || path.components().map(|part| part.as_os_str().to_string_lossy());
            if names().any(|name| name.starts_with('.') || name == MAC_FOLDER) {
                continue;
            }
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let folder = path.parent().unwrap_or(Path::new("")).to_owned();
            if is_volume_name(&name) {
                found.volumes.push(VolumeFile { path: path.to_owned(), stem: stem(&name).to_owned() });
            } else if stack::is_slice_name(&name) {
                found.slices.insert(folder);
            } else {
                found.others.entry(folder).or_insert_with(|| path.to_owned());
            }
        }
        found.volumes.sort_by(|a, b| a.path.cmp(&b.path));
        found
    }

    /// The volumes of each folder.
    pub fn by_folder(&self) -> BTreeMap<&Path, Vec<&VolumeFile>> {
        let mut folders: BTreeMap<&Path, Vec<&VolumeFile>> = BTreeMap::new();
        self.volumes.iter().for_each(|file| folders.entry(file.folder()).or_default().push(file));
        folders
    }

    /// A case of files below the cohort's folder, with the name that its layout states.
    pub fn case(&self, stated: Option<String>, image: Option<&Path>, label: Option<&Path>) -> DiscoveredCase {
        DiscoveredCase {
            name: CaseLabel::of_files(stated, image, label),
            image: image.map(|path| self.root.join(path)),
            label: label.map(|path| self.root.join(path)),
            ..DiscoveredCase::default()
        }
    }
}

/// The last part of a relative path; empty for the cohort's own folder.
pub(super) fn last_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The names that only one item has; cases are named by them.
pub(super) fn unique<'a>(names: impl Iterator<Item = &'a String>) -> BTreeSet<String> {
    let mut counts: BTreeMap<&String, usize> = BTreeMap::new();
    names.for_each(|name| *counts.entry(name).or_default() += 1);
    counts.into_iter().filter(|(_, count)| *count == 1).map(|(name, _)| name.clone()).collect()
}
