//! Errors of the machine and copies that go on: no good case is rejected or removed for them, and
//! the next run is whole.
//!
//! A library that is loaded before the program (`tests/faults/fault.c`) fails its calls; the limit
//! of open files is the shell's. Linux only.

#![allow(clippy::print_stderr, reason = "a test that did not run says so")]

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::SystemTime;

use pdl_cohort::attributes::Status;
use pdl_cohort::table::case_row::CaseRow;
use pdl_cohort::table::cases::Cases;
use pdl_tests::{files, pdl, root, run_ok, sample};

use crate::{cohort_of, curate, folder};

pub(crate) const EIO: &str = "5";
const EACCES: &str = "13";
const ESTALE: &str = "116";
/// The exit code of a run that the machine ended.
pub(crate) const MACHINE: i32 = 7;

/// The library that fails calls, compiled once; nothing where there is no compiler, which is said.
fn library() -> Option<&'static Path> {
    static LIBRARY: OnceLock<Option<PathBuf>> = OnceLock::new();
    LIBRARY
        .get_or_init(|| {
            let library = folder().keep().join("fault.so");
            let source = root().join("tests/faults/fault.c");
            let mut compiler = Command::new("cc");
            compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).arg("-ldl");
            let compiled = compiler.status();
            if !compiled.is_ok_and(|status| status.success()) {
                eprintln!("NOT TESTED: there is no C compiler (cc) for tests/faults/fault.c");
                return None;
            }
            Some(library)
        })
        .as_deref()
}

/// Runs the program with calls that fail as `faults` says; nothing where that cannot be tried.
pub(crate) fn run_with(words: &[&str], faults: &[(&str, &str)]) -> Option<Output> {
    let library = library()?;
    let mut command = pdl();
    command.args(words).env("LD_PRELOAD", library);
    faults.iter().for_each(|(name, value)| {
        command.env(format!("FAULT_{name}"), value);
    });
    Some(command.output().unwrap())
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("{output:?}"))
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The names of a folder's files and what is in them differ nowhere.
fn assert_same(a: &Path, b: &[(String, Vec<u8>)]) {
    let a = files(a);
    let names = |files: &[(String, Vec<u8>)]| files.iter().map(|file| file.0.clone()).collect::<Vec<_>>();
    assert_eq!(names(&a), names(b));
    for (one, other) in a.iter().zip(b) {
        assert!(one.1 == other.1, "{} differs", one.0);
    }
}

fn status(out: &Path, case: &str) -> (Status, Vec<String>) {
    let cases = Cases::read(out).unwrap();
    let row = cases.rows.iter().find(|row| row.case_id == case).unwrap();
    (row.status, row.findings.iter().map(|finding| finding.code.to_string()).collect())
}

fn rejected(code: &str) -> (Status, Vec<String>) {
    (Status::Rejected, vec![code.to_owned()])
}

/// The cases are what an undisturbed run finds, but for their splits: a case that came later may
/// get another one.
fn assert_whole(cohort: &Path, out: &Path) {
    let undisturbed = folder();
    run_ok(&["index", text(cohort), "--out", text(undisturbed.path())]);
    let facts = |out: &Path| {
        let rows = Cases::read(out).unwrap().rows.into_iter();
        let facts = |row: CaseRow| (row.case_id, row.status, row.findings, row.image_blake3, row.labels);
        let mut facts: Vec<_> = rows.map(facts).collect();
        facts.sort_by(|a, b| a.0.cmp(&b.0));
        facts
    };
    assert_eq!(facts(out), facts(undisturbed.path()));
}

/// A cohort of some cases, and a folder beside it to be curated in.
fn places(parent: &Path, cases: std::ops::Range<usize>) -> (PathBuf, PathBuf) {
    let cohort = parent.join("cohort");
    fs::create_dir(&cohort).unwrap();
    (cohort_of(&cohort, cases), parent.join("out"))
}

/// Curates with small proxies, by which two patients look like one.
fn curate_small(cohort: &Path, out: &Path) {
    fs::create_dir(out).unwrap();
    fs::write(out.join("pdl.toml"), "[audit]\nduplicate_ssim = 1.0\n").unwrap();
    curate(cohort, out, &["--proxy-size", "16", "--no-report"]);
}

