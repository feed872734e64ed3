//! The main job, and that it can be stopped, repeated and extended.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use pdl_cohort::attributes::Split;
use pdl_cohort::table::cases::Cases;
use pdl_curriculum::manifest::Manifest;
use pdl_tests::{files, sample};

use crate::{cohort_of, curate, curated, folder};

#[test]
fn every_training_case_has_a_rank_and_a_stage() {
    for name in ["ct", "mr"] {
        let manifest = Manifest::open(curated(name)).unwrap();
        assert_eq!(manifest.rows.len(), 24);
        let training = manifest.training();
        let ranks: Vec<_> = training.iter().map(|row| row.rank).collect();
        assert_eq!(ranks, (1..=training.len() as u32).map(Some).collect::<Vec<_>>());
        assert!(training.windows(2).all(|w| w[0].score >= w[1].score));
        for row in training {
            let stage = manifest.info.stages[row.stage.unwrap() as usize];
            assert!(row.rank.unwrap() <= stage.active_cases);
        }
        assert!(manifest.rows.iter().all(|row| (row.split == Split::Train) == row.rank.is_some()));
        assert!(manifest.rows.iter().any(|row| row.tune));
        let every = if name == "ct" { 10 } else { 20 };
        assert_eq!(manifest.info.stages[1].first_epoch, every);
    }
}

#[test]
fn a_patient_is_in_one_split() {
    let cases = Cases::read(curated("ct")).unwrap();
    let mut splits: BTreeMap<String, BTreeSet<Split>> = BTreeMap::new();
    for row in cases.rows {
        splits.entry(row.patient_id).or_default().insert(row.split);
    }
    assert_eq!(splits.len(), 20);
    assert!(splits.values().all(|split| split.len() == 1));
    let all: BTreeSet<Split> = splits.into_values().flatten().collect();
    assert_eq!(all.len(), 3);
}

#[test]
fn prepared_volumes_are_ras_at_the_planned_spacing_and_keep_their_labels() {
    let out = curated("ct");
    let manifest = Manifest::open(out).unwrap();
    let cases = Cases::read(out).unwrap();
    for row in &manifest.rows {
        let image = pdl_io::read_image(&out.join(&row.image)).unwrap().volume;
        let labels = pdl_io::read_labels(&out.join(&row.label)).unwrap().map;
        assert_eq!(image.grid.orientation().to_string(), "RAS");
        assert_eq!(image.grid, labels.grid);
        let source = cases.rows.iter().find(|case| case.case_id == row.case_id).unwrap();
        let source_grid = source.grid().unwrap().to_ras();
        for axis in 0..3 {
            let extent = |shape: usize, side: f64| shape as f64 * side;
            let before = extent(source_grid.shape[axis], source_grid.spacing_mm()[axis]);
            let after = extent(image.grid.shape[axis], image.grid.spacing_mm()[axis]);
            assert!((before - after).abs() < 1e-3, "{}: {before} mm became {after} mm", row.case_id);
            let planned = manifest.info.plan.spacing_mm[axis];
            let half_voxel = planned / image.grid.shape[axis] as f64;
            assert!((image.grid.spacing_mm()[axis] - planned).abs() <= half_voxel);
        }
        // Large organs keep their volume; one half of a thin one's indicator loses some of its rim.
        let voxel = |grid: &pdl_volume::Grid| grid.affine.determinant().abs();
        for label in &source.labels {
            let before = label.voxels as f64 * voxel(&source_grid);
            let count = labels.voxels.iter().filter(|v| **v == label.value).count();
            let after = count as f64 * voxel(&image.grid);
            let slack = if label.voxels > 2000 { 0.1 } else { 0.35 } * before;
            assert!(
                (before - after).abs() < slack,
                "{} label {}: {before} mm3, then {after}",
                row.case_id,
                label.value
            );
        }
    }
}

#[test]
fn a_second_run_does_nothing_and_says_so() {
    let out = folder();
    curate(&cohort_of(folder().keep().as_path(), 0..6), out.path(), &["--proxy-size", "16"]);
    let cohort = Cases::read(out.path()).unwrap().cohort;
    let before = files(out.path());
    for flags in [&["--proxy-size", "16"][..], &["--proxy-size", "16", "--verify"]] {
        let said = curate(&out.path().canonicalize().unwrap().join(&cohort), out.path(), flags);
        assert!(said.contains("nothing to do"), "{said}");
        assert!(files(out.path()) == before);
    }
}

#[test]
fn a_run_killed_at_any_moment_goes_on_to_the_same_bytes() {
    let cohort = folder();
    cohort_of(cohort.path(), 0..8);
    let undisturbed = folder();
    curate(cohort.path(), undisturbed.path(), &["--tile", "2"]);
    let out = folder();
    for delay in [20, 60, 120, 200, 300, 450, 700] {
        let words = ["curate", cohort.path().to_str().unwrap(), "--out", out.path().to_str().unwrap()];
        let mut program = pdl_tests::pdl();
        let mut child = program.args(words).args(["--tile", "2"]).stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(delay));
        let _ = child.kill(); // SIGKILL; one that has ended by itself is fine
        child.wait().unwrap();
    }
    curate(cohort.path(), out.path(), &["--tile", "2"]);
    same_files(undisturbed.path(), out.path());
}

#[test]
fn damaged_results_are_found_and_made_again() {
    let out = folder();
    let cohort = folder();
    cohort_of(cohort.path(), 0..6);
    curate(cohort.path(), out.path(), &["--tile", "3"]);
    let before = files(out.path());
    let cut = |name: &str| {
        let path = out.path().join(name);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    };
    let names: Vec<String> = before.iter().map(|(name, _)| name.clone()).collect();
    for name in names.iter().filter(|name| *name != "cases.parquet" && *name != "plan.json") {
        cut(name);
        curate(cohort.path(), out.path(), &["--tile", "3"]);
        assert!(files(out.path()) == before, "{name} was not made again as it was");
    }
}

