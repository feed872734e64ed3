//! Regions: nnU-Net's and those that a user states, from the cohort to the manifest and back.

use std::fs;
use std::path::Path;

use pdl_cohort::labels::regions::LabelRegion;
use pdl_cohort::table::cases::Cases;
use pdl_curriculum::manifest::{Manifest, SCHEMA_VERSION};
use pdl_findings::Code;
use pdl_tests::{run, run_ok};
use serde_json::{Value, json};

use crate::{cohort_of, curate, folder};

const LABELS: &str =
    r#"{"background": 0, "whole": [1, 2, 3, 4, 5], "middle": [3, 4], "heart": 3, "ignore": 6}"#;

fn region(name: &str, labels: &[u16], value: u16) -> LabelRegion {
    LabelRegion { name: name.to_owned(), labels: labels.to_vec(), value }
}

fn all() -> [LabelRegion; 3] {
    [region("whole", &[1, 2, 3, 4, 5], 1), region("middle", &[3, 4], 4), region("heart", &[3], 3)]
}

/// Eight sample cases as a raw dataset of nnU-Net with regions.
fn dataset(to: &Path) {
    let sample = folder();
    cohort_of(sample.path(), 0..8);
    for (from, part) in [("images", "imagesTr"), ("labels", "labelsTr")] {
        fs::create_dir_all(to.join(part)).unwrap();
        for entry in fs::read_dir(sample.path().join(from)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().replace(".nii.gz", "");
            let channel = if from == "images" { "_0000" } else { "" };
            fs::copy(&path, to.join(part).join(format!("{name}{channel}.nii.gz"))).unwrap();
        }
    }
    let rest = r#""regions_class_order": [1, 4, 3], "numTraining": 8, "file_ending": ".nii.gz""#;
    let text = format!(r#"{{"channel_names": {{"0": "CT"}}, "labels": {LABELS}, {rest}}}"#);
    fs::write(to.join("dataset.json"), text).unwrap();
}

fn regions(out: &Path) -> Vec<LabelRegion> {
    Cases::read(out).unwrap().regions
}

#[test]
fn regions_of_nnu_net_reach_the_manifest_and_go_back_in_their_order() {
    let (cohort, work) = (folder(), folder());
    dataset(cohort.path());
    let [out, exported, imported, again] =
        ["out", "exported", "imported", "again"].map(|name| work.path().join(name));
    curate(cohort.path(), &out, &["--no-report", "--proxy-size", "16"]);
    let manifest = Manifest::open(&out).unwrap();
    assert_eq!(manifest.info.regions, all());
    assert_eq!(manifest.info.schema_version, SCHEMA_VERSION);
    assert_eq!(manifest.info.index.ignored_label(), Some(6));

    let [out_text, exported_text, imported_text] =
        [&out, &exported, &imported].map(|path| path.to_str().unwrap());
    run_ok(&["export", out_text, "--to", "nnunet", "--dest", exported_text]);
    let text = fs::read_to_string(exported.join("dataset.json")).unwrap();
    let written: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(written["labels"]["whole"], json!([1, 2, 3, 4, 5]));
    assert_eq!(written["regions_class_order"], json!([1, 4, 3]));
    let places = ["\"whole\"", "\"middle\"", "\"heart\"", "\"ignore\""].map(|name| text.find(name).unwrap());
    assert!(places.is_sorted(), "nnU-Net reads the regions in the order of the file: {text}");

    run_ok(&["import", exported_text, "--dest", imported_text]);
    run_ok(&["index", imported_text, "--out", again.to_str().unwrap()]);
    assert_eq!(regions(&again), all());
}

#[test]
fn regions_are_stated_dropped_and_checked() {
    let (cohort, work) = (folder(), folder());
    dataset(cohort.path());
    let index = |name: &str, flags: &[&str]| {
        let out = work.path().join(name);
        let words = ["index", cohort.path().to_str().unwrap(), "--out", out.to_str().unwrap()];
        let output = run(&[&words[..], flags].concat());
        (out, String::from_utf8(output.stderr).unwrap(), output.status.code())
    };
    assert!(regions(&index("none", &["--regions", "none"]).0).is_empty());
    let (out, ..) = index("stated", &["--regions", "lungs=1+2:2,heart=3"]);
    assert_eq!(regions(&out), [region("lungs", &[1, 2], 2), region("heart", &[3], 3)]);
    let outside = Cases::read(&out).unwrap().findings;
    let outside = outside.iter().find(|finding| finding.code == Code::LabelOutsideRegions).unwrap();
    assert!(outside.message.contains("4, 5"), "{}", outside.message);
    // Rules that give labels other values give them to the regions, too.
    let (out, ..) = index("ruled", &["--structures", "3=heart,4=cord,1=lung,2=lung"]);
    let ruled = [region("whole", &[1, 2, 3], 3), region("middle", &[1, 2], 2), region("heart", &[1], 1)];
    assert_eq!(regions(&out), ruled);

    let (_, errors, code) = index("open", &["--regions", "lungs=1+2"]);
    assert!(code == Some(2) || code == Some(1), "{code:?}");
    assert!(errors.contains("state which, as in lungs=...:VALUE"), "{errors}");
    let text = fs::read_to_string(cohort.path().join("dataset.json")).unwrap();
    fs::write(cohort.path().join("dataset.json"), text.replace("[1, 4, 3]", "[1, 4]")).unwrap();
    let (_, errors, _) = index("short", &[]);
    assert!(errors.contains("expected 3 entries in regions_class_order"), "{errors}");
}
