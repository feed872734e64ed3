//! A network that learns regions, which overlap, and a label map put together from them.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests may fail loudly")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Output};

use pdl_cohort::table::cases::Cases;
use pdl_fit::read_run;
use pdl_metrics::EvaluationRow;

fn fit(command: &str, words: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_pdl-fit")).arg(command).args(words).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Dice of a set of values in two label maps, counted voxel by voxel; `None` if it is in neither.
fn dice(a: &Path, b: &Path, values: &[u16]) -> Option<f64> {
    let [a, b] = [a, b].map(|path| pdl_io::read_labels(path).unwrap().map.voxels);
    let is_in = |value: &u16| values.contains(value);
    let both = a.iter().zip(&b).filter(|(a, b)| is_in(a) && is_in(b)).count();
    let all = a.iter().chain(&b).filter(|value| is_in(value)).count();
    (all > 0).then(|| 2.0 * both as f64 / all as f64)
}

#[test]
fn regions_are_learnt_scored_and_written_as_labels() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let (sample, to) = (pdl_tests::sample("ct"), out.to_str().unwrap());
    let regions = "thorax=1+2+3+4+5:1,right and middle=2+3:2,heart=3";
    pdl_tests::run_ok(&[
        "curate",
        sample.to_str().unwrap(),
        "--out",
        to,
        "--regions",
        regions,
        "--no-report",
    ]);
    let flags =
        ["--steps", "80", "--width", "8", "--batch", "8", "--ema", "0", "--lr", "0.01", "--no-report"];
    fit("train", &[&[to, "--name", "short"], &flags[..]].concat());
    let run = out.join("runs/short");
    let record = read_run(&run).unwrap();
    assert_eq!((record.plan.network.classes, record.results.dice.len(), record.labels.len()), (3, 3, 5));
    let names: Vec<String> = record.structures().into_iter().map(|region| region.name).collect();
    assert_eq!(names, ["thorax", "right and middle", "heart"]);
    let thorax = record.results.dice[0].unwrap();
    assert!(thorax > 0.6, "it has learnt the largest region: {thorax}");

    fit("evaluate", &[run.to_str().unwrap()]);
    let (rows, _) =
        pdl_store::table::read_rows::<EvaluationRow>(&run.join("evaluation-val.parquet"), 1).unwrap();
    let cases = Cases::read(&out).unwrap();
    let values = BTreeMap::from([
        ("thorax", &[1, 2, 3, 4, 5][..]),
        ("right and middle", &[2, 3][..]),
        ("heart", &[3][..]),
    ]);
    let mut written = BTreeSet::new();
    for row in &rows {
        let case = cases.rows.iter().find(|case| case.case_id == row.score.case_id).unwrap();
        let drawn = out.join(case.label.as_ref().unwrap());
        let predicted = run.join("predictions/val").join(format!("{}.nii.gz", row.score.case_id));
        let by_hand = dice(&drawn, &predicted, values[row.score.name.as_str()]);
        assert!(
            (row.score.dice.unwrap_or(-1.0) - by_hand.unwrap_or(-1.0)).abs() < 1e-9,
            "{row:?} {by_hand:?}"
        );
        written.extend(pdl_io::read_labels(&predicted).unwrap().map.voxels);
    }
    assert!(written.is_subset(&BTreeSet::from([0, 1, 2, 3])) && written.contains(&1), "{written:?}");
    let mean = |name: &str| {
        let dice: Vec<f64> =
            rows.iter().filter(|row| row.score.name == name).filter_map(|row| row.score.dice).collect();
        dice.iter().sum::<f64>() / dice.len() as f64
    };
    assert!((mean("thorax") - thorax).abs() < 1e-6, "the run's own figure");

    // A new image gets the same label map as the same image in the evaluation.
    let case = cases.rows.iter().find(|case| case.case_id == rows[0].score.case_id).unwrap();
    let image = folder.path().join("scan.nii.gz");
    std::fs::copy(out.join(&case.image), &image).unwrap();
    let predicted = folder.path().join("predicted");
    fit("predict", &[run.to_str().unwrap(), image.to_str().unwrap(), "--out", predicted.to_str().unwrap()]);
    let kept = run.join("predictions/val").join(format!("{}.nii.gz", case.case_id));
    assert_eq!(std::fs::read(kept).unwrap(), std::fs::read(predicted.join("scan.nii.gz")).unwrap());
}
