//! What a real download folder holds: one bad case never stops the others.

use std::fs;
use std::path::Path;

use pdl_cohort::attributes::Status;
use pdl_cohort::table::cases::Cases;
use pdl_io::nifti;
use pdl_tests::{files, real, run, run_ok};
use pdl_volume::{Grid, LabelMap, labels_on};

use crate::{cohort_of, curate, folder};

fn codes(out: &Path, case: &str) -> (Status, Vec<String>) {
    let cases = Cases::read(out).unwrap();
    let row =
        cases.rows.iter().find(|row| row.case_id == case).unwrap_or_else(|| panic!("no row for {case}"));
    (row.status, row.findings.iter().map(|finding| finding.code.to_string()).collect())
}

/// Four good cases as plain folders, and one of every kind of bad one.
fn broken_cohort(folder: &Path) {
    cohort_of(folder, 0..5);
    fs::remove_file(folder.join("cohort.csv")).unwrap();
    let image = |name: &str| folder.join(format!("images/{name}.nii.gz"));
    let label = |name: &str| folder.join(format!("labels/{name}.nii.gz"));
    let (good_image, good_label) = (image("ct_01"), label("ct_01"));

    fs::copy(&good_image, image("no_label")).unwrap();
    fs::copy(&good_label, label("no_image")).unwrap();

    let bytes = fs::read(&good_image).unwrap();
    fs::write(image("truncated"), &bytes[..bytes.len() / 2]).unwrap();
    fs::copy(&good_label, label("truncated")).unwrap();

    fs::copy(&good_image, image("other_shape")).unwrap();
    let labels = pdl_io::read_labels(&good_label).unwrap().map;
    let mut shape = labels.grid.shape;
    shape[2] -= 1;
    let voxels = labels.voxels[..shape.iter().product()].to_vec();
    let grid = Grid::new(shape, labels.grid.affine);
    nifti::write_labels(&label("other_shape"), &LabelMap { grid, voxels }).unwrap();

    let mut noisy = pdl_io::read_image(&good_image).unwrap().volume;
    noisy.voxels[7] = f32::NAN;
    nifti::write_image(&image("not_a_number"), &noisy).unwrap();
    fs::copy(&good_label, label("not_a_number")).unwrap();

    fs::copy(&good_image, image("fractions")).unwrap();
    let halves = labels.map(|v| f32::from(*v) * 0.5);
    nifti::write_image(&label("fractions"), &halves).unwrap();

    fs::write(image("text"), b"this is no volume").unwrap();
    fs::copy(&good_label, label("text")).unwrap();
}

#[test]
fn bad_cases_are_listed_and_stop_nothing() {
    let (cohort, out) = (folder(), folder());
    broken_cohort(cohort.path());
    let words = ["curate", cohort.path().to_str().unwrap(), "--out", out.path().to_str().unwrap()];
    let output = run(&[&words[..], &["--proxy-size", "16"]].concat());
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}");

    let expected = [
        ("no_image", "no-image", "a label without an image"),
        ("truncated", "unreadable-image", "truncated"),
        ("other_shape", "shape-mismatch", "voxels, its label"),
        ("not_a_number", "not-finite", "1 voxel is NaN or infinite"),
        ("fractions", "unreadable-label", "--round-labels"),
        ("text", "unreadable-image", "not a valid NIfTI file"),
    ];
    for (case, code, words) in expected {
        let (status, found) = codes(out.path(), case);
        assert_eq!(status, Status::Rejected, "{case}");
        assert!(found.contains(&code.to_owned()), "{case}: {found:?}");
        let line = errors.lines().find(|line| line.starts_with(&format!("rejected: {case}: ")));
        assert!(line.is_some_and(|line| line.contains(words)), "{case}: {errors}");
    }
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("6 CT cases of 6 patients") && said.contains("1 unlabelled, 6 rejected"), "{said}");
    let prepared = pdl_prepare::prepared_row::read(out.path()).unwrap();
    assert_eq!(prepared.len(), 6);
    let (status, found) = codes(out.path(), "no_label");
    assert!(status == Status::Unlabelled && found.contains(&"no-label".to_owned()), "{status:?} {found:?}");
}

