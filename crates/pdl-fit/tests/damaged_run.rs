//! Runs and curation folders that were edited, damaged or prepared by somebody else: refused with
//! one error, and nothing outside the folder is written.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests may fail loudly")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

/// A short run on the sample cohort of MR.
fn trained(folder: &Path) -> (PathBuf, PathBuf) {
    let out = folder.join("out");
    let (sample, to) = (pdl_tests::sample("mr"), out.to_str().unwrap());
    let words = ["curate", sample.to_str().unwrap(), "--out", to, "--proxy-size", "16", "--no-report"];
    pdl_tests::run(&words);
    let (code, told) = fit(&["train", to, "--name", "short", "--steps", "4", "--width", "4", "--no-report"]);
    assert_eq!(code, 0, "{told}");
    (out.clone(), out.join("runs/short"))
}

/// Exit code and stderr of pdl-fit, which does not panic.
fn fit(words: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_pdl-fit")).args(words).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let code = output.status.code().unwrap_or_else(|| panic!("{words:?} was killed: {told}"));
    assert!(code != 101 && !told.contains("panicked"), "{words:?}: {told}");
    (code, told)
}

#[test]
fn a_run_that_was_edited_or_damaged_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (_, run) = trained(folder.path());
    let (text, image) = (run.to_str().unwrap(), pdl_tests::sample("mr").join("images"));
    let predicted = folder.path().join("predicted");
    let predict = ["predict", text, image.to_str().unwrap(), "--out", predicted.to_str().unwrap()];
    let commands = [&predict[..], &["evaluate", text], &["export", text]];
    // All read a run by one function: the first damage is tried with all, each other with one.
    let tried = |number: usize| {
        commands
            .into_iter()
            .enumerate()
            .filter(move |(at, _)| number == 0 || number % 3 == *at)
            .map(|(_, words)| words)
    };
    let record: Value = pdl_store::json::read(&run.join("run.json")).unwrap();
    for (number, (pointer, value)) in [
        ("/plan/network/depth", json!(0)),
        ("/plan/network/depth", json!(1_u64 << 40)),
        ("/plan/network/dims", json!(7)),
        ("/plan/network/width", json!(1_i64 << 60)),
        ("/plan/network/classes", json!(1)),
        ("/plan/schedule/phases", json!([])),
        ("/plan/schedule/phases/0/patch", json!([0, 0, 0])),
        ("/labels", json!([])),
        ("/labels/0/value", json!(0)),
        ("/preparation/spacing_mm/0", json!(1e-300)),
        ("/preparation/normalisation", json!({ "scheme": "window", "low": 2.0, "high": 1.0 })),
        ("/schema_version", json!(99)),
    ]
    .into_iter()
    .enumerate()
    {
        let mut edited = record.clone();
        *edited.pointer_mut(pointer).unwrap() = value.clone();
        fs::write(run.join("run.json"), edited.to_string()).unwrap();
        for words in tried(number) {
            let (code, told) = fit(words);
            assert!(code == 1 && told.contains("run.json"), "{pointer} {value} {words:?}: {told}");
        }
    }

    // Weights whose record was edited with them.
    let weights = run.join("weights.safetensors");
    let whole = fs::read(&weights).unwrap();
    let head = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let mut not_a_number = whole.clone();
    not_a_number[head..head + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    let mut long_head = whole.clone();
    long_head[..8].fill(0x7f);
    for (number, damaged) in
        [not_a_number, long_head, whole[..whole.len() - 4].to_vec(), whole[..5].to_vec(), Vec::new()]
            .into_iter()
            .enumerate()
    {
        fs::write(&weights, damaged).unwrap();
        let mut edited = record.clone();
        edited["results"]["weights_blake3"] = json!(pdl_store::hash::of_file(&weights).unwrap());
        fs::write(run.join("run.json"), edited.to_string()).unwrap();
        for words in tried(number) {
            let (code, told) = fit(words);
            assert_eq!(code, 1, "{words:?}: {told}");
        }
    }
    assert!(!predicted.join("mr_01.nii.gz").exists());
}

#[cfg(unix)]
#[test]
fn links_in_the_place_of_runs_are_not_followed() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let (out, run) = trained(folder.path());
    let (text, other) = (out.to_str().unwrap(), folder.path().join("other"));
    fs::create_dir(&other).unwrap();
    fs::write(other.join("run.json"), "theirs").unwrap();
    fs::write(other.join(".tmp-theirs"), "theirs").unwrap();
    let unchanged = || {
        let names: Vec<_> = fs::read_dir(&other).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.len() == 2 && names.iter().all(|path| fs::read(path).unwrap() == b"theirs")
    };
    let train = ["train", text, "--steps", "4", "--width", "4", "--no-report", "--force", "--name", "linked"];
    symlink(&other, out.join("runs/linked")).unwrap();
    let (code, told) = fit(&train);
    assert!(code == 1 && told.contains("symbolic link") && unchanged(), "{told}");

    let predictions = run.join("predictions");
    if predictions.exists() {
        fs::remove_dir_all(&predictions).unwrap();
    }
    symlink(&other, &predictions).unwrap();
    let (code, told) = fit(&["evaluate", run.to_str().unwrap()]);
    assert!(code == 1 && told.contains("symbolic link") && unchanged(), "{told}");

    for name in ["tuning", "comparison"] {
        symlink(&other, out.join(name)).unwrap();
        let command = if name == "tuning" { "tune" } else { "compare" };
        let (code, told) = fit(&[command, text]);
        assert!(code == 1 && told.contains("symbolic link") && unchanged(), "{told}");
    }
    fs::remove_dir_all(out.join("runs")).unwrap();
    symlink(&other, out.join("runs")).unwrap();
    let (code, told) = fit(&train);
    assert!(code == 1 && told.contains("symbolic link") && unchanged(), "{told}");
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_is_lost_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let (_, run) = trained(folder.path());
    for words in [&["--help"][..], &["train", "--help"], &["export", run.to_str().unwrap()]] {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let program = env!("CARGO_BIN_EXE_pdl-fit");
        let output = Command::new(program).args(words).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(7), "{words:?}");
    }
}
