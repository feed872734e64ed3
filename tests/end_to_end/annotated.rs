//! Labels that some cases lack: they are absent by default, and what a user states otherwise
//! counts.

use std::path::Path;

use pdl_cohort::table::cases::Cases;
use pdl_curriculum::manifest::Manifest;
use pdl_io::nifti;
use pdl_tests::run;

use crate::{cohort_of, curate, folder};

/// Eight cases; the label maps of the last four are changed by `change` (case number, label).
fn cohort(folder: &Path, change: impl Fn(usize, u16) -> u16) {
    cohort_of(folder, 0..8);
    for case in 5..=8 {
        let path = folder.join(format!("labels/ct_{case:02}.nii.gz"));
        let mut map = pdl_io::read_labels(&path).unwrap().map;
        map.voxels.iter_mut().for_each(|label| *label = change(case, *label));
        nifti::write_labels(&path, &map).unwrap();
    }
}

fn labels_annotated(out: &Path) -> Vec<Vec<u16>> {
    let mut rows = Cases::read(out).unwrap().rows;
    rows.sort_by(|a, b| a.case_id.cmp(&b.case_id));
    rows.into_iter().map(|row| row.labels_annotated).collect()
}

/// What `pdl curate` tells on stderr.
fn told(cohort: &Path, out: &Path, flags: &[&str]) -> String {
    let mut words = vec!["curate", cohort.to_str().unwrap(), "--out", out.to_str().unwrap(), "--no-report"];
    words.extend(["--proxy-size", "16"].iter().chain(flags));
    let output = run(&words);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{errors}");
    errors
}

#[test]
fn an_absent_label_is_absent_and_negatives_stay() {
    let (cohort_folder, out) = (folder(), folder());
    // The heart is absent from 5 to 7, and 8 has no label at all.
    cohort(cohort_folder.path(), |case, label| if case == 8 || label == 3 { 0 } else { label });
    let errors = told(cohort_folder.path(), out.path(), &[]);
    let all = Cases::read(out.path()).unwrap().rows[0].labels_annotated.clone();
    assert!(all.contains(&3));
    assert_eq!(labels_annotated(out.path()), vec![all.clone(); 8]);
    assert!(errors.contains("from 4") && errors.contains("--annotated all"), "{errors}");
    let manifest = Manifest::open(out.path()).unwrap();
    assert_eq!(manifest.rows.len(), 8, "the negative is a case like others");
    assert!(manifest.rows.iter().all(|row| row.labels_annotated == all));
    assert_eq!(manifest.info.index.annotated.unwrap().to_string(), "all");

    // Stated for the folder, then kept by it, then given up with a new plan.
    told(cohort_folder.path(), out.path(), &["--annotated", "present"]);
    let present = labels_annotated(out.path());
    assert!(present[5].len() + 1 == all.len() && Manifest::open(out.path()).unwrap().rows.len() == 7);
    let errors = told(cohort_folder.path(), out.path(), &[]);
    assert!(errors.contains("keeps it") && errors.contains("--annotated present"), "{errors}");
    assert_eq!(labels_annotated(out.path()), present);
    let errors = told(cohort_folder.path(), out.path(), &["--replan"]);
    assert!(!errors.contains("keeps it"), "{errors}");
    assert_eq!(labels_annotated(out.path()), vec![all; 8]);
}

#[test]
fn partial_annotation_is_stated_by_a_column() {
    let (cohort_folder, out) = (folder(), folder());
    cohort(cohort_folder.path(), |_, label| if label == 3 { 0 } else { label });
    let table = cohort_folder.path().join("cohort.csv");
    let text = std::fs::read_to_string(&table).unwrap();
    let lines = text.lines().enumerate().map(|(line, text)| match line {
        0 => format!("{text},source"),
        1..=4 => format!("{text},a"),
        _ => format!("{text},b"),
    });
    std::fs::write(&table, lines.collect::<Vec<_>>().join("\n")).unwrap();
    let errors = told(cohort_folder.path(), out.path(), &[]);
    assert!(errors.contains("all 4 cases with one value of the column source"), "{errors}");
    let errors = told(cohort_folder.path(), out.path(), &["--annotated", "by-source"]);
    assert!(!errors.contains("whole groups"), "{errors}");
    let annotated = labels_annotated(out.path());
    assert!(annotated[..4].iter().all(|labels| labels.contains(&3)));
    assert!(annotated[4..].iter().all(|labels| !labels.contains(&3) && !labels.is_empty()));

    let words = ["curate", cohort_folder.path().to_str().unwrap(), "--out", out.path().to_str().unwrap()];
    let wrong = run(&[&words[..], &["--annotated", "by-nothing"]].concat());
    let errors = String::from_utf8(wrong.stderr).unwrap();
    assert!(!wrong.status.success() && errors.contains("no column nothing"), "{errors}");
}

#[test]
fn a_cohort_in_which_every_case_holds_every_label_is_as_it_was() {
    let (cohort_folder, out) = (folder(), folder());
    cohort(cohort_folder.path(), |_, label| label);
    curate(cohort_folder.path(), out.path(), &["--no-report", "--proxy-size", "16"]);
    let before = pdl_tests::files(out.path());
    let present = ["--no-report", "--proxy-size", "16", "--annotated", "present"];
    curate(cohort_folder.path(), out.path(), &present);
    for ((name, bytes), (_, now)) in before.iter().zip(pdl_tests::files(out.path())) {
        let holds_the_rule = name.starts_with("manifest.json") || name == "cases.parquet";
        assert!(holds_the_rule || *bytes == now, "{name}");
    }
}
