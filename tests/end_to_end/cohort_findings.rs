//! Findings about a cohort as a whole: what lies beside its cases, and what changed between runs.

use std::fs;
use std::path::Path;

use pdl_cohort::table::cases::Cases;
use pdl_findings::Code;
use pdl_tests::{run, run_ok};
use serde_json::json;

use crate::{cohort_of, folder};

/// Output, and the findings about the cohort, of `pdl index`.
fn indexed(cohort: &Path, out: &Path, flags: &[&str]) -> (String, Vec<pdl_findings::Finding>) {
    let words = ["index", cohort.to_str().unwrap(), "--out", out.to_str().unwrap(), "--modality", "CT"];
    let output = run(&[&words[..], flags].concat());
    let told = String::from_utf8([output.stderr, output.stdout].concat()).unwrap();
    let found = Cases::read(out).unwrap_or_else(|error| panic!("{error}: {told}")).findings;
    (told, found)
}

/// The cases of the sample as nnU-Net has them, without numbers of channels.
fn raw_dataset(root: &Path, description: &serde_json::Value) {
    cohort_of(root, 0..4);
    for (from, to) in [("images", "imagesTr"), ("labels", "labelsTr")] {
        fs::rename(root.join(from), root.join(to)).unwrap();
    }
    let _ = fs::remove_file(root.join("cohort.csv"));
    fs::write(root.join("dataset.json"), description.to_string()).unwrap();
}

#[test]
fn under_pseudonyms_findings_hold_no_names_of_files_folders_or_labels() {
    let (cohort, out, key) = (folder(), folder(), folder());
    let labels = json!({"1": "lung", "Miller tumour": 1, "heart": 2, "c": 3, "d": 4});
    raw_dataset(cohort.path(), &json!({"channel_names": {"0": "CT"}, "labels": labels}));
    fs::write(cohort.path().join("miller_history.csv"), "a,b\n").unwrap();
    fs::create_dir(cohort.path().join("miller_before")).unwrap();
    let scan = fs::read_dir(cohort.path().join("imagesTr")).unwrap().next().unwrap().unwrap().path();
    fs::copy(&scan, cohort.path().join("miller_before/scan.nii.gz")).unwrap();
    let named = |told: &str| told.to_lowercase().contains("miller");
    let codes = [Code::FilesUnused, Code::ImagesUnused, Code::LabelsUnknown];

    let (told, found) = indexed(cohort.path(), &out.path().join("open"), &[]);
    assert!(told.contains("miller_history.csv"), "{told}");
    for code in codes {
        assert!(found.iter().any(|finding| finding.code == code && named(&finding.message)), "{found:?}");
    }
    let key = key.path().join("key");
    let flags = ["--pseudonyms", "--pseudonym-key", key.to_str().unwrap()];
    let (told, found) = indexed(cohort.path(), &out.path().join("hidden"), &flags);
    assert!(!named(&told), "{told}");
    for code in codes {
        assert!(found.iter().any(|finding| finding.code == code), "{found:?}");
    }
    assert!(found.iter().all(|finding| !named(&finding.message)), "{found:?}");
    assert!(found.iter().any(|finding| finding.message.contains("1 has two names")), "{found:?}");
}

#[test]
fn pictures_of_formats_that_are_not_read_are_named_as_the_cause() {
    let (cohort, out) = (folder(), folder());
    cohort_of(cohort.path(), 0..4);
    let _ = fs::remove_file(cohort.path().join("cohort.csv"));
    fs::create_dir(cohort.path().join("1st_manual")).unwrap();
    for name in ["21_manual1.gif", "22_manual1.GIF"] {
        fs::write(cohort.path().join("1st_manual").join(name), "GIF89a").unwrap();
    }
    let (_, found) = indexed(cohort.path(), out.path(), &[]);
    let told = &found.iter().find(|finding| finding.code == Code::PicturesUnread).unwrap().message;
    assert!(told.contains("pictures of formats that are not read: .gif (2); convert them to PNG"), "{told}");

    // Without them there is nothing to pair the images with.
    let drive = folder();
    for (of, name) in [("images", "21.tif"), ("masks", "21.gif")] {
        fs::create_dir(drive.path().join(of)).unwrap();
        fs::write(drive.path().join(of).join(name), "no picture").unwrap();
    }
    let words = ["index", drive.path().to_str().unwrap(), "--out", out.path().to_str().unwrap()];
    let told = String::from_utf8(run(&words).stderr).unwrap();
    assert!(told.contains("there are pictures of formats that are not read: .gif (1)"), "{told}");
}

