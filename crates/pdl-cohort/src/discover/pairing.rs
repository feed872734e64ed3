//! Pairs images with labels in a folder of volumes without a known layout.
//!
//! Pairs rely on names alone, so the result is a proposal for a person to check, never a cohort by
//! itself: [`crate::discover::find`] does not use it.

mod families;
mod path_words;
mod pictures;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use pdl_io::{is_volume_name, stack, stem};
use pdl_store::StoreError;

use self::path_words::words;
use crate::attributes::Split;
use crate::discover::dicom_folder;
use crate::discover::patient_names;
use crate::discover::volume_names::{MAC_FOLDER, channel_order, is_image_word, is_label_word, is_sequence};
use crate::discover::walk;

/// An image and the label map that its name goes with; paths are relative to the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePair {
    /// Path of the image, relative to the cohort.
    pub image: PathBuf,
    /// The label map, or the first of the masks of its structures; `None` in an archive without
    /// labels.
    pub label: Option<PathBuf>,
    /// All images of the case by their distinguishing words, if it has several.
    pub channels: BTreeMap<String, PathBuf>,
    /// The masks of its structures by their distinguishing words, if it has several.
    pub structures: BTreeMap<String, PathBuf>,
}

impl FilePair {
    fn new(image: &Path, label: &Path) -> Self {
        Self {
            image: image.to_owned(),
            label: Some(label.to_owned()),
            channels: BTreeMap::new(),
            structures: BTreeMap::new(),
        }
    }
}

/// Images and label maps of a folder, paired by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paired {
    /// Images with the one label map that goes with each, by image.
    pub pairs: Vec<FilePair>,
    /// Volumes without a partner, or with several; relative paths, ascending.
    pub alone: Vec<PathBuf>,
}

/// Words that the name of a label map may have more than its image's, or fewer, when no other fits.
const MOST_FURTHER: usize = 2;

/// Cases with the same kinds of files that make these channels or structures.
const FEWEST_ALIKE: usize = 2;

impl Paired {
    /// Names of the channels in their order; none where each case has one image.
    pub fn channels(&self) -> Vec<String> {
        let mut names: Vec<String> = self.names(|pair| &pair.channels);
        names.sort_by_key(|name| channel_order(name));
        names
    }

    /// Names of the structures; none where each case has one label map.
    pub fn structures(&self) -> Vec<String> {
        self.names(|pair| &pair.structures)
    }

    fn names(&self, of: impl Fn(&FilePair) -> &BTreeMap<String, PathBuf>) -> Vec<String> {
        let names: BTreeSet<String> = self.pairs.iter().flat_map(|pair| of(pair).keys().cloned()).collect();
        names.into_iter().collect()
    }

    /// The patient of each pair by the path of its image, when every path names one, or every image
    /// is named after its folder and some folders hold several, as in `001/001_SA_ED.nii`, or the
    /// names of the images state them.
    pub fn patients(&self) -> Option<Vec<String>> {
        let images = || self.pairs.iter().map(|pair| pair.image.as_path());
        let stems =
            || images().map(|path| stem(&path.file_name().unwrap_or_default().to_string_lossy()).to_owned());
        let by_path = images().map(patient_names::of_path).collect::<Option<_>>();
        by_path
            .or_else(|| patient_names::by_folder(images()))
            .or_else(|| patient_names::of_names(&stems().collect::<Vec<_>>()))
    }

    /// The split of each pair by the folders of its image (`train/`, `val/`, `test/`), when all
    /// lie in such and not all in one; without validation cases only test cases have one.
    pub fn splits(&self) -> Option<Vec<Option<Split>>> {
        patient_names::splits(self.pairs.iter().map(|pair| pair.image.as_path()))
    }
}

