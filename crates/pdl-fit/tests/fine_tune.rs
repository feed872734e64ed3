//! Fine-tuning, extension, early stopping and event files of runs on the sample cohorts.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests may fail loudly")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use pdl_fit::{RunRecord, read_history, read_run};

fn curated(folder: &Path, modality: &str) -> PathBuf {
    let out = folder.join(modality);
    let (sample, to) = (pdl_tests::sample(modality), out.to_str().unwrap());
    pdl_tests::run_ok(&[
        "curate",
        sample.to_str().unwrap(),
        "--out",
        to,
        "--proxy-size",
        "16",
        "--no-report",
    ]);
    out
}

fn train(out: &Path, name: &str, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pdl-fit"));
    command.arg("train").arg(out).args(["--name", name, "--no-report"]).args(words);
    command
}

/// Stderr of a training that succeeds, and its record.
fn trained(out: &Path, name: &str, words: &[&str]) -> (String, RunRecord) {
    let output = train(out, name, words).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{words:?}: {told}");
    (told, read_run(&out.join("runs").join(name)).unwrap())
}

fn refusal(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_run_starts_from_another_one_and_takes_what_fits() {
    let folder = tempfile::tempdir().unwrap();
    let (mr, ct) = (curated(folder.path(), "mr"), curated(folder.path(), "ct"));
    let (_, base) = trained(&mr, "base", &["--steps", "40", "--width", "4", "--lr", "0.01", "--batch", "8"]);
    let run = mr.join("runs/base");
    let (run_text, weights) = (run.to_str().unwrap(), run.join("weights.safetensors"));

    // A step that is too small to change anything: the network is that of the other run.
    let unchanged = ["--init", run_text, "--steps", "1", "--lr", "1e-12"];
    let (told, record) = trained(&mr, "same", &unchanged);
    assert!(told.contains("starting from the weights of run base"), "{told}");
    let initialisation = record.initialisation.as_ref().unwrap();
    assert_eq!(record.plan.network, base.plan.network);
    assert_eq!(record.results.dice, base.results.dice);
    assert_eq!(initialisation.weights_blake3, base.results.weights_blake3);
    assert!(initialisation.labels_new.is_empty() && initialisation.labels_taken.len() == base.labels.len());
    assert!(!told.contains("warning: the run that the weights are of"), "{told}");

    // The same command has nothing to do; with other initial weights it is another run.
    let again = train(&mr, "same", &unchanged).output().unwrap();
    assert!(String::from_utf8_lossy(&again.stdout).contains("nothing to do"));
    let depth = base.plan.network.depth.to_string();
    let random = ["--steps", "1", "--lr", "1e-12", "--width", "4", "--depth", depth.as_str()];
    let other = refusal(&train(&mr, "same", &random).output().unwrap());
    assert!(other.contains("with other initial weights"), "{other}");

    // A bare file names no labels; a cohort with others takes no head from the run either.
    let bare = folder.path().join("bare.safetensors");
    std::fs::copy(&weights, &bare).unwrap();
    let from_file = ["--init", bare.to_str().unwrap(), "--steps", "2", "--width", "4"];
    let (told, record) = trained(&mr, "bare", &from_file);
    assert!(told.contains("a file that names no labels"), "{told}");
    assert!(record.initialisation.unwrap().labels_taken.is_empty());
    let (told, record) = trained(&ct, "other", &["--init", run_text, "--steps", "2"]);
    assert!(told.contains("warning: the run that the weights are of was prepared in another way"), "{told}");
    let names: Vec<String> = record.labels.iter().map(|label| label.name.clone()).collect();
    let theirs: Vec<&String> = base.labels.iter().map(|label| &label.name).collect();
    let initialisation = record.initialisation.unwrap();
    assert_eq!(initialisation.run.as_deref(), Some("base"));
    for name in names {
        let expected =
            if theirs.contains(&&name) { &initialisation.labels_taken } else { &initialisation.labels_new };
        assert!(expected.contains(&name), "{name}: {initialisation:?}");
    }

    let wider = refusal(&train(&mr, "wider", &["--init", run_text, "--width", "8"]).output().unwrap());
    assert!(wider.contains("width: 4, expected 8"), "{wider}");
    let nothing = refusal(&train(&mr, "none", &["--init", mr.to_str().unwrap()]).output().unwrap());
    assert!(nothing.contains("no finished run"), "{nothing}");
}

#[test]
fn a_finished_run_is_extended_and_an_interrupted_extension_resumes() {
    let folder = tempfile::tempdir().unwrap();
    let out = curated(folder.path(), "mr");
    let words =
        ["--steps", "24", "--eval-every", "8", "--width", "4", "--optimiser", "muon", "--batch", "12"];
    let (_, first) = trained(&out, "a", &words);
    assert_eq!(trained(&out, "b", &words).1.results.dice, first.results.dice);
    let run = |name: &str| out.join("runs").join(name);
    let weights = |name: &str| std::fs::read(run(name).join("weights.safetensors")).unwrap();
    let before = weights("b");

    let (told, record) = trained(&out, "a", &["--extend", "16"]);
    assert!(told.contains("extending the finished run from step 24 to 40"), "{told}");
    assert_eq!((record.results.steps, record.plan.steps, record.extensions.len()), (40, 40, 1));
    assert!((record.plan.rates.at(24) - 0.006 * 0.4_f64.powf(0.9)).abs() < 1e-9);
    let steps: Vec<u64> = read_history(&run("a")).unwrap().iter().map(|row| row.step).collect();
    assert_eq!(steps, [8, 16, 24, 32, 40]);

    // Killed on the way: the finished run stays until the extension has ended.
    let mut killed = train(&out, "b", &["--extend", "16"]).spawn().unwrap();
    let checkpoint = run("b").join("checkpoint.safetensors");
    while !checkpoint.exists() && killed.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(5));
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert_eq!(weights("b"), before);
    trained(&out, "b", &words);
    assert!(checkpoint.exists(), "the checkpoint of an interrupted extension is no remnant");
    let other = refusal(&train(&out, "b", &["--extend", "17"]).output().unwrap());
    assert!(other.contains("with another extension"), "{other}");
    let (told, resumed) = trained(&out, "b", &["--extend", "16"]);
    assert!(told.contains("resuming the interrupted run"), "{told}");
    assert_eq!(weights("b"), weights("a"));
    assert_eq!((resumed.results.steps, resumed.extensions.len()), (40, 1));
    assert!(!checkpoint.exists());

    let (_, record) = trained(&out, "a", &["--extend", "0.2s"]);
    assert!(record.results.steps > 40 && record.extensions.len() == 2);
    let told = refusal(&train(&out, "a", &["--extend", "8", "--width", "8"]).output().unwrap());
    assert!(told.contains("with other settings"), "{told}");
    let told = refusal(&train(&out, "nobody", &["--extend", "8"]).output().unwrap());
    assert!(told.contains("no finished run"), "{told}");
}

