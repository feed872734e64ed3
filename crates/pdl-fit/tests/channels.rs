//! Networks with several input channels, from training to prediction.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests may fail loudly")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use pdl_fit::RunRecord;
use pdl_phantom::{generate_pet_ct, write_pet_ct};

fn fit(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pdl-fit")).args(words).output().unwrap()
}

fn done(words: &[&str]) -> Output {
    let output = fit(words);
    assert!(output.status.success(), "{}", text(&output.stderr));
    output
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A cohort of CT, which shows the lungs alone, and PET, which shows the lesion alone.
fn cohort(folder: &Path) -> PathBuf {
    write_pet_ct(folder, &generate_pet_ct(5, 12).unwrap()).unwrap();
    folder.join(pdl_phantom::pet_ct::FOLDER)
}

fn curated(cohort: &Path, out: &Path, flags: &[&str]) {
    let words = ["curate", cohort.to_str().unwrap(), "--out", out.to_str().unwrap(), "--no-report"];
    pdl_tests::run_ok(&[&words[..], flags].concat());
}

/// Trains shortly; the record of the run.
fn trained(out: &Path, name: &str, flags: &[&str]) -> RunRecord {
    let words = ["train", out.to_str().unwrap(), "--name", name, "--width", "8", "--no-report"];
    done(&[&words[..], flags].concat());
    pdl_store::json::read(&out.join("runs").join(name).join("run.json")).unwrap()
}

/// Validation Dice of the lesion.
fn lesion(record: &RunRecord) -> f64 {
    let place = record.labels.iter().position(|label| label.name == "lesion").unwrap();
    record.results.dice[place].unwrap_or(0.0)
}

#[test]
fn an_organ_that_one_channel_alone_shows_is_found_with_two() {
    let folder = tempfile::tempdir().unwrap();
    let cohort = cohort(folder.path());
    let [both, ct] = ["both", "ct"].map(|name| folder.path().join(name));
    curated(&cohort, &both, &[]);
    curated(&cohort, &ct, &["--channel", "0"]);
    let flags =
        "--steps 80 --eval-every 80 --batch 16 --optimiser muon --lr 0.02 --ema 0.95 --schedule conventional";
    let flags: Vec<&str> = flags.split(' ').collect();
    let (with_both, with_ct) = (trained(&both, "a", &flags), trained(&ct, "a", &flags));
    assert_eq!(
        (with_both.channels.as_slice(), with_both.plan.network.inputs),
        (["CT", "PET"].map(str::to_owned).as_slice(), 2)
    );
    assert_eq!((with_ct.channels.len(), with_ct.plan.network.inputs), (1, 1));
    let (two, one) = (lesion(&with_both), lesion(&with_ct));
    assert!(two > one + 0.2, "{two} {one}");

    // Evaluation reads all channels, and prediction finds them by number, by name and as frames.
    let run = both.join("runs/a");
    done(&["evaluate", run.to_str().unwrap()]);
    let predicted: BTreeMap<String, PathBuf> = std::fs::read_dir(run.join("predictions/val"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_string_lossy().replace(".nii.gz", ""), path))
        .collect();
    let (new, labels) = (folder.path().join("new"), folder.path().join("labels"));
    for case in predicted.keys() {
        for (number, name) in ["CT", "pet"].into_iter().enumerate() {
            let from = cohort.join(format!("imagesTr/{case}_{number:04}.nii.gz"));
            for to in [
                format!("numbers/{case}_{number:04}"),
                format!("names/{case}-{name}"),
                format!("folders/{case}/{name}"),
            ] {
                let to = new.join(format!("{to}.nii.gz"));
                std::fs::create_dir_all(to.parent().unwrap()).unwrap();
                std::fs::copy(&from, to).unwrap();
            }
        }
    }
    let lonely = new.join("lonely_0001.nii.gz");
    std::fs::copy(new.join(format!("numbers/{}_0001.nii.gz", predicted.keys().next().unwrap())), &lonely)
        .unwrap();
    let words = ["predict", run.to_str().unwrap(), new.to_str().unwrap(), "--out", labels.to_str().unwrap()];
    let told = text(&done(&words).stderr);
    assert!(told.contains("lonely failed: of 2 channels it lacks CT (_0000 or _CT)"), "{told}");
    let voxels = |path: &Path| pdl_io::read_labels(path).unwrap().map.voxels;
    for (case, path) in &predicted {
        for place in ["numbers", "names", "folders"] {
            let map = labels.join(place).join(format!("{case}.nii.gz"));
            assert!(voxels(&map) == voxels(path), "{case} {place}");
        }
    }
    done(&["export", run.to_str().unwrap()]);
    assert!(run.join("network.pt").is_file());
}

#[test]
fn volumes_of_several_channels_are_trained_on_from_files_as_from_memory() {
    let folder = tempfile::tempdir().unwrap();
    let (cohort, out) = (cohort(folder.path()), folder.path().join("out"));
    curated(&cohort, &out, &[]);
    let flags = [
        "--dims",
        "3",
        "--patch",
        "16,16,16",
        "--steps",
        "3",
        "--eval-every",
        "3",
        "--augment",
        "full",
        "--batch",
        "4",
    ];
    let memory = trained(&out, "memory", &flags);
    let files = trained(&out, "files", &[&flags[..], &["--memory", "6MiB"]].concat());
    assert!(out.join("training-cache").is_dir());
    assert_eq!(memory.plan.network.inputs, 2);
    assert_eq!(files.results.weights_blake3, memory.results.weights_blake3);
}
