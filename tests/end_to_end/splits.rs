//! Splits by patient, stratified, given by the user, and folds: tried with the program.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use pdl_cohort::attributes::Split;
use pdl_cohort::split::folds::Fold;
use pdl_cohort::table::cases::Cases;
use pdl_curriculum::audit::Audit;
use pdl_curriculum::manifest::Manifest;
use pdl_prepare::parameters::PlanFrom;
use pdl_store::{hash, json};
use pdl_tests::{files, real, run, run_ok, sample};

use crate::{curate, folder};

/// A table of the sample "ct" with these further columns, a value of each for every case.
fn table(path: &Path, columns: &str, values: impl Fn(usize) -> String) {
    let cohort = sample("ct");
    let text = std::fs::read_to_string(cohort.join("cohort.csv")).unwrap();
    let mut table = format!("image,label,patient,{columns}\n");
    for (number, line) in text.lines().skip(1).enumerate() {
        let fields: Vec<&str> = line.split(',').collect();
        let file = |field: &str| cohort.join(field).display().to_string();
        table += &format!("{},{},{},{}\n", file(fields[0]), file(fields[1]), fields[2], values(number));
    }
    std::fs::write(path, table).unwrap();
}

/// Exit code and stderr of `pdl index`.
fn indexed(table: &Path, out: &Path, flags: &[&str]) -> (i32, String) {
    let words = ["index", table.to_str().unwrap(), "--out", out.to_str().unwrap(), "--modality", "CT"];
    let output = run(&[&words, flags].concat());
    (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// The split of every patient.
///
/// # Panics
/// When a patient has two.
fn splits<'a>(rows: impl Iterator<Item = (&'a str, Split)>) -> BTreeMap<String, Split> {
    let mut splits = BTreeMap::new();
    for (patient, split) in rows {
        assert_eq!(*splits.entry(patient.to_owned()).or_insert(split), split, "{patient} is in two splits");
    }
    splits
}

fn of_cases(cases: &Cases) -> BTreeMap<String, Split> {
    splits(cases.rows.iter().map(|row| (row.patient_id.as_str(), row.split)))
}

#[test]
fn no_column_is_carried_unless_it_is_named() {
    let (here, out) = (folder(), folder());
    let path = here.path().join("cohort.csv");
    table(&path, "site,born,name", |n| {
        format!("{},1950-01-{:02},Jane {n}", ["north", "south"][n % 2], n + 1)
    });
    let (code, told) = indexed(&path, out.path(), &["--carry", "site"]);
    assert_eq!(code, 0, "{told}");
    let columns = pdl_store::table::column_names(&out.path().join("cases.parquet")).unwrap();
    assert_eq!(columns.last().unwrap(), "site");
    let cases = Cases::read(out.path()).unwrap();
    let sites: BTreeSet<_> = cases.rows.iter().map(|row| row.carried["site"].as_deref().unwrap()).collect();
    assert_eq!(sites, BTreeSet::from(["north", "south"]));
    for (name, bytes) in files(out.path()) {
        let holds = |text: &str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
        assert!(!holds("Jane") && !holds("1950-01"), "{name}");
    }

    let (code, told) = indexed(&path, out.path(), &["--carry", "name"]);
    assert!(code == 0 && told.contains("omit it if it can identify them"), "{told}");
    let found = Cases::read(out.path()).unwrap().findings;
    assert!(found.iter().any(|finding| finding.code.as_str() == "carried-column"), "{found:?}");
    for (flags, word) in [
        (
            ["--carry", "hospital"],
            "no column hospital, which --carry, --stratify or --annotated requires: its table has image, label",
        ),
        (["--carry", "split"], "--carry split: cases.parquet has a column of this name"),
        (["--stratify", "hospital"], "no column hospital"),
    ] {
        let (code, told) = indexed(&path, out.path(), &flags);
        assert!(code == 1 && told.contains(word) && !told.contains("Jane"), "{told}");
    }
}

