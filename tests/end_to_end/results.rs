//! Results of single cases that other programs found, as a column that ranks.

use std::path::Path;

use pdl_curriculum::manifest::Manifest;
use pdl_curriculum::results;
use pdl_tests::{run, run_ok, sample};
use serde_json::json;

use crate::{curate, folder};

/// nnU-Net's summary.json with these Dice values of two labels; NaN is written as Python does.
fn write_summary(path: &Path, cases: &[(&str, [&str; 2])]) {
    let case = |(name, [first, second]): &(&str, [&str; 2])| {
        format!(
            r#"{{"metrics": {{"1": {{"Dice": {first}, "IoU": 0.5}}, "2": {{"Dice": {second}, "IoU": 0.5}}}},
                "prediction_file": "/tmp/validation/{name}.nii.gz", "reference_file": "/raw/labelsTr/{name}.nii.gz"}}"#
        )
    };
    let cases: Vec<String> = cases.iter().map(case).collect();
    let text = format!(r#"{{"foreground_mean": {{"Dice": NaN}}, "metric_per_case": [{}]}}"#, cases.join(","));
    std::fs::write(path, text).unwrap();
}

#[test]
fn results_of_nnunet_rank_cases() {
    let (folder, out) = (folder(), folder());
    let out = out.path();
    curate(&sample("ct"), out, &[]);
    let to = out.to_str().unwrap();
    let training: Vec<String> =
        Manifest::open(out).unwrap().training().iter().map(|row| row.case_id.clone()).collect();
    let (low, high, half) = (training[0].as_str(), training[1].as_str(), training[2].as_str());
    let summaries = [folder.path().join("fold_0.json"), folder.path().join("fold_1.json")];
    write_summary(&summaries[0], &[(low, ["0.25", "0.5"]), ("stranger", ["1", "1"])]);
    write_summary(&summaries[1], &[(high, ["0.75", "1.0"]), (half, ["NaN", "0.5"])]);
    let [first, second] = [0, 1].map(|number| summaries[number].to_str().unwrap());
    let imported = run(&["import-results", to, first, second, "--json", "--strict"]);
    assert_eq!(imported.status.code(), Some(4), "one result is of no case");
    let told: serde_json::Value = serde_json::from_slice(&imported.stdout).unwrap();
    assert_eq!((&told["cases"], &told["unknown"]), (&json!(3), &json!(["stranger"])));
    let rows = results::read(out).unwrap();
    let value = |case: &str, column: &str| {
        rows.iter().find(|row| row.case_id == case && row.column == column).map(|row| row.value)
    };
    assert_eq!(value(low, "nnunet_dice"), Some(0.375));
    assert_eq!((value(half, "nnunet_dice"), value(half, "nnunet_dice_1")), (Some(0.5), None));

    run_ok(&["rank", to, "--by", "nnunet_dice", "--order", "atypical"]);
    let manifest = Manifest::open(out).unwrap();
    let ranked: Vec<(&str, Option<f64>)> =
        manifest.training().iter().map(|row| (row.case_id.as_str(), row.score)).take(4).collect();
    assert_eq!(ranked[..3], [(low, Some(0.375)), (half, Some(0.5)), (high, Some(0.875))]);
    assert_eq!(ranked[3].1, None);
    let finding = manifest.info.ranking.findings.iter().find(|f| f.code.as_str() == "ranked-without-value");
    let expected = format!("{} of {} training cases have no value", training.len() - 3, training.len());
    assert!(finding.unwrap().message.starts_with(&expected), "{finding:?}");

    let refused = |words: &[&str], says: &str| {
        let output = run(words);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && told.contains(says), "{told}");
    };
    refused(&["rank", to, "--by", "volume"], "whose columns are: nnunet_dice, nnunet_dice_1, nnunet_dice_2");
    refused(&["rank", to, "--by", "nnunet_dice", "--order", "mmr"], "others need similarities");
    refused(&["import-results", to, first, first], "its results are in the files twice");
    write_summary(&summaries[0], &[("stranger", ["1", "1"])]);
    refused(&["import-results", to, first], "none of the 1 result in the files is of a case of the cohort");
    refused(&["import-results", to, to], "read the file");
}
