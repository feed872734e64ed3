//! Folders that a newer pdl wrote: every command that reads or replaces one of their files ends
//! with 1 and names the version, and changes nothing.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use arrow::ipc::reader::FileReader;
use arrow::ipc::writer::FileWriter;
use pdl_store::format_version::TABLE_KEY;
use pdl_store::memory::MemoryLimit;
use pdl_store::table;
use pdl_tests::{files, run, run_ok};
use serde_json::{Value, json};

use crate::{cohort_of, curate, folder};

/// Every file with a version in a curation folder, and its version.
const FILES: [(&str, u32); 15] = [
    ("cases.parquet", 1),
    ("sources.parquet", 1),
    ("prepared.parquet", 1),
    ("results.parquet", 1),
    ("plan.json", 1),
    ("fingerprint.json", 1),
    ("failures.json", 1),
    ("proxies/00000.arrow", 1),
    ("pairs/00000-00000.parquet", 1),
    ("manifest.json", 3),
    ("manifest.parquet", 3),
    ("audit.json", 1),
    ("folds/0/manifest.json", 3),
    ("folds/1/manifest.parquet", 3),
    ("folds/1/audit.json", 1),
];

/// Every command that reads or writes a curation folder.
const COMMANDS: [&str; 22] = [
    "curate {cohort} --out {out} --proxy-size 16 --plan-from outside-test",
    "index {cohort} --out {out}",
    "index {cohort} --out {out} --verify",
    "prepare {out} --proxy-size 16 --plan-from outside-test",
    "prepare {out} --proxy-size 16 --plan-from outside-test --replan",
    "compare {out}",
    "rank {out}",
    "rank {out} --folds 2",
    "audit {out}",
    "audit {out} --labels",
    "report {out}",
    "summary {out} --cases --files",
    "view {out} ct_01 --to {other}/view.png",
    "similar {out} ct_01",
    "duplicates {out}",
    "select {out} --count 2 --to {other}/select.csv",
    "matrix {out} --to {other}/m.npy",
    "tile {out} --row 0 --col 0",
    "export {out} --to monai --dest {other}/dest",
    "import-results {out} {summary}",
    "doctor {out}",
    "doctor {out} --json",
];

/// Commands on a manifest alone.
const OF_MANIFESTS: [&str; 3] = ["validate {out}", "validate {out} --manifest-only", "diff {out} {out}"];

/// The same file of a newer version; its content may have become anything.
fn newer(path: &Path, version: u32) -> Vec<u8> {
    let version = (version + 1).to_string();
    let name = path.to_str().unwrap();
    if name.ends_with(".json") {
        let mut value: Value = pdl_store::json::read(path).unwrap();
        if value.is_array() {
            value = json!({ "failures": value });
        }
        value["schema_version"] = version.parse::<u32>().unwrap().into();
        value["new"] = json!({ "parameters": [1] });
        if let Some(fields) = value.as_object_mut() {
            fields.remove("parameters");
        }
        return value.to_string().into_bytes();
    }
    let stated = (TABLE_KEY.to_owned(), version);
    if name.ends_with(".arrow") {
        let reader = FileReader::try_new(File::open(path).unwrap(), None).unwrap();
        let metadata: HashMap<String, String> =
            reader.schema().metadata().clone().into_iter().chain([stated]).collect();
        let schema = reader.schema().as_ref().clone().with_metadata(metadata);
        let mut writer = FileWriter::try_new(Vec::new(), &schema).unwrap();
        for batch in reader {
            writer.write(&batch.unwrap().with_schema(Arc::new(schema.clone())).unwrap()).unwrap();
        }
        return writer.into_inner().unwrap();
    }
    // A table of one column that the newer version has and this one has not.
    let (_, batches) = table::read_arrow(path, None, &MemoryLimit::new(1 << 30).alone()).unwrap();
    let first = batches[0].project(&[0]).unwrap();
    table::encode(path, &first, table::properties(vec![stated]).build()).unwrap()
}

