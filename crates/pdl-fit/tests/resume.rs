//! Runs that are killed at random moments, and messages about invalid folders.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests may fail loudly")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use pdl_cohort::attributes::Split;
use pdl_curriculum::manifest::Manifest;
use pdl_fit::{HistoryRow, read_history};

/// Steps of a run, with an evaluation every sixth.
const STEPS: usize = 36;

/// The MR sample cohort, curated.
fn curated(folder: &Path) -> PathBuf {
    let out = folder.join("out");
    pdl_tests::run_ok(&["curate", pdl_tests::sample("mr").to_str().unwrap(), "--out", out.to_str().unwrap()]);
    out
}

fn train(out: &Path, name: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pdl-fit"));
    command.arg("train").arg(out).args(["--name", name, "--steps", &STEPS.to_string(), "--eval-every", "6"]);
    command.args(["--width", "4", "--augment", "light", "--norm", "batch", "--coarse-share", "0.4"]);
    command.args(["--batch", "12", "--batch-start", "3", "--batch-share", "0.7", "--patch-share", "0.2"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The history without the seconds.
fn figures(out: &Path, name: &str) -> Vec<HistoryRow> {
    let rows = read_history(&out.join("runs").join(name)).unwrap();
    rows.into_iter().map(|row| HistoryRow { seconds: 0.0, ..row }).collect()
}

fn refusal(output: &Output) -> String {
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(text.matches("error: ").count(), 1, "{text}");
    text
}

#[test]
fn a_killed_run_ends_with_the_figures_of_an_undisturbed_one() {
    let folder = tempfile::tempdir().unwrap();
    let out = curated(folder.path());
    let whole = train(&out, "whole").output().unwrap();
    assert!(whole.status.success(), "{}", String::from_utf8_lossy(&whole.stderr));
    for moment in [300, 900, 1300, 700, 1700] {
        let mut run = train(&out, "killed").spawn().unwrap();
        std::thread::sleep(Duration::from_millis(moment));
        run.kill().unwrap(); // SIGKILL
        run.wait().unwrap();
    }
    let last = train(&out, "killed").output().unwrap();
    assert!(last.status.success(), "{}", String::from_utf8_lossy(&last.stderr));
    let undisturbed = figures(&out, "whole");
    assert_eq!(undisturbed.len(), STEPS / 6);
    // Batches of 3 and 6 patches for 35% of the steps each (rounded: 13 and 12 steps), then of 12.
    assert_eq!(undisturbed[STEPS / 6 - 1].samples, 13 * 3 + 12 * 6 + 11 * 12);
    assert_eq!(figures(&out, "killed"), undisturbed);
    let weights =
        |name: &str| std::fs::read(out.join("runs").join(name).join("weights.safetensors")).unwrap();
    assert_eq!(weights("killed"), weights("whole"));
    assert!(!out.join("runs/killed/checkpoint.safetensors").exists(), "a finished run needs none");

    // A run that cannot be planned leaves the existing one unchanged.
    let before = weights("whole");
    refusal(&train(&out, "whole").args(["--force", "--activation-memory", "1KiB"]).output().unwrap());
    assert_eq!(weights("whole"), before);
    assert!(out.join("runs/whole/run.json").exists());
}

#[cfg(unix)]
#[test]
fn a_run_that_ctrl_c_stops_says_so_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let out = curated(folder.path());
    let mut run = train(&out, "stopped").stderr(Stdio::piped()).spawn().unwrap();
    let checkpoint = out.join("runs/stopped/checkpoint.safetensors");
    while !checkpoint.exists() && run.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(Command::new("kill").args(["-INT", &run.id().to_string()]).status().unwrap().success());
    let stopped = run.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&stopped.stderr).into_owned();
    assert_eq!(stopped.status.code(), Some(130), "{told}");
    assert!(told.contains("run the same command again to resume"), "{told}");
    let remnant = std::fs::read(&checkpoint).unwrap();
    assert!(!out.join("runs/stopped/run.json").exists());
    let again = train(&out, "stopped").output().unwrap();
    let told = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(again.status.success() && told.contains("resuming the interrupted run after step"), "{told}");

    // As if it had been stopped after its record was written, before the checkpoint was removed.
    std::fs::write(&checkpoint, remnant).unwrap();
    let finished = train(&out, "stopped").output().unwrap();
    assert!(finished.status.success() && !checkpoint.exists());
}

/// A limit on the size of files stands for a full disk.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_ends_in_one_error_and_keeps_the_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let out = curated(folder.path());
    let mut run = train(&out, "full").spawn().unwrap();
    let checkpoint = out.join("runs/full/checkpoint.safetensors");
    while !checkpoint.exists() && run.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(20));
    }
    run.kill().unwrap();
    run.wait().unwrap();
    let before = std::fs::read(&checkpoint).unwrap();
    let words = train(&out, "full");
    let mut limited = Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$0\" \"$@\""]);
    limited.arg(words.get_program()).args(words.get_args());
    let text = refusal(&limited.output().unwrap());
    assert!(text.contains("checkpoint") && text.contains("too large"), "{text}");
    assert_eq!(std::fs::read(&checkpoint).unwrap(), before);
}

#[test]
fn wrong_folders_end_in_one_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    let out = curated(folder.path());
    let rows = Manifest::open(&out).unwrap().rows;
    let of = |split: Split| {
        let row = rows.iter().find(|row| row.split == split).unwrap();
        out.join(&row.image)
    };
    let (image, other) = (of(Split::Train), of(Split::Val));
    let kept = std::fs::read(&image).unwrap();
    let told = || refusal(&train(&out, "wrong").output().unwrap());
    std::fs::remove_file(&image).unwrap();
    assert!(told().contains("the file is missing"));
    std::fs::copy(other, &image).unwrap();
    assert!(told().contains("has changed since the manifest was made"));
    std::fs::write(&image, kept).unwrap();
    let info = out.join("manifest.json");
    let text = std::fs::read_to_string(&info).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut fewer = json.clone();
    fewer["labels"].as_array_mut().unwrap().pop().unwrap();
    std::fs::write(&info, fewer.to_string()).unwrap();
    assert!(told().contains("but the manifest only"));
    let mut shrinking = json;
    shrinking["stages"][1]["active_cases"] = 1.into();
    std::fs::write(&info, shrinking.to_string()).unwrap();
    assert!(told().contains("its stages do not grow"));
    assert!(!out.join("runs/wrong").exists());
}
