//! A small comparison to its end: folds by patient, tuned on validation parts, reported on test
//! parts; killed, resumed, and repeated from its rows.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests may fail loudly")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use pdl_cohort::attributes::Split;
use pdl_curriculum::manifest::Manifest;
use pdl_fit::{Comparison, ComparisonRow, Row, RunRow};

const PROTOCOL: &str = r#"
levels = [0.5, 0.8]
headline = 0.8
folds = 3
lrs = [0.01]
seconds = [0.25]
reference_seconds = 0.4
tuning_seed = 101
plateau_seeds = [201]
seeds = [1, 2, 3]
evaluations = 5
timing_rounds = 1
compare_seconds = 0.125

[roles]
baseline_a = "plain"
baseline_b = "plain"
best = "ranked"
unordered = "plain"

[orders.k-centre]
order = "k-centre"

[shared]
width = 4
depth = 2
patch = [16, 16]
batch = 4

[[arm]]
name = "plain"
schedule = "conventional"

[[arm]]
name = "ranked"
schedule = "pdl"
order = "k-centre"
grow_share = 0.5

[[arm]]
name = "as published"
schedule = "random"
every = 2
untuned = { lr = 0.02, steps = 12 }
"#;

/// Runs of the protocol: a long one, a plateau, and a trial of two arms on each of three folds, and
/// three arms on three seeds.
const RUNS: usize = 3 * (1 + 1 + 2) + 3 * 3;

/// The MR sample cohort, curated, and the file of the protocol.
fn curated() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (out, file) = (folder.path().join("out"), folder.path().join("protocol.toml"));
    pdl_tests::run_ok(&["curate", pdl_tests::sample("mr").to_str().unwrap(), "--out", out.to_str().unwrap()]);
    std::fs::write(&file, PROTOCOL).unwrap();
    (folder, out, file)
}

