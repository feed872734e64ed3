//! The first steps with a cohort of one's own, and the last ones when something was stopped.

use std::fs;
use std::process::{Command, Stdio};

use pdl_cohort::cases::Cases;
use pdl_tests::{files, pdl, run, run_ok, sample};
use serde_json::Value;

use crate::{curate, curated, folder};

#[test]
fn a_known_layout_gets_settings_that_pdl_reads_as_they_stand() {
    let out = folder();
    let out_text = out.path().join("new");
    let out_text = out_text.to_str().unwrap();
    let told = run_ok(&["init", sample("ct").to_str().unwrap(), "--out", out_text]);
    assert!(told.contains("layout: a folder with a cohort.csv"), "{told}");
    assert!(told.contains("24 images with labels") && told.contains("20 patients"), "{told}");
    let settings = fs::read_to_string(format!("{out_text}/pdl.toml")).unwrap();
    assert!(
        settings.contains("\nmodality = \"CT\"\n") && settings.contains("\n# proxy_size = "),
        "{settings}"
    );
    // Every line that begins with "# key = value" is a default: nothing but the modality is set.
    let config: Value = serde_json::from_str(&run_ok(&["config", out_text, "--json"])).unwrap();
    let defaults: Value = serde_json::from_str(&run_ok(&["config", "nowhere-at-all", "--json"])).unwrap();
    assert_eq!(config["index"]["modality"], "CT");
    for section in ["prepare", "compare", "rank", "audit"] {
        assert_eq!(config[section], defaults[section], "{section}");
    }
    let again = run(&["init", sample("ct").to_str().unwrap(), "--out", out_text]);
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("init overwrites nothing"));
    assert_eq!(fs::read_to_string(format!("{out_text}/pdl.toml")).unwrap(), settings);
}

#[test]
fn volumes_of_unknown_layout_are_paired_by_name_into_a_table_that_curates() {
    let (cohort, out) = (folder(), folder());
    let out = out.path().join("out");
    for number in 1..=4 {
        let to = cohort.path().join(format!("Pat {number}, left"));
        fs::create_dir_all(&to).unwrap();
        let from = |kind: &str| sample("ct").join(kind).join(format!("ct_0{number}.nii.gz"));
        fs::copy(from("images"), to.join("CT scan.nii.gz")).unwrap();
        if number < 4 {
            fs::copy(from("labels"), to.join("CT scan_SEG.nii.gz")).unwrap();
        }
    }
    let (cohort_text, out_text) = (cohort.path().to_str().unwrap(), out.to_str().unwrap());
    let refused = run(&["index", cohort_text, "--out", out_text]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("pdl init"), "the error says what to do");
    let told = run_ok(&["init", cohort_text, "--out", out_text]);
    assert!(told.contains("3 images with labels"), "{told}");
    assert!(told.contains("without a partner, or with several: Pat 4, left/CT scan.nii.gz"), "{told}");
    let table = out.join("cohort.csv");
    let result: Value =
        serde_json::from_str(&run_ok(&["index", table.to_str().unwrap(), "--out", out_text, "--json"]))
            .unwrap();
    assert_eq!(result["index"]["cases"], 3);
    let patients: Vec<String> =
        Cases::read(&out).unwrap().rows.iter().map(|row| row.patient_id.clone()).collect();
    assert_eq!(patients, ["Pat-1", "Pat-2", "Pat-3"]);
}

#[test]
fn a_healthy_folder_is_found_healthy_and_a_spoilt_one_spoilt() {
    let out = folder();
    let text = out.path().to_str().unwrap();
    let (code, checks) = doctor(text);
    assert_eq!((code, state(&checks, "index")), (1, "wrong".to_owned()));
    let cohort = folder();
    crate::cohort_of(cohort.path(), 0..6);
    run_ok(&["index", cohort.path().to_str().unwrap(), "--out", text]);
    let (_, checks) = doctor(text);
    assert_eq!((state(&checks, "index"), state(&checks, "rank")), ("ok".to_owned(), "note".to_owned()));
    curate(cohort.path(), out.path(), &["--proxy-size", "16"]);
    let (code, checks) = doctor(text);
    for stage in ["index", "prepare", "compare", "rank", "audit", "report"] {
        assert_eq!(state(&checks, stage), "ok", "{stage}: {checks}");
    }
    assert_eq!(code, 0, "{checks}");
    // Another grid of proxies: the pairs are of the one before.
    run_ok(&["prepare", text, "--proxy-size", "12"]);
    let (code, checks) = doctor(text);
    assert_eq!(
        (code, state(&checks, "compare"), state(&checks, "rank")),
        (1, "wrong".to_owned(), "wrong".to_owned())
    );
    fs::remove_file(cohort.path().join("images/ct_01.nii.gz")).unwrap();
    assert_eq!(state(&doctor(text).1, "index"), "wrong");
}

fn doctor(out: &str) -> (i32, Value) {
    // A machine without a good libtorch is no matter of the folder.
    let output = pdl().env_remove("LIBTORCH").args(["doctor", out, "--json"]).output().unwrap();
    (output.status.code().unwrap(), serde_json::from_slice(&output.stdout).unwrap())
}

fn state(checks: &Value, name: &str) -> String {
    let found = checks["checks"].as_array().unwrap().iter().find(|check| check["name"] == name);
    found.unwrap_or_else(|| panic!("no check {name}: {checks}"))["state"].as_str().unwrap().to_owned()
}

#[test]
fn every_topic_is_printed_and_every_command_has_help() {
    let topics = [
        "geometry",
        "similarity",
        "curriculum",
        "formats",
        "privacy",
        "dicom",
        "splits",
        "frameworks",
        "options",
        "cluster",
        "measured",
    ];
    let overview = run_ok(&["help"]);
    for topic in topics {
        assert!(run_ok(&["help", topic]).lines().count() > 10, "{topic}");
        assert!(overview.contains(topic), "{topic}");
    }
    assert!(run_ok(&["help", "curate"]).contains("--proxy-size"));
    assert!(run_ok(&["help"]).contains("Topics:"));
    let told = run(&["help", "geometri"]);
    assert_eq!(told.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&told.stderr).contains("did you mean 'geometry'?"));
}

#[cfg(unix)]
#[test]
fn a_run_that_ctrl_c_stops_says_so_and_goes_on_to_the_same_bytes() {
    let out = folder();
    let (cohort, text) = (sample("ct"), out.path().to_str().unwrap());
    let words = ["curate", cohort.to_str().unwrap(), "--out", text, "--threads", "1"];
    let running = pdl().args(words).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    // As soon as the first prepared volume is there, so in the middle of a stage.
    let images = out.path().join("prepared/images");
    let begun = || fs::read_dir(&images).is_ok_and(|mut entries| entries.next().is_some());
    while !begun() {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let id = running.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let output = running.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{told}");
    assert!(told.contains("the same command again goes on from here"), "{told}");
    assert!(!out.path().join("manifest.parquet").exists());
    curate(&cohort, out.path(), &[]);
    let manifest = |files: Vec<(String, Vec<u8>)>| {
        files.into_iter().find(|(name, _)| name == "pairs/00000-00000.parquet")
    };
    assert_eq!(manifest(files(out.path())), manifest(files(curated("ct"))));
}