#[test]
fn a_folder_of_a_newer_pdl_is_refused_by_every_command_and_left_alone() {
    let root = folder();
    let (cohort, out) = (root.path().join("cohort"), root.path().join("out"));
    fs::create_dir(&cohort).unwrap();
    cohort_of(&cohort, 0..8);
    let [cohort, out, other] = [&cohort, &out, root.path()].map(|path| path.to_str().unwrap().to_owned());
    curate(
        Path::new(&cohort),
        Path::new(&out),
        &["--proxy-size", "16", "--plan-from", "outside-test", "--no-report"],
    );
    run_ok(&["rank", &out, "--folds", "2"]);
    let summary = format!("{other}/summary.json");
    let result = json!({ "metrics": { "1": { "Dice": 0.5 } }, "prediction_file": "ct_01.nii.gz" });
    fs::write(&summary, json!({ "metric_per_case": [result] }).to_string()).unwrap();
    run_ok(&["import-results", &out, &summary]);
    let out_path = Path::new(&out);
    fs::write(out_path.join("failures.json"), "[]").unwrap();
    let words = |line: &str| -> Vec<String> {
        let given = |word: &str| {
            let word = word.replace("{cohort}", &cohort).replace("{out}", &out).replace("{other}", &other);
            word.replace("{summary}", &summary)
        };
        line.split(' ').map(given).collect()
    };
    // Such as they are all of them pass.
    // All cases are labelled: there is none to select.
    let usable = |line: &&&str| !line.starts_with("curate") && !line.starts_with("select");
    for line in COMMANDS.iter().chain(&OF_MANIFESTS).filter(usable) {
        let words = words(line);
        let output = run(&words.iter().map(String::as_str).collect::<Vec<_>>());
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() || line.starts_with("diff"), "{line}: {told}");
    }
    fs::write(out_path.join("failures.json"), "[]").unwrap();
    for name in ["view.png", "m.npy", "dest"] {
        let path = root.path().join(name);
        if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
    }

    for (file, version) in FILES {
        let path = out_path.join(file);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, newer(&path, version)).unwrap();
        let before = files(out_path);
        let of_manifests = OF_MANIFESTS.iter().filter(|_| file == "manifest.json");
        for line in COMMANDS.iter().chain(of_manifests) {
            let words = words(line);
            let output = run(&words.iter().map(String::as_str).collect::<Vec<_>>());
            let [said, told] =
                [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
            let all = said + &told;
            let code = output.status.code();
            let is_difference = line.starts_with("validate");
            assert!(code == Some(1) || is_difference && code == Some(5), "{file} {line}: {code:?} {all}");
            let stated = [format!("version {version} or lower"), format!("version 1 to {version}")];
            let is_named =
                stated.iter().any(|stated| all.contains(&format!("{stated}, found {}", version + 1)));
            assert!(is_named, "{file} {line}: {all}");
            assert!(!all.contains("not the expected") && !all.contains("panicked"), "{file} {line}: {all}");
            assert!(files(out_path) == before, "{file} {line} changed the folder");
        }
        fs::write(&path, whole).unwrap();
    }
    for name in ["view.png", "select.csv", "m.npy", "dest"] {
        assert!(!root.path().join(name).exists(), "{name}");
    }
}

#[test]
fn every_table_and_document_states_its_version() {
    let root = folder();
    let (cohort, out) = (root.path().join("cohort"), root.path().join("out"));
    fs::create_dir(&cohort).unwrap();
    cohort_of(&cohort, 0..6);
    curate(&cohort, &out, &["--proxy-size", "16", "--no-report"]);
    for table in ["cases", "sources", "prepared"] {
        let metadata = table::read_metadata(&out.join(table).with_extension("parquet"), 1).unwrap();
        assert_eq!(metadata.get(TABLE_KEY).map(String::as_str), Some("1"), "{table}");
    }
    for (document, version) in [("plan", 1), ("fingerprint", 1), ("audit", 1), ("manifest", 3)] {
        let value: Value = pdl_store::json::read(&out.join(document).with_extension("json")).unwrap();
        assert_eq!(value["schema_version"], version, "{document}");
    }
}