#[test]
fn too_few_open_files_end_the_run_or_change_nothing() {
    for name in ["ct", "mr"] {
        let (parent, cohort) = (folder(), sample(name));
        let expected = {
            let out = parent.path().join("undisturbed");
            run_ok(&["index", text(&cohort), "--out", text(&out)]);
            files(&out)
        };
        let mut ended = 0;
        for limit in [5, 7, 10] {
            let out = parent.path().join(format!("limit-{limit}"));
            let words = ["index", text(&cohort), "--out", text(&out), "--threads", "8"];
            let mut limited = Command::new("sh");
            limited.args(["-c", &format!("ulimit -n {limit}; exec \"$@\""), "sh"]);
            let output = limited.arg(pdl().get_program()).args(words).output().unwrap();
            if code(&output) != 0 {
                assert_eq!(code(&output), MACHINE, "{limit}: {}", errors(&output));
                assert!(errors(&output).contains("os error 24"), "{limit}: {}", errors(&output));
                assert!(!out.join("cases.parquet").exists(), "{limit}");
                ended += 1;
                run_ok(&words);
            }
            assert_same(&out, &expected);
        }
        assert!(ended > 0, "no limit was too low");
    }
}

#[test]
fn too_few_open_files_for_a_reader_of_results_are_the_machines() {
    let parent = folder();
    let (cohort, out) = places(parent.path(), 0..8);
    curate_small(&cohort, &out);
    let before = files(&out);
    let mut ended = 0;
    for limit in 4..8 {
        for command in ["summary", "validate", "rank", "compare"] {
            let mut limited = Command::new("sh");
            limited.args(["-c", &format!("ulimit -n {limit}; exec \"$@\""), "sh"]);
            let output = limited.arg(pdl().get_program()).args([command, text(&out)]).output().unwrap();
            // The loader of programs may find no number for a library.
            if code(&output) != 127 {
                assert!([0, MACHINE].contains(&code(&output)), "{limit} {command}: {}", errors(&output));
                ended += usize::from(code(&output) == MACHINE);
            }
            assert_same(&out, &before);
        }
    }
    assert!(ended > 0, "no limit was too low");
}

#[test]
fn proxies_that_the_disk_does_not_give_are_not_called_damaged() {
    let parent = folder();
    let (cohort, out) = places(parent.path(), 0..8);
    curate_small(&cohort, &out);
    let faults = [("PATH", "proxies/00000"), ("CALL", "open"), ("ERRNO", EIO)];
    let Some(output) = run_with(&["compare", text(&out)], &faults) else { return };
    assert_eq!(code(&output), MACHINE, "{}", errors(&output));
    assert!(!errors(&output).contains("not the expected proxies"), "{}", errors(&output));
}

#[test]
fn an_image_that_the_disk_does_not_give_ends_the_run_and_removes_nothing() {
    let parent = folder();
    let (cohort, out) = places(parent.path(), 0..12);
    curate(&cohort, &out, &["--no-report"]);
    let before = files(&out);
    let image = cohort.join("images/ct_05.nii.gz");
    let index = ["index", text(&cohort), "--out", text(&out)];
    let verify = [&index[..], &["--verify"]].concat();
    let faults = [("PATH", "images/ct_05"), ("CALL", "read"), ("ERRNO", EIO)];

    let Some(output) = run_with(&verify, &faults) else { return };
    assert_eq!(code(&output), MACHINE, "{}", errors(&output));
    assert!(errors(&output).contains("case ct_05"), "{}", errors(&output));
    assert_same(&out, &before);

    File::options().write(true).open(&image).unwrap().set_modified(SystemTime::now()).unwrap();
    for (call, error) in [("read", EIO), ("open", ESTALE)] {
        let faults = [("PATH", "images/ct_05"), ("CALL", call), ("ERRNO", error)];
        let output = run_with(&index, &faults).unwrap();
        assert_eq!(code(&output), MACHINE, "{call} {error}: {}", errors(&output));
        assert_same(&out, &before);
    }

    // A failure that passes is not even seen.
    let short = [&faults[..], &[("TIMES", "2")]].concat();
    assert_eq!(code(&run_with(&index, &short).unwrap()), 0);
    curate(&cohort, &out, &["--no-report"]);
    assert_same(&out, &before);
}

