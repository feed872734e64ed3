//! What users rely on, tried with the program itself on the sample cohorts, on cohorts broken on
//! purpose, and, where `PDL_REAL_DATA` names them, on real ones.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests may fail loudly")]

mod annotated;
mod audit;
mod bounds;
mod case_ids;
mod channels;
mod cli_errors;
mod codes;
mod cohort_findings;
mod contours;
mod contracts;
mod corrupt_files;
mod crop;
mod curate;
mod damaged_out;
mod dicom;
mod distributed_prepare;
mod export;
#[cfg(target_os = "linux")]
mod faults;
mod format_versions;
mod golden;
mod groups;
mod hostile_names;
mod hostile_out;
mod identities;
mod import;
mod init;
mod intensities;
#[cfg(unix)]
mod keys;
mod label_rules;
mod labels;
mod layouts;
mod manifests;
mod named_labels;
mod names_masked;
mod orientations;
mod pairs;
mod paths;
mod privacy;
mod ranking;
mod regions;
mod report;
mod results;
mod scores;
mod shards;
#[cfg(unix)]
mod special_files;
mod splits;
mod stacks;
#[cfg(target_os = "linux")]
mod table_faults;
mod tables;
mod terminal;
mod tiny;
mod unlabelled;
mod visits;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// A folder for one test, removed at its end.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// The curated sample cohort "ct" or "mr", made once for all tests; only to be read.
fn curated(name: &str) -> &'static Path {
    static CT: OnceLock<PathBuf> = OnceLock::new();
    static MR: OnceLock<PathBuf> = OnceLock::new();
    let cell = if name == "ct" { &CT } else { &MR };
    cell.get_or_init(|| {
        let out = folder().keep();
        curate(&pdl_tests::sample(name), &out, &[]);
        out
    })
}

/// To be held while a shared cohort is exported: each export locks its curation folder, and refuses
/// to wait.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Curates, which must succeed.
fn curate(cohort: &Path, out: &Path, flags: &[&str]) -> String {
    let mut words = vec!["curate", cohort.to_str().unwrap(), "--out", out.to_str().unwrap()];
    words.extend(flags);
    pdl_tests::run_ok(&words)
}

/// A cohort with copies of some cases of the sample "ct", with their rows of cohort.csv.
fn cohort_of(folder: &Path, cases: std::ops::Range<usize>) -> PathBuf {
    let sample = pdl_tests::sample("ct");
    let table = std::fs::read_to_string(sample.join("cohort.csv")).unwrap();
    let mut lines = table.lines();
    let mut kept = vec![lines.next().unwrap()];
    for line in lines.skip(cases.start).take(cases.len()) {
        for file in line.split(',').take(2) {
            let to = folder.join(file);
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(sample.join(file), to).unwrap();
        }
        kept.push(line);
    }
    std::fs::write(folder.join("cohort.csv"), kept.join("\n") + "\n").unwrap();
    folder.to_owned()
}
