//! Where a command is pointed to: cohorts, curation folders, and what is neither.

use std::fs;
use std::path::Path;

use pdl_cohort::table::cases::Cases;
use pdl_tests::{files, run, run_ok, sample};
use serde_json::Value;

use crate::{cohort_of, curated, folder};

/// Exit code and stderr.
fn told(words: &[&str]) -> (i32, String) {
    let output = run(words);
    (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Volumes in a layout that pdl does not know.
fn scattered(root: &Path, patients: std::ops::RangeInclusive<usize>) {
    for number in patients {
        let to = root.join(format!("pat{number}"));
        fs::create_dir_all(&to).unwrap();
        for (kind, name) in [("images", "scan.nii.gz"), ("labels", "scan_seg.nii.gz")] {
            fs::copy(sample("ct").join(kind).join(format!("ct_0{number}.nii.gz")), to.join(name)).unwrap();
        }
    }
}

#[test]
fn what_pdl_made_inside_a_cohort_does_not_become_part_of_it() {
    let cohort = folder();
    scattered(cohort.path(), 1..=5);
    let out = cohort.path().join("out");
    let (root, out_text) = (cohort.path().to_str().unwrap(), out.to_str().unwrap());
    run_ok(&["init", root, "--out", out_text]);
    let table = out.join("cohort.csv");
    run_ok(&["curate", table.to_str().unwrap(), "--out", out_text, "--proxy-size", "16", "--no-report"]);
    assert!(out.join("prepared/images").is_dir());
    let again = cohort.path().join("again");
    let told = run_ok(&["init", root, "--out", again.to_str().unwrap()]);
    assert!(told.contains("5 images with labels"), "{told}");
    assert!(!fs::read_to_string(again.join("cohort.csv")).unwrap().contains("prepared"));
}

#[test]
fn out_is_never_a_folder_of_the_cohort() {
    let cohort = folder();
    cohort_of(cohort.path(), 0..3);
    let before = files(cohort.path());
    let root = cohort.path().to_str().unwrap();
    for command in ["init", "index", "curate"] {
        for part in ["", "images", "labels", "images/../labels/"] {
            let out = cohort.path().join(part);
            let (code, text) = told(&[command, root, "--out", out.to_str().unwrap()]);
            assert_eq!(code, 2, "{command} {part}: {text}");
            assert!(text.contains("--out must be a folder of its own"), "{text}");
        }
    }
    assert_eq!(files(cohort.path()), before);
    let out = cohort.path().join("out");
    run_ok(&["index", root, "--out", out.to_str().unwrap()]);
    assert_eq!(Cases::read(&out).unwrap().rows.len(), 3);
}

#[test]
fn a_run_that_fails_at_once_leaves_nothing() {
    let here = folder();
    let at = |name: &str| here.path().join(name).to_str().unwrap().to_owned();
    fs::create_dir_all(at("empty")).unwrap();
    fs::create_dir_all(at("there")).unwrap();
    for cohort in ["none", "empty"] {
        for out in ["deep/new", "there"] {
            assert_eq!(told(&["curate", &at(cohort), "--out", &at(out)]).0, 1);
        }
    }
    assert!(!here.path().join("deep").exists());
    assert_eq!(fs::read_dir(at("there")).unwrap().count(), 0);
}

#[test]
fn a_cohort_that_is_not_there_is_said_to_be_so_with_what_is_like_it() {
    let here = folder();
    for name in ["prostate-mr", "liver"] {
        fs::create_dir_all(here.path().join(name)).unwrap();
    }
    let (missing, out) = (here.path().join("prostat-mr"), here.path().join("out"));
    for command in ["init", "index", "curate"] {
        let (code, text) = told(&[command, missing.to_str().unwrap(), "--out", out.to_str().unwrap()]);
        assert_eq!(code, 1);
        let expected = "error: cannot find the cohort; did you mean 'prostate-mr'?: ";
        assert!(text.starts_with(expected) && text.lines().count() == 1, "{text}");
    }
}

#[test]
fn a_command_on_what_is_no_curation_folder_says_what_it_is_and_what_to_do() {
    let here = folder();
    let at = |name: &str| here.path().join(name).to_str().unwrap().to_owned();
    cohort_of(&here.path().join("cohort"), 0..3);
    scattered(&here.path().join("scattered"), 1..=2);
    for name in ["empty", "begun", "other"] {
        fs::create_dir_all(at(name)).unwrap();
    }
    fs::write(at("begun/pdl.toml"), "").unwrap();
    fs::write(at("other/notes.txt"), "").unwrap();
    let inside = curated("ct").join("prepared");
    let places = [
        (at("cohort"), "it seems to be a cohort: `pdl curate"),
        (at("scattered"), "it seems to be a cohort: `pdl curate"),
        (at("empty"), "it is empty"),
        (at("begun"), "it holds settings, but no cases yet"),
        (at("other"), "`pdl curate COHORT --out OUT` makes one"),
        (at("other/notes.txt"), "found a file"),
        (at("othr"), "did you mean 'other'?"),
        (inside.to_str().unwrap().to_owned(), "it lies inside the curation folder"),
    ];
    for (place, expected) in &places {
        for words in
            [&["summary"][..], &["report"], &["rank"], &["audit"], &["duplicates"], &["matrix"], &["compare"]]
        {
            let (code, text) = told(&[words[0], place]);
            assert!(
                code == 1 && text.contains(expected) && text.lines().count() == 1,
                "{words:?} {place}: {text}"
            );
        }
        for command in ["view", "similar"] {
            let (code, text) = told(&[command, place, "ct_01"]);
            assert!(code == 1 && text.contains(expected), "{command} {place}: {text}");
        }
    }
    assert_eq!(fs::read_dir(at("empty")).unwrap().count(), 0);
}

#[test]
fn a_stage_that_is_missing_is_named_with_its_command() {
    let out = folder();
    let text = out.path().to_str().unwrap();
    run_ok(&["index", sample("ct").to_str().unwrap(), "--out", text]);
    for (words, missing) in [
        (&["rank", text][..], "no prepared cases"),
        (&["view", text, "ct_01"], "`pdl prepare "),
        (&["export", text, "--to", "csv", "--dest", "x"], "`pdl rank "),
    ] {
        let (code, told) = told(words);
        assert!(code == 1 && told.contains(missing), "{words:?}: {told}");
    }
    run_ok(&["prepare", text, "--proxy-size", "16"]);
    for words in [&["similar", text, "ct_01"][..], &["duplicates", text], &["rank", text], &["audit", text]] {
        let (code, told) = told(words);
        assert!(code == 1 && told.contains("has no pairs yet") && told.contains("`pdl compare "), "{told}");
    }
}

#[test]
fn a_case_that_is_nearly_right_and_how_to_list_all() {
    let out = curated("ct").to_str().unwrap();
    for command in ["view", "similar"] {
        let (code, text) = told(&[command, out, "CT-03"]);
        assert_eq!(code, 1);
        assert!(text.contains("did you mean 'ct_03'") && text.contains("--cases` lists all 24"), "{text}");
    }
    let listed = run_ok(&["summary", out, "--cases"]);
    assert!(listed.contains("\n  ct_03  train  ok"), "{listed}");
    let cases: Value = serde_json::from_str(&run_ok(&["summary", out, "--cases", "--json"])).unwrap();
    assert_eq!(cases["cases"].as_array().unwrap().len(), 24);
}
