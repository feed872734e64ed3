//! Folders of predictions beside folders of references, whoever wrote them.

use std::path::Path;

use pdl_io::nifti::write_labels;
use pdl_metrics::EvaluationRow;
use pdl_store::table;
use pdl_tests::{run, run_ok};
use pdl_volume::{Affine, Grid, LabelMap, Orientation, Volume};
use serde_json::{Value, json};

use crate::folder;

const SHAPE: [usize; 3] = [4, 3, 2];

/// A label map of 2 x 1 x 1 mm voxels with these labels first, background after.
fn map(first: &[u16], orientation: &str) -> LabelMap {
    let orientation: Orientation = orientation.parse().unwrap();
    let grid = Grid::new(SHAPE, Affine::from_orientation(orientation, [2.0, 1.0, 1.0], SHAPE));
    let mut voxels = first.to_vec();
    voxels.resize(24, 0);
    Volume::new(grid, voxels).unwrap()
}

fn write(path: &Path, map: &LabelMap) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    write_labels(path, map).unwrap();
}

#[test]
fn predictions_of_nnunet_are_scored_by_names_and_cases_that_cannot_be_are_told() {
    let folder = folder();
    let (predictions, labels) = (folder.path().join("predictions"), folder.path().join("labelsTs"));
    // label 1: 2 common, 3 and 3; label 2: absent from the prediction; label 7 says nothing.
    write(&labels.join("a.nii.gz"), &map(&[1, 1, 1, 2, 7], "RAS"));
    write(&predictions.join("a.nii.gz"), &map(&[0, 1, 1, 0, 1, 1], "RAS"));
    // Stored otherwise, and the same in the world.
    let turned = map(&[2, 2], "RAS");
    write(&labels.join("b.nii.gz"), &turned);
    let stored = Grid::new(SHAPE, Affine::from_orientation("LPS".parse().unwrap(), [2.0, 1.0, 1.0], SHAPE));
    write(&predictions.join("b.nii.gz"), &turned.stored_as(stored).unwrap());
    write(&labels.join("elsewhere.nii.gz"), &map(&[1], "RAS"));
    let mut shifted = map(&[1], "RAS");
    shifted.grid.affine = shifted.grid.affine.rescaled([1.0; 3], [1.0, 0.0, 0.0]);
    write(&predictions.join("elsewhere.nii.gz"), &shifted);
    write(&labels.join("missing.nii.gz"), &map(&[1], "RAS"));
    std::fs::write(predictions.join("broken.nii.gz"), b"no volume").unwrap();
    write(&labels.join("broken.nii.gz"), &map(&[1], "RAS"));
    let names = json!({"background": 0, "lung": 1, "heart": 2, "cord": 3, "ignore": 7});
    let dataset = json!({ "channel_names": {"0": "CT"}, "labels": names });
    std::fs::write(folder.path().join("dataset.json"), dataset.to_string()).unwrap();

    let rows_file = folder.path().join("rows.parquet");
    let [p, l, to] = [&predictions, &labels, &rows_file].map(|path| path.to_str().unwrap());
    let output = run(&["score", p, l, "--to", to, "--json", "--strict"]);
    assert_eq!(output.status.code(), Some(4), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["tolerance_mm"], json!(3.0), "CT");
    let figures: Vec<(&str, Option<f64>)> = told["summary"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["name"].as_str().unwrap(), row["dice"].as_f64()))
        .collect();
    let lung = 2.0 * 2.0 / 6.0;
    assert_eq!(
        figures,
        [("lung", Some(lung)), ("heart", Some(0.5)), ("cord", None), ("mean", Some((lung + 0.5) / 2.0))]
    );
    let unscored: Vec<&str> =
        told["unscored"].as_array().unwrap().iter().map(|case| case["case_id"].as_str().unwrap()).collect();
    assert_eq!(unscored, ["broken", "elsewhere", "missing"]);
    assert!(told["unscored"][1]["problem"].as_str().unwrap().contains("is on another grid"), "{told}");
    let (rows, facts) = table::read_rows::<EvaluationRow>(&rows_file, 1).unwrap();
    assert_eq!((rows.len(), facts["pdl.tolerance_mm"].as_str()), (6, "3"));
    let heart = rows.iter().find(|row| row.score.case_id == "a" && row.score.name == "heart").unwrap();
    assert_eq!((heart.score.dice, heart.score.drawn_ml, heart.score.predicted_ml), (Some(0.0), 0.002, 0.0));
    let clear = rows.iter().find(|row| row.score.case_id == "b" && row.score.name == "cord").unwrap();
    assert_eq!((clear.score.dice, clear.false_positive_ml), (None, Some(0.0)));

    for name in ["rows.csv", "rows", "rows.parquet.gz"] {
        let to = folder.path().join(name);
        let output = run(&["score", p, l, "--to", to.to_str().unwrap()]);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && told.contains("ends in .parquet"), "{told}");
        assert!(!to.exists(), "{name}");
    }
    let text = run_ok(&["score", p, l]);
    assert!(text.contains("within 3 mm") && text.contains("2 cases compared"), "{text}");
    let other = folder.path().join("other");
    write(&other.join("x.nii.gz"), &map(&[1], "RAS"));
    let refused = run(&["score", other.to_str().unwrap(), l]);
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(told.contains("no prediction has the name of a reference: the first ones are x and a"), "{told}");
}

