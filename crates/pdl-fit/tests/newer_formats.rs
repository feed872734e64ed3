//! Files that a newer version wrote: every command that reads or replaces one ends with 1 and names
//! the version, and changes nothing.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests may fail loudly")]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use pdl_store::table;
use pdl_tests::files;
use serde_json::json;

const TRAIN: &str = "train {out} --name short --steps 4 --width 4 --no-report";
const TRAIN_ANOTHER: &str = "train {out} --name another --steps 4 --width 4 --no-report";
const FOLDS: &str = "train {out} --name folds --steps 4 --width 4 --no-report --folds all";
const EXTEND: &str = "train {out} --name short --width 4 --no-report --extend 2";
const TUNE: &str = "tune {out}";
const COMPARE: &str = "compare {out}";
const SUBSETS: &str = "subsets {out}";
const EVALUATE: &str = "evaluate {out}/runs/short";
const EVALUATE_COHORT: &str = "evaluate {out}/runs/short --cohort {cohort} --name later";
const PREDICT: &str = "predict {out}/runs/short {cohort}/images --out {predicted}";
const EXPORT: &str = "export {out}/runs/short";

/// The files of a curation folder and of its runs with their present versions, and the commands
/// that read or replace them.
const FILES: [(&str, u32, &[&str]); 17] = [
    ("out/manifest.json", 3, &[TRAIN, TRAIN_ANOTHER, TUNE, COMPARE, SUBSETS, EVALUATE]),
    ("out/manifest.parquet", 3, &[TRAIN_ANOTHER, TUNE, COMPARE, EVALUATE]),
    ("out/cases.parquet", 1, &[TRAIN_ANOTHER, TUNE, COMPARE, EVALUATE]),
    ("out/prepared.parquet", 1, &[TRAIN_ANOTHER, TUNE, COMPARE, EVALUATE]),
    ("out/results.parquet", 1, &[TRAIN_ANOTHER, FOLDS]),
    ("out/out_of_fold.parquet", 1, &[FOLDS]),
    ("out/tuning/tuning.json", 3, &[TUNE, "train {out} --tuned"]),
    ("out/comparison/comparison.json", 1, &[COMPARE]),
    ("out/comparison/comparison.parquet", 1, &[COMPARE]),
    ("out/comparison/subsets.json", 1, &[SUBSETS]),
    ("out/comparison/subsets.parquet", 1, &[SUBSETS]),
    ("out/runs/short/run.json", 5, &[TRAIN, EXTEND, EVALUATE, EVALUATE_COHORT, PREDICT, EXPORT]),
    ("out/runs/short/history.parquet", 1, &[EXTEND]),
    ("out/runs/short/postprocessing.json", 1, &[EVALUATE, "{predict} --largest-component auto"]),
    ("out/runs/short/evaluation-val.parquet", 1, &[EVALUATE]),
    ("out/runs/short/evaluation-later.parquet", 1, &[EVALUATE_COHORT]),
    ("predicted/predictions.parquet", 1, &[PREDICT]),
];

/// A file of which nothing but its version is known.
fn write_newer(path: &Path, version: u32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let bytes = if path.extension().is_some_and(|ending| ending == "json") {
        json!({ "schema_version": version + 1, "unknown": [] }).to_string().into_bytes()
    } else {
        let column: ArrayRef = Arc::new(StringArray::from(vec!["unknown"]));
        let batch = RecordBatch::try_from_iter([("unknown", column)]).unwrap();
        table::encode(path, &batch, table::properties(table::versioned(version + 1)).build()).unwrap()
    };
    fs::write(path, bytes).unwrap();
}

#[test]
fn files_of_a_newer_version_are_refused_by_every_command_and_left_alone() {
    let root = tempfile::tempdir().unwrap();
    let text = |name: &str| root.path().join(name).to_str().unwrap().to_owned();
    let (out, predicted) = (text("out"), text("predicted"));
    let cohort = pdl_tests::sample("mr").to_str().unwrap().to_owned();
    let words = |line: &str| -> Vec<String> {
        let line = line.replace("{predict}", PREDICT);
        let given = |word: &str| {
            word.replace("{out}", &out).replace("{cohort}", &cohort).replace("{predicted}", &predicted)
        };
        line.split(' ').map(given).collect()
    };
    let fit = |line: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_pdl-fit")).args(words(line)).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let sizes = ["--proxy-size", "16", "--plan-from", "outside-test", "--no-report"];
    pdl_tests::run_ok(&[&["curate", &cohort, "--out", &out][..], &sizes].concat());
    pdl_tests::run_ok(&["rank", &out, "--folds", "2"]);
    let (code, told) = fit(TRAIN);
    assert_eq!(code, Some(0), "{told}");

    for (file, version, commands) in FILES {
        let path = root.path().join(file);
        let earlier = fs::read(&path).ok();
        write_newer(&path, version);
        let before = files(root.path());
        for line in commands {
            let (code, told) = fit(line);
            let newer = version + 1;
            let is_named = ["found", "format"].iter().any(|word| told.contains(&format!("{word} {newer}")));
            assert!(code == Some(1) && is_named, "{file} {line}: {code:?} {told}");
            assert!(!told.contains("not the expected") && !told.contains("--force"), "{file} {line}: {told}");
            assert!(files(root.path()) == before, "{file} {line} changed something");
        }
        match earlier {
            Some(bytes) => fs::write(&path, bytes).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
    }
}
