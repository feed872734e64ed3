//! Curation folders whose files were edited or damaged: a clear error or the right result, never a
//! panic.

use std::fs;
use std::path::{Path, PathBuf};

use pdl_prepare::prepared_row::{self, PreparedRow};
use pdl_store::table;
use pdl_tests::{files, pdl, run, run_ok};
use serde_json::{Value, json};

use crate::{cohort_of, curate, folder};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A cohort and its curation folder.
fn places(root: &Path) -> (PathBuf, PathBuf) {
    let (cohort, out) = (root.join("cohort"), root.join("out"));
    fs::create_dir(&cohort).unwrap();
    cohort_of(&cohort, 0..8);
    curate(&cohort, &out, &["--proxy-size", "16", "--no-report"]);
    (cohort, out)
}

/// Exit code and stderr of a command, which does not panic.
fn told(words: &[&str]) -> (i32, String) {
    let output = run(words);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let code = output.status.code().unwrap_or_else(|| panic!("{words:?} was killed: {told}"));
    assert!(code != 101 && !told.contains("panicked"), "{words:?}: {told}");
    (code, told)
}

/// Commands that read a curation folder, with its path.
fn readers(out: &str, other: &str) -> Vec<Vec<String>> {
    let all = [
        "prepare {out} --proxy-size 16",
        "compare {out}",
        "rank {out}",
        "audit {out} --invariant",
        "report {out}",
        "summary {out} --cases",
        "view {out} ct_01 --to {other}/view.png",
        "similar {out} ct_01",
        "duplicates {out}",
        "matrix {out} --to {other}/m.npy",
        "doctor {out}",
        "validate {out}",
        "diff {out} {out}",
        "export {out} --to monai --dest {other}/dest",
        "tile {out} --row 0 --col 0",
        "config {out}",
    ];
    let given = |word: &str| word.replace("{out}", out).replace("{other}", other);
    all.iter().map(|line| line.split(' ').map(given).collect()).collect()
}

/// Runs some commands on a folder with a damaged file, which is put back after each; gives how many
/// refused it.
fn try_all(root: &Path, out: &Path, commands: &[&str], file: &str, bytes: &[u8]) -> usize {
    let path = out.join(file);
    let whole = fs::read(&path).unwrap();
    let mut refused = 0;
    let known = readers(text(out), text(root));
    for words in known.iter().filter(|words| commands.contains(&words[0].as_str())) {
        fs::write(&path, bytes).unwrap();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        refused += usize::from(told(&words).0 != 0);
    }
    fs::write(&path, whole).unwrap();
    refused
}

#[test]
fn a_plan_that_was_edited_into_nonsense_is_one_clear_error() {
    let root = folder();
    let (_, out) = places(root.path());
    let plan: Value = pdl_store::json::read(&out.join("plan.json")).unwrap();
    for (pointer, value) in [
        ("/schema_version", json!(99)),
        ("/spacing_mm/1", json!(0.0)),
        ("/spacing_mm/1", json!(1e300)),
        ("/spacing_mm/1", json!(null)),
        ("/normalisation", json!({ "scheme": "window", "low": 5.0, "high": -5.0 })),
        ("/normalisation", json!({ "scheme": "image_percentiles", "lower": -1.0, "upper": 1e9 })),
        (
            "/normalisation",
            json!({ "scheme": "cohort_foreground", "low": 9.0, "high": 1.0, "mean": 0.0, "std": 1.0 }),
        ),
        ("/proxies/shape/0", json!(0)),
        ("/proxies/shape/0", json!(1_u64 << 60)),
        ("/proxies/fov_mm", json!([0.0, 1.0, 1.0])),
        ("/proxies/mapping", json!({ "kind": "range", "low": 1e300, "high": -1e300 })),
        ("/fingerprint/spacing_mm/0/median", json!(-1.0)),
        ("/fingerprint/foreground/std", json!(1e300)),
    ] {
        let mut edited = plan.clone();
        *edited.pointer_mut(pointer).unwrap() = value.clone();
        fs::write(out.join("plan.json"), edited.to_string()).unwrap();
        let (code, said) = told(&["rank", text(&out)]);
        assert_eq!(code, 1, "{pointer} {value}: {said}");
        assert!(said.contains("plan.json"), "{pointer} {value}: {said}");
        assert_eq!(said.lines().filter(|line| line.starts_with("error")).count(), 1, "{said}");
    }
    let (code, said) = told(&["prepare", text(&out), "--proxy-size", "16"]);
    assert!(code == 1 && said.contains("plan.json"), "{said}");
    // A new plan heals it.
    run_ok(&["prepare", text(&out), "--proxy-size", "16", "--replan"]);
    run_ok(&["rank", text(&out)]);
}