#[test]
fn cases_whose_files_exchanged_their_names_are_told() {
    let (cohort, out) = (folder(), folder());
    cohort_of(cohort.path(), 0..8);
    let (_, found) = indexed(cohort.path(), out.path(), &[]);
    assert!(found.iter().all(|finding| finding.code != Code::ImagesExchanged));
    let cases = Cases::read(out.path()).unwrap();
    let held_out = cases.rows.iter().find(|row| row.split != cases.rows[0].split).unwrap();
    for kind in ["images", "labels"] {
        let path = |case: &str| cohort.path().join(format!("{kind}/{case}.nii.gz"));
        let [a, b, aside] = [&*cases.rows[0].case_id, &*held_out.case_id, "aside"].map(path);
        for (from, to) in [(&a, &aside), (&b, &a), (&aside, &b)] {
            fs::rename(from, to).unwrap();
        }
    }
    let (told, found) = indexed(cohort.path(), out.path(), &[]);
    let exchanged = found.iter().find(|finding| finding.code == Code::ImagesExchanged);
    let message = &exchanged.unwrap_or_else(|| panic!("{told}")).message;
    assert!(message.starts_with("2 cases have the image that another case had in the last run"), "{message}");
    assert!(message.contains("; 2 of these images are in another split now"), "{message}");
    let (_, found) = indexed(cohort.path(), out.path(), &[]);
    assert!(found.iter().all(|finding| finding.code != Code::ImagesExchanged), "told once");
}

#[test]
fn a_pair_that_the_table_keeps_in_two_splits_is_told_once() {
    let (cohort, out) = (folder(), folder());
    cohort_of(cohort.path(), 0..8);
    let mut table = "image,label,patient,modality,split\n".to_owned();
    for case in 1..=8 {
        let split = ["train", "train", "train", "val", "val", "train", "train", "test"][case - 1];
        table += &format!("images/ct_{case:02}.nii.gz,labels/ct_{case:02}.nii.gz,p{case},CT,{split}\n");
    }
    fs::write(cohort.path().join("cohort.csv"), table).unwrap();
    for kind in ["images", "labels"] {
        let path = |case: &str| cohort.path().join(format!("{kind}/{case}.nii.gz"));
        fs::remove_file(path("ct_08")).unwrap();
        fs::copy(path("ct_01"), path("ct_08")).unwrap();
    }
    let place = [cohort.path().to_str().unwrap(), "--out", out.path().to_str().unwrap()];
    let flags = ["--no-report", "--proxy-size", "16"];
    let told = String::from_utf8(run(&[&["curate"], &place[..], &flags].concat()).stderr).unwrap();
    assert_eq!(told.matches("they are not merged").count(), 1, "{told}");
}

#[test]
fn a_normalisation_that_channel_names_state_is_told_as_not_followed() {
    let (dataset, cohort, out) = (folder(), folder(), folder());
    let description = json!({"channel_names": {"0": "rescale_to_0_1"}, "file_ending": ".nii.gz",
        "labels": {"background": 0, "a": 1, "b": 2, "c": 3, "d": 4}});
    raw_dataset(dataset.path(), &description);
    let (_, found) = indexed(dataset.path(), out.path(), &[]);
    let told = found.iter().find(|finding| finding.code == Code::NormalisationStated).unwrap();
    assert!(told.message.contains("(rescale_to_0_1) that is not followed"), "{}", told.message);

    // Images without the number of a channel are those of their label map's name.
    let words = ["import", dataset.path().to_str().unwrap(), "--dest", cohort.path().to_str().unwrap()];
    assert!(run_ok(&words).contains("4 cases, 0 train"));
    let told = String::from_utf8(run(&words).stderr).unwrap();
    assert!(told.contains("(rescale_to_0_1) that is not followed"), "{told}");
    let table = fs::read_to_string(cohort.path().join("cohort.csv")).unwrap();
    assert!(table.contains("imagesTr/ct_01.nii.gz"), "{table}");
}
