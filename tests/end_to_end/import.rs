//! Datasets of other frameworks as cohorts.

use std::path::{Path, PathBuf};

use pdl_cohort::table::case_row::CaseRow;
use pdl_cohort::table::cases::Cases;
use pdl_curriculum::manifest::Manifest;
use pdl_tests::{run, run_ok};
use serde_json::json;

use crate::{curated, folder, turn};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn touch(path: PathBuf) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, b"").unwrap();
}

fn table(cohort: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(cohort.join("cohort.csv")).unwrap();
    text.lines().skip(1).map(str::to_owned).collect()
}

#[test]
fn what_is_exported_imported_and_indexed_has_the_same_splits_labels_and_images() {
    for (name, to, list) in [("ct", "nnunet", ""), ("mr", "nnunet", ""), ("ct", "monai", "datalist.json")] {
        let (out, dest, cohort, again) = (curated(name), folder(), folder(), folder());
        let _turn = turn();
        run_ok(&["export", text(out), "--to", to, "--dest", text(dest.path()), "--by", "link"]);
        let source = dest.path().join(list);
        run_ok(&["import", text(&source), "--dest", text(cohort.path())]);
        run_ok(&["index", text(cohort.path()), "--out", text(again.path())]);
        let manifest = Manifest::open(out).unwrap();
        let cases = Cases::read(again.path()).unwrap();
        assert_eq!(cases.rows.len(), manifest.rows.len());
        let names: Vec<(u16, String)> =
            manifest.info.labels.iter().map(|label| (label.value, label.name.clone())).collect();
        assert_eq!(cases.label_names.into_iter().collect::<Vec<_>>(), names);
        for was in &manifest.rows {
            let row: &CaseRow = cases.rows.iter().find(|row| row.case_id == was.case_id).unwrap();
            assert!(row.is_usable(), "{:?}", row.findings);
            assert_eq!(row.split, was.split, "{to} {}", was.case_id);
            assert_eq!(row.image_blake3, was.image_blake3);
            assert_eq!(row.label_blake3.as_ref(), Some(&was.label_blake3));
            if to == "monai" {
                assert_eq!(row.patient_id, was.patient_id);
            }
        }
    }
}

#[test]
fn of_several_channels_all_are_imported_or_one_by_name_or_number() {
    let (dataset, cohort) = (folder(), folder());
    let root = dataset.path();
    for name in
        ["imagesTr/a_0000.nii.gz", "imagesTr/a_0001.nii.gz", "labelsTr/a.nii.gz", "imagesTs/b_0000.nii.gz"]
    {
        touch(root.join(name));
    }
    let description = json!({"channel_names": {"0": "T1", "1": "T2"}, "labels": {"background": 0, "liver": 1},
        "file_ending": ".nii.gz", "numTraining": 1});
    std::fs::write(root.join("dataset.json"), description.to_string()).unwrap();
    let words = ["import", text(root), "--dest", text(cohort.path())];
    run_ok(&words);
    let rows = std::fs::read_to_string(cohort.path().join("cohort.csv")).unwrap();
    assert!(rows.starts_with("image,label,patient,split,case_id,image_T1,image_T2\n"), "{rows}");
    assert!(rows.contains("a_0000.nii.gz,") && rows.trim_end().ends_with("a_0001.nii.gz"), "{rows}");
    for (channel, file) in [("t2", "a_0001.nii.gz"), ("0", "a_0000.nii.gz")] {
        let said = run_ok(&[&words[..], &["--channel", channel]].concat());
        assert!(
            said.contains("1 case, 0 train, 0 val, 0 test, 1 without a split; 1 without label"),
            "{said}"
        );
        let rows = table(cohort.path());
        assert_eq!(rows.len(), 1);
        assert!(rows[0].contains(file) && rows[0].ends_with("a.nii.gz,,,a"), "{rows:?}");
    }
    let refused = run(&[&words[..], &["--channel", "PET"]].concat());
    assert_eq!(refused.status.code(), Some(1));
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(told.contains("invalid channel") && told.contains("T1, T2"), "{told}");
}

#[test]
fn where_folds_differ_in_their_validation_cases_one_must_be_chosen() {
    let (dataset, cohort) = (folder(), folder());
    let item = |name: &str, fold: usize| json!({"image": format!("{name}.nii.gz"), "label": "l.nii.gz", "fold": fold});
    let list = json!({"training": [item("a", 0), item("b", 1)], "testing": ["t.nii.gz"]});
    let path = dataset.path().join("list.json");
    std::fs::write(&path, list.to_string()).unwrap();
    let words = ["import", text(&path), "--dest", text(cohort.path())];
    let refused = run(&words);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("invalid fold: the dataset has 2 folds"));
    let said = run_ok(&[&words[..], &["--fold", "1"]].concat());
    assert!(said.contains("2 cases, 1 train, 1 val, 0 test, 0 without a split; 1 without label"), "{said}");
    let rows = table(cohort.path());
    assert!(rows[0].contains("a.nii.gz") && rows[0].contains(",train,"), "{rows:?}");
    assert!(rows[1].contains("b.nii.gz") && rows[1].contains(",val,"), "{rows:?}");
    assert_eq!(run(&[&words[..], &["--fold", "2"]].concat()).status.code(), Some(1));
}
