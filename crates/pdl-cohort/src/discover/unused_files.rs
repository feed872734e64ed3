//! Files beside the images of a cohort that may state patients or splits, and are not read.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use pdl_findings::{Code, Finding};
use pdl_io::is_volume_name;
use pdl_store::plural::counted;
use pdl_store::{StoreError, fault};

use super::DiscoveredCase;
use super::description::{file_name, shown};
use super::folders::subfolders;
use super::maskable_finding::MaskableFinding;
use crate::attributes::Split;
use crate::discover::volume_names::words;

/// Endings of tables.
const TABLES: [&str; 8] = ["csv", "tsv", "jsonl", "xls", "xlsx", "ods", "parquet", "feather"];
/// Endings of lists, which matter where their name is one of splits.
const LISTS: [&str; 5] = ["json", "txt", "yaml", "yml", "pkl"];
/// Files that hold nothing of patients, or are told of elsewhere.
const KNOWN: [&str; 3] = ["samples.tsv", "metadata_schema.csv", "splits_final.json"];
/// Endings of files of volumes, or of archives of such, that are not read.
const UNREAD: [&str; 16] = [
    ".mgz", ".mgh", ".npy", ".npz", ".mat", ".h5", ".hdf5", ".mnc", ".vtk", ".vti", ".pt", ".zarr", ".zip",
    ".tar", ".tar.gz", ".tgz",
];
/// Endings of pictures that are not read.
const UNREAD_PICTURES: [&str; 10] = ["gif", "bmp", "webp", "ppm", "pgm", "pbm", "pnm", "jp2", "j2k", "tga"];
/// Prefixes of the names of hidden folders and of folders that a layout knows.
const OF_LAYOUT: [&str; 3] = [".", "images", "labels"];
/// Words of the names of lists of splits.
const SPLIT_WORDS: [&str; 4] = ["split", "splits", "fold", "folds"];

/// Finding about such files in the folder of a cohort itself, other than those that were `read`
/// with its layout.
///
/// # Errors
/// [`StoreError`] if the machine keeps the folder from being listed.
pub(super) fn beside(folder: &Path, read: &[&str]) -> Result<Option<MaskableFinding>, StoreError> {
    let mut names = Vec::new();
    for entry in fault::list(folder).map_err(StoreError::io("list the folder", folder))? {
        let path = entry.path();
        let is_read = read.contains(&file_name(&path).as_str());
        if !is_read
            && may_describe(&path)
            && fault::is_file(&path).map_err(StoreError::io("look at the file", &path))?
        {
            names.push(shown(&file_name(&path)));
        }
    }
    names.sort();
    let message = |files: String| {
        format!(
            "files beside the cohort are not read, and may state patients or splits: {files}. To use what they state, write it \
             into a cohort.csv with the columns image, label, patient and split (`pdl help layouts`)"
        )
    };
    Ok((!names.is_empty()).then(|| MaskableFinding {
        finding: Finding::new(Code::FilesUnused, message(names.join(", "))),
        nameless: message(names.len().to_string()),
    }))
}

/// Finding about folders in that of a cohort that hold volumes, none of which is used: images
/// without labels, or predictions.
///
/// # Errors
/// [`StoreError`] if the machine keeps a folder from being listed.
pub(super) fn folders_beside(
    root: &Path,
    cases: &[DiscoveredCase],
) -> Result<Option<MaskableFinding>, StoreError> {
    let files = cases.iter().flat_map(|found| {
        found.image.iter().chain(&found.label).chain(found.channels.values()).chain(found.structures.values())
    });
    let used: BTreeSet<&OsStr> =
        files.filter_map(|path| path.strip_prefix(root).ok()?.iter().next()).collect();
    let (mut found, mut all) = (Vec::new(), 0);
    for folder in subfolders(root)? {
        let name = file_name(&folder);
        // Of images that are held out without labels (`imagesTs`) the layout says so.
        let is_told = OF_LAYOUT.iter().any(|start| name.starts_with(start));
        if cases.is_empty() || is_told || used.contains(OsStr::new(&name)) {
            continue;
        }
        let listed = fault::list(&folder).map_err(StoreError::io("list the folder", &folder))?;
        let is_volume = |entry: &&fs::DirEntry| is_volume_name(&entry.file_name().to_string_lossy());
        let volumes = listed.iter().filter(is_volume).count();
        if volumes > 0 {
            all += volumes;
            found.push(format!("{} ({})", shown(&name), counted(volumes, "volume")));
        }
    }
    let message = |folders: String| {
        format!(
            "folders beside those of the cohort hold volumes that are not used: {folders}. Images without a label take part \
             where they lie beside the others"
        )
    };
    let nameless = message(format!("{} ({})", counted(found.len(), "folder"), counted(all, "volume")));
    Ok((!found.is_empty()).then(|| MaskableFinding {
        finding: Finding::new(Code::ImagesUnused, message(found.join(", "))),
        nameless,
    }))
}