#[test]
fn threads_do_not_change_a_byte() {
    let cohort = folder();
    cohort_of(cohort.path(), 0..6);
    let (one, two) = (folder(), folder());
    curate(cohort.path(), one.path(), &["--threads", "1"]);
    curate(cohort.path(), two.path(), &["--threads", "2"]);
    same_files(one.path(), two.path());
}

#[test]
fn new_cases_change_no_split_no_row_number_and_no_plan() {
    let cohort = folder();
    let out = folder();
    cohort_of(cohort.path(), 0..12);
    curate(cohort.path(), out.path(), &["--proxy-size", "16"]);
    let before = Cases::read(out.path()).unwrap();
    let plan = std::fs::read(out.path().join("plan.json")).unwrap();
    cohort_of(cohort.path(), 0..24);
    curate(cohort.path(), out.path(), &["--proxy-size", "16"]);
    let after = Cases::read(out.path()).unwrap();
    assert_eq!(after.rows.len(), 24);
    assert_eq!(after.rows[..12], before.rows[..]);
    assert_eq!(std::fs::read(out.path().join("plan.json")).unwrap(), plan);

    curate(cohort.path(), out.path(), &["--proxy-size", "16", "--replan"]);
    assert_ne!(std::fs::read(out.path().join("plan.json")).unwrap(), plan);
}

#[test]
fn an_edited_plan_is_kept_or_refused_and_never_silently_replaced() {
    let cohort = folder();
    cohort_of(cohort.path(), 0..6);
    let out = folder();
    curate(cohort.path(), out.path(), &["--proxy-size", "16"]);
    let path = out.path().join("plan.json");
    let mut plan: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    plan["spacing_mm"] = serde_json::json!([9.0, 9.0, 9.0]);
    std::fs::write(&path, serde_json::to_vec_pretty(&plan).unwrap()).unwrap();
    let spacing = || {
        let rows = pdl_prepare::prepared_row::read(out.path()).unwrap();
        rows[0].spacing_mm.clone()
    };

    curate(cohort.path(), out.path(), &["--proxy-size", "16"]);
    assert!(spacing().iter().all(|side| (side - 9.0).abs() < 1.0), "{:?}", spacing());

    let edited = std::fs::read(&path).unwrap();
    let words = |flags: &[&str]| {
        let own = ["prepare", out.path().to_str().unwrap(), "--proxy-size", "12"];
        pdl_tests::run(&[&own, flags].concat())
    };
    let refused = words(&[]);
    let message = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{message}");
    for part in ["edited (spacing_mm)", "proxy_size", "--replan"] {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(std::fs::read(&path).unwrap(), edited);

    assert!(words(&["--replan"]).status.success());
    assert!(spacing().iter().all(|side| *side < 8.0), "{:?}", spacing());
    // A plan that nobody edited follows the options.
    assert!(
        pdl_tests::run(&["prepare", out.path().to_str().unwrap(), "--proxy-size", "16"]).status.success()
    );
}

#[test]
fn a_wrong_affine_can_be_overridden() {
    let cohort = folder();
    cohort_of(cohort.path(), 0..4);
    let out = folder();
    curate(cohort.path(), out.path(), &["--orientation", "PIR", "--proxy-size", "16"]);
    let cases = Cases::read(out.path()).unwrap();
    assert!(cases.rows.iter().all(|row| row.orientation == "PIR"));
    let row = &cases.rows[0];
    let prepared =
        pdl_io::read_image(&out.path().join(format!("prepared/images/{}.nii.gz", row.case_id))).unwrap();
    // Stored x runs to posterior, y to inferior, z to the right: RAS x comes from z, y from x, z
    // from y.
    let [x, y, z] = [row.shape[2], row.shape[0], row.shape[1]].map(|n| n as f64);
    let sides = [row.spacing_mm[2], row.spacing_mm[0], row.spacing_mm[1]];
    let grid = prepared.volume.grid;
    for (axis, length) in [x * sides[0], y * sides[1], z * sides[2]].into_iter().enumerate() {
        assert!((grid.shape[axis] as f64 * grid.spacing_mm()[axis] - length).abs() < 1e-3);
    }
}

#[test]
fn a_common_field_of_view_tells_how_much_is_padding() {
    let cohort = folder();
    cohort_of(cohort.path(), 0..6);
    let out = folder();
    let words =
        ["curate", cohort.path().to_str().unwrap(), "--out", out.path().to_str().unwrap(), "--grid", "fov"];
    let output = pdl_tests::run(&words);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.contains("padding"), "{errors}");
}

#[test]
fn the_sample_is_curated_from_any_folder_to_the_same_manifest() {
    // Paths in the files are relative, so where the folder lies shows only in cases.parquet.
    let out = folder();
    curate(&sample("mr"), &out.path().join("deeper/mr"), &[]);
    let manifest = |out: &Path| std::fs::read(out.join("manifest.parquet")).unwrap();
    assert!(manifest(&out.path().join("deeper/mr")) == manifest(curated("mr")));
}

/// The same files with the same bytes; cases.parquet holds paths relative to the folder, so the
/// folders must lie side by side.
fn same_files(a: &Path, b: &Path) {
    let (a, b) = (files(a), files(b));
    let names = |files: &[(String, Vec<u8>)]| files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&a), names(&b));
    for ((name, x), (_, y)) in a.iter().zip(&b) {
        assert!(x == y, "{name} differs");
    }
}