#[test]
fn a_case_that_cannot_be_prepared_for_the_machines_sake_keeps_its_files() {
    let parent = folder();
    let (cohort, out) = places(parent.path(), 0..12);
    curate(&cohort, &out, &["--no-report"]);
    let before = files(&out);
    let prepared = out.join("prepared/images/ct_05.nii.gz");
    let bytes = fs::read(&prepared).unwrap();
    fs::remove_file(&prepared).unwrap();
    let faults = [("PATH", "cohort/images/ct_05"), ("CALL", "read"), ("ERRNO", EIO)];
    let Some(output) = run_with(&["prepare", text(&out)], &faults) else { return };
    assert_eq!(code(&output), MACHINE, "{}", errors(&output));
    fs::write(&prepared, bytes).unwrap();
    assert_same(&out, &before);
    fs::remove_file(&prepared).unwrap();
    run_ok(&["prepare", text(&out)]);
    assert_same(&out, &before);
}

#[test]
fn a_file_that_may_not_be_read_is_its_cases_finding_until_it_may() {
    let parent = folder();
    let (cohort, out) = places(parent.path(), 0..4);
    let index = ["index", text(&cohort), "--out", text(&out)];
    // Once, so that all other looks at the file find it readable.
    for times in ["1", "1000"] {
        let faults = [("PATH", "images/ct_02"), ("CALL", "open"), ("ERRNO", EACCES), ("TIMES", times)];
        let Some(output) = run_with(&index, &faults) else { return };
        assert_eq!(code(&output), 0, "{}", errors(&output));
        assert_eq!(status(&out, "ct_02"), rejected("unreadable-image"));
        run_ok(&index);
        assert_whole(&cohort, &out);
        fs::remove_dir_all(&out).unwrap();
    }
}

#[test]
fn a_slice_that_the_disk_does_not_give_is_not_interpolated() {
    let parent = folder();
    let (tree, out) = (root().join("sample-data/dicom"), parent.path().join("out"));
    let key = parent.path().join("key");
    let index = ["index", text(&tree), "--out", text(&out), "--pseudonym-key", text(&key), "--threads", "2"];
    let series = fs::read_dir(&tree).unwrap().map(|entry| entry.unwrap().path()).find(|path| path.is_dir());
    let series = series.unwrap();
    let mut slices: Vec<PathBuf> =
        fs::read_dir(&series).unwrap().map(|entry| entry.unwrap().path()).collect();
    slices.sort();
    let slice = text(&slices[slices.len() / 2]).to_owned();

    for call in ["read", "open"] {
        let faults = [("PATH", slice.as_str()), ("CALL", call), ("ERRNO", EIO)];
        let Some(output) = run_with(&index, &faults) else { return };
        assert_eq!(code(&output), MACHINE, "{call}: {}", errors(&output));
        let name = slices[slices.len() / 2].file_name().unwrap().to_string_lossy().into_owned();
        assert!(!errors(&output).contains(&name), "paths of such trees name patients: {}", errors(&output));
        assert!(!out.join("cases.parquet").exists());
    }
    // A folder that cannot be listed is no empty one.
    let faults = [("PATH", text(&series)), ("CALL", "opendir"), ("ERRNO", EIO)];
    assert_eq!(code(&run_with(&index, &faults).unwrap()), MACHINE);

    let short = [("PATH", slice.as_str()), ("CALL", "read"), ("ERRNO", EIO), ("TIMES", "2")];
    assert_eq!(code(&run_with(&index, &short).unwrap()), 0);
    let once = files(&out);
    fs::remove_dir_all(&out).unwrap();
    run_ok(&index);
    assert_same(&out, &once);

    // Now with volumes that are kept: none is removed.
    let faults = [("PATH", slice.as_str()), ("CALL", "read"), ("ERRNO", EIO)];
    let verify = [&index[..], &["--verify"]].concat();
    assert_eq!(code(&run_with(&verify, &faults).unwrap()), MACHINE);
    assert_same(&out, &once);
}