#[test]
fn a_stratified_split_holds_every_site_and_reports_what_is_too_small() {
    let (here, out) = (folder(), folder());
    let path = here.path().join("cohort.csv");
    // Patients are numbered by the digits of their ids; the last one is alone at its site.
    let site = |patient: &str| match patient[4..].parse::<usize>().unwrap() {
        20 => "east",
        number => ["north", "south"][number % 2],
    };
    let text = std::fs::read_to_string(sample("ct").join("cohort.csv")).unwrap();
    let patients: Vec<&str> = text.lines().skip(1).map(|line| line.split(',').nth(2).unwrap()).collect();
    table(&path, "site", |n| site(patients[n]).to_owned());
    let flags = ["--stratify", "site", "--val-share", "0.2", "--test-share", "0.2"];
    let (code, told) = indexed(&path, out.path(), &flags);
    assert!(code == 0 && told.contains("site east (1 patient): none in"), "{told}");
    let first = of_cases(&Cases::read(out.path()).unwrap());
    let count = |of: &str, split| first.iter().filter(|(p, own)| site(p) == of && **own == split).count();
    for of in ["north", "south"] {
        let counts = [Split::Train, Split::Val, Split::Test].map(|split| count(of, split));
        assert!(counts[1] == 2 && counts[2] == 2, "{of}: {counts:?}");
    }
    // The same again, from the settings file, into another folder.
    let again = folder();
    std::fs::write(
        again.path().join("pdl.toml"),
        "[index]\nstratify = [\"site\"]\nval_share = 0.2\ntest_share = 0.2\n",
    )
    .unwrap();
    assert_eq!(indexed(&path, again.path(), &[]).0, 0);
    assert_eq!(of_cases(&Cases::read(again.path()).unwrap()), first);
    // A patient keeps a split, and that is said.
    let (code, told) = indexed(&path, out.path(), &["--stratify", "labels", "--val-share", "0.2"]);
    assert!(code == 0 && told.contains("20 of 20 patients keep the split they had"), "{told}");
    assert_eq!(of_cases(&Cases::read(out.path()).unwrap()), first);
}

#[test]
fn a_split_of_the_users_own_is_kept_and_checked() {
    let (here, out) = (folder(), folder());
    let path = here.path().join("cohort.csv");
    table(&path, "split", |n| ["train", "test"][usize::from(n == 0)].to_owned());
    assert_eq!(indexed(&path, out.path(), &["--stratify", "labels"]).0, 0);
    let cases = Cases::read(out.path()).unwrap();
    let tested: Vec<_> = cases.rows.iter().filter(|row| row.split == Split::Test).collect();
    assert!(tested.len() == 1 && tested[0].case_id == "ct_01");
    // Every case of the sample's first 20 is of another patient; the next is a second one of an
    // earlier patient.
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let patient = |line: &str| line.split(',').nth(2).unwrap().to_owned();
    let twice = patient(lines[24]);
    assert!(lines[1..24].iter().any(|line| patient(line) == twice), "the sample's last case is a second one");
    let wrong = text.trim_end().strip_suffix("train").unwrap().to_owned();
    for (split, word) in [
        (
            "test",
            format!(
                "patient {twice} is in two splits of the cohort's table (train and test): correct the table"
            ),
        ),
        ("holdout", "row 24: expected train, val or test, found 'holdout'".to_owned()),
    ] {
        std::fs::write(&path, format!("{wrong}{split}\n")).unwrap();
        let (code, told) = indexed(&path, folder().path(), &[]);
        assert!(code == 1 && told.contains(&word), "{told}");
    }
}

/// A cohort prepared for folds.
fn planned(path: &Path, out: &Path, flags: &[&str]) {
    curate(path, out, &[&["--proxy-size", "16", "--plan-from", "outside-test"], flags].concat());
}

fn fold_of(out: &Path, fold: u32) -> (PathBuf, Manifest) {
    let folder = out.join("folds").join(fold.to_string());
    let manifest = Manifest::open(&folder).unwrap();
    (folder, manifest)
}

