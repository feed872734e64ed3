//! Rules for the values of label maps, and voxels that say nothing.

use std::path::Path;

use pdl_cohort::cases::Cases;
use pdl_curriculum::manifest::Manifest;
use pdl_tests::run_ok;

use crate::{cohort_of, curate, folder};

fn labels(out: &Path, file: &str) -> Vec<u16> {
    pdl_io::read_labels(&out.join(file)).unwrap().map.voxels
}

fn index(cohort: &Path, out: &Path, flags: &[&str]) -> Cases {
    let words = ["index", cohort.to_str().unwrap(), "--out", out.to_str().unwrap(), "--modality", "CT"];
    run_ok(&[&words[..], flags].concat());
    Cases::read(out).unwrap()
}

#[test]
fn values_are_chosen_renamed_and_merged_and_images_stay_where_they_are() {
    let (cohort, out) = (folder(), folder());
    cohort_of(cohort.path(), 0..3);
    let plain = index(cohort.path(), &out.path().join("plain"), &[]);
    let ruled = index(cohort.path(), &out.path().join("ruled"), &["--structures", "3=heart,1=lung,2=lung"]);
    let names: Vec<(u16, &str)> =
        ruled.label_names.iter().map(|(value, name)| (*value, name.as_str())).collect();
    assert_eq!(names, [(1, "heart"), (2, "lung")]);
    for (before, after) in plain.rows.iter().zip(&ruled.rows) {
        assert_eq!((&before.case_id, &before.image_blake3), (&after.case_id, &after.image_blake3));
        assert!(after.image.ends_with(&format!("images/{}.nii.gz", before.case_id)));
        assert!(!after.image.starts_with("volumes"), "{}", after.image);
        let old = labels(&out.path().join("plain"), before.label.as_ref().unwrap());
        let new = labels(&out.path().join("ruled"), after.label.as_ref().unwrap());
        let rule = |value: u16| [0, 2, 2, 1].get(usize::from(value)).copied().unwrap_or(0);
        assert!(old.iter().zip(&new).all(|(old, new)| rule(*old) == *new));
        assert_eq!(after.labels.iter().map(|label| label.value).collect::<Vec<_>>(), [1, 2]);
    }
    let before = pdl_tests::files(&out.path().join("ruled"));
    index(cohort.path(), &out.path().join("ruled"), &["--structures", "3=heart,1=lung,2=lung"]);
    assert!(before == pdl_tests::files(&out.path().join("ruled")));
}

#[test]
fn the_label_called_ignore_is_none() {
    let (sample, cohort, out) = (folder(), folder(), folder());
    cohort_of(sample.path(), 0..8);
    for (from, to) in [("images", "imagesTr"), ("labels", "labelsTr")] {
        std::fs::rename(sample.path().join(from), cohort.path().join(to)).unwrap();
    }
    let dataset = r#"{"channel_names": {"0": "CT"}, "labels": {"background": 0, "a": 1, "b": 2, "c": 3, "d": 4, "ignore": 5}}"#;
    std::fs::write(cohort.path().join("dataset.json"), dataset).unwrap();
    curate(cohort.path(), out.path(), &["--no-report", "--proxy-size", "16"]);
    let cases = Cases::read(out.path()).unwrap();
    assert!(cases.rows.iter().all(|row| row.labels.iter().all(|label| label.value < 5)));
    assert!(cases.rows.iter().all(|row| !row.labels_annotated.contains(&5)));
    assert!(cases.findings.iter().any(|finding| finding.code.as_str() == "label-ignored"));
    let manifest = Manifest::open(out.path()).unwrap();
    assert_eq!(manifest.info.index.ignored_label(), Some(5));
    assert!(manifest.info.labels.iter().all(|label| label.value != 5));

    // A rule that leaves everything else out leaves it what it is, under the next value.
    let ruled = index(cohort.path(), &out.path().join("ruled"), &["--structures", "a=a"]);
    assert_eq!(ruled.parameters.ignored_label(), Some(2));
    let row = &ruled.rows[0];
    let [old, new] = [(out.path().to_owned(), &cases.rows), (out.path().join("ruled"), &ruled.rows)].map(
        |(folder, rows)| {
            let row = rows.iter().find(|other| other.case_id == row.case_id).unwrap();
            labels(&folder, row.label.as_ref().unwrap())
        },
    );
    assert!(old.contains(&5) && old.iter().zip(&new).all(|(old, new)| (*old == 5) == (*new == 2)));
}
