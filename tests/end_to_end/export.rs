//! What other frameworks are given; that they read it themselves is for
//! tests/interop/frameworks.py.

use std::collections::BTreeMap;
use std::path::Path;

use pdl_cohort::attributes::Split;
use pdl_cohort::table::cases::Cases;
use pdl_curriculum::manifest::{Manifest, ManifestRow};
use pdl_store::{hash, json};
use pdl_tests::{files, run, run_ok};
use serde_json::Value;

use crate::{curate, curated, folder, turn};

fn export(out: &Path, to: &str, dest: &Path, by: &str) -> String {
    let _turn = turn();
    run_ok(&["export", out.to_str().unwrap(), "--to", to, "--dest", dest.to_str().unwrap(), "--by", by])
}

/// Image and label at these paths are the manifest's.
fn same_files(row: &ManifestRow, folder: &Path, image: &str, label: &str) {
    assert_eq!(hash::of_file(&folder.join(image)).unwrap(), row.image_blake3, "{}", row.case_id);
    assert_eq!(hash::of_file(&folder.join(label)).unwrap(), row.label_blake3, "{}", row.case_id);
}

fn rows(out: &Path) -> BTreeMap<String, ManifestRow> {
    Manifest::open(out).unwrap().rows.into_iter().map(|row| (row.case_id.clone(), row)).collect()
}

#[test]
fn every_list_leads_to_the_prepared_files() {
    let out = curated("ct");
    let rows = rows(out);
    for by in ["reference", "copy", "link"] {
        let dest = folder();
        export(out, "monai", dest.path(), by);
        let list: Value = json::read(&dest.path().join("datalist.json")).unwrap();
        let mut seen = 0;
        for part in ["training", "validation", "testing"] {
            for item in list[part].as_array().unwrap() {
                let text = |key: &str| item[key].as_str().unwrap();
                same_files(&rows[text("case_id")], dest.path(), text("image"), text("label"));
                seen += 1;
            }
        }
        assert_eq!(seen, 24);
        export(out, "torchio", dest.path(), by);
        let lines = std::fs::read_to_string(dest.path().join("subjects.jsonl")).unwrap();
        for line in lines.lines() {
            let item: Value = serde_json::from_str(line).unwrap();
            let text = |key: &str| item[key].as_str().unwrap();
            same_files(&rows[text("case_id")], dest.path(), text("image"), text("label"));
        }
        assert_eq!(lines.lines().count(), 24);
        let volumes = files(dest.path()).iter().filter(|(name, _)| name.ends_with(".nii.gz")).count();
        assert_eq!(volumes, if by == "reference" { 0 } else { 48 });
    }
}

#[test]
fn a_stage_of_monai_holds_the_active_cases_in_the_order_of_their_ranks() {
    let (out, dest) = (curated("ct"), folder());
    export(out, "monai", dest.path(), "reference");
    let manifest = Manifest::open(out).unwrap();
    let ranked: Vec<&str> = manifest.training().iter().map(|row| row.case_id.as_str()).collect();
    for stage in &manifest.info.stages {
        let name = format!("datalist-stage-{}.json", stage.stage);
        let list: Value = json::read(&dest.path().join(name)).unwrap();
        let training = list["training"].as_array().unwrap();
        let ids: Vec<&str> = training.iter().map(|item| item["case_id"].as_str().unwrap()).collect();
        assert_eq!(ids, ranked[..stage.active_cases as usize]);
        assert_eq!(list["numTraining"], stage.active_cases);
        assert_eq!(list["validation"].as_array().unwrap().len(), 3);
    }
}