/// The number of steps follows what they take. On a machine with other work, as here, the end is
/// farther from the seconds than the 3% of a quiet one.
#[test]
fn a_run_of_seconds_ends_near_them() {
    let folder = tempfile::tempdir().unwrap();
    let out = curated(folder.path(), "mr");
    let (_, record) = trained(&out, "a", &["--seconds", "4", "--width", "4", "--schedule", "conventional"]);
    let seconds = record.results.training_seconds;
    assert!((seconds - 4.0).abs() <= 0.25 * 4.0, "{seconds}");
    assert_eq!(record.plan.steps, record.results.steps);
}

#[test]
fn event_files_are_written_on_request_and_a_new_run_replaces_them() {
    let folder = tempfile::tempdir().unwrap();
    let out = curated(folder.path(), "mr");
    let words = ["--steps", "4", "--eval-every", "2", "--width", "4", "--tensorboard"];
    let events = || {
        let files = std::fs::read_dir(out.join("runs/a/tensorboard")).unwrap();
        files.map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect::<Vec<_>>()
    };
    trained(&out, "a", &words);
    let found = events();
    assert_eq!(found.len(), 1);
    let holds = |text: &str| found[0].windows(text.len()).filter(|part| *part == text.as_bytes()).count();
    assert_eq!((holds("dice/mean"), holds("loss/step"), holds("learning_rate")), (2, 4, 4));
    assert!(holds("PNG\r\n") >= 2, "pictures of each evaluation");
    trained(&out, "a", &[&words[..], &["--force"]].concat());
    assert_eq!(events().len(), 1);
    trained(&out, "plain", &words[..6]);
    assert!(!out.join("runs/plain/tensorboard").exists());
}