/// Pairs the volumes anywhere below `root` by their names; a folder of slices or of DICOM files is
/// a volume, too. A file is a label map when a word of its path is one of "label", "seg", "mask"
/// and the like; it goes with the image whose path has the same other words, or, where there is
/// just one, with that to which one or two words are added or missing. Several images or several
/// masks with the same distinguishing words in most cases are channels or structures.
///
/// # Errors
/// [`StoreError::Io`] if an error of the machine prevents a folder or a file from being inspected.
pub fn pair(root: &Path) -> Result<Paired, StoreError> {
    let files = walk::files_below(root)?
        .into_iter()
        .filter_map(|path| path.strip_prefix(root).ok().map(Path::to_owned))
        .filter(|path| !path.components().any(|part| is_hidden(&part.as_os_str().to_string_lossy())));
    let mut slices: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
    let mut volumes: BTreeSet<PathBuf> = BTreeSet::new();
    let mut others: BTreeSet<PathBuf> = BTreeSet::new();
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let folder = file.parent().unwrap_or(Path::new("")).to_owned();
        if is_volume_name(&name) {
            volumes.insert(file);
        } else if stack::is_slice_name(&name) {
            slices.entry(folder).or_default().push(file);
        } else {
            others.insert(folder);
        }
    }
    for (folder, is_one) in pictures::one_volume_each(root, &slices)? {
        match is_one {
            true => volumes.extend([folder.clone()]),
            false => volumes.extend(slices[folder].iter().cloned()),
        }
    }
    for folder in others {
        let path = root.join(&folder);
        let is_series = dicom_folder::is_flat_series(&path);
        if is_series.map_err(|source| StoreError::Machine {
            what: "a file".to_owned(),
            path: None,
            source,
        })? {
            volumes.insert(folder);
        }
    }
    Ok(pair_names(volumes.into_iter().filter(|path| *path != Path::new("")).collect()))
}

/// Whether a name is that of a hidden file, or of a folder with what macOS adds to archives.
fn is_hidden(name: &str) -> bool {
    name.starts_with('.') || name == MAC_FOLDER
}

/// Files without the words of images and label maps in their paths, images first.
type Groups = BTreeMap<Words, [Vec<PathBuf>; 2]>;

fn pair_names(files: Vec<PathBuf>) -> Paired {
    let mut groups = Groups::new();
    for path in files {
        let words = words(&path);
        let is_label = words.iter().any(|word| is_label_word(word));
        let said = |word: &String| is_label_word(word) || is_image_word(word);
        let key = words.into_iter().filter(|word| !said(word)).collect();
        groups.entry(key).or_default()[usize::from(is_label)].push(path);
    }
    let mut paired = Paired::default();
    for group in groups.values() {
        paired.pairs.extend(one_pair(group).or_else(|| by_modality(group)).unwrap_or_default());
    }
    let left = |paired: &Paired| left_of(&groups, paired);
    paired.pairs.extend(families::in_folders(&left(&paired)));
    let rest = left(&paired);
    for (image, label) in nearly_alike(&rest) {
        let one = |key: &Words, kind: usize| rest.get(key).and_then(|group| group[kind].first());
        if let (Some(image), Some(label)) = (one(&image, 0), one(&label, 1)) {
            paired.pairs.push(FilePair::new(image, label));
        }
    }
    paired.pairs.extend(families::of_one_stem(&left(&paired)));
    paired.pairs.extend(families::by_stem(&left(&paired)));
    paired.pairs.extend(one_of_each(&left(&paired)));
    paired.alone = left(&paired).into_values().flatten().flatten().collect();
    paired.pairs.sort_by(|a, b| a.image.cmp(&b.image));
    paired.alone.sort();
    paired
}

/// The files that no pair has.
fn left_of(groups: &Groups, paired: &Paired) -> Groups {
    let files = |pair: &FilePair| {
        let several = pair.channels.values().chain(pair.structures.values());
        several.chain([&pair.image]).chain(&pair.label).cloned().collect::<Vec<_>>()
    };
    let taken: BTreeSet<PathBuf> = paired.pairs.iter().flat_map(files).collect();
    let left = |kind: &Vec<PathBuf>| -> Vec<PathBuf> {
        kind.iter().filter(|path| !taken.contains(*path)).cloned().collect()
    };
    let group = |(words, kinds): (&Words, &[Vec<PathBuf>; 2])| (words.clone(), kinds.each_ref().map(left));
    groups.iter().map(group).filter(|(_, kinds)| kinds.iter().any(|kind| !kind.is_empty())).collect()
}

/// The pair of a group of one image and one label map.
fn one_pair([images, labels]: &[Vec<PathBuf>; 2]) -> Option<Vec<FilePair>> {
    let ([image], [label]) = (images.as_slice(), labels.as_slice()) else { return None };
    Some(vec![FilePair::new(image, label)])
}

/// The pairs of a group in which the same words stand for images of several modalities, such as
/// `ct_train_1001_image` and `mr_train_1001_image`, if each has a label map.
fn by_modality([images, labels]: &[Vec<PathBuf>; 2]) -> Option<Vec<FilePair>> {
    let mut kinds: BTreeMap<Words, [Vec<PathBuf>; 2]> = BTreeMap::new();
    for (kind, paths) in [images, labels].into_iter().enumerate() {
        for path in paths {
            let key = words(path).into_iter().filter(|word| is_sequence(word)).collect();
            kinds.entry(key).or_default()[kind].push(path.clone());
        }
    }
    let pairs: Option<Vec<Vec<FilePair>>> = kinds.values().map(one_pair).collect();
    pairs.map(|pairs| pairs.into_iter().flatten().collect())
}

