//! Training on more voxels than memory holds: patches are read from files, and nothing else
//! changes.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests may fail loudly")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Instant, SystemTime};

use pdl_fit::{HistoryRow, read_history};

/// Less than twice what the cases of the sample take, more than one of them.
const SMALL: &str = "3MiB";

fn curated(folder: &Path) -> PathBuf {
    let out = folder.join("out");
    let (sample, to) = (pdl_tests::sample("mr"), out.to_str().unwrap());
    pdl_tests::run_ok(&["curate", sample.to_str().unwrap(), "--out", to, "--no-report"]);
    out
}

fn command(out: &Path, name: &str, flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pdl-fit"));
    command.arg("train").arg(out).args(["--name", name, "--width", "4", "--no-report"]).args(flags);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn train(out: &Path, name: &str, flags: &[&str]) -> Output {
    let output = command(out, name, flags).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    output
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The history without the seconds, and the weights.
fn results(out: &Path, name: &str) -> (Vec<HistoryRow>, Vec<u8>) {
    let run = out.join("runs").join(name);
    let rows = read_history(&run).unwrap();
    let rows = rows.into_iter().map(|row| HistoryRow { seconds: 0.0, ..row }).collect();
    (rows, std::fs::read(run.join("weights.safetensors")).unwrap())
}

/// The files of voxels, with the times of their last changes.
fn files(out: &Path) -> BTreeMap<PathBuf, SystemTime> {
    let entries = std::fs::read_dir(out.join("training-cache")).unwrap().map(|entry| entry.unwrap());
    let changed = |path: &Path| path.metadata().unwrap().modified().unwrap();
    let paths = entries.map(|entry| entry.path()).filter(|path| path.is_file());
    paths.map(|path| (path.clone(), changed(&path))).collect()
}

#[test]
fn patches_from_files_are_those_from_memory() {
    let folder = tempfile::tempdir().unwrap();
    let out = curated(folder.path());
    for flags in [
        &["--steps", "9", "--eval-every", "3", "--augment", "full", "--batch", "8"][..],
        &[
            "--dims",
            "3",
            "--patch",
            "16,24,16",
            "--steps",
            "4",
            "--eval-every",
            "2",
            "--augment",
            "full",
            "--batch",
            "4",
        ],
    ] {
        train(&out, "memory", &[flags, &["--force"]].concat());
        let told = train(&out, "files", &[flags, &["--force", "--memory", SMALL, "--workers", "2"]].concat());
        assert!(text(&told.stderr).contains("patches are read from files"), "{}", text(&told.stderr));
        assert_eq!(results(&out, "files"), results(&out, "memory"));
    }

    // The files are made once, and again where they are damaged or missing.
    let before = files(&out);
    let steps = ["--steps", "2", "--memory", SMALL, "--force"];
    train(&out, "again", &steps);
    assert_eq!(files(&out), before);
    let mut paths = before.keys();
    let (gone, short) = (paths.next().unwrap(), paths.next().unwrap());
    std::fs::remove_file(gone).unwrap();
    std::fs::File::options().write(true).open(short).unwrap().set_len(100).unwrap();
    train(&out, "again", &steps);
    let after = files(&out);
    assert!(after.keys().eq(before.keys()));
    let renewed: Vec<_> =
        after.iter().filter(|(path, time)| before[*path] != **time).map(|(p, _)| p).collect();
    assert_eq!(renewed, [gone, short]);
}

#[test]
fn a_run_from_files_that_is_killed_ends_with_the_figures_of_an_undisturbed_one() {
    let folder = tempfile::tempdir().unwrap();
    let out = curated(folder.path());
    let flags = ["--steps", "16", "--eval-every", "4", "--augment", "light", "--batch", "4", "--memory"];
    let begin = Instant::now();
    train(&out, "whole", &[&flags[..], &["1GiB"]].concat());
    let whole = begin.elapsed();
    assert!(!out.join("training-cache").exists(), "memory holds all cases");
    // Ten moments of a whole run, from a sequence that fills its length evenly (multiples of the
    // golden ratio); a run that has ended before its moment is followed by another one.
    let (mut killed, mut runs) = (0, 1);
    for moment in (1..).map(|n| (f64::from(n) * 0.618_034).fract()) {
        let name = format!("killed{runs}");
        let mut run = command(&out, &name, &[&flags[..], &[SMALL]].concat()).spawn().unwrap();
        std::thread::sleep(whole.mul_f64(moment));
        match run.try_wait().unwrap() {
            Some(ended) => {
                assert!(ended.success());
                runs += 1;
            }
            None => {
                run.kill().unwrap(); // SIGKILL
                run.wait().unwrap();
                killed += 1;
            }
        }
        if killed == 10 {
            break;
        }
    }
    for run in 1..=runs {
        let name = format!("killed{run}");
        train(&out, &name, &[&flags[..], &[SMALL]].concat());
        assert_eq!(results(&out, &name), results(&out, "whole"), "{name}");
    }
    let rubbish = files(&out).into_keys().filter(|path| path.extension().is_none_or(|e| e != "voxels"));
    assert_eq!(rubbish.count(), 0);
}

#[test]
fn a_case_that_is_larger_than_the_limit_is_refused_by_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let out = curated(folder.path());
    let refused = command(&out, "small", &["--steps", "2", "--memory", "16KiB"]).output().unwrap();
    let told = text(&refused.stderr);
    assert!(!refused.status.success() && told.contains("the limit is 16.0 KiB"), "{told}");
    assert!(told.contains("prepared/images"), "{told}");
}
