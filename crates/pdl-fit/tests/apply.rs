//! A trained network applied to new images, and to validation and test cases.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests may fail loudly")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use pdl_cohort::table::cases::Cases;
use pdl_io::nifti;
use pdl_metrics::StructureScore;
use pdl_volume::{Affine, Orientation, Volume};

/// The sample cohort of CT, curated with a crop, and a run of `steps` on it with more `flags`.
fn trained(folder: &Path, crop: &str, steps: &str, flags: &[&str]) -> (PathBuf, PathBuf) {
    let out = folder.join("out");
    let (sample, to) = (pdl_tests::sample("ct"), out.to_str().unwrap());
    pdl_tests::run_ok(&["curate", sample.to_str().unwrap(), "--out", to, "--crop", crop, "--no-report"]);
    let words = ["--name", "short", "--width", "8", "--batch", "8", "--lr", "0.01", "--no-report"];
    let output = fit("train", &[&[out.to_str().unwrap(), "--steps", steps], &words[..], flags].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (out.clone(), out.join("runs/short"))
}

fn fit(command: &str, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pdl-fit")).arg(command).args(words).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Dice of two label maps, counted voxel by voxel in their files; `None` if the label is in
/// neither.
fn dice(a: &Path, b: &Path, label: u16) -> Option<f64> {
    let [a, b] = [a, b].map(|path| pdl_io::read_labels(path).unwrap().map);
    assert_eq!(a.grid.shape, b.grid.shape);
    let count = |map: &[u16]| map.iter().filter(|value| **value == label).count();
    let both = a.voxels.iter().zip(&b.voxels).filter(|(a, b)| **a == label && **b == label).count();
    let all = count(&a.voxels) + count(&b.voxels);
    (all > 0).then(|| 2.0 * both as f64 / all as f64)
}

#[test]
fn predictions_lie_on_the_images_own_grids_and_score_what_evaluate_says() {
    let folder = tempfile::tempdir().unwrap();
    let (out, run) = trained(folder.path(), "body", "100", &[]);
    let prepared = pdl_prepare::prepared_row::read(&out).unwrap();
    let cut = prepared.iter().filter(|row| row.crop_start_xyz != [0; 3]).count();
    assert!(cut > prepared.len() / 2, "bodies in air: {cut}");
    assert!(prepared.iter().all(|row| row.crop_labelled_outside == 0));
    let run_text = run.to_str().unwrap();
    let output = fit("evaluate", &[run_text]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let table = run.join("evaluation-val.parquet");
    let (rows, facts) = pdl_store::table::read_rows::<StructureScore>(&table, 1).unwrap();
    assert_eq!(facts["pdl.tolerance_mm"], "3");
    assert!(
        rows.iter().any(|row| row.dice.is_some_and(|dice| dice > 0.5)),
        "it has learnt something: {rows:?}"
    );

    // The same images as new input, and a file that is not an image.
    let cases = Cases::read(&out).unwrap();
    let images = folder.path().join("images");
    std::fs::create_dir_all(&images).unwrap();
    let held_out: std::collections::BTreeSet<&str> = rows.iter().map(|row| row.case_id.as_str()).collect();
    for case in &held_out {
        let row = cases.rows.iter().find(|row| row.case_id == *case).unwrap();
        std::fs::copy(out.join(&row.image), images.join(format!("{case}.nii.gz"))).unwrap();
    }
    std::fs::write(images.join("broken.nii.gz"), b"no volume").unwrap();
    let predicted = folder.path().join("predicted");
    let words = [run_text, images.to_str().unwrap(), "--out", predicted.to_str().unwrap()];
    let output = fit("predict", &words);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).starts_with(&format!("{} label maps; 1 image could not", held_out.len())));
    assert!(!predicted.join("broken.nii.gz").exists());
    for row in &rows {
        let case = cases.rows.iter().find(|case| case.case_id == row.case_id).unwrap();
        let (drawn, map) =
            (out.join(case.label.as_ref().unwrap()), predicted.join(format!("{}.nii.gz", row.case_id)));
        let by_hand =
            if case.labels_annotated.contains(&row.label) { dice(&drawn, &map, row.label) } else { None };
        assert_eq!(row.dice.is_some(), by_hand.is_some(), "{row:?}");
        assert!((row.dice.unwrap_or(0.0) - by_hand.unwrap_or(0.0)).abs() < 1e-9, "{row:?} {by_hand:?}");
        let kept = run.join("predictions/val").join(format!("{}.nii.gz", row.case_id));
        assert_eq!(std::fs::read(kept).unwrap(), std::fs::read(&map).unwrap());
    }

    // Again: nothing is predicted anew, and with --strict the invalid image has its own exit code.
    let again = fit("predict", &[&words[..], &["--strict", "--json"]].concat());
    assert_eq!(again.status.code(), Some(4));
    assert_eq!(text(&again.stdout).matches("\"kept\"").count(), held_out.len());

    // An image that is stored in another orientation gets the same labels at the same world
    // positions.
    let first = held_out.iter().next().unwrap();
    let image = pdl_io::read_image(&images.join(format!("{first}.nii.gz"))).unwrap().volume.into_ras();
    let shape = [image.grid.shape[2], image.grid.shape[0], image.grid.shape[1]];
    let orientation: Orientation = "IRP".parse().unwrap();
    let [x, y, z] = image.grid.spacing_mm();
    let affine = Affine::from_orientation(orientation, [z, x, y], shape);
    let turned: Volume<f32> = image.stored_as(pdl_volume::Grid::new(shape, affine)).unwrap();
    let file = folder.path().join("turned.nii.gz");
    nifti::write_image(&file, &turned).unwrap();
    let output = fit("predict", &[run_text, file.to_str().unwrap(), "--out", predicted.to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let labels = |name: &str| pdl_io::read_labels(&predicted.join(format!("{name}.nii.gz"))).unwrap().map;
    assert_eq!(labels("turned").grid.shape, shape);
    assert!(labels("turned").to_ras().voxels == labels(first).to_ras().voxels);

    // Folders in a folder: each label map is in the folder of its image; domain shift is reported.
    let nested = folder.path().join("nested");
    let copy = |from: &Path, to: &str| {
        std::fs::create_dir_all(nested.join(to).parent().unwrap()).unwrap();
        std::fs::copy(from, nested.join(to)).unwrap();
    };
    let known = images.join(format!("{first}.nii.gz"));
    copy(&known, "a/scan.nii.gz");
    copy(&known, "b/scan.nii.gz");
    copy(&pdl_tests::sample("mr").join("images/mr_01.nii.gz"), "b/other.nii.gz");
    let image = pdl_io::read_image(&known).unwrap().volume.into_ras();
    let shape = image.grid.shape;
    let coarse = Affine::from_orientation(Orientation::RAS, [30.0; 3], shape);
    let coarse = Volume::new(pdl_volume::Grid::new(shape, coarse), image.voxels).unwrap();
    nifti::write_image(&nested.join("coarse.nii.gz"), &coarse).unwrap();
    let labels = nested.join("labels");
    let words = [run_text, nested.to_str().unwrap(), "--out", labels.to_str().unwrap(), "--json"];
    for time in ["made", "kept"] {
        let output = fit("predict", &words);
        let done: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
        let told = |value: &serde_json::Value| {
            let warnings: Vec<&str> =
                value["warnings"].as_array().unwrap().iter().flat_map(|w| w.as_str()).collect();
            assert_eq!(value["status"], time);
            (value["name"].as_str().unwrap().to_owned(), warnings.join("; "))
        };
        let done: std::collections::BTreeMap<String, String> = done.iter().map(told).collect();
        assert_eq!(done.keys().collect::<Vec<_>>(), ["a/scan", "b/other", "b/scan", "coarse"]);
        assert_eq!((done["a/scan"].as_str(), done["b/scan"].as_str()), ("", ""));
        assert!(
            done["coarse"].contains("30.00 x 30.00 x 30.00 mm") && done["coarse"].contains("it covers"),
            "{done:?}"
        );
        assert!(done["b/other"].contains("is it of another modality"), "{done:?}");
        assert!(
            text(&output.stderr).contains("warning: b/other: its intensities are"),
            "{}",
            text(&output.stderr)
        );
        assert!(done.keys().all(|name| labels.join(format!("{name}.nii.gz")).is_file()));
    }
    let twice =
        [run_text, nested.join("a").to_str().unwrap(), nested.join("b").to_str().unwrap()].map(str::to_owned);
    let output = fit("predict", &[&twice[0], &twice[1], &twice[2], "--out", labels.to_str().unwrap()]);
    assert!(!output.status.success() && text(&output.stderr).contains("two images are called scan"));
}

#[test]
fn a_dicom_series_is_segmented_and_wrong_runs_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (_, run) = trained(folder.path(), "none", "60", &[]);
    let (run_text, out) = (run.to_str().unwrap(), folder.path().join("predicted"));
    let series = pdl_tests::root().join("sample-data/dicom/ct_01");
    let output = fit("predict", &[run_text, series.to_str().unwrap(), "--out", out.to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let map = pdl_io::read_labels(&out.join("ct_01.nii.gz")).unwrap().map;
    assert_eq!(
        map.grid.shape,
        pdl_io::read_image(&pdl_tests::sample("ct").join("images/ct_01.nii.gz")).unwrap().volume.grid.shape
    );
    assert!(map.voxels.iter().any(|label| *label > 0));

    let refused = |words: &[&str], says: &str| {
        let output = fit(words[0], &words[1..]);
        assert!(!output.status.success() && text(&output.stderr).contains(says), "{}", text(&output.stderr));
    };
    refused(
        &["predict", folder.path().to_str().unwrap(), series.to_str().unwrap(), "--out", "x"],
        "no finished run",
    );
    let empty = folder.path().join("empty");
    std::fs::create_dir_all(&empty).unwrap();
    refused(
        &["predict", run_text, empty.to_str().unwrap(), "--out", "x"],
        "neither a volume nor a DICOM series",
    );
    let weights = run.join("weights.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&weights, bytes).unwrap();
    refused(&["evaluate", run_text], "the weights are not those of the run's record");
    let record = run.join("run.json");
    std::fs::write(&record, "{\"schema_version\": 1}").unwrap();
    refused(&["evaluate", run_text], "has format 1, which this version of pdl-fit cannot read");
}

#[test]
fn a_finished_network_is_applied_in_the_windows_in_which_it_was_validated() {
    let folder = tempfile::tempdir().unwrap();
    let (_, run) = trained(folder.path(), "body", "30", &["--patch-share", "1"]);
    let record: pdl_fit::RunRecord = pdl_store::json::read(&run.join("run.json")).unwrap();
    let window = record.plan.schedule.window_after(record.results.steps);
    assert!(window[2] < record.plan.patch[2], "its patches stay small to the end: {window:?}");
    let output = fit("evaluate", &[run.to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let table = run.join("evaluation-val.parquet");
    let (rows, _) = pdl_store::table::read_rows::<StructureScore>(&table, 1).unwrap();
    for (label, validated) in record.labels.iter().zip(&record.results.dice) {
        let of_label = || rows.iter().filter(|row| row.label == label.value).filter_map(|row| row.dice);
        let mean = of_label().sum::<f64>() / of_label().count() as f64;
        assert!((mean - validated.unwrap()).abs() < 1e-9, "{label:?} {mean} {validated:?}");
    }
}