type Words = BTreeSet<String>;

/// Pairs of the volumes that are left, where every folder with some of them holds one image and one
/// label map, such as `case7/Series.nrrd` and `case7/Segmentation.seg.nrrd`.
fn one_of_each(groups: &Groups) -> Vec<FilePair> {
    let mut folders: BTreeMap<&Path, [Vec<&PathBuf>; 2]> = BTreeMap::new();
    for kinds in groups.values() {
        for (kind, paths) in kinds.iter().enumerate() {
            for path in paths {
                let folder = path.parent().unwrap_or(Path::new(""));
                folders.entry(folder).or_default()[kind].push(path);
            }
        }
    }
    let pair = |[images, labels]: &[Vec<&PathBuf>; 2]| match (images.as_slice(), labels.as_slice()) {
        ([image], [label]) => Some(FilePair::new(image, label)),
        _ => None,
    };
    let pairs: Option<Vec<FilePair>> = folders.values().map(pair).collect();
    pairs.filter(|pairs| pairs.len() >= FEWEST_ALIKE).unwrap_or_default()
}

impl Paired {
    /// Takes volumes that have no partner as images without labels, if none is a label map by its
    /// name and their names differ in numbers alone: an archive that is not annotated.
    #[must_use]
    pub fn or_unlabelled(mut self) -> Self {
        let stem_words = |path: &PathBuf| words(Path::new(path.file_name().unwrap_or_default()));
        let kinds: BTreeSet<Vec<String>> = self
            .alone
            .iter()
            .map(|path| stem_words(path).iter().map(|word| without_number(word)).collect())
            .collect();
        let has_label = self.alone.iter().any(|path| is_label(path));
        if self.pairs.is_empty() && kinds.len() == 1 && !has_label && !self.are_twins() {
            let image = |image: PathBuf| FilePair { label: None, ..FilePair::new(&image, Path::new("")) };
            self.pairs = std::mem::take(&mut self.alone).into_iter().map(image).collect();
        }
        self
    }
}

impl Paired {
    /// Whether the volumes without a partner lie in several folders under the same names, as images
    /// and their label maps do.
    fn are_twins(&self) -> bool {
        let mut folders: BTreeMap<&OsStr, BTreeSet<&Path>> = BTreeMap::new();
        for path in &self.alone {
            let folder = path.parent().unwrap_or(Path::new(""));
            folders.entry(path.file_name().unwrap_or_default()).or_default().insert(folder);
        }
        let mut sets = folders.values();
        let first = sets.next();
        folders.len() > 1 && first.is_some_and(|first| first.len() > 1 && sets.all(|other| other == first))
    }

    /// A label map by its name that has no partner.
    pub(crate) fn label_alone(&self) -> Option<&PathBuf> {
        self.alone.iter().find(|path| is_label(path))
    }
}

/// Whether a file is a label map by its name.
fn is_label(path: &Path) -> bool {
    words(path).iter().any(|word| is_label_word(word))
}

/// A word with one sign for each run of digits.
fn without_number(word: &str) -> String {
    let mut kind = String::new();
    for c in word.chars() {
        match c.is_ascii_digit() {
            true if kind.ends_with('#') => {}
            true => kind.push('#'),
            false => kind.push(c),
        }
    }
    kind
}

/// Images and label maps, by their words, that match each other alone if one or two words more or
/// fewer are allowed.
fn nearly_alike(groups: &Groups) -> Vec<(Words, Words)> {
    let has = |words: &Words, kind: usize| groups.get(words).is_some_and(|group| !group[kind].is_empty());
    let mut edges: BTreeSet<(Words, Words)> = BTreeSet::new();
    for words in groups.keys() {
        for fewer in fewer(words) {
            if has(words, 1) && has(&fewer, 0) {
                edges.insert((fewer.clone(), words.clone()));
            }
            if has(words, 0) && has(&fewer, 1) {
                edges.insert((words.clone(), fewer));
            }
        }
    }
    let mut degree: BTreeMap<(usize, &Words), usize> = BTreeMap::new();
    for (image, label) in &edges {
        *degree.entry((0, image)).or_default() += groups[label][1].len();
        *degree.entry((1, label)).or_default() += groups[image][0].len();
    }
    let alone = |(image, label): &&(Words, Words)| degree[&(0, image)] == 1 && degree[&(1, label)] == 1;
    edges.iter().filter(alone).cloned().collect()
}