#[test]
fn a_folder_of_labels_that_cannot_be_listed_leaves_no_case_without_a_label() {
    let parent = folder();
    let (cohort, out) = places(parent.path(), 0..4);
    fs::remove_file(cohort.join("cohort.csv")).unwrap();
    let faults = [("PATH", "cohort/labels"), ("CALL", "opendir"), ("ERRNO", EIO)];
    let index = ["index", text(&cohort), "--out", text(&out)];
    let Some(output) = run_with(&index, &faults) else { return };
    assert_eq!(code(&output), MACHINE, "{}", errors(&output));
    assert!(!out.join("cases.parquet").exists());
}

#[test]
fn a_copy_that_goes_on_is_seen_by_the_next_run() {
    for flags in [&[][..], &["--verify"]] {
        let parent = folder();
        let (cohort, out) = places(parent.path(), 0..4);
        let index = [&["index", text(&cohort), "--out", text(&out)][..], flags].concat();
        let image = cohort.join("images/ct_02.nii.gz");
        let whole = fs::read(&image).unwrap();
        let time = fs::metadata(&image).unwrap().modified().unwrap();
        let write = |bytes: &[u8]| {
            fs::write(&image, bytes).unwrap();
            File::options().write(true).open(&image).unwrap().set_modified(time).unwrap();
        };
        // Cut short, then as long as it will be but not all there; each time with the time of the
        // original.
        let mut hole = whole.clone();
        hole[whole.len() / 2..].fill(0);
        for so_far in [&whole[..whole.len() / 3], &hole] {
            write(so_far);
            run_ok(&index);
            assert_eq!(status(&out, "ct_02"), rejected("unreadable-image"));
        }
        write(&whole);
        run_ok(&index);
        assert_whole(&cohort, &out);
    }
}

#[test]
fn a_copy_that_ends_while_the_file_is_read_is_seen_by_the_next_run() {
    for flags in [&[][..], &["--verify"]] {
        let parent = folder();
        let (cohort, out) = places(parent.path(), 0..4);
        let index = [&["index", text(&cohort), "--out", text(&out)][..], flags].concat();
        let (image, whole) = (cohort.join("images/ct_02.nii.gz"), parent.path().join("whole"));
        fs::copy(&image, &whole).unwrap();
        let bytes = fs::read(&image).unwrap();
        fs::write(&image, &bytes[..bytes.len() / 3]).unwrap();
        let faults = [("PATH", "images/ct_02"), ("CALL", "close"), ("TIMES", "1"), ("WHOLE", text(&whole))];
        let Some(output) = run_with(&index, &faults) else { return };
        assert_eq!(code(&output), 0, "{}", errors(&output));
        assert_eq!(status(&out, "ct_02"), rejected("unreadable-image"));
        assert!(fs::read(&image).unwrap() == bytes, "the copy has ended");
        run_ok(&index);
        assert_whole(&cohort, &out);
    }
}

#[test]
fn the_other_file_of_a_pair_may_come_later() {
    let parent = folder();
    let (cohort, out) = places(parent.path(), 0..3);
    fs::remove_file(cohort.join("cohort.csv")).unwrap();
    let image = cohort.join("images/ct_02.nii.gz");
    let mut plain = Vec::new();
    flate2::read::MultiGzDecoder::new(File::open(&image).unwrap()).read_to_end(&mut plain).unwrap();
    fs::remove_file(&image).unwrap();
    let (header, voxels) = plain.split_at(352);
    let mut header = header[..348].to_vec();
    header[108..112].copy_from_slice(&0_f32.to_le_bytes());
    header[344..348].copy_from_slice(b"ni1\0");
    fs::write(cohort.join("images/ct_02.hdr"), header).unwrap();
    let index = ["index", text(&cohort), "--out", text(&out)];
    run_ok(&index);
    assert_eq!(status(&out, "ct_02"), rejected("unreadable-image"));
    fs::write(cohort.join("images/ct_02.img"), voxels).unwrap();
    run_ok(&index);
    assert_ne!(status(&out, "ct_02").0, Status::Rejected);
}
