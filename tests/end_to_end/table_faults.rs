//! Errors of the machine at tables and pictures: they end the run, and are taken for no damage.

use std::path::Path;

use pdl_tests::{files, run_ok};

use crate::faults::{EIO, MACHINE, run_with};
use crate::{cohort_of, curate, folder};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_table_that_the_disk_does_not_give_ends_the_run() {
    let (cohort, root) = (folder(), folder());
    cohort_of(cohort.path(), 0..8);
    let out = root.path().join("out");
    curate(cohort.path(), &out, &["--proxy-size", "16"]);
    let before = files(&out);
    let dest = root.path().join("dest");
    let export = ["export", text(&out), "--to", "csv", "--dest", text(&dest)];
    for (file, words) in [
        ("cases.parquet", &["summary", text(&out)][..]),
        ("cases.parquet", &["prepare", text(&out), "--proxy-size", "16"]),
        ("cases.parquet", &["doctor", text(&out)]),
        ("prepared.parquet", &["doctor", text(&out)]),
        ("manifest.jsonl", &["doctor", text(&out)]),
        ("pairs/00000-00000", &["doctor", text(&out)]),
        ("audit.json", &["doctor", text(&out)]),
        ("prepared.parquet", &["rank", text(&out)]),
        ("prepared.parquet", &["report", text(&out)]),
        ("manifest.parquet", &["validate", text(&out)]),
        ("manifest.parquet", &export),
        ("pairs/00000-00000", &["compare", text(&out)]),
        ("pairs/00000-00000", &["rank", text(&out)]),
        ("prepared/images/ct_01", &["validate", text(&out)]),
        ("prepared/labels/ct_01", &["report", text(&out)]),
    ] {
        for call in ["read", "open"] {
            let faults = [("PATH", file), ("CALL", call), ("ERRNO", EIO)];
            let Some(output) = run_with(words, &faults) else { return };
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(MACHINE), "{call} {file} {words:?}: {told}");
            assert!(files(&out) == before, "{call} {file} {words:?}");
        }
        // What passes with another try is not even seen.
        let short = [("PATH", file), ("CALL", "read"), ("ERRNO", EIO), ("TIMES", "1")];
        let output = run_with(words, &short).unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_file_system_without_locks_or_syncs_is_told_once_and_works() {
    let (cohort, root) = (folder(), folder());
    cohort_of(cohort.path(), 0..6);
    let plain = root.path().join("plain");
    run_ok(&["index", text(cohort.path()), "--out", text(&plain)]);
    let expected = files(&plain);
    for (call, errno, told) in
        [("flock", "38", "has no locks"), ("flock", "95", "has no locks"), ("fsync", "22", "(fsync)")]
    {
        let out = root.path().join(format!("{call}-{errno}"));
        let index = ["index", text(cohort.path()), "--out", text(&out)];
        let Some(output) = run_with(&index, &[("CALL", call), ("ERRNO", errno)]) else { return };
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert_eq!(said.matches(told).count(), 1, "{said}");
        assert!(files(&out) == expected, "{call}");
        assert!(!out.join(".pdl/owner.json").exists());
    }
    // A disk that fails is no such file system.
    let out = root.path().join("failing");
    let index = ["index", text(cohort.path()), "--out", text(&out)];
    let output = run_with(&index, &[("CALL", "fsync"), ("ERRNO", EIO)]).unwrap();
    assert_eq!(output.status.code(), Some(MACHINE), "{}", String::from_utf8_lossy(&output.stderr));
}