/// What the findings with `code` of a case say.
fn says(out: &Path, case: &str, code: &str) -> Vec<String> {
    let cases = Cases::read(out).unwrap();
    let row = cases.rows.iter().find(|row| row.case_id == case).unwrap();
    row.findings
        .iter()
        .filter(|finding| finding.code.as_str() == code)
        .map(|finding| finding.message.clone())
        .collect()
}

#[test]
fn what_sets_a_case_apart_from_its_cohort_is_found() {
    let (cohort, out) = (folder(), folder());
    cohort_of(cohort.path(), 0..8);
    let path = |kind: &str, case: &str| cohort.path().join(format!("{kind}/{case}.nii.gz"));
    let image = |case: &str| pdl_io::read_image(&path("images", case)).unwrap().volume;

    // The voxels of another patient's case, as another number type: other bytes, the same image.
    let copied = image("ct_02");
    nifti::write_image(&path("images", "ct_03"), &copied).unwrap();
    fs::copy(path("labels", "ct_02"), path("labels", "ct_03")).unwrap();
    assert_ne!(fs::read(path("images", "ct_02")).unwrap(), fs::read(path("images", "ct_03")).unwrap());

    // No rescale intercept: air at 24 instead of -1000.
    let mut bright = image("ct_04");
    bright.voxels.iter_mut().for_each(|voxel| *voxel += 1024.0);
    nifti::write_image(&path("images", "ct_04"), &bright).unwrap();

    // A label that nobody else has.
    let mut slip = pdl_io::read_labels(&path("labels", "ct_05")).unwrap().map;
    slip.voxels[..3].fill(77);
    nifti::write_labels(&path("labels", "ct_05"), &slip).unwrap();

    // The first axis grows the other way than in all other cases.
    let mut mirrored = image("ct_06");
    let mut rows = *mirrored.grid.affine.rows();
    rows.iter_mut().for_each(|row| row[0] = -row[0]);
    mirrored.grid.affine = pdl_volume::Affine::from_upper_rows([rows[0], rows[1], rows[2]]);
    nifti::write_image(&path("images", "ct_06"), &mirrored).unwrap();
    let mut labels = pdl_io::read_labels(&path("labels", "ct_06")).unwrap().map;
    labels.grid.affine = mirrored.grid.affine;
    nifti::write_labels(&path("labels", "ct_06"), &labels).unwrap();

    run_ok(&["index", cohort.path().to_str().unwrap(), "--out", out.path().to_str().unwrap()]);
    let says = |case: &str, code: &str| says(out.path(), case, code).join("; ");
    assert_eq!(says("ct_03", "duplicate-image"), "its image is voxel for voxel that of ct_02");
    assert!(says("ct_03", "one-patient-two-ids").contains("ct-p02 and not ct-p03"));
    assert!(
        says("ct_04", "unit-offset").contains("an offset of 1024 HU"),
        "{}",
        says("ct_04", "unit-offset")
    );
    assert_eq!(says("ct_05", "lone-label"), "no other case has its label 77 (3 voxels)");
    assert!(says("ct_06", "other-handedness").contains("of 7 of 8 cases"));

    let codes = ["duplicate-image", "one-patient-two-ids", "unit-offset", "lone-label", "other-handedness"];
    for case in ["ct_01", "ct_02", "ct_07", "ct_08"] {
        assert!(codes.iter().all(|code| says(case, code).is_empty()), "{case} is like the others");
    }
}

