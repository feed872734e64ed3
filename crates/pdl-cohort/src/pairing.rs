//! Pairs images with labels in a folder of volumes whose layout nobody stated.
//!
//! Names are all there is to go by, so what comes out is a proposal for a person to look at, never a cohort by itself:
//! [`crate::layout::find`] does not use it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use pdl_io::{is_volume_name, stem};

/// Words in a path that make a file a label map.
const LABEL_WORDS: [&str; 18] = [
    "annotation",
    "annotations",
    "contour",
    "contours",
    "gt",
    "label",
    "labels",
    "labelstr",
    "lbl",
    "mask",
    "masks",
    "roi",
    "seg",
    "segmentation",
    "segmentations",
    "segs",
    "structures",
    "truth",
];

/// Words in a path that say no more than that a file is an image.
const IMAGE_WORDS: [&str; 14] = [
    "ct", "image", "images", "imagestr", "img", "imgs", "mr", "mri", "scan", "scans", "vol", "volume",
    "volumes", "data",
];

/// An image and the label map that its name goes with; paths are relative to the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The image.
    pub image: PathBuf,
    /// The label map.
    pub label: PathBuf,
}

/// What the names of a folder's volumes say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paired {
    /// Images with the one label map that goes with each, by image.
    pub pairs: Vec<Pair>,
    /// Volumes without a partner, or with several; relative paths, ascending.
    pub alone: Vec<PathBuf>,
}

/// Pairs the volumes anywhere below `root` by their names. A file is a label map when a word of its path is one of
/// "label", "seg", "mask" and the like; it goes with the image whose path has the same other words.
pub fn pair(root: &Path) -> Paired {
    let files: Vec<PathBuf> = pdl_dicom::files_below(root)
        .into_iter()
        .filter_map(|path| path.strip_prefix(root).ok().map(Path::to_owned))
        .filter(|path| path.file_name().is_some_and(|name| is_volume_name(&name.to_string_lossy())))
        .filter(|path| !path.components().any(|part| part.as_os_str().to_string_lossy().starts_with('.')))
        .collect();
    pair_names(files)
}

fn pair_names(files: Vec<PathBuf>) -> Paired {
    let mut groups: BTreeMap<BTreeSet<String>, [Vec<PathBuf>; 2]> = BTreeMap::new();
    for path in files {
        let words = words(&path);
        let is_label = words.iter().any(|word| LABEL_WORDS.contains(&word.as_str()));
        let said =
            |word: &String| LABEL_WORDS.contains(&word.as_str()) || IMAGE_WORDS.contains(&word.as_str());
        let key = words.into_iter().filter(|word| !said(word)).collect();
        groups.entry(key).or_default()[usize::from(is_label)].push(path);
    }
    let mut paired = Paired::default();
    for [images, labels] in groups.into_values() {
        match (images.as_slice(), labels.as_slice()) {
            ([image], [label]) => paired.pairs.push(Pair { image: image.clone(), label: label.clone() }),
            _ => paired.alone.extend(images.into_iter().chain(labels)),
        }
    }
    paired.pairs.sort_by(|a, b| a.image.cmp(&b.image));
    paired.alone.sort();
    paired
}

/// The words of a path in lower case, without the file's ending: what stands between other signs than letters and
/// digits.
fn words(path: &Path) -> Vec<String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let folder = path.parent().unwrap_or(Path::new("")).to_string_lossy();
    let text = format!("{folder}/{}", stem(&name)).to_lowercase();
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paired(names: &[&str]) -> Paired {
        pair_names(names.iter().map(PathBuf::from).collect())
    }

    fn of(image: &str, label: &str) -> Pair {
        Pair { image: image.into(), label: label.into() }
    }

    #[test]
    fn pairs_are_found_beside_each_other_and_in_folders_of_their_own() {
        let found = paired(&["p1/scan.nii.gz", "p1/Scan_seg.nii.gz", "p2/scan.nii.gz", "p2/scan-SEG.nii"]);
        assert_eq!(
            found.pairs,
            [of("p1/scan.nii.gz", "p1/Scan_seg.nii.gz"), of("p2/scan.nii.gz", "p2/scan-SEG.nii")]
        );
        let found = paired(&["MRI/a 7.nrrd", "masks/a_7.nrrd", "masks/a_8.nrrd"]);
        assert_eq!(found.pairs, [of("MRI/a 7.nrrd", "masks/a_7.nrrd")]);
        assert_eq!(found.alone, [PathBuf::from("masks/a_8.nrrd")]);
    }

    #[test]
    fn what_could_go_with_two_is_left_to_the_user() {
        let found = paired(&["a_ct.nii.gz", "a_mr.nii.gz", "a_mask.nii.gz", "b.nii", "b_gt.nii"]);
        assert_eq!(found.pairs, [of("b.nii", "b_gt.nii")]);
        assert_eq!(found.alone.len(), 3);
    }
}