/// `words` without one, and without two of them.
fn fewer(words: &Words) -> BTreeSet<Words> {
    let mut all = BTreeSet::from([words.clone()]);
    for _ in 0..MOST_FURTHER {
        let shorter = all.iter().flat_map(|words| {
            words.iter().map(|word| words.iter().filter(|w| *w != word).cloned().collect::<Words>())
        });
        let shorter: Vec<Words> = shorter.filter(|words| !words.is_empty()).collect();
        all.extend(shorter);
    }
    all.remove(words);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paired(names: &[&str]) -> Paired {
        pair_names(names.iter().map(PathBuf::from).collect())
    }

    fn of(image: &str, label: &str) -> FilePair {
        FilePair::new(Path::new(image), Path::new(label))
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
    fn a_word_more_or_less_is_let_pass_when_nothing_else_fits() {
        let names =
            ["A/s1/T1.nii.gz", "A/s1/T1_hippo-mask.nii.gz", "A/s2/T1.nii.gz", "A/s2/T1_hippo-mask.nii.gz"];
        let found = paired(&names);
        assert_eq!(found.pairs, [of(names[0], names[1]), of(names[2], names[3])]);
        assert_eq!(paired(&["s1_t2.nii", "s1_seg.nii"]).pairs, [of("s1_t2.nii", "s1_seg.nii")]);
        // Two images or two label maps of a scan: which is meant, only a person knows.
        let several =
            ["s1_t1.nii", "s1_t2.nii", "s1_seg.nii", "s3.nii", "s3_liver_seg.nii", "s3_spleen_seg.nii"];
        let found = paired(&several);
        assert_eq!((found.pairs.len(), found.alone.len()), (0, 6), "{found:?}");
    }

    #[test]
    fn files_that_differ_in_the_same_words_in_all_cases_are_channels_or_structures() {
        let channels = ["1", "2"].map(|n| ["t1", "flair", "seg"].map(|kind| format!("p{n}/p{n} {kind}.nii")));
        let names: Vec<&str> = channels.iter().flatten().map(String::as_str).collect();
        let found = paired(&names);
        assert_eq!((found.pairs.len(), found.alone.len()), (2, 0), "{found:?}");
        assert_eq!(found.channels(), ["t1", "flair"]);
        assert_eq!(found.pairs[0].image, PathBuf::from("p1/p1 t1.nii"));
        let structures =
            ["1", "2"].map(|n| ["", "_liver_seg", "_spleen_seg"].map(|kind| format!("s{n}{kind}.nii")));
        let names: Vec<&str> = structures.iter().flatten().map(String::as_str).collect();
        let found = paired(&names);
        assert_eq!(
            (found.pairs.len(), found.structures()),
            (2, vec!["liver".to_owned(), "spleen".to_owned()])
        );
        let raters =
            ["1", "2"].map(|n| ["", "_rater1_seg", "_rater2_seg"].map(|kind| format!("s{n}{kind}.nii")));
        let names: Vec<&str> = raters.iter().flatten().map(String::as_str).collect();
        assert_eq!(paired(&names).pairs, []);
    }

    #[test]
    fn a_folder_with_one_image_and_one_label_map_is_a_case_whatever_they_are_called() {
        let names =
            ["c1", "c2"].map(|c| [format!("{c}/1 Some Series.nrrd"), format!("{c}/Segmentation.seg.nrrd")]);
        let names: Vec<&str> = names.iter().flatten().map(String::as_str).collect();
        assert_eq!(paired(&names).pairs, [of(names[0], names[1]), of(names[2], names[3])]);
        let further = [&names[..], &["c3/1 Some Series.nrrd"]].concat();
        assert_eq!(paired(&further).pairs, []);
    }

    #[test]
    fn folders_that_their_images_are_named_after_are_patients_where_one_holds_several() {
        let of = |names: &[&str]| paired(names).patients();
        let two = ["d/001/001_SA.nii", "d/001/001_SA_gt.nii", "d/001/001_LA.nii", "d/001/001_LA_gt.nii"];
        let other = ["d/002/002_SA.nii", "d/002/002_SA_gt.nii"];
        assert_eq!(of(&[&two[..], &other].concat()).unwrap(), ["001", "001", "002"]);
        assert_eq!(of(&other), None);
        assert_eq!(of(&["001/a.nii", "001/a_gt.nii", "001/b.nii", "001/b_gt.nii"]), None);
    }

    #[test]
    fn volumes_of_one_kind_are_an_archive_without_labels() {
        let unlabelled = |names: &[&str]| paired(names).or_unlabelled().pairs.len();
        assert_eq!(unlabelled(&["s01.nii", "s2.nii", "x/s003.nii"]), 3);
        assert_eq!(unlabelled(&["1/T1.nii", "1/FLAIR.nii"]), 0, "two kinds");
        assert_eq!(unlabelled(&["a1_seg.nii", "a2_seg.nii"]), 0, "label maps");
        assert_eq!(
            unlabelled(&["i/a1.nii", "i/a2.nii", "l/a1.nii", "l/a2.nii"]),
            0,
            "which may be label maps"
        );
        assert_eq!(unlabelled(&["s1/ct.nii", "s2/ct.nii"]), 2, "a folder for each");
    }

    #[test]
    fn what_could_go_with_two_is_left_to_the_user() {
        let found = paired(&["a_ct.nii.gz", "a_mr.nii.gz", "a_mask.nii.gz", "b.nii", "b_gt.nii"]);
        assert_eq!(found.pairs, [of("b.nii", "b_gt.nii")]);
        assert_eq!(found.alone.len(), 3);
    }

    #[test]
    fn files_of_one_name_pair_across_folders() {
        let luna = [
            "subset0/1.3.6.nii",
            "subset1/1.3.7.nii",
            "seg-lungs-LUNA16/1.3.6.nii",
            "seg-lungs-LUNA16/1.3.7.nii",
        ];
        assert_eq!(paired(&luna).pairs, [of(luna[0], luna[2]), of(luna[1], luna[3])]);
        let both =
            ["ct", "mr"].map(|m| ["image", "label"].map(|kind| format!("{m}_train/{m}_1001_{kind}.nii")));
        let names: Vec<&str> = both.iter().flatten().map(String::as_str).collect();
        assert_eq!(paired(&names).pairs, [of(names[0], names[1]), of(names[2], names[3])]);
        let sequences =
            ["T1/001.nii", "T2/001.nii", "seg/001.nii", "T1/002.nii", "T2/002.nii", "seg/002.nii"];
        let found = paired(&sequences);
        assert_eq!((found.pairs.len(), found.channels()), (2, vec!["t1".to_owned(), "t2".to_owned()]));
        let pi_cai = ["1_10", "2_20"].map(|c| {
            ["images/P/_t2w", "images/P/_adc", "labels/human_expert/"].map(|path| {
                let (folder, kind) = path.rsplit_once('/').unwrap();
                format!("{}/{c}{kind}.mha", folder.replace('P', &c[..1]))
            })
        });
        let names: Vec<&str> = pi_cai.iter().flatten().map(String::as_str).collect();
        assert_eq!(
            (paired(&names).pairs.len(), paired(&names).channels()),
            (2, vec!["t2w".into(), "adc".into()])
        );
        let sides = ["1", "2"]
            .map(|n| ["CXR/", "Manual/leftMask/", "Manual/rightMask/"].map(|f| format!("{f}x_{n}.png")));
        let names: Vec<&str> = sides.iter().flatten().map(String::as_str).collect();
        assert_eq!(paired(&names).structures(), ["left", "right"]);
    }

    #[test]
    fn structures_keep_the_order_of_their_words_and_lose_what_all_have() {
        let kinds = ["_IMG_CT", "_OAR_lung_left.seg", "_OAR_heart.seg", "_OAR_A_Carotid_L.seg"];
        let cases = ["case_1", "case_2"].map(|case| kinds.map(|kind| format!("{case}/{case}{kind}.nrrd")));
        let names: Vec<&str> = cases.iter().flatten().map(String::as_str).collect();
        let found = paired(&names);
        assert_eq!(found.structures(), ["a_carotid_l", "heart", "lung_left"]);
        assert_eq!((found.pairs.len(), found.alone.len()), (2, 0));
    }

    #[test]
    fn masks_of_several_annotators_are_left_to_the_user() {
        let raters = ["1", "2"].map(|n| {
            ["p/x_flair", "masks/x_mask1", "masks/x_mask2"].map(|k| k.replace('x', &format!("t{n}")) + ".nii")
        });
        let names: Vec<&str> = raters.iter().flatten().map(String::as_str).collect();
        assert_eq!(paired(&names).pairs, []);
        assert_eq!(paired(&names).label_alone(), Some(&PathBuf::from("masks/t1_mask1.nii")));
    }
}
