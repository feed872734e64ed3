//! Patients and splits that the names of folders and files state.

use std::collections::BTreeSet;
use std::path::Path;

use pdl_io::stem;

use crate::attributes::Split;
use crate::discover::volume_names::words;

/// Words that come before a patient's number in the name of a folder or file.
const PATIENT_WORDS: [&str; 9] = ["case", "p", "pat", "patient", "petct", "pt", "sub", "subj", "subject"];

/// Words that come before the number of a visit in the name of a folder.
const VISIT_WORDS: [&str; 9] = ["day", "exam", "scan", "ses", "session", "study", "timepoint", "tp", "visit"];

/// Words before the number of a part of one scan, in the name of a file beside [`VISIT_WORDS`].
const PART_WORDS: [&str; 4] = ["frame", "phase", "slc", "slice"];

/// Fewest patients by the names of files that count as such: those of which some can be held out.
const FEWEST_PATIENTS: usize = 3;

/// The first part of a path that names a patient, such as `sub-017` or `Patient_17`: one of the
/// usual words before a number. Else the folder that holds one of a visit, such as `HC017` in
/// `HC017/visit2`.
pub(crate) fn of_path(path: &Path) -> Option<String> {
    let parts: Vec<_> = path.components().map(|part| part.as_os_str().to_string_lossy()).collect();
    let by_word = parts.iter().find_map(|name| by_word(stem(name)));
    let is_visit = |name: &str| {
        word_and_number(name).is_some_and(|(word, _)| VISIT_WORDS.contains(&word.to_lowercase().as_str()))
    };
    let folders = &parts[..parts.len().saturating_sub(1)];
    let by_visit = || folders.windows(2).find(|two| is_visit(&two[1])).map(|two| two[0].to_string());
    by_word.or_else(by_visit)
}

/// Like [`of_path`], of the files in a folder.
pub(crate) fn of_folder(folder: &Path) -> Option<String> {
    of_path(&folder.join("image"))
}

