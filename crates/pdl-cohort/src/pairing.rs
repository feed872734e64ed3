//! Pairs images with labels in a folder of volumes without a known layout.
//!
//! Pairs rely on names alone, so the result is a proposal for a person to check, never a cohort by
//! itself: [`crate::discover::find`] does not use it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use pdl_io::{is_volume_name, stack, stem};
use pdl_store::StoreError;
use unicode_normalization::UnicodeNormalization;

use crate::attributes::Split;
use crate::dicom_folder;
use crate::volume_names::{channel_order, is_image_word, is_label_word};
use crate::walk;

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

/// Words that come before a patient's number in the name of a folder or file.
const PATIENT_WORDS: [&str; 9] = ["case", "p", "pat", "patient", "petct", "pt", "sub", "subj", "subject"];

/// Words that come before the number of a visit in the name of a folder.
const VISIT_WORDS: [&str; 9] = ["day", "exam", "scan", "ses", "session", "study", "timepoint", "tp", "visit"];

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

    /// The patient of each pair by the path of its image, when every path names one as [`patient`]
    /// finds it, or every image is named after its folder and some folders hold several, as in
    /// `001/001_SA_ED.nii`.
    pub fn patients(&self) -> Option<Vec<String>> {
        let images = || self.pairs.iter().map(|pair| pair.image.as_path());
        images().map(patient).collect::<Option<_>>().or_else(|| by_folder(images()))
    }

    /// The split of each pair by the folders of its image (`train/`, `val/`, `test/`), when all
    /// lie in such and not all in one.
    pub fn splits(&self) -> Option<Vec<Split>> {
        let splits: Vec<Split> = self.pairs.iter().map(|pair| split(&pair.image)).collect::<Option<_>>()?;
        splits.iter().any(|other| *other != splits[0]).then_some(splits)
    }
}