#[test]
fn damaged_json_panics_nowhere() {
    let root = folder();
    let (_, out) = places(root.path());
    for (file, commands) in [
        ("plan.json", &["prepare", "audit", "report"][..]),
        ("manifest.json", &["report", "validate", "diff", "export", "doctor"]),
        ("audit.json", &["report", "doctor"]),
        ("fingerprint.json", &["prepare"]),
    ] {
        let whole = fs::read(out.join(file)).unwrap();
        let value: Value = serde_json::from_slice(&whole).unwrap();
        let negative = changed(&value, &|number| json!(-number)).to_string().into_bytes();
        let large = changed(&value, &|number| json!(number * 1e30 + 1e30)).to_string().into_bytes();
        for bytes in [whole[..whole.len() / 2].to_vec(), b"\xff\x00".to_vec(), negative, large] {
            try_all(root.path(), &out, commands, file, &bytes);
        }
    }
}

/// The value with every number changed.
fn changed(value: &Value, change: &dyn Fn(f64) -> Value) -> Value {
    match value {
        Value::Number(number) => change(number.as_f64().unwrap()),
        Value::Array(items) => items.iter().map(|item| changed(item, change)).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(key, item)| (key.clone(), changed(item, change))).collect()
        }
        other => other.clone(),
    }
}