/// The folders of images, if all are named after these, and one holds several.
pub(crate) fn by_folder<'a>(images: impl Iterator<Item = &'a Path> + Clone) -> Option<Vec<String>> {
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

/// The patients of images by their names without endings, where all names state one in the same
/// way and some patient has several images: the usual word before a number (`pat07_b`), what stands
/// before a visit, a frame or a slice (`HC017_visit2`, `volume-7_slice_012`), or before a date
/// (`TCGA_CS_4941_19960909_3`).
pub(crate) fn of_names(names: &[String]) -> Option<Vec<String>> {
    let rules: [fn(&str) -> Option<String>; 4] = [of_brats, by_word, before_visit, before_date];
    rules.into_iter().find_map(|rule| {
        let patients: Vec<String> = names.iter().map(|name| rule(name)).collect::<Option<_>>()?;
        let count = patients.iter().collect::<BTreeSet<_>>().len();
        (count >= FEWEST_PATIENTS && count < names.len()).then_some(patients)
    })
}

/// Since 2023 names of BraTS end with the number of the visit: BraTS-GLI-00000-000.
pub(crate) fn of_brats(name: &str) -> Option<String> {
    let (patient, visit) = name.rsplit_once('-')?;
    let is_number = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    let (_, number) = patient.rsplit_once('-')?;
    (name.starts_with("BraTS-") && visit.len() == 3 && is_number(visit) && is_number(number))
        .then(|| patient.to_owned())
}

fn by_word(name: &str) -> Option<String> {
    let (word, number) = word_and_number(name)?;
    PATIENT_WORDS.contains(&word.to_lowercase().as_str()).then(|| format!("{word}-{number}"))
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

/// The parts of a name between other signs than letters and digits, each with what stands before
/// it.
fn parts(name: &str) -> Vec<(&str, &str)> {
    let is_sign = |c: char| !c.is_ascii_alphanumeric();
    let parts = name.split(is_sign).filter(|part| !part.is_empty());
    // Both lie in one text, so that the difference of their addresses is the place of the part.
    parts.map(|part| (&name[..part.as_ptr() as usize - name.as_ptr() as usize], part)).collect()
}

/// The text before a part of a name, if that may be a patient.
fn before(prefix: &str) -> Option<String> {
    let prefix = prefix.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
    prefix.contains(|c: char| c.is_ascii_digit()).then(|| prefix.to_owned())
}

fn before_visit(name: &str) -> Option<String> {
    let parts = parts(name);
    let is_number = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    let is_visit = |number: usize| {
        let part = parts[number].1.to_lowercase();
        let word = part.trim_end_matches(|c: char| c.is_ascii_digit());
        let has_number =
            word.len() < part.len() || parts.get(number + 1).is_some_and(|(_, next)| is_number(next));
        has_number && (VISIT_WORDS.contains(&word) || PART_WORDS.contains(&word))
    };
    (1..parts.len()).find(|number| is_visit(*number)).and_then(|number| before(parts[number].0))
}

fn before_date(name: &str) -> Option<String> {
    let parts = parts(name);
    let is_date = |number: usize| {
        let part = |further: usize| parts.get(number + further).map_or("", |(_, part)| *part);
        match (part(0).len(), part(1).len(), part(2).len()) {
            (8, ..) => part(0).is_ascii() && is_day(&part(0)[..4], &part(0)[4..6], &part(0)[6..]),
            (4, 2, 2) => is_day(part(0), part(1), part(2)),
            (2, 2, 4) => is_day(part(2), part(0), part(1)) || is_day(part(2), part(1), part(0)),
            _ => false,
        }
    };
    (1..parts.len()).find(|number| is_date(*number)).and_then(|number| before(parts[number].0))
}

/// Whether texts are the year, month and day of an examination.
fn is_day(year: &str, month: &str, day: &str) -> bool {
    let within = |text: &str, range: std::ops::RangeInclusive<u16>| {
        text.chars().all(|c| c.is_ascii_digit()) && text.parse().is_ok_and(|number| range.contains(&number))
    };
    within(year, 1970..=2099) && within(month, 1..=12) && within(day, 1..=31)
}

/// The split that a folder of a path names, such as test in `test/images/a.nii` and training in
/// `dataset-01training/rawdata/a.nii`.
pub(crate) fn split(path: &Path) -> Option<Split> {
    let folder = path.parent()?.to_string_lossy();
    let of_word = |word: String| word.trim_start_matches(|c: char| c.is_ascii_digit()).parse().ok();
    words(&folder).into_iter().find_map(of_word)
}

/// The splits of images by their folders (`train/`, `val/`, `test/`), when all lie in such and not
/// all in one. Without validation cases the training cases have none, so that some of them become
/// that.
pub(crate) fn splits<'a>(images: impl Iterator<Item = &'a Path>) -> Option<Vec<Option<Split>>> {
    let splits: Vec<Split> = images.map(split).collect::<Option<_>>()?;
    let has_val = splits.contains(&Split::Val);
    let drawn = |split: &Split| Some(*split).filter(|split| has_val || *split != Split::Train);
    splits.iter().any(|other| *other != splits[0]).then(|| splits.iter().map(drawn).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patients_are_known_by_the_usual_words_before_a_number() {
        let of = |path: &str| of_path(Path::new(path));
        assert_eq!(of("siteA/subj-098/session1/T1.nii.gz").as_deref(), Some("subj-098"));
        assert_eq!(of("scans/Patient_17/x.nii").as_deref(), Some("Patient-17"));
        assert_eq!(of("images/pt12_day2.nii.gz").as_deref(), Some("pt-12"));
        assert_eq!(of("images/liver_12.nii.gz"), None);
        assert_eq!(of("patients/liver.nii.gz"), None);
        assert_eq!(of("north/HC017/visit2/t1.nii.gz").as_deref(), Some("HC017"));
        assert_eq!(of("HC017/visit2.nii.gz"), None, "a file is no folder of a visit");
    }

    #[test]
    fn visits_of_one_brats_patient_belong_together() {
        assert_eq!(of_brats("BraTS-GLI-00021-001").as_deref(), Some("BraTS-GLI-00021"));
        assert_eq!(of_brats("BraTS2021_00021"), None);
        assert_eq!(of_brats("case-00021-001"), None);
    }

    #[test]
    fn names_of_several_images_state_the_patient_before_a_visit_a_slice_or_a_date() {
        let of = |names: &[&str]| of_names(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        let all =
            |patients: &[&str]| Some(patients.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&["pat1_a", "pat1_b", "pat2_a", "pat3_a"]), all(&["pat-1", "pat-1", "pat-2", "pat-3"]));
        let visits = ["HC1-visit1", "HC1-visit2", "HC2_ses_01", "HC3_tp2"];
        assert_eq!(of(&visits), all(&["HC1", "HC1", "HC2", "HC3"]));
        let slices = ["volume-7_slice_012", "volume-7_slice_013", "volume-8_slice_1", "volume-9_slice_1"];
        assert_eq!(of(&slices), all(&["volume-7", "volume-7", "volume-8", "volume-9"]));
        let dates =
            ["fdg_0a1_03-23-2003-PET", "fdg_0a1_10-01-2004-PET", "TCGA_4_19960909_1", "x2 2001-01-01"];
        assert_eq!(of(&dates), all(&["fdg_0a1", "fdg_0a1", "TCGA_4", "x2"]));
        let brats = ["BraTS-GLI-01-000", "BraTS-GLI-01-001", "BraTS-GLI-02-000", "BraTS-GLI-03-000"];
        assert_eq!(of(&brats), all(&["BraTS-GLI-01", "BraTS-GLI-01", "BraTS-GLI-02", "BraTS-GLI-03"]));
        assert_eq!(of(&["case_1", "case_2", "case_3"]), None, "one image each");
        assert_eq!(of(&["case_1_a", "case_1_b", "case_2_c"]), None, "too few to hold any out");
        assert_eq!(of(&["slice_1", "slice_2", "slice_3", "slice_4"]), None, "no patient stands before it");
        assert_eq!(of(&["pat1_a", "pat1_b", "pat2", "pat3", "other"]), None, "one names none");
        assert_eq!(of(&["a_12345678", "a_99991399", "b_1", "c_1"]), None, "no dates");
    }

    #[test]
    fn folders_named_like_splits_give_them_where_all_cases_lie_in_such() {
        let of = |names: &[&str]| splits(names.iter().map(Path::new));
        let three = ["dataset-01training/a.nii", "02_val/images/b.nii", "Test/c.nii"];
        assert_eq!(of(&three), Some(vec![Some(Split::Train), Some(Split::Val), Some(Split::Test)]));
        assert_eq!(of(&["train/a.nii", "test/b.nii"]), Some(vec![None, Some(Split::Test)]), "val is drawn");
        assert_eq!(of(&["train/a.nii", "train/b.nii"]), None, "all in one");
        assert_eq!(of(&["train/a.nii", "test/b.nii", "images/c.nii"]), None);
        assert_eq!(of(&["test_a.nii", "train_b.nii"]), None, "no folders");
    }
}
