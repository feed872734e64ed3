//! What the end-to-end tests share: where things are, and how to run the program as its user does.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests may fail loudly"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// The top folder of the checkout.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Compares the JSON Schema of a type with `schemas/NAME.schema.json`; writes that file where
/// `PDL_UPDATE_SCHEMAS` is set.
///
/// # Panics
/// When they differ.
pub fn check_schema(name: &str, schema: &schemars::Schema) {
    let path = root().join(format!("schemas/{name}.schema.json"));
    let text = serde_json::to_string_pretty(schema).unwrap() + "\n";
    if std::env::var_os("PDL_UPDATE_SCHEMAS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == text, "schemas/{name}.schema.json is not that of its type: run `just schemas`");
}

/// Checks that the JSON Schema of a row names just the columns of its table.
///
/// # Panics
/// When it does not.
pub fn check_columns(name: &str, row: schemars::Schema, table: &arrow::datatypes::Schema) {
    let row: serde_json::Value = row.into();
    let mut fields: Vec<&str> = row["properties"].as_object().unwrap().keys().map(String::as_str).collect();
    let mut columns: Vec<&str> = table.fields().iter().map(|field| field.name().as_str()).collect();
    fields.sort_unstable();
    columns.sort_unstable();
    assert_eq!(fields, columns, "{name}");
}

/// A sample cohort: "ct" or "mr".
pub fn sample(name: &str) -> PathBuf {
    root().join("sample-data").join(name)
}

/// The folder of real cohorts that `PDL_REAL_DATA` names, or nothing when it is not set.
///
/// # Panics
/// When it is set, but `set` is not there.
pub fn real(set: &str) -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var_os("PDL_REAL_DATA")?).join(set);
    assert!(folder.is_dir(), "PDL_REAL_DATA is set, but this is no folder: {}", folder.display());
    Some(folder)
}

/// The program, built with the profile of the running test, or the one that `PDL_PROGRAM` names.
pub fn pdl() -> Command {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    Command::new(PROGRAM.get_or_init(|| {
        if let Some(program) = std::env::var_os("PDL_PROGRAM") {
            return program.into();
        }
        let test = std::env::current_exe().unwrap(); // target/PROFILE/deps/TEST
        let folder = test.parent().unwrap().parent().unwrap().to_owned();
        let mut build = Command::new(env!("CARGO"));
        // Not `-p pdl`: alone it would get other features of its dependencies, and build them all
        // once more.
        build.args(["build", "--quiet", "--bin", "pdl", "--target-dir"]).arg(folder.parent().unwrap());
        if folder.ends_with("release") {
            build.arg("--release");
        }
        assert!(build.current_dir(root()).status().unwrap().success(), "pdl must build");
        folder.join("pdl")
    }))
}

/// Runs the program to its end.
pub fn run(words: &[&str]) -> Output {
    pdl().args(words).output().unwrap()
}

/// Runs the program, which must succeed, and gives what it printed.
///
/// # Panics
/// When it fails.
pub fn run_ok(words: &[&str]) -> String {
    let output = run(words);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "pdl {words:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Writes a key of pseudonyms that is the same in every run; it is the user's alone, as it must be.
pub fn write_key(path: &Path) {
    pdl_store::atomic::write_private_if_changed(path, "07".repeat(32).as_bytes()).unwrap();
}

/// Every file below a folder with its bytes, by relative path; what `.pdl/` caches is left out.
pub fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    collect(folder, folder, &mut found);
    found.sort();
    found
}

fn collect(root: &Path, folder: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if path.file_name().unwrap() != ".pdl" {
                collect(root, &path, found);
            }
        } else {
            let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
            found.push((name, std::fs::read(&path).unwrap()));
        }
    }
}