#[test]
fn damaged_proxies_are_refused_and_made_again() {
    let root = folder();
    let (cohort, out) = places(root.path());
    let before = files(&out);
    let path = out.join("proxies/00000.arrow");
    let whole = fs::read(&path).unwrap();
    let middle = (whole.len() / 2) & !3;
    let mut not_a_number = whole.clone();
    not_a_number[middle..middle + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    let mut large = whole.clone();
    large[middle..middle + 4].copy_from_slice(&1e30_f32.to_le_bytes());
    for damaged in [not_a_number, large] {
        fs::write(&path, damaged).unwrap();
        for tile in fs::read_dir(out.join("pairs")).unwrap() {
            fs::remove_file(tile.unwrap().path()).unwrap();
        }
        let (code, said) = told(&["compare", text(&out)]);
        assert!(code == 1 && said.contains("are not in [0, 1]") && said.contains("pdl prepare"), "{said}");
        curate(&cohort, &out, &["--proxy-size", "16", "--no-report"]);
        assert!(files(&out) == before);
    }
    let commands = ["compare", "audit", "similar", "matrix"];
    for end in [0, 7, whole.len() / 3, whole.len() - 1] {
        assert_eq!(try_all(root.path(), &out, &commands, "proxies/00000.arrow", &whole[..end]), 4, "{end}");
    }
    curate(&cohort, &out, &["--proxy-size", "16", "--no-report"]);
    assert!(files(&out) == before);
}

#[test]
fn every_byte_of_the_footer_of_proxies_may_be_another() {
    let root = folder();
    let (_, out) = places(root.path());
    let path = out.join("proxies/00000.arrow");
    let whole = fs::read(&path).unwrap();
    let footer = i32::from_le_bytes(whole[whole.len() - 10..whole.len() - 6].try_into().unwrap()) as usize;
    let start = whole.len() - 10 - footer;
    for at in (start..whole.len()).chain(0..1200) {
        for byte in [0xff, whole[at] ^ 0x40] {
            let mut damaged = whole.clone();
            damaged[at] = byte;
            fs::write(&path, damaged).unwrap();
            let _ = pdl_prepare::proxies::Proxies::open(&out); // an error or proxies, and no panic
        }
    }
}

#[test]
fn tables_that_cannot_be_are_refused() {
    let root = folder();
    let (_, out) = places(root.path());
    let rows = prepared_row::read(&out).unwrap();
    for change in [
        (|row: &mut PreparedRow| row.shape.clear()) as fn(&mut PreparedRow),
        |row| row.shape = vec![0, 1, 1],
        |row| row.spacing_mm = vec![f64::NAN; 3],
        |row| row.spacing_mm = vec![1e300; 3],
    ] {
        let mut damaged = rows.clone();
        change(&mut damaged[0]);
        table::write_rows(&out.join(prepared_row::FILE), &prepared_row::schema(), &damaged, Vec::new())
            .unwrap();
        for words in [["rank", text(&out)], ["report", text(&out)]] {
            let (code, said) = told(&words);
            assert!(code == 1 && said.contains("the shape or spacing of case"), "{words:?}: {said}");
        }
    }
    table::write_rows(&out.join(prepared_row::FILE), &prepared_row::schema(), &rows, Vec::new()).unwrap();
    for (file, commands) in [
        ("cases.parquet", &["summary", "rank"][..]),
        ("prepared.parquet", &["rank"]),
        ("manifest.parquet", &["validate", "export"]),
        ("pairs/00000-00000.parquet", &["duplicates", "matrix"]),
    ] {
        let whole = fs::read(out.join(file)).unwrap();
        for at in [4, whole.len() / 2, whole.len() - 40, whole.len() - 9] {
            let mut damaged = whole.clone();
            damaged[at..(at + 8).min(whole.len())].fill(0xff);
            try_all(root.path(), &out, commands, file, &damaged);
        }
    }
}

#[test]
fn what_pdl_does_not_know_does_not_stand_in_its_way() {
    let root = folder();
    let (cohort, out) = places(root.path());
    for name in [
        ".tmp-x/y",
        "prepared/images/.tmp-x/y",
        "prepared/labels/sub/y",
        "proxies/.tmp-x/y",
        "proxies/extra.arrow/y",
        "pairs/.tmp-x/y",
        "pairs/extra.parquet/y",
        ".pdl/extra/y",
        "runs/extra/y",
        "folds/extra/y",
        "other/y",
    ] {
        let path = out.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "theirs").unwrap();
    }
    fs::write(out.join("proxies/notes.arrow"), "theirs").unwrap();
    run_ok(&["index", text(&cohort), "--out", text(&out), "--verify"]);
    for words in readers(text(&out), text(root.path())) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        run_ok(&words);
    }
    curate(&cohort, &out, &["--proxy-size", "16", "--verify"]);
    assert_eq!(fs::read_to_string(out.join(".tmp-x/y")).unwrap(), "theirs");
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_is_lost_is_an_error() {
    let root = folder();
    let (cohort, out) = places(root.path());
    let mut all = readers(text(&out), text(root.path()));
    let more = ["--help", "--version", "help", "help findings", "curate --help", "completions bash"];
    all.extend(more.iter().map(|line| line.split(' ').map(str::to_owned).collect()));
    let index = ["index", text(&cohort), "--out", text(&out)].map(str::to_owned).to_vec();
    all.push(index);
    let with_json = readers(text(&out), text(root.path())).into_iter().step_by(2);
    all.extend(with_json.map(|words| [words, vec!["--json".to_owned()]].concat()));
    for words in all {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let output = pdl().args(&words).stdout(full).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(![Some(0), Some(101)].contains(&output.status.code()), "{words:?}: {said}");
        assert!(said.contains("standard output"), "{words:?}: {said}");
    }
}