#[test]
fn nnunet_gets_its_names_and_a_fold_for_every_stage() {
    let out = curated("mr");
    let manifest = Manifest::open(out).unwrap();
    let dest = folder();
    export(out, "nnunet", dest.path(), "link");
    let dataset: Value = json::read(&dest.path().join("dataset.json")).unwrap();
    assert_eq!(dataset["numTraining"], 20);
    assert_eq!(dataset["labels"]["background"], 0);
    assert_eq!(dataset["labels"].as_object().unwrap().len(), manifest.info.labels.len() + 1);
    assert!(dataset.get("dataset").is_none());
    for row in &manifest.rows {
        let part = if row.split == Split::Test { "Ts" } else { "Tr" };
        let case = &row.case_id;
        same_files(
            row,
            dest.path(),
            &format!("images{part}/{case}_0000.nii.gz"),
            &format!("labels{part}/{case}.nii.gz"),
        );
    }
    let folds: Value = json::read(&dest.path().join("splits_final.json")).unwrap();
    let folds = folds.as_array().unwrap();
    assert_eq!(folds.len(), manifest.info.stages.len());
    for (fold, stage) in folds.iter().zip(&manifest.info.stages) {
        assert_eq!(fold["train"].as_array().unwrap().len(), stage.active_cases as usize);
        assert_eq!(fold["val"], folds[0]["val"]);
    }

    let by_reference = folder();
    export(out, "nnunet", by_reference.path(), "reference");
    let dataset: Value = json::read(&by_reference.path().join("dataset.json")).unwrap();
    let rows = rows(out);
    let listed = dataset["dataset"].as_object().unwrap();
    assert_eq!(listed.len(), 20);
    for (case, files) in listed {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        same_files(&rows[case], by_reference.path(), &text(&files["images"][0]), &text(&files["label"]));
    }
}

#[test]
fn an_exported_table_is_a_cohort_with_the_same_patients_and_splits() {
    let (out, dest, again) = (curated("ct"), folder(), folder());
    export(out, "csv", dest.path(), "copy");
    let table = dest.path().join("cohort.csv");
    run_ok(&["index", table.to_str().unwrap(), "--out", again.path().to_str().unwrap()]);
    let before = rows(out);
    let after = Cases::read(again.path()).unwrap().rows;
    assert_eq!(after.len(), before.len());
    for row in after {
        let was = &before[&row.case_id];
        assert_eq!((&row.patient_id, row.split), (&was.patient_id, was.split));
    }
}

#[test]
fn an_export_repeats_its_bytes_and_leaves_out_what_the_curriculum_leaves_out() {
    let (cohort, out) = (folder(), folder());
    crate::cohort_of(cohort.path(), 0..12);
    curate(cohort.path(), out.path(), &["--proxy-size", "16", "--keep", "4"]);
    for to in ["monai", "nnunet", "torchio", "huggingface", "croissant", "csv"] {
        let dest = folder();
        let said = export(out.path(), to, dest.path(), "copy");
        let left_out = said.contains(": 4 train, ") && said.contains("excluded by the curriculum");
        assert_eq!(left_out, to != "croissant", "{said}"); // which describes the whole manifest
        let before = files(dest.path());
        export(out.path(), to, dest.path(), "copy");
        assert!(files(dest.path()) == before, "{to}");
    }
}

#[test]
fn what_cannot_be_exported_is_refused() {
    let (cohort, out, dest) = (folder(), folder(), folder());
    crate::cohort_of(cohort.path(), 0..5);
    curate(cohort.path(), out.path(), &["--proxy-size", "16"]);
    let told = |words: &[&str]| {
        let output = run(words);
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let out_text = out.path().to_str().unwrap();
    let told_same = told(&["export", out_text, "--to", "csv", "--dest", out_text]);
    assert!(told_same.contains("must not be the curation folder"), "{told_same}");

    let image = out.path().join(&Manifest::open(out.path()).unwrap().rows[0].image);
    std::fs::write(&image, b"something else").unwrap();
    let told = told(&["export", out_text, "--to", "csv", "--dest", dest.path().to_str().unwrap()]);
    assert!(told.contains("has changed since the manifest was made"), "{told}");
}
