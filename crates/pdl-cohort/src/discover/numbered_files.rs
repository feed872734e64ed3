//! Images and label maps that bear the number of their case, in one folder or several: LiTS
//! (`volume-7.nii`, `segmentation-7.nii`), BTCV (`img0007.nii.gz`, `label0007.nii.gz`).

use std::collections::BTreeMap;

use pdl_findings::{Code, Finding};

use super::Layout;
use super::volume_files::{VolumeFile, VolumeFiles};
use crate::discover::volume_names::{is_image_word, is_label_word};

/// Prefix of images without a label map.
const TEST: &str = "test-";

/// The names of LiTS's labels.
const LITS: [(u16, &str); 2] = [(1, "liver"), (2, "liver tumour")];

/// The cases of such files; `None` if a volume is named otherwise, or a number is there twice.
pub(super) fn find(files: &VolumeFiles) -> Option<Layout> {
    let mut cases: BTreeMap<u64, [Option<&VolumeFile>; 2]> = BTreeMap::new();
    let mut words: [Option<String>; 2] = [None, None];
    let mut unlabelled = 0;
    for file in &files.volumes {
        let (word, number) = word_and_number(&file.stem)?;
        if word.starts_with(TEST) {
            unlabelled += 1;
            continue;
        }
        let kind = match (is_image_word(&word), is_label_word(&word)) {
            (true, false) => 0,
            (false, true) => 1,
            _ => return None,
        };
        if words[kind].get_or_insert_with(|| word.clone()) != &word {
            return None;
        }
        if cases.entry(number).or_default()[kind].replace(file).is_some() {
            return None;
        }
    }
    if !cases.values().any(|case| case.iter().all(Option::is_some)) {
        return None;
    }
    let [image, label] = &words;
    let is_lits = image.as_deref() == Some("volume") && label.as_deref() == Some("segmentation");
    let label_names = LITS.iter().filter(|_| is_lits).map(|(value, name)| (*value, (*name).to_owned()));
    let path = |file: &Option<&VolumeFile>| file.map(|file| file.path.clone());
    let case = |[image, label]: &[Option<&VolumeFile>; 2]| {
        files.case(None, path(image).as_deref(), path(label).as_deref())
    };
    let message = format!("images for which there are no label maps ({TEST}...) are not used: {unlabelled}");
    let findings = (unlabelled > 0).then(|| Finding::new(Code::ImagesUnused, message));
    Some(Layout {
        cases: cases.values().map(case).collect(),
        label_names: label_names.collect(),
        kind: "images and label maps with the number of their case",
        findings: findings.into_iter().collect(),
        ..Layout::default()
    })
}

/// A name that is a word and a number, such as `volume-7` or `img0007`; the word in lower case.
fn word_and_number(stem: &str) -> Option<(String, u64)> {
    let digits = stem.len() - stem.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let (word, number) = stem.split_at(stem.len() - digits);
    Some((word.trim_end_matches(['-', '_', ' ']).to_lowercase(), number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_word_and_a_number() {
        assert_eq!(word_and_number("volume-7"), Some(("volume".to_owned(), 7)));
        assert_eq!(word_and_number("img0012"), Some(("img".to_owned(), 12)));
        assert_eq!((word_and_number("scan"), word_and_number("p1_seg")), (None, None));
    }
}