/// The split that a folder of a path names, such as test in `test/images/a.nii`.
fn split(path: &Path) -> Option<Split> {
    words(path.parent()?).iter().find_map(|word| word.parse().ok())
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
        .filter(|path| !path.components().any(|part| part.as_os_str().to_string_lossy().starts_with('.')));
    // Folders of slices, and whether each of them is a volume as a whole.
    let mut folders: BTreeMap<PathBuf, bool> = BTreeMap::new();
    let mut volumes: BTreeSet<PathBuf> = BTreeSet::new();
    let mut others: BTreeSet<PathBuf> = BTreeSet::new();
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if is_volume_name(&name) {
            volumes.insert(file);
        } else if stack::is_slice_name(&name) {
            let folder = file.parent().unwrap_or(Path::new("")).to_owned();
            let is_whole = match folders.get(&folder) {
                Some(is_whole) => *is_whole,
                None if holds_pictures(&file) => false,
                None => {
                    let path = root.join(&file);
                    !stack::has_pages(&path).map_err(StoreError::io("read the file", &path))?
                }
            };
            folders.insert(folder.clone(), is_whole);
            volumes.insert(if is_whole { folder } else { file });
        } else if let Some(folder) = file.parent() {
            others.insert(folder.to_owned());
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

/// Whether the files beside a picture are 2-D images, each a case, as in `train/images/17.png`: no
/// folder of its path is that of a case, and its name is not that of a slice.
fn holds_pictures(file: &Path) -> bool {
    let folder = file.parent().unwrap_or(Path::new(""));
    let is_kind = |word: &String| is_label_word(word) || is_image_word(word) || word.parse::<Split>().is_ok();
    let mut names = folder.components().map(|part| words(Path::new(&part)));
    let is_slice = words(Path::new(file.file_name().unwrap_or_default()));
    names.all(|words| words.iter().any(is_kind)) && !is_slice.iter().any(|word| word.starts_with("slice"))
}

fn pair_names(files: Vec<PathBuf>) -> Paired {
    let mut groups: BTreeMap<Words, [Vec<PathBuf>; 2]> = BTreeMap::new();
    for path in files {
        let words = words(&path);
        let is_label = words.iter().any(|word| is_label_word(word));
        let said = |word: &String| is_label_word(word) || is_image_word(word);
        let key = words.into_iter().filter(|word| !said(word)).collect();
        groups.entry(key).or_default()[usize::from(is_label)].push(path);
    }
    let mut paired = Paired::default();
    groups.retain(|_, group| {
        let [images, labels] = group;
        let ([image], [label]) = (images.as_slice(), labels.as_slice()) else { return true };
        paired.pairs.push(FilePair::new(image, label));
        false
    });
    for (image, label) in nearly_alike(&groups) {
        let one = |key: &Words, kind: usize| groups.get(key).and_then(|group| group[kind].first());
        if let (Some(image), Some(label)) = (one(&image, 0), one(&label, 1)) {
            paired.pairs.push(FilePair::new(image, label));
        }
    }
    let known = |paired: &Paired| -> BTreeSet<PathBuf> {
        let files = |pair: &FilePair| {
            let several = pair.channels.values().chain(pair.structures.values());
            several.chain([&pair.image]).chain(&pair.label).cloned().collect::<Vec<_>>()
        };
        paired.pairs.iter().flat_map(files).collect()
    };
    let taken = known(&paired);
    let left = groups.iter().map(|(words, kinds)| {
        let left = |kind: &Vec<PathBuf>| kind.iter().filter(|path| !taken.contains(*path)).cloned().collect();
        (words, [left(&kinds[0]), left(&kinds[1])])
    });
    paired.pairs.extend(families(&left.collect()));
    let taken = known(&paired);
    paired.pairs.extend(one_of_each(&groups, &taken));
    let known = known(&paired);
    paired.alone =
        groups.values().flatten().flatten().filter(|path| !known.contains(*path)).cloned().collect();
    paired.pairs.sort_by(|a, b| a.image.cmp(&b.image));
    paired.alone.sort();
    paired
}

type Words = BTreeSet<String>;

/// Pairs of the volumes that are left, where every folder with some of them holds one image and one
/// label map, such as `case7/Series.nrrd` and `case7/Segmentation.seg.nrrd`.
fn one_of_each(groups: &BTreeMap<Words, [Vec<PathBuf>; 2]>, taken: &BTreeSet<PathBuf>) -> Vec<FilePair> {
    let mut folders: BTreeMap<&Path, [Vec<&PathBuf>; 2]> = BTreeMap::new();
    for kinds in groups.values() {
        for (kind, paths) in kinds.iter().enumerate() {
            for path in paths.iter().filter(|path| !taken.contains(*path)) {
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
        let has_label = self.alone.iter().any(|path| words(path).iter().any(|word| is_label_word(word)));
        if self.pairs.is_empty() && kinds.len() == 1 && !has_label {
            let image = |image: PathBuf| FilePair { label: None, ..FilePair::new(&image, Path::new("")) };
            self.pairs = std::mem::take(&mut self.alone).into_iter().map(image).collect();
        }
        self
    }
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

/// Cases of several images and one label map, or of one image and several label maps, if their
/// distinguishing words are the same in most of such cases: then they are channels or structures.
/// Words for versions of a label map do not count.
fn families(groups: &BTreeMap<&Words, [Vec<PathBuf>; 2]>) -> Vec<FilePair> {
    [1, 0].into_iter().flat_map(|one| families_of(groups, one)).collect()
}

/// Words that distinguish versions of a label map, and not structures.
const VERSION_WORDS: [&str; 14] = [
    "annotator",
    "auto",
    "corrected",
    "final",
    "instance",
    "manual",
    "observer",
    "old",
    "pred",
    "prediction",
    "rater",
    "reader",
    "reviewed",
    "version",
];

/// Of each file of the kind `one` (0 images, 1 label maps) those of the other kind whose words are
/// its own and further ones.
fn families_of(groups: &BTreeMap<&Words, [Vec<PathBuf>; 2]>, one: usize) -> Vec<FilePair> {
    let mut found: Vec<(PathBuf, BTreeMap<String, PathBuf>)> = Vec::new();
    for (words, kinds) in groups {
        let [file] = kinds[one].as_slice() else { continue };
        let further = groups.iter().filter_map(|(other, kinds)| {
            let own =
                other.is_superset(words).then(|| other.difference(words).cloned().collect::<Vec<_>>())?;
            let [path] = kinds[1 - one].as_slice() else { return None };
            let is_name = !own.is_empty() && own.len() <= MOST_FURTHER;
            (is_name && path.parent() == file.parent()).then(|| (own.join("_"), path.clone()))
        });
        let several: BTreeMap<String, PathBuf> = further.collect();
        if several.len() > 1 {
            found.push((file.clone(), several));
        }
    }
    let mut sets: BTreeMap<Vec<&String>, usize> = BTreeMap::new();
    found.iter().for_each(|(_, several)| *sets.entry(several.keys().collect()).or_default() += 1);
    let is_version = |name: &String| {
        name.split('_').any(|word| {
            VERSION_WORDS.contains(&word.trim_end_matches(|c: char| c.is_ascii_digit()))
                || word.chars().all(|c| c.is_ascii_digit())
        })
    };
    let most = sets.values().copied().max().unwrap_or(0);
    let versions = found.iter().any(|(_, several)| several.keys().any(is_version));
    if most < FEWEST_ALIKE || 2 * most < found.len() || versions {
        return Vec::new();
    }
    let case = |(file, several): (PathBuf, BTreeMap<String, PathBuf>)| {
        let first = several.keys().min_by_key(|name| channel_order(name)).map(|name| several[name].clone());
        let first = first.unwrap_or_default();
        match one {
            1 => FilePair { channels: several, ..FilePair::new(&first, &file) },
            _ => FilePair { structures: several, ..FilePair::new(&file, &first) },
        }
    };
    found.into_iter().map(case).collect()
}

/// Images and label maps, by their words, that match each other alone if one or two words more or
/// fewer are allowed.
fn nearly_alike(groups: &BTreeMap<Words, [Vec<PathBuf>; 2]>) -> Vec<(Words, Words)> {
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

/// The first part of a path that names a patient, such as `sub-017` or `Patient_17`: one of the
/// usual words before a number. Else the folder that holds one of a visit, such as `HC017` in
/// `HC017/visit2`.
pub fn patient(path: &Path) -> Option<String> {
    let parts: Vec<_> = path.components().map(|part| part.as_os_str().to_string_lossy()).collect();
    let mut named = parts.iter().filter_map(|name| word_and_number(stem(name)));
    let by_word = named.find(|(word, _)| PATIENT_WORDS.contains(&word.to_lowercase().as_str()));
    let is_visit = |name: &str| {
        word_and_number(name).is_some_and(|(word, _)| VISIT_WORDS.contains(&word.to_lowercase().as_str()))
    };
    let folders = &parts[..parts.len().saturating_sub(1)];
    let by_visit = || folders.windows(2).find(|two| is_visit(&two[1])).map(|two| two[0].to_string());
    by_word.map(|(word, number)| format!("{word}-{number}")).or_else(by_visit)
}

/// The folders of images, if all are named after these, and one holds several.
fn by_folder<'a>(images: impl Iterator<Item = &'a Path> + Clone) -> Option<Vec<String>> {
    let of_image = |image: &'a Path| {
        let folder = image.parent()?;
        let name = folder.file_name()?.to_string_lossy().into_owned();
        let further = image.file_name()?.to_str()?.strip_prefix(name.as_str())?;
        let is_named = name.contains(|c: char| c.is_ascii_digit()) && further.starts_with(['_', '-', ' ']);
        is_named.then_some((folder, name))
    };
    let named: Vec<(&Path, String)> = images.map(of_image).collect::<Option<_>>()?;
    let folders: BTreeSet<&Path> = named.iter().map(|(folder, _)| *folder).collect();
    let names: BTreeSet<&String> = named.iter().map(|(_, name)| name).collect();
    let are_told_apart = names.len() == folders.len();
    (folders.len() < named.len() && are_told_apart)
        .then(|| named.iter().map(|(_, name)| name.clone()).collect())
}

/// As [`patient`], of the files in a folder.
pub(crate) fn patient_of_folder(folder: &Path) -> Option<String> {
    patient(&folder.join("image"))
}

/// A name that begins with a word and goes on with a number, such as `sub-017` or `pt12_day2`:
/// both.
fn word_and_number(name: &str) -> Option<(&str, String)> {
    let letters = name.chars().take_while(|c| c.is_ascii_alphabetic()).count();
    let (word, rest) = name.split_at(letters);
    let rest = rest.trim_start_matches(['-', '_', ' ']);
    let number: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
    number.contains(|c: char| c.is_ascii_digit()).then_some((word, number))
}

/// The words of a path in lower case, without the file's ending: maximal runs of letters and
/// digits.
fn words(path: &Path) -> Vec<String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let folder = path.parent().unwrap_or(Path::new("")).to_string_lossy();
    // macOS decomposes accents, which others compose.
    let text = format!("{folder}/{}", stem(&name)).to_lowercase().nfc().collect::<String>();
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_owned).collect()
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
    fn patients_are_known_by_the_usual_words_before_a_number() {
        let of = |path: &str| patient(Path::new(path));
        assert_eq!(of("siteA/subj-098/session1/T1.nii.gz").as_deref(), Some("subj-098"));
        assert_eq!(of("scans/Patient_17/x.nii").as_deref(), Some("Patient-17"));
        assert_eq!(of("images/pt12_day2.nii.gz").as_deref(), Some("pt-12"));
        assert_eq!(of("images/liver_12.nii.gz"), None);
        assert_eq!(of("patients/liver.nii.gz"), None);
        assert_eq!(of("north/HC017/visit2/t1.nii.gz").as_deref(), Some("HC017"));
        assert_eq!(of("HC017/visit2.nii.gz"), None, "a file is no folder of a visit");
    }

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
    fn folders_named_like_splits_give_them_where_all_cases_lie_in_such() {
        let of = |names: &[&str]| paired(names).splits();
        let two = ["train/images/a.nii", "train/labels/a.nii", "Test/images/b.nii", "Test/labels/b.nii"];
        assert_eq!(of(&two), Some(vec![Split::Test, Split::Train]));
        assert_eq!(of(&two[..2]), None, "all in one");
        let loose = [&two[..], &["images/c.nii", "labels/c.nii"]].concat();
        assert_eq!(of(&loose), None);
        assert_eq!(
            of(&["test_a.nii", "test_a_seg.nii", "train_b.nii", "train_b_seg.nii"]),
            None,
            "no folders"
        );
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
    }

    #[test]
    fn what_could_go_with_two_is_left_to_the_user() {
        let found = paired(&["a_ct.nii.gz", "a_mr.nii.gz", "a_mask.nii.gz", "b.nii", "b_gt.nii"]);
        assert_eq!(found.pairs, [of("b.nii", "b_gt.nii")]);
        assert_eq!(found.alone.len(), 3);
    }
}