#[test]
fn folds_divide_everything_outside_the_test_split_by_patient() {
    let (here, out) = (folder(), folder());
    let path = here.path().join("cohort.csv");
    table(&path, "site", |n| ["north", "south"][n % 2].to_owned());
    planned(&path, out.path(), &["--stratify", "site"]);
    let out_text = out.path().to_str().unwrap();
    let whole = Manifest::open(out.path()).unwrap();
    let told = run_ok(&["rank", out_text, "--folds", "3", "--threads", "1"]);
    assert!(told.contains("folds/2/") && told.contains("pdl-fit train"), "{told}");

    let test = |manifest: &Manifest| -> BTreeSet<String> {
        let rows = manifest.rows.iter().filter(|row| row.split == Split::Test);
        rows.map(|row| row.case_id.clone()).collect()
    };
    let mut validated = BTreeSet::new();
    for number in 0..3 {
        let (folder, manifest) = fold_of(out.path(), number);
        assert_eq!(manifest.info.fold, Some(Fold { fold: number, folds: 3 }));
        assert_eq!(manifest.info.plan.parameters.plan_from, PlanFrom::OutsideTest);
        assert_eq!(test(&manifest), test(&whole), "test is left alone");
        assert_eq!(manifest.rows.len(), whole.rows.len());
        splits(manifest.rows.iter().map(|row| (row.patient_id.as_str(), row.split)));
        for row in &manifest.rows {
            if row.split == Split::Val {
                assert!(validated.insert(row.case_id.clone()), "{} validates twice", row.case_id);
            }
            assert_eq!(row.rank.is_some(), row.split == Split::Train);
            assert_eq!(hash::of_file(&folder.join(&row.image)).unwrap(), row.image_blake3);
            assert_eq!(hash::of_file(&folder.join(&row.label)).unwrap(), row.label_blake3);
        }
        let patients: BTreeSet<_> =
            manifest.rows.iter().filter(|row| row.split == Split::Val).map(|row| &row.patient_id).collect();
        let all: BTreeSet<_> =
            manifest.rows.iter().filter(|row| row.split != Split::Test).map(|row| &row.patient_id).collect();
        assert!(patients.len() == all.len() / 3 || patients.len() == all.len().div_ceil(3));
        let audit: Audit = json::read(&folder.join("audit.json")).unwrap();
        let of = |split, column: &str| {
            audit.groups.iter().any(|g| (g.split, g.column.as_str()) == (split, column) && g.cases > 0)
        };
        assert!(of(Split::Val, "site") && of(Split::Train, "site"));
        assert_eq!(run(&["validate", folder.to_str().unwrap()]).status.code(), Some(0));
    }
    assert_eq!(validated.len(), whole.rows.len() - test(&whole).len());
    assert_eq!(Manifest::open(out.path()).unwrap(), whole, "the manifest of the whole stays");

    // Each fold alone, on more threads, has the same bytes; an export of it leads to the prepared
    // files.
    let before = files(&out.path().join("folds"));
    run_ok(&["rank", out_text, "--folds", "3", "--fold", "1", "--threads", "2"]);
    assert!(files(&out.path().join("folds")) == before);
    let dest = folder();
    let (fold, manifest) = fold_of(out.path(), 1);
    run_ok(&["export", fold.to_str().unwrap(), "--to", "monai", "--dest", dest.path().to_str().unwrap()]);
    let list: serde_json::Value = json::read(&dest.path().join("datalist.json")).unwrap();
    for (part, split) in [("training", Split::Train), ("validation", Split::Val), ("testing", Split::Test)] {
        let items = list[part].as_array().unwrap();
        assert_eq!(items.len(), manifest.rows.iter().filter(|row| row.split == split).count());
        for item in items {
            let row = manifest.rows.iter().find(|row| row.case_id == item["case_id"]).unwrap();
            let image = dest.path().join(item["image"].as_str().unwrap());
            assert_eq!(hash::of_file(&image).unwrap(), row.image_blake3);
        }
    }

    // Another division says which folders are not its own.
    let output = run(&["rank", out_text, "--folds", "2"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && told.contains("folds/2 is not a fold of 2"), "{told}");
}

#[test]
fn folds_that_cannot_be_are_refused() {
    let out = crate::curated("ct").to_str().unwrap();
    let (_here, planned_out) = (folder(), folder());
    planned(&sample("mr"), planned_out.path(), &[]);
    let planned_text = planned_out.path().to_str().unwrap();
    for (words, code, word) in [
        (&["rank", out, "--folds", "3"][..], 1, "--plan-from outside-test"),
        (&["rank", planned_text, "--folds", "3", "--fold", "3"], 1, "folds are numbered from 0 to 2"),
        (&["rank", planned_text, "--folds", "99"], 1, "patients outside the test split"),
        (&["rank", planned_text, "--folds", "1"], 2, "--folds"),
        (&["rank", planned_text, "--fold", "0"], 2, "--folds"),
    ] {
        let output = run(words);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(code) && told.contains(word), "{words:?}: {told}");
    }
    assert!(!crate::curated("ct").join("folds").exists());
}

#[test]
fn a_real_cohort_is_divided_into_folds_by_patient() {
    let Some(cohort) = real("hippocampus-mr") else { return };
    let out = folder();
    planned(&cohort, out.path(), &["--stratify", "labels"]);
    run_ok(&["rank", out.path().to_str().unwrap(), "--folds", "5"]);
    let mut validated = 0;
    for number in 0..5 {
        let (_, manifest) = fold_of(out.path(), number);
        splits(manifest.rows.iter().map(|row| (row.patient_id.as_str(), row.split)));
        validated += manifest.rows.iter().filter(|row| row.split == Split::Val).count();
    }
    let whole = Manifest::open(out.path()).unwrap();
    assert_eq!(validated, whole.rows.iter().filter(|row| row.split != Split::Test).count());
}