#[test]
fn strict_makes_a_bad_case_fatal() {
    let (cohort, out) = (folder(), folder());
    broken_cohort(cohort.path());
    let words =
        ["curate", cohort.path().to_str().unwrap(), "--out", out.path().to_str().unwrap(), "--strict"];
    let output = run(&words);
    assert_eq!(output.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--strict"));
    assert!(!out.path().join("manifest.parquet").exists());
}

#[test]
fn a_label_map_on_another_grid_is_resampled_when_asked_for() {
    let (cohort, out, straight) = (folder(), folder(), folder());
    cohort_of(cohort.path(), 0..5);
    let label = cohort.path().join("labels/ct_02.nii.gz");
    let drawn = pdl_io::read_labels(&label).unwrap().map;
    // The same labels on a grid that is finer, and begins elsewhere.
    let fine = drawn.grid.resized(drawn.grid.shape.map(|n| 2 * n));
    let moved = Grid::new(fine.shape, fine.affine.rescaled([1.0; 3], [1.0, 0.0, 0.0]));
    nifti::write_labels(&label, &labels_on(&drawn, moved)).unwrap();
    let words = ["index", cohort.path().to_str().unwrap(), "--out"];
    run_ok(&[&words[..], &[straight.path().to_str().unwrap()]].concat());
    let (status, found) = codes(straight.path(), "ct_02");
    assert_eq!((status, found), (Status::Rejected, vec!["shape-mismatch".to_owned()]));

    let words = [&words[..], &[out.path().to_str().unwrap(), "--resample-labels"]].concat();
    run_ok(&words);
    let (status, found) = codes(out.path(), "ct_02");
    assert_eq!((status, found), (Status::Warning, vec!["label-resampled".to_owned()]));
    let kept = pdl_io::read_labels(&out.path().join("volumes/labels/ct_02.nii.gz")).unwrap().map;
    assert_eq!(kept.grid.shape, drawn.grid.shape);
    let both = |a: &LabelMap, b: &LabelMap| {
        a.voxels.iter().zip(&b.voxels).filter(|(a, b)| **a != 0 && a == b).count() as f64
    };
    let dice = 2.0 * both(&kept, &drawn) / (both(&kept, &kept) + both(&drawn, &drawn));
    assert!(dice > 0.97, "{dice}");
    let before = files(out.path());
    run_ok(&words);
    assert!(files(out.path()) == before, "a second run changes nothing");

    // Labels that lie nowhere in their image are refused all the same; so is the case without the
    // flag.
    let far = Grid::new(fine.shape, fine.affine.rescaled([1.0; 3], [1e4, 0.0, 0.0]));
    nifti::write_labels(&label, &LabelMap { grid: far, voxels: labels_on(&drawn, moved).voxels }).unwrap();
    run_ok(&words);
    assert_eq!(codes(out.path(), "ct_02"), (Status::Rejected, vec!["label-outside-image".to_owned()]));
    run_ok(&words[..4]);
    assert_eq!(codes(out.path(), "ct_02"), (Status::Rejected, vec!["shape-mismatch".to_owned()]));
}

#[test]
fn a_case_that_vanishes_after_indexing_is_reported_and_the_rest_goes_on() {
    let (cohort, out) = (folder(), folder());
    cohort_of(cohort.path(), 0..6);
    let out_text = out.path().to_str().unwrap();
    run_ok(&["index", cohort.path().to_str().unwrap(), "--out", out_text]);
    fs::remove_file(cohort.path().join("images/ct_02.nii.gz")).unwrap();
    let output = run(&["prepare", out_text, "--proxy-size", "16"]);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && errors.contains("failed: ct_02"), "{errors}");
    assert_eq!(pdl_prepare::prepared_row::read(out.path()).unwrap().len(), 5);
    assert!(fs::read_to_string(out.path().join("failures.json")).unwrap().contains("ct_02"));
    run_ok(&["compare", out_text]);
    run_ok(&["rank", out_text]);
}

#[test]
fn a_repaired_case_joins() {
    let (cohort, out) = (folder(), folder());
    cohort_of(cohort.path(), 0..6);
    let path = cohort.path().join("images/ct_03.nii.gz");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..1000]).unwrap();
    curate(cohort.path(), out.path(), &["--proxy-size", "16"]);
    assert_eq!(codes(out.path(), "ct_03").0, Status::Rejected);
    fs::write(&path, &bytes).unwrap();
    curate(cohort.path(), out.path(), &["--proxy-size", "16"]);
    assert_eq!(codes(out.path(), "ct_03").0, Status::Ok);
    assert_eq!(pdl_prepare::prepared_row::read(out.path()).unwrap().len(), 6);
}

#[test]
fn a_real_download_folder() {
    let Some(cohort) = real("broken-cohort") else { return };
    let out = folder();
    curate(&cohort, out.path(), &[]);
    let cases = Cases::read(out.path()).unwrap();
    let usable: Vec<&str> = cases.usable().map(|row| row.case_id.as_str()).collect();
    assert_eq!(usable, ["hippocampus_003", "hippocampus_118"]);
    assert_eq!(codes(out.path(), "hippocampus_118").0, Status::Unlabelled);
    assert_eq!(cases.rows.len() - usable.len(), 2);
}
