//! Several networks applied together, probabilities, components, and cohorts that come later.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests may fail loudly")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use pdl_cohort::table::cases::Cases;
use pdl_curriculum::results;
use pdl_fit::{OutOfFoldRow, Postprocessing, PredictionRow, RunRecord};
use pdl_metrics::EvaluationRow;
use pdl_store::{json, table};
use pdl_volume::Components;

fn fit(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pdl-fit")).args(words).output().unwrap()
}

fn fit_ok(words: &[&str]) -> String {
    let output = fit(words);
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn refusal(words: &[&str]) -> String {
    let output = fit(words);
    assert!(!output.status.success(), "{words:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The sample cohort of CT, curated, with more `flags`.
fn curated(folder: &Path, flags: &[&str]) -> PathBuf {
    let out = folder.join("out");
    let (sample, to) = (pdl_tests::sample("ct"), out.to_str().unwrap());
    pdl_tests::run_ok(&[&["curate", sample.to_str().unwrap(), "--out", to], flags].concat());
    out
}

const SHORT: [&str; 8] = ["--steps", "25", "--width", "8", "--augment", "light", "--batch", "8"];

fn voxels(path: &Path) -> Vec<f32> {
    pdl_io::read_image(path).unwrap().volume.voxels
}

#[test]
fn probabilities_of_several_networks_and_mirrored_copies_are_their_means() {
    let folder = tempfile::tempdir().unwrap();
    let out = curated(folder.path(), &["--crop", "body"]);
    let to = out.to_str().unwrap();
    let runs: Vec<String> = ["1", "2"]
        .map(|seed| {
            fit_ok(&[&["train", to, "--name", seed, "--seed", seed, "--no-report"][..], &SHORT].concat());
            out.join("runs").join(seed).to_str().unwrap().to_owned()
        })
        .to_vec();
    let image = pdl_tests::sample("ct").join("images/ct_05.nii.gz");
    let predict = |name: &str, runs: &[&str], flags: &[&str]| {
        let labels = folder.path().join(name);
        let words =
            [&["predict"][..], runs, &[image.to_str().unwrap(), "--out", labels.to_str().unwrap()], flags];
        fit_ok(&words.concat());
        labels
    };
    let (one, other) = (runs[0].as_str(), runs[1].as_str());
    let both = ["--probabilities", "--uncertainty"];
    let folders = [
        predict("one", &[one], &both),
        predict("other", &[other], &both),
        predict("ensemble", &[one, other], &both),
        predict("plain", &[one], &[]),
    ];
    let labels = |folder: &Path| pdl_io::read_labels(&folder.join("ct_05.nii.gz")).unwrap().map;
    assert!(labels(&folders[0]).voxels == labels(&folders[3]).voxels, "maps change no label");

    let record: RunRecord = json::read(&out.join("runs/1/run.json")).unwrap();
    let file =
        |value: u16, name: &str| format!("probabilities/ct_05/{value}_{}.nii.gz", name.replace(' ', "-"));
    let maps = |folder: &Path| -> Vec<Vec<f32>> {
        record.labels.iter().map(|label| voxels(&folder.join(file(label.value, &label.name)))).collect()
    };
    let [first, second, mean] = [0, 1, 2].map(|number| maps(&folders[number]));
    assert_eq!(first.len(), 5);
    // Each map is right within half a step of 1/65535.
    let near = |a: f32, b: f32| (a - b).abs() < 2.0 / 65_535.0;
    for label in 0..5 {
        let halves = first[label].iter().zip(&second[label]).map(|(a, b)| (a + b) / 2.0);
        assert!(halves.zip(&mean[label]).all(|(half, p)| near(half, *p)), "{label}");
    }
    // The most probable label of every voxel, and the entropy, from the maps alone.
    let map = labels(&folders[2]);
    let entropy = voxels(&folders[2].join("uncertainty/ct_05.nii.gz"));
    let (mut sum, mut count) = (0.0, 0_u32);
    for voxel in 0..map.voxels.len() {
        let p: Vec<f32> = mean.iter().map(|map| map[voxel]).collect();
        let p = [&[1.0 - p.iter().sum::<f32>()][..], &p].concat();
        let best = (0..6).max_by(|a, b| p[*a].total_cmp(&p[*b])).unwrap();
        let of_map = usize::from(map.voxels[voxel]);
        assert!(of_map == best || p[best] - p[of_map] < 1e-3, "{p:?} {of_map}");
        let h: f32 = p.iter().filter(|p| **p > 0.0).map(|p| -p * p.ln()).sum::<f32>() / 6.0_f32.ln();
        assert!((h - entropy[voxel]).abs() < 2e-3, "{p:?} {h} {}", entropy[voxel]);
        if 1.0 - p[0] >= 0.05 {
            sum += f64::from(h);
            count += 1;
        }
    }
    let (rows, _) = table::read_rows::<PredictionRow>(&folders[2].join("predictions.parquet"), 1).unwrap();
    assert_eq!(rows.len(), 1);
    assert!((rows[0].uncertainty.unwrap() - sum / f64::from(count)).abs() < 2e-3, "{rows:?}");
    assert!(rows[0].entropy.unwrap() < rows[0].uncertainty.unwrap(), "certain background dilutes it");
    let (rows, _) = table::read_rows::<PredictionRow>(&folders[3].join("predictions.parquet"), 1).unwrap();
    assert_eq!((rows[0].uncertainty, rows[0].label_map.as_deref()), (None, Some("ct_05.nii.gz")));

    // Mirrored along y, which the training did; along x left and right would be exchanged.
    let mirrored = maps(&predict("mirrored", &[one], &["--mirror-tta", "--probabilities"]));
    let same = maps(&predict("same", &[one], &["--mirror-tta=y", "--probabilities"]));
    assert!(mirrored == same && mirrored != first);
    let words = ["predict", one, image.to_str().unwrap(), "--out", to];
    let refused = |flag: &str| refusal(&[&words[..], &[flag]].concat());
    assert!(refused("--mirror-tta=x").contains("--mirror-tta cannot mirror along x: labels of the run are"));
    assert!(refused("--mirror-tta=z").contains("single planes"));

    // Components: those that are named, and those that the validation chose.
    let heart = labels(&predict("heart", &[one], &["--largest-component", "heart,1"])).to_ras();
    for value in [1, 3] {
        let components = Components::of(heart.grid.shape, |voxel| heart.voxels[voxel] == value);
        assert!(components.count() <= 1, "{value}");
    }
    assert!(refused("--largest-component=liver").contains("found liver"));
    assert!(refused("--largest-component=auto").contains("run `pdl-fit evaluate RUN` first"));
    fit_ok(&["evaluate", one]);
    let decision: Postprocessing = json::read(&out.join("runs/1/postprocessing.json")).unwrap();
    let names: Vec<&str> = decision.trials.iter().map(|trial| trial.name.as_str()).collect();
    assert_eq!(names, ["all labels", "left lung", "right lung", "heart", "spinal cord", "oesophagus"]);
    predict("auto", &[one], &["--largest-component", "auto"]);

    // Another preparation.
    let coarse = folder.path().join("coarse");
    std::fs::create_dir_all(&coarse).unwrap();
    let coarse = curated(&coarse, &["--spacing", "9,9,9"]);
    let third = coarse.join("runs/3");
    fit_ok(&[&["train", coarse.to_str().unwrap(), "--name", "3", "--no-report"][..], &SHORT].concat());
    let words = ["predict", one, third.to_str().unwrap(), image.to_str().unwrap(), "--out", to];
    assert!(refusal(&words).contains("the runs cannot be averaged: its images are prepared at 9 x 9 x 9 mm"));
}

#[test]
fn a_cohort_that_comes_later_is_measured_as_the_test_set() {
    let folder = tempfile::tempdir().unwrap();
    let out = curated(folder.path(), &[]);
    fit_ok(&[&["train", out.to_str().unwrap(), "--name", "a", "--no-report"][..], &SHORT].concat());
    let run = out.join("runs/a");
    let run_text = run.to_str().unwrap();
    fit_ok(&["evaluate", run_text, "--split", "test"]);
    let rows = |file: &Path| {
        let (mut rows, _) = table::read_rows::<EvaluationRow>(file, 1).unwrap();
        rows.sort_by(|a, b| (&a.score.case_id, a.score.label).cmp(&(&b.score.case_id, b.score.label)));
        rows
    };
    let expected = rows(&run.join("evaluation-test.parquet"));
    assert!(!expected.is_empty());

    // The test cases as nnU-Net's test set, the labels with other values.
    let (raw, cases) = (folder.path().join("raw"), Cases::read(&out).unwrap());
    let [images, labels] = ["imagesTs", "labelsTs"].map(|name| raw.join(name));
    let map = |value: u16| if value == 0 { 0 } else { 6 - value };
    for path in [&images, &labels] {
        std::fs::create_dir_all(path).unwrap();
    }
    let by_case: BTreeMap<&str, Vec<&EvaluationRow>> =
        expected.iter().fold(BTreeMap::new(), |mut all, row| {
            all.entry(row.score.case_id.as_str()).or_insert_with(Vec::new).push(row);
            all
        });
    for case in by_case.keys() {
        let row = cases.rows.iter().find(|row| row.case_id == *case).unwrap();
        std::fs::copy(out.join(&row.image), images.join(format!("{case}_0000.nii.gz"))).unwrap();
        let drawn = pdl_io::read_labels(&out.join(row.label.as_ref().unwrap())).unwrap().map;
        pdl_io::nifti::write_labels(&labels.join(format!("{case}.nii.gz")), &drawn.map(|v| map(*v))).unwrap();
    }
    let names = serde_json::json!({"background": 0, "Oesophagus": 1, "spinal cord": 2, "heart": 3, "right lung": 4, "left lung": 5});
    std::fs::write(raw.join("dataset.json"), serde_json::json!({ "labels": names }).to_string()).unwrap();
    let output = fit(&["evaluate", run_text, "--cohort", images.to_str().unwrap(), "--name", "later"]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    assert!(told.contains("of the cohort's images are of the cohort that the run comes from"), "{told}");
    assert_eq!(rows(&run.join("evaluation-later.parquet")), expected);
    for case in by_case.keys() {
        let of = |name: &str| std::fs::read(run.join(format!("predictions/{name}/{case}.nii.gz"))).unwrap();
        assert!(of("later") == of("test"));
    }

    // The predictions beside the references of the cohort, by their own names.
    let drawn = folder.path().join("drawn");
    std::fs::create_dir_all(&drawn).unwrap();
    for case in by_case.keys() {
        let row = cases.rows.iter().find(|row| row.case_id == *case).unwrap();
        std::fs::copy(out.join(row.label.as_ref().unwrap()), drawn.join(format!("{case}.nii.gz"))).unwrap();
    }
    let (scores, predictions) = (folder.path().join("scores.parquet"), run.join("predictions/test"));
    let dataset = pdl_tests::sample("ct").join("dataset.json");
    pdl_tests::run_ok(&[
        "score",
        predictions.to_str().unwrap(),
        drawn.to_str().unwrap(),
        "--dataset-json",
        dataset.to_str().unwrap(),
        "--to",
        scores.to_str().unwrap(),
    ]);
    assert_eq!(rows(&scores), expected);

    // A cohort without a label of the run.
    let names = serde_json::json!({"background": 0, "liver": 1, "spleen": 2, "a": 3, "b": 4, "c": 5});
    std::fs::write(raw.join("dataset.json"), serde_json::json!({ "labels": names }).to_string()).unwrap();
    let words = ["evaluate", run_text, "--cohort", images.to_str().unwrap(), "--name", "wrong"];
    assert!(refusal(&words).contains("do not occur in the run"), "{}", refusal(&words));
}

#[test]
fn every_case_outside_the_test_set_is_measured_by_a_network_that_has_not_seen_it() {
    let folder = tempfile::tempdir().unwrap();
    let out = curated(folder.path(), &["--plan-from", "outside-test"]);
    let to = out.to_str().unwrap();
    let words = [&["train", to, "--name", "cv", "--folds", "all", "--no-report"][..], &SHORT].concat();
    assert!(refusal(&words).contains("the folds cannot be trained: there is none"));
    pdl_tests::run_ok(&["rank", to, "--folds", "2"]);
    let told = fit_ok(&words);
    assert!(told.contains("/folds/*/runs/cv IMAGES --out FOLDER"), "{told}");

    let (rows, _) = table::read_rows::<OutOfFoldRow>(&out.join("out_of_fold.parquet"), 1).unwrap();
    let cases = Cases::read(&out).unwrap();
    let outside = cases.usable().filter(|row| row.split != pdl_cohort::attributes::Split::Test);
    assert_eq!(rows.len(), 5 * outside.count());
    for fold in 0..2_u32 {
        let run = out.join(format!("folds/{fold}/runs/cv"));
        let (own, _) = table::read_rows::<EvaluationRow>(&run.join("evaluation-val.parquet"), 1).unwrap();
        let of_fold: Vec<&OutOfFoldRow> = rows.iter().filter(|row| row.fold == fold).collect();
        assert_eq!(of_fold.len(), own.len());
        for row in &own {
            assert!(of_fold.iter().any(|of_fold| of_fold.score == row.score), "{row:?}");
        }
        let decision: Postprocessing = json::read(&run.join("postprocessing.json")).unwrap();
        assert_eq!((decision.weights_blake3.len(), decision.cases), (2, rows.len() / 5));
    }
    // The column that ranks.
    let values = results::read(&out).unwrap();
    assert!(values.iter().all(|row| row.column == "out_of_fold_dice"));
    pdl_tests::run_ok(&["rank", to, "--by", "out_of_fold_dice"]);
    let manifest = pdl_curriculum::manifest::Manifest::open(&out).unwrap();
    let ranked = manifest.training();
    let of = |case: &str| values.iter().find(|row| row.case_id == case).unwrap().value;
    assert!(ranked.windows(2).all(|pair| of(&pair[0].case_id) >= of(&pair[1].case_id)));
    assert_eq!(ranked[0].score, Some(of(&ranked[0].case_id)));

    // One fold's own validation does not replace what all decided.
    let own = out.join("folds/0/runs/cv");
    let file = own.join("postprocessing.json");
    let decided = std::fs::read(&file).unwrap();
    assert!(fit_ok(&["evaluate", own.to_str().unwrap()]).contains("decided over all folds"));
    assert_eq!(std::fs::read(&file).unwrap(), decided);

    // Networks of the cohort have seen what other folds hold out, and folds are not extended.
    let all = ["train", to, "--name", "b", "--folds", "all"];
    let told = refusal(&[&all[..], &["--init", own.to_str().unwrap()]].concat());
    assert!(
        told.contains("--init is a run on this cohort") && !out.join("folds/0/runs/b").exists(),
        "{told}"
    );
    assert_eq!(fit(&[&all[..], &["--extend", "5"]].concat()).status.code(), Some(2));

    // Again: nothing is trained anew. The folds' networks segment together.
    let before =
        std::fs::metadata(out.join("folds/1/runs/cv/weights.safetensors")).unwrap().modified().unwrap();
    fit_ok(&words);
    let after =
        std::fs::metadata(out.join("folds/1/runs/cv/weights.safetensors")).unwrap().modified().unwrap();
    assert_eq!(before, after);
    let image = pdl_tests::sample("ct").join("images/ct_05.nii.gz");
    let labels = folder.path().join("labels");
    let runs = [0, 1].map(|fold| out.join(format!("folds/{fold}/runs/cv")).to_str().unwrap().to_owned());
    let words = ["predict", &runs[0], &runs[1], image.to_str().unwrap(), "--out", labels.to_str().unwrap()];
    let output = fit(&[&words[..], &["--largest-component", "auto"]].concat());
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.contains("mean of the probabilities of 2 networks"), "{told}");
}
