//! Whether the pictures of a folder are the slices of one volume, or 2-D images.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use pdl_io::{stack, stem};
use pdl_store::StoreError;

use super::path_words::words;
use crate::attributes::Split;
use crate::discover::volume_names::{is_image_word, is_label_word};

/// Whether each folder of pictures below `root` holds the slices of one volume. Pictures of the
/// same names as 2-D images in another folder are 2-D, too, such as images beside `leftMask/`.
///
/// # Errors
/// [`StoreError::Io`] when the machine keeps a file from being read.
pub(super) fn one_volume_each<'a>(
    root: &Path,
    folders: &'a BTreeMap<PathBuf, Vec<PathBuf>>,
) -> Result<BTreeMap<&'a PathBuf, bool>, StoreError> {
    let mut found = BTreeMap::new();
    for (folder, files) in folders {
        found.insert(folder, is_one_volume(root, files)?);
    }
    let flat = folders.iter().filter(|(folder, _)| !found[folder]);
    let names: BTreeSet<Vec<String>> =
        flat.flat_map(|(_, files)| files).map(|path| without_kind(path)).collect();
    for (folder, files) in folders {
        if files.iter().all(|path| names.contains(&without_kind(path))) {
            found.insert(folder, false);
        }
    }
    Ok(found)
}

/// The words of a name that say nothing of its kind.
fn without_kind(path: &Path) -> Vec<String> {
    let mut words = words_of_name(path);
    words.retain(|word| !is_label_word(word) && !is_image_word(word));
    words
}

/// Whether the pictures of a folder below `root` are the slices of one volume, and none of 2-D
/// images or of stacks of their own.
///
/// # Errors
/// [`StoreError::Io`] when the machine keeps a file from being read.
pub(super) fn is_one_volume(root: &Path, files: &[PathBuf]) -> Result<bool, StoreError> {
    let Some(first) = files.first() else { return Ok(false) };
    if holds_pictures(first) || are_of_both_kinds(files) || are_of_several_volumes(files) {
        return Ok(false);
    }
    let path = root.join(first);
    Ok(!stack::has_pages(&path).map_err(StoreError::io("read the file", &path))?)
}

/// Whether the files beside a picture are 2-D images, each a case, as in `train/images/17.png`: no
/// folder of its path is that of a case, and its name is not that of a slice.
fn holds_pictures(file: &Path) -> bool {
    let folder = file.parent().unwrap_or(Path::new(""));
    let is_kind = |word: &String| is_label_word(word) || is_image_word(word) || word.parse::<Split>().is_ok();
    let mut names = folder.components().map(|part| words(Path::new(&part)));
    names.all(|words| words.iter().any(is_kind)) && !words_of_name(file).iter().any(|word| is_slice(word))
}

/// Whether images and their label maps lie beside each other, as `17.png` and `17_mask.png`.
fn are_of_both_kinds(files: &[PathBuf]) -> bool {
    let is_label = |path: &PathBuf| words_of_name(path).iter().any(|word| is_label_word(word));
    files.iter().any(is_label) && !files.iter().all(is_label)
}

/// Whether the names are those of slices of several volumes, as `volume-7_slice_012.png`.
fn are_of_several_volumes(files: &[PathBuf]) -> bool {
    let before_slice = |path: &PathBuf| {
        let words = words_of_name(path);
        let place = words.iter().position(|word| is_slice(word))?;
        Some(words[..place].to_vec())
    };
    let volumes: Option<BTreeSet<Vec<String>>> = files.iter().map(before_slice).collect();
    volumes.is_some_and(|volumes| volumes.len() > 1)
}

fn is_slice(word: &str) -> bool {
    word.starts_with("slice")
}

fn words_of_name(path: &Path) -> Vec<String> {
    words(Path::new(stem(&path.file_name().unwrap_or_default().to_string_lossy())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_cases_of_their_own_where_no_folder_is_that_of_a_case() {
        for picture in ["train/images/17.png", "Training_Data/17.jpg", "masks/17.png"] {
            assert!(holds_pictures(Path::new(picture)), "{picture}");
        }
        for slice in ["train/p1/images/17.png", "case 3/17.png", "images/slice_017.png"] {
            assert!(!holds_pictures(Path::new(slice)), "{slice}");
        }
    }

    #[test]
    fn images_of_the_names_of_2d_masks_are_2d() {
        let names =
            |folder: &str| ["x_1", "x_2"].map(|name| PathBuf::from(format!("{folder}/{name}.png"))).to_vec();
        let folders = ["CXR", "leftMask", "p1"].map(|folder| (PathBuf::from(folder), names(folder)));
        let mut folders = BTreeMap::from(folders);
        folders.insert(PathBuf::from("p1"), vec![PathBuf::from("p1/001.png"), PathBuf::from("p1/002.png")]);
        let found = one_volume_each(Path::new(""), &folders).unwrap();
        assert_eq!(found.into_values().collect::<Vec<_>>(), [false, false, true]);
    }

    #[test]
    fn images_beside_their_masks_and_slices_of_several_volumes_are_2d() {
        let one = |names: &[&str]| {
            is_one_volume(Path::new(""), &names.iter().map(PathBuf::from).collect::<Vec<_>>()).unwrap()
        };
        assert!(one(&["p1/1.png", "p1/2.png"]) && one(&["p1/masks/1.png", "p1/masks/2.png"]));
        assert!(!one(&["benign/b (1).png", "benign/b (1)_mask.png"]));
        assert!(!one(&["images/volume-7_slice_1.png", "images/volume-8_slice_1.png"]));
        assert!(one(&["images/slice_1.png", "images/slice_2.png"]));
    }
}
