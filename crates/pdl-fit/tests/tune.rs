//! A small tuning to its end: its files, resuming after kill -9, and runs with its result.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests may fail loudly")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use pdl_cohort::attributes::Split;
use pdl_curriculum::manifest::Manifest;
use pdl_fit::{RunRecord, Subset, Trial, Tuning, read_run};
use pdl_store::{hash, json, table};

/// Candidates of one network, whose steps are timed once for each size of patch.
const FLAGS: [&str; 18] = [
    "--budget",
    "2",
    "--candidates",
    "3",
    "--one-of",
    "2",
    "--width",
    "8",
    "--depth",
    "2",
    "--batch",
    "8",
    "--widths",
    "8",
    "--depths",
    "2",
    "--batches",
    "8",
];

fn fit(command: &str, out: &Path, flags: &[&str]) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_pdl-fit"));
    program.arg(command).arg(out).args(flags);
    program
}

fn ok(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn refused(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}

/// The MR sample cohort, curated; only the rows of its test cases remain.
fn curated(folder: &Path) -> PathBuf {
    let out = folder.join("out");
    pdl_tests::run_ok(&["curate", pdl_tests::sample("mr").to_str().unwrap(), "--out", out.to_str().unwrap()]);
    let manifest = Manifest::open(&out).unwrap();
    let test: Vec<_> = manifest.rows.iter().filter(|row| row.split == Split::Test).collect();
    assert!(!test.is_empty());
    for row in test {
        std::fs::remove_file(out.join(&row.image)).unwrap();
        std::fs::remove_file(out.join(&row.label)).unwrap();
    }
    out
}

fn tuning(out: &Path) -> Tuning {
    json::read(&out.join("tuning/tuning.json")).unwrap()
}

/// The trials without their seconds.
fn trials(out: &Path) -> Vec<Trial> {
    let rows: Vec<Trial> = table::read_rows(&out.join("tuning/trials.parquet"), 1).unwrap().0;
    rows.into_iter().map(|row| Trial { training_seconds: None, ..row }).collect()
}

/// Another folder of the same cohort with a started tuning: its steps are timed.
fn begun(folder: &Path, from: &Path) -> PathBuf {
    let out = curated(folder);
    std::fs::create_dir_all(out.join("tuning")).unwrap();
    let begun = Tuning { winner: None, ..tuning(from) };
    json::write(&out.join("tuning/tuning.json"), &begun).unwrap();
    out
}

#[test]
fn the_best_of_the_coarse_sample_wins_whenever_it_is_killed_and_trains() {
    let folder = tempfile::tempdir().unwrap();
    let out = curated(folder.path());
    let told = refused(&mut fit("train", &out, &["--tuned"]));
    assert!(told.contains("run `pdl-fit tune` first"), "{told}");

    let told = ok(&fit("tune", &out, &FLAGS).output().unwrap());
    assert!(told.contains("train") && told.contains("--tuned"), "{told}");
    let (found, rows) = (tuning(&out), trials(&out));
    let places: Vec<u32> = rows.iter().map(|row| row.rung).collect();
    assert_eq!((places, found.candidates.len()), (vec![1, 1, 1, 2, 2], 3));

    // The candidates differ, and the first has the settings of `train`.
    let distinct: BTreeSet<String> = found.candidates.iter().map(|c| format!("{:?}", c.candidate)).collect();
    assert_eq!(distinct.len(), 3);
    let first = &found.candidates[0].candidate;
    assert_eq!((first.lr, first.width), (0.003, 8));
    assert!(found.candidates.iter().all(|c| (c.candidate.depth, c.candidate.batch) == (2, 8)));

    // The better half advanced, the best of it won, and every row has the figures of its run.
    let dice = |row: &Trial| row.dice_mean.unwrap();
    let mut order: Vec<&Trial> = rows[..3].iter().collect();
    order.sort_by(|a, b| dice(b).total_cmp(&dice(a)));
    let best: BTreeSet<u32> = order[..2].iter().map(|row| row.candidate).collect();
    assert_eq!(rows[3..].iter().map(|row| row.candidate).collect::<BTreeSet<_>>(), best);
    let winner = found.winner.clone().unwrap();
    let last = if dice(&rows[3]) >= dice(&rows[4]) { &rows[3] } else { &rows[4] };
    assert_eq!((winner.number as u32, winner.dice_mean), (last.candidate, dice(last)));
    let tune: usize = Manifest::open(&out).unwrap().rows.iter().filter(|row| row.tune).count();
    for row in &rows {
        let name = format!("tuning/runs/rung{}-candidate{}", row.rung, row.candidate);
        let RunRecord { settings, sample, training_cases, results, .. } = read_run(&out.join(name)).unwrap();
        assert_eq!((sample, training_cases), (Subset::Tuning, tune));
        assert_eq!(
            (settings.optimisation.lr, settings.network.width, settings.length.steps),
            (Some(row.rate), row.width, Some(row.steps))
        );
        assert_eq!((settings.patches.batch, results.dice_mean), (Some(row.batch as usize), row.dice_mean));
    }

    // Again: nothing is trained. With other flags: refused.
    let before = std::fs::read(out.join("tuning/trials.parquet")).unwrap();
    ok(&fit("tune", &out, &FLAGS).output().unwrap());
    assert_eq!(std::fs::read(out.join("tuning/trials.parquet")).unwrap(), before);
    let told = refused(&mut fit("tune", &out, &["--budget", "7"]));
    assert!(told.contains("a tuning with other settings exists"), "{told}");

    // Killed repeatedly, at later and later moments.
    let other = tempfile::tempdir().unwrap();
    let again = begun(other.path(), &out);
    for milliseconds in [150, 700, 1400] {
        let mut child = fit("tune", &again, &FLAGS).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(milliseconds));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    ok(&fit("tune", &again, &FLAGS).output().unwrap());
    assert_eq!((trials(&again), tuning(&again)), (rows, found.clone()));

    // A run takes the result by reference; its own flags take precedence.
    let steps = ["--steps", "3", "--no-report"];
    ok(&fit("train", &out, &[&["--tuned"], &steps[..]].concat()).output().unwrap());
    let record = read_run(&out.join("runs/pdl-seed1")).unwrap();
    let candidate = winner.candidate;
    let RunRecord { settings, sample, tuned, .. } = record;
    assert_eq!((settings.optimisation.lr, settings.network.width), (Some(candidate.lr), candidate.width));
    assert_eq!(
        (settings.network.depth, settings.patches.patch),
        (Some(candidate.depth), Some(candidate.patch))
    );
    assert_eq!((settings.patches.batch, sample), (Some(candidate.batch), Subset::All));
    let tuned = tuned.unwrap();
    assert_eq!(tuned.file, "tuning/tuning.json");
    assert_eq!(tuned.blake3, hash::of_file(&out.join("tuning/tuning.json")).unwrap());
    let flags = [&["--tuned", "--lr", "0.5", "--name", "own"], &steps[..]].concat();
    ok(&fit("train", &out, &flags).output().unwrap());
    assert_eq!(read_run(&out.join("runs/own")).unwrap().settings.optimisation.lr, Some(0.5));

    // An unfinished tuning, or one of another manifest, is refused.
    let unfinished = Tuning { winner: None, ..found.clone() };
    json::write(&out.join("tuning/tuning.json"), &unfinished).unwrap();
    let told = refused(&mut fit("train", &out, &["--tuned"]));
    assert!(told.contains("the tuning is unfinished"), "{told}");
    let foreign = Tuning { manifest_blake3: "0".repeat(64), ..found };
    json::write(&out.join("tuning/tuning.json"), &foreign).unwrap();
    let told = refused(&mut fit("train", &out, &["--tuned"]));
    assert!(told.contains("from another manifest"), "{told}");
}