#[derive(serde::Deserialize)]
struct OfNnunet {
    /// The file as text, as regions are in its order.
    dataset_json: String,
    /// Voxels with x fastest.
    reference: Vec<u16>,
    predicted: Vec<u16>,
    metrics: Value,
}

/// Values of nnU-Net's own evaluation (tests/golden/scripts/region_scores.py).
#[test]
fn regions_and_ignored_voxels_are_scored_as_by_nnunet() {
    let golden: Value = serde_json::from_str(include_str!("../golden/data/region_scores.json")).unwrap();
    let shape: [usize; 3] = serde_json::from_value(golden["shape"].clone()).unwrap();
    let cases: Vec<OfNnunet> = serde_json::from_value(golden["cases"].clone()).unwrap();
    assert!(cases.len() > 10);
    // Voxels of 1 ml, so that volumes count voxels.
    let grid = Grid::new(shape, Affine::from_orientation("RAS".parse().unwrap(), [10.0; 3], shape));
    for (number, case) in cases.iter().enumerate() {
        let folder = folder();
        let [predictions, labels] = ["predictions", "labels"].map(|name| folder.path().join(name));
        for (place, voxels) in [(&labels, &case.reference), (&predictions, &case.predicted)] {
            write(&place.join("a.nii.gz"), &Volume::new(grid, voxels.clone()).unwrap());
        }
        std::fs::write(folder.path().join("dataset.json"), &case.dataset_json).unwrap();
        let file = folder.path().join("rows.parquet");
        let [p, l, to] = [&predictions, &labels, &file].map(|path| path.to_str().unwrap());
        run_ok(&["score", p, l, "--to", to]);
        let (rows, _) = table::read_rows::<EvaluationRow>(&file, 1).unwrap();
        assert_eq!(rows.len(), case.metrics.as_object().unwrap().len(), "{number}");
        for row in rows {
            let right = &case.metrics[&row.score.name];
            let close = |ours: Option<f64>, theirs: &Value| match (ours, theirs.as_f64()) {
                (Some(ours), Some(theirs)) => (ours - theirs).abs() < 1e-9,
                (ours, theirs) => ours == theirs,
            };
            let ours = [
                ("Dice", row.score.dice),
                ("FP", row.false_positive_ml),
                ("FN", row.false_negative_ml),
                ("n_pred", Some(row.score.predicted_ml)),
                ("n_ref", Some(row.score.drawn_ml)),
            ];
            for (name, figure) in ours {
                assert!(close(figure, &right[name]), "{number} {name}: {figure:?} {right} {row:?}");
            }
        }
    }
}

#[test]
fn regions_without_values_are_told_and_labels_scored() {
    let folder = folder();
    let (predictions, labels) = (folder.path().join("predictions"), folder.path().join("labels"));
    for place in [&predictions, &labels] {
        write(&place.join("a.nii.gz"), &map(&[1, 2], "RAS"));
    }
    let dataset = r#"{"labels": {"background": 0, "whole": [1, 2], "core": 2}}"#;
    std::fs::write(folder.path().join("dataset.json"), dataset).unwrap();
    let output = run(&["score", predictions.to_str().unwrap(), labels.to_str().unwrap()]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("single labels are scored instead of regions"), "{told}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("core"));
}
