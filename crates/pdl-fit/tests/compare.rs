//! A small comparison to its end: tuned on some seeds, reported on others, interrupted and resumed.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests may fail loudly")]

use pdl_fit::{ComparisonRow, RunRecord, Tuned, read_history, read_run};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const PROTOCOL: &str = r#"
target_share = 0.9
tuning_seeds = [101]
lrs = [0.003, 0.02]
seconds = [1.0]
reference_seconds = 1.5
tuning_evaluations = 10

[shared]
width = 4
depth = 2
batch = 12

[[arm]]
name = "plain"
schedule = "conventional"

[[arm]]
name = "grown, coarse first"
schedule = "random"
grow_share = 0.3
coarse_share = 0.5
patch_share = 0.5
batch_start = 6
"#;

/// The same with an arm whose steps take as long as those of the other, and are timed with them.
fn plain_protocol() -> String {
    let (plain, _) = PROTOCOL.split_once("grow_share").unwrap();
    plain.replace("seconds = [1.0]", "seconds = [0.5]").replace("seconds = 1.5", "seconds = 0.7")
}

/// The MR sample cohort, curated, and the file of a protocol.
fn curated(protocol: &str) -> (tempfile::TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (out, file) = (folder.path().join("out"), folder.path().join("protocol.toml"));
    pdl_tests::run_ok(&["curate", pdl_tests::sample("mr").to_str().unwrap(), "--out", out.to_str().unwrap()]);
    std::fs::write(&file, protocol).unwrap();
    (folder, out, file)
}

fn compare(out: &Path, flags: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pdl-fit")).arg("compare").arg(out).args(flags).output().unwrap()
}

#[test]
fn schedules_are_tuned_then_reported_on_other_seeds() {
    let (_folder, out, protocol) = curated(PROTOCOL);
    let flags = ["--protocol", protocol.to_str().unwrap(), "--seeds", "2", "--json"];
    let output = compare(&out, &flags);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rows: Vec<ComparisonRow> = serde_json::from_slice(&output.stdout).unwrap();
    let tuned: Tuned = pdl_store::json::read(&out.join("comparison/tuned.json")).unwrap();
    assert_eq!((tuned.reference.len(), tuned.trials.len(), rows.len()), (2, 4, 4));
    let highest = tuned.reference.iter().filter_map(|trial| trial.highest).fold(0.0, f64::max);
    assert!((tuned.target - 0.9 * highest).abs() < 1e-12);

    // A trial stops early at the target; reference runs and reported runs have their full length.
    for entry in std::fs::read_dir(out.join("comparison/runs")).unwrap() {
        let record = read_run(&entry.unwrap().path()).unwrap();
        let is_trial = record.settings.seed == 101 && !record.name.starts_with("reference");
        assert_eq!(record.settings.until_dice, is_trial.then_some(tuned.target), "{}", record.name);
    }

    // Every row has the figures of its run's history; the runs have the expected seeds and learning
    // rates.
    for (number, row) in rows.iter().enumerate() {
        let (arm, choice) = (&tuned.protocol.arms[number / 2], tuned.chosen[number / 2]);
        assert_eq!((&row.arm, row.seed, row.rate), (&arm.name, number as u64 % 2 + 1, choice.lr));
        let name = format!("{}-rate{}-steps{}-seed{}", arm.file_name(), row.rate, row.steps, row.seed);
        let run = read_history(&out.join("comparison/runs").join(name)).unwrap();
        assert_eq!(run.last().unwrap().step, choice.steps);
        assert_eq!(row.dice_mean, Some(run.last().unwrap().dice_mean));
        let mut medians = run.windows(3).map(|w| {
            let mut dice: Vec<f64> = w.iter().map(|row| row.dice_mean).collect();
            dice.sort_by(f64::total_cmp);
            (w[2].seconds, dice[1])
        });
        let at_last = medians.find(|(_, median)| *median >= tuned.target).map(|(seconds, _)| seconds);
        assert_eq!(row.seconds_to_target.is_some(), at_last.is_some());
        assert!(row.seconds_to_target <= at_last);
        assert!(row.test_dice_mean.is_some_and(|dice| (0.0..=1.0).contains(&dice)));
    }
    let table = std::fs::read(out.join("comparison/comparison.parquet")).unwrap();

    // A tuning of another version is refused with advice.
    let old = out.join("old.json");
    std::fs::write(&old, r#"{"schema_version": 1}"#).unwrap();
    let refused = compare(&out, &["--tuned", old.to_str().unwrap(), "--seeds", "1"]);
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && told.contains("--protocol FILE --seeds 0` makes one"), "{told}");

    // Again, with a tuning of another version: no run is trained, and the result is the same.
    std::fs::copy(&old, out.join("comparison/tuned.json")).unwrap();
    let again = compare(&out, &flags);
    assert_eq!(again.stdout, output.stdout);
    assert_eq!(std::fs::read(out.join("comparison/comparison.parquet")).unwrap(), table);
    let told = String::from_utf8(compare(&out, &flags[..4]).stdout).unwrap();
    for part in ["target: mean validation Dice", "plain", "resampling validation cases", "seeds [1, 2]"] {
        assert!(told.contains(part), "{told}");
    }
}

#[test]
fn processes_share_a_tuning() {
    let (_folder, out, protocol) = curated(&plain_protocol());
    let flags = ["--protocol", protocol.to_str().unwrap(), "--seeds", "0"];
    let both: Vec<Output> = std::thread::scope(|scope| {
        let started: Vec<_> = (0..2).map(|_| scope.spawn(|| compare(&out, &flags))).collect();
        started.into_iter().map(|started| started.join().unwrap()).collect()
    });
    let said = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(both.iter().all(|output| output.status.success()), "{} {}", said(&both[0]), said(&both[1]));
    assert_eq!(both[0].stdout, both[1].stdout);
    let tuned: Tuned = pdl_store::json::read(&out.join("comparison/tuned.json")).unwrap();
    assert_eq!((tuned.reference.len(), tuned.trials.len()), (2, 4));
    // One of them timed the steps, so that both planned the same six runs.
    assert_eq!(both.iter().filter(|output| said(output).contains("a step takes")).count(), 1);
    let records = || {
        let runs = std::fs::read_dir(out.join("comparison/runs")).unwrap();
        let mut records: Vec<PathBuf> = runs.map(|run| run.unwrap().path().join("run.json")).collect();
        records.sort();
        records
    };
    let kept = records();
    assert_eq!(kept.len(), 6);

    // Runs of other settings, and unreadable ones, are replaced.
    let mut other: RunRecord = pdl_store::json::read(&kept[0]).unwrap();
    other.settings.ema = 0.5;
    pdl_store::json::write(&kept[0], &other).unwrap();
    std::fs::write(&kept[1], "{").unwrap();
    std::fs::remove_file(out.join("comparison/tuned.json")).unwrap();
    let anew = compare(&out, &flags);
    assert_eq!(anew.stdout, both[0].stdout, "{}", said(&anew));
    assert_eq!(records(), kept);
    assert!(kept.iter().all(|run| read_run(run.parent().unwrap()).unwrap().settings.ema > 0.9));
}

#[test]
fn a_seed_that_tuned_is_not_reported() {
    let short = plain_protocol().replace("[101]", "[2]").replace("lrs = [0.003, 0.02]", "lrs = [0.02]");
    let (_folder, out, protocol) = curated(&short);
    let output = compare(&out, &["--protocol", protocol.to_str().unwrap(), "--seeds", "2"]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success() && told.contains("--seeds must not include 2, which was used for tuning"),
        "{told}"
    );
}
