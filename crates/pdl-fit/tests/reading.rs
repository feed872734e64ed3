//! New images are read as the images of the training were, whatever their own headers say.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests may fail loudly")]

use std::path::Path;
use std::process::{Command, Output};

use pdl_cohort::table::cases::Cases;
use pdl_fit::RunRecord;

fn fit(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pdl-fit")).args(words).output().unwrap()
}

fn voxels(path: &Path) -> Vec<u16> {
    pdl_io::read_labels(path).unwrap().map.voxels
}

#[test]
fn a_stated_orientation_and_channel_hold_for_new_images() {
    let folder = tempfile::tempdir().unwrap();
    let [cohort, out, new, labels] = ["cohort", "out", "new", "labels"].map(|name| folder.path().join(name));
    let sample = pdl_tests::sample("ct");
    for part in ["imagesTr", "labelsTr"] {
        std::fs::create_dir_all(cohort.join(part)).unwrap();
    }
    // Two channels, of which the first says nothing of the second.
    for case in 1..=8 {
        let image = |case: usize| sample.join(format!("images/ct_{case:02}.nii.gz"));
        let label = sample.join(format!("labels/ct_{case:02}.nii.gz"));
        std::fs::copy(image(case % 8 + 1), cohort.join(format!("imagesTr/c{case}_0000.nii.gz"))).unwrap();
        std::fs::copy(image(case), cohort.join(format!("imagesTr/c{case}_0001.nii.gz"))).unwrap();
        std::fs::copy(label, cohort.join(format!("labelsTr/c{case}.nii.gz"))).unwrap();
    }
    let (cohort_text, out_text) = (cohort.to_str().unwrap(), out.to_str().unwrap());
    let flags = ["--modality", "CT", "--channel", "1", "--orientation", "PIR", "--proxy-size", "16"];
    pdl_tests::run_ok(&[&["curate", cohort_text, "--out", out_text, "--no-report"], &flags[..]].concat());
    let trained = fit(&["train", out_text, "--name", "a", "--steps", "8", "--width", "8", "--batch", "4"]);
    assert!(trained.status.success(), "{}", String::from_utf8_lossy(&trained.stderr));
    let run = out.join("runs/a");
    let record: RunRecord = pdl_store::json::read(&run.join("run.json")).unwrap();
    let reading = record.reading.unwrap();
    assert_eq!((reading.orientation.as_deref(), reading.channel.as_deref()), (Some("PIR"), Some("1")));

    let validation: Vec<String> = std::fs::read_dir(run.join("predictions/val"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().replace(".nii.gz", ""))
        .collect();
    assert!(!validation.is_empty());
    std::fs::create_dir_all(&new).unwrap();
    for (case, channel) in validation.iter().flat_map(|case| [(case, 0), (case, 1)]) {
        let name = format!("{case}_000{channel}.nii.gz");
        std::fs::copy(cohort.join("imagesTr").join(&name), new.join(&name)).unwrap();
    }
    let words = ["predict", run.to_str().unwrap(), new.to_str().unwrap(), "--out", labels.to_str().unwrap()];
    let predicted = fit(&words);
    let told = String::from_utf8_lossy(&predicted.stderr).into_owned();
    assert!(predicted.status.success() && told.contains("of other channels"), "{told}");
    let cases = Cases::read(&out).unwrap();
    for case in &validation {
        let map = labels.join(format!("{case}.nii.gz"));
        assert_eq!(voxels(&map), voxels(&run.join(format!("predictions/val/{case}.nii.gz"))), "{case}");
        // It lies over its image in a viewer, which goes by the headers.
        let row = cases.rows.iter().find(|row| row.case_id == *case).unwrap();
        let image = pdl_io::read_image(&out.join(&row.image)).unwrap().volume.grid;
        let grid = pdl_io::read_labels(&map).unwrap().map.grid;
        assert!(grid.affine.corner_distance_mm(&image.affine, image.shape) < 1e-3);
    }
}