fn command(out: &Path, protocol: &Path, flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pdl-fit"));
    command.arg("compare").arg(out).arg("--protocol").arg(protocol).args(flags).arg("--trust-files");
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run_ok(out: &Path, protocol: &Path, flags: &[&str]) -> Output {
    let output = command(out, protocol, flags).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

fn rows(file: &Path) -> Vec<RunRow> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let rows = text.lines().map(|line| serde_json::from_str::<Row>(line).unwrap());
    rows.filter_map(|row| if let Row::Run(row) = row { Some(row) } else { None }).collect()
}

#[test]
fn a_killed_comparison_is_resumed_by_two_processes_and_its_rows_are_enough() {
    let (folder, out, protocol) = curated();
    let file = out.join("comparison/runs.jsonl");
    let mut killed = command(&out, &protocol, &[]).spawn().unwrap();
    let began = Instant::now();
    while rows(&file).len() < 4 && began.elapsed() < Duration::from_secs(120) {
        std::thread::sleep(Duration::from_millis(20));
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    let before = rows(&file);
    assert!((4..RUNS).contains(&before.len()), "{}", before.len());

    // The time is up at once, then it is not.
    let up = command(&out, &protocol, &["--limit-seconds", "0"]).output().unwrap();
    let told = String::from_utf8_lossy(&up.stderr);
    assert!(up.status.code() == Some(8) && told.contains("run the same command again to resume"), "{told}");
    // Two processes share what is left.
    let started: Vec<_> = (0..2).map(|_| command(&out, &protocol, &["--json"]).spawn().unwrap()).collect();
    let both: Vec<Output> = started.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
    let said = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(both.iter().all(|output| output.status.success()), "{} {}", said(&both[0]), said(&both[1]));
    assert_eq!(both[0].stdout, both[1].stdout);
    let output = &both[0];
    let comparison: Comparison = serde_json::from_slice(&output.stdout).unwrap();
    let all = rows(&file);
    let keys: BTreeSet<&str> = all.iter().map(|row| row.key.as_str()).collect();
    assert_eq!((all.len(), keys.len()), (RUNS, RUNS));
    assert_eq!(all[..before.len()], before, "a run that was made is not made again");
    parts_are_apart(&out, &comparison);
    figures_follow_from_the_rows(&out, &comparison, &all);

    // The same rows on another copy of the folder: nothing is trained, the result is the same.
    let other = folder.path().join("other");
    pdl_tests::run_ok(&[
        "curate",
        pdl_tests::sample("mr").to_str().unwrap(),
        "--out",
        other.to_str().unwrap(),
    ]);
    let kept = folder.path().join("kept.jsonl");
    std::fs::copy(&file, &kept).unwrap();
    let again = run_ok(&other, &protocol, &["--json", "--runs", kept.to_str().unwrap()]);
    let told = String::from_utf8_lossy(&again.stderr);
    assert!(told.contains("0 runs were trained now"), "{told}");
    assert_eq!(again.stdout, output.stdout);
    let text =
        String::from_utf8(run_ok(&other, &protocol, &["--runs", kept.to_str().unwrap()]).stdout).unwrap();
    for part in ["product", "curriculum alone", "a miss counts as twice the limit of 0.25 s"] {
        assert!(text.contains(part), "{text}");
    }
    let page = std::fs::read_to_string(other.join("report.html")).unwrap();
    assert!(page.contains("\"curriculum alone\""), "the report has the curves");
}

/// Every case is tested once, and no patient is in two parts of a fold.
fn parts_are_apart(out: &Path, comparison: &Comparison) {
    let splits = Manifest::open(out).unwrap().rows;
    let mut tested: Vec<String> = Vec::new();
    for fold in 0..3 {
        let rows = Manifest::open(&out.join(format!("comparison/k-centre-{fold}of3"))).unwrap().rows;
        let mut parts: BTreeMap<String, BTreeSet<Split>> = BTreeMap::new();
        for row in &rows {
            parts.entry(row.patient_id.clone()).or_default().insert(row.split);
        }
        assert!(parts.values().all(|parts| parts.len() == 1));
        let test: Vec<String> =
            rows.iter().filter(|row| row.split == Split::Test).map(|row| row.case_id.clone()).collect();
        assert_eq!(test.len(), comparison.folds[fold].test);
        tested.extend(test);
    }
    tested.sort();
    let mut all: Vec<String> = splits.iter().map(|row| row.case_id.clone()).collect();
    all.sort();
    assert_eq!(tested, all);
}

fn figures_follow_from_the_rows(out: &Path, comparison: &Comparison, runs: &[RunRow]) {
    let table: Vec<ComparisonRow> =
        pdl_store::table::read_rows(&out.join("comparison/comparison.parquet"), 1).unwrap().0;
    assert_eq!(table.len(), 3 * 3 * 2);
    // Reported runs are evaluated on test parts, trials on validation parts.
    for run in runs {
        let on_test = run.seed < 100 || run.seed == 201;
        assert_eq!(run.evaluated_on == Split::Test, on_test, "{} {}", run.name, run.seed);
        assert_eq!(run.fold.unwrap(), if run.seed < 100 { (run.seed % 3) as u32 } else { run.fold.unwrap() });
    }
    for row in &table {
        let of_run = |run: &&RunRow| (&run.name, run.seed) == (&row.arm, row.seed);
        let run = runs.iter().find(of_run).unwrap();
        assert_eq!(row.final_dice, run.dice.last().copied());
        let target = &comparison.targets[row.fold as usize];
        assert!((row.target - row.level * target.plateau).abs() < 1e-12);
        assert_eq!(row.missed, row.steps_to_level.is_none());
        assert_eq!(row.cost_seconds >= 0.125, row.arm == "ranked", "{} {}", row.arm, row.cost_seconds);
        if row.arm == "as published" {
            assert_eq!((row.lr, row.steps), (0.02, 12));
        } else if row.missed {
            assert!((row.seconds - 2.0 * 0.25).abs() < 1e-12);
        }
    }
    // The geometric mean of the ratios.
    let curve = &comparison.curves[0];
    let of = |arm: &str, seed| {
        let same = |row: &&ComparisonRow| row.arm == arm && row.seed == seed && row.level == 0.8;
        table.iter().find(same).unwrap().seconds
    };
    let logs: f64 = (1..=3).map(|seed| (of("plain", seed) / of("ranked", seed)).ln()).sum();
    let point = curve.points.iter().find(|point| point.level == 0.8).unwrap();
    assert!((point.ratio.mean - (logs / 3.0).exp()).abs() < 1e-9);
    assert!(point.ratio.low <= point.ratio.mean && point.ratio.mean <= point.ratio.high);
    // The published arm is not tuned; the others have a trial on each fold.
    for choice in &comparison.choices {
        assert_eq!(choice.trials.len(), usize::from(choice.arm != "as published"));
    }
}