/// Describes the problem with a folder without volumes, if its files are of formats that are not
/// read.
pub(super) fn unread_formats(files: &[PathBuf]) -> Option<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for path in files {
        let name = file_name(path).to_lowercase();
        if is_volume_name(&name) {
            return None;
        }
        if let Some(ending) = UNREAD.iter().find(|ending| name.ends_with(**ending)) {
            *counts.entry((*ending).to_owned()).or_default() += 1;
        }
    }
    let listed: Vec<String> = counts.iter().map(|(ending, count)| format!("{ending} ({count})")).collect();
    let problem = format!(
        "its files are of formats that are not read: {}. Unpack archives, and convert volumes to NIfTI",
        listed.join(", ")
    );
    (!listed.is_empty()).then_some(problem)
}

/// What is said of pictures of formats that are not read, by their endings; `None` if there are
/// none.
pub(super) fn unread_pictures(files: &[PathBuf]) -> Option<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for path in files {
        let ending = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        if let Some(ending) = UNREAD_PICTURES.iter().find(|known| **known == ending) {
            *counts.entry(ending).or_default() += 1;
        }
    }
    let listed: Vec<String> = counts.iter().map(|(ending, count)| format!(".{ending} ({count})")).collect();
    let text = format!(
        "pictures of formats that are not read: {}; convert them to PNG without loss",
        listed.join(", ")
    );
    (!listed.is_empty()).then_some(text)
}

/// Finding about such pictures in the folder of a cohort and in those directly below it.
///
/// # Errors
/// [`StoreError`] if the machine keeps a folder from being listed.
pub(super) fn pictures_beside(root: &Path) -> Result<Option<Finding>, StoreError> {
    let mut files = Vec::new();
    for folder in subfolders(root)?.into_iter().chain([root.to_owned()]) {
        let listed = fault::list(&folder).map_err(StoreError::io("list the folder", root))?;
        files.extend(listed.iter().map(fs::DirEntry::path));
    }
    Ok(unread_pictures(&files)
        .map(|told| Finding::new(Code::PicturesUnread, format!("the cohort's folder has {told}"))))
}

fn may_describe(path: &Path) -> bool {
    let name = file_name(path).to_lowercase();
    if name.starts_with('.') || KNOWN.contains(&name.as_str()) {
        return false;
    }
    let ending = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
    let is_of_splits = |word: &String| SPLIT_WORDS.contains(&word.as_str()) || word.parse::<Split>().is_ok();
    TABLES.contains(&ending.as_str())
        || LISTS.contains(&ending.as_str()) && words(&stem).iter().any(is_of_splits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_and_lists_of_splits_may_describe_a_cohort() {
        for name in [
            "Clinical.XLSX",
            "info.csv",
            "meta.csv",
            "metadata.jsonl",
            "train.txt",
            "split.json",
            "my_folds.json",
            "validation.txt",
        ] {
            assert!(may_describe(Path::new(name)), "{name}");
        }
        for name in ["samples.tsv", "README.txt", "dataset.json", "splits_final.json", ".a.csv", "a.nii.gz"] {
            assert!(!may_describe(Path::new(name)), "{name}");
        }
    }
}
