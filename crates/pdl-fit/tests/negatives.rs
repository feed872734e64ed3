//! A structure that half of the cases lack: what a network makes of them is taught, and told.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests may fail loudly")]

use std::path::Path;
use std::process::{Command, Output};

use pdl_io::nifti;
use pdl_volume::Volume;

/// Intensity of fat, HU, which stands where the cases without a tumour would have it.
const FAT_HU: f32 = -100.0;

fn fit(command: &str, words: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_pdl-fit")).arg(command).args(words).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

/// The sample cases with the lungs as one organ and the heart as a tumour, of which every second
/// case has none.
fn cohort(to: &Path) {
    let sample = pdl_tests::sample("ct");
    for folder in ["images", "labels"] {
        std::fs::create_dir_all(to.join(folder)).unwrap();
    }
    for case in 1..=24 {
        let [image_path, label_path] =
            ["images", "labels"].map(|folder| format!("{folder}/ct_{case:02}.nii.gz"));
        let Volume { grid, voxels: mut image } =
            pdl_io::read_image(&sample.join(&image_path)).unwrap().volume;
        let mut labels = pdl_io::read_labels(&sample.join(&label_path)).unwrap().map;
        for (voxel, label) in image.iter_mut().zip(&mut labels.voxels) {
            let has_none = case % 2 == 0 && *label == 3;
            *label = if has_none { 0 } else { [0, 1, 1, 2].get(usize::from(*label)).copied().unwrap_or(0) };
            if has_none {
                *voxel = FAT_HU;
            }
        }
        nifti::write_image(&to.join(image_path), &Volume { grid, voxels: image }).unwrap();
        nifti::write_labels(&to.join(label_path), &labels).unwrap();
    }
    let names = r#"{"labels": {"0": "background", "1": "lung", "2": "tumour"}, "modality": {"0": "CT"}}"#;
    std::fs::write(to.join("dataset.json"), names).unwrap();
}

#[test]
fn a_tumour_that_is_absent_is_not_predicted_and_its_lesions_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let (source, out) = (folder.path().join("cohort"), folder.path().join("out"));
    cohort(&source);
    let to = out.to_str().unwrap();
    pdl_tests::run_ok(&["curate", source.to_str().unwrap(), "--out", to, "--no-report"]);
    let flags = "--name short --steps 80 --batch 16 --width 8 --optimiser muon --lr 0.02 --ema 0.95 --schedule conventional";
    let flags: Vec<&str> = flags.split(' ').collect();
    let trained = fit("train", &[&[to], &flags[..]].concat()).stdout;
    let printed = String::from_utf8(trained).unwrap();
    assert!(printed.contains("false positives a case"), "{printed}");
    let run = out.join("runs/short");
    let json = fit("evaluate", &[run.to_str().unwrap(), "--json"]).stdout;
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&json).unwrap();
    let tumour = rows.into_iter().find(|row| row["name"] == "tumour").unwrap();
    assert!(tumour["cases_with"].as_u64() > Some(0) && tumour["cases_without"].as_u64() > Some(0));
    assert!(tumour["false_positive_ml"].as_f64() < Some(5.0), "{tumour}");
    assert!(tumour["sensitivity"].as_f64() > Some(0.5), "and it is still found: {tumour}");
    assert_eq!(tumour["lesions"], tumour["cases_with"], "one in each case that has it: {tumour}");
}
