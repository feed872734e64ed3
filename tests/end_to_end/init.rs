//! The first steps with a cohort of one's own, and the last ones when something was stopped.

use std::fs;
use std::process::{Command, Stdio};

use pdl_cohort::table::cases::Cases;
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
    assert!(told.contains("12 of 24 cases were read"), "{told}");
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
    assert!(String::from_utf8_lossy(&again.stderr).contains("--force replaces it"));
    assert_eq!(fs::read_to_string(format!("{out_text}/pdl.toml")).unwrap(), settings);
    let mine = "# mine\n";
    fs::write(format!("{out_text}/pdl.toml"), mine).unwrap();
    run_ok(&["init", sample("ct").to_str().unwrap(), "--out", out_text, "--force"]);
    assert_eq!(fs::read_to_string(format!("{out_text}/pdl.toml")).unwrap(), settings);
    assert_eq!(fs::read_to_string(format!("{out_text}/pdl.toml.bak")).unwrap(), mine);
    // What was kept once stays when there is more to keep.
    for number in [2, 3] {
        let mine = format!("# mine {number}\n");
        fs::write(format!("{out_text}/pdl.toml"), &mine).unwrap();
        run_ok(&["init", sample("ct").to_str().unwrap(), "--out", out_text, "--force"]);
        assert_eq!(fs::read_to_string(format!("{out_text}/pdl.toml.bak{number}")).unwrap(), mine);
    }
    assert_eq!(fs::read_to_string(format!("{out_text}/pdl.toml.bak")).unwrap(), mine);
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
    assert!(
        told.contains("1 file excluded, because") && told.contains("\n  Pat 4, left/CT scan.nii.gz\n"),
        "{told}"
    );
    assert!(told.contains("all 3 cases were read"), "{told}");
    let table = out.join("cohort.csv");
    let result: Value =
        serde_json::from_str(&run_ok(&["index", table.to_str().unwrap(), "--out", out_text, "--json"]))
            .unwrap();
    assert_eq!(result["index"]["cases"], 3);
    let patients: Vec<String> =
        Cases::read(&out).unwrap().rows.iter().map(|row| row.patient_id.clone()).collect();
    assert_eq!(patients, ["Pat-1", "Pat-2", "Pat-3"]);
}

/// The structures' names in the samples of DICOM.
const DRAWN: [&str; 5] = ["left lung", "right lung", "heart", "spinal cord", "oesophagus"];

#[test]
fn the_structures_of_a_dicom_cohort_are_listed_and_can_be_chosen_from() {
    let out = folder();
    let out_text = out.path().to_str().unwrap();
    let told = run_ok(&["init", sample("dicom").to_str().unwrap(), "--out", out_text]);
    assert!(told.contains("2 series with a structure set or segmentation"), "{told}");
    let path = out.path().join("pdl.toml");
    let settings = fs::read_to_string(&path).unwrap();
    for name in DRAWN {
        assert!(told.to_lowercase().contains(&format!("\n  {name}: in ")), "{name}: {told}");
    }
    assert!(!settings.contains("[labels]"));
    // What its comment says: uncomment the first line, the last, and those to keep.
    let chosen: Vec<String> = settings
        .lines()
        .map(|line| {
            let kept = ["# structures = [", "# ]"].contains(&line)
                || line.to_lowercase().starts_with("#   \"heart=");
            if kept { line[1..].to_owned() } else { line.to_owned() }
        })
        .collect();
    fs::write(&path, chosen.join("\n")).unwrap();
    run_ok(&["index", sample("dicom").to_str().unwrap(), "--out", out_text]);
    let names: Vec<String> = Cases::read(out.path()).unwrap().label_names.into_values().collect();
    assert_eq!(names.iter().map(|name| name.to_lowercase()).collect::<Vec<_>>(), ["heart"]);
}

#[test]
fn labels_of_volumes_are_named_in_the_settings_and_nothing_is_made_again_for_it() {
    let (cohort, out) = (folder(), folder());
    crate::cohort_of(cohort.path(), 0..6);
    let (cohort_text, out_text) = (cohort.path().to_str().unwrap(), out.path().to_str().unwrap());
    run_ok(&["init", cohort_text, "--out", out_text]);
    curate(cohort.path(), out.path(), &["--proxy-size", "16", "--no-report"]);
    assert!(run_ok(&["summary", out_text]).contains("1 label 1"));
    let before = files(&out.path().join("prepared"));
    // As init wrote it, with other names.
    let path = out.path().join("pdl.toml");
    let settings = fs::read_to_string(&path).unwrap();
    assert!(settings.contains("\n[labels]\n# 1 = \"label 1\"\n# 2 = \"label 2\"\n"), "{settings}");
    fs::write(&path, settings.replace("# 1 = \"label 1\"", "1 = \"left lung\"\n99 = \"spleen\"")).unwrap();
    let output =
        run(&["curate", cohort_text, "--out", out_text, "--proxy-size", "16", "--no-report", "--json"]);
    let warned = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && warned.contains("[labels] names 99, which no case has"), "{warned}");
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&result["prepare"]["written"], &result["compare"]["computed"]), (&0.into(), &0.into()));
    assert_eq!(files(&out.path().join("prepared")), before);
    assert!(run_ok(&["summary", out_text]).contains("1 left lung, 2 label 2"));
    let manifest: Value =
        serde_json::from_slice(&fs::read(out.path().join("manifest.json")).unwrap()).unwrap();
    assert_eq!(manifest["labels"][0]["name"], "left lung");
    let again = run_ok(&["curate", cohort_text, "--out", out_text, "--proxy-size", "16", "--no-report"]);
    assert!(again.contains("nothing to do"), "{again}");
    for (lines, problem) in [("1 = \"a\"\n2 = \"A\"", "have one name"), ("0 = \"air\"", "from 1")] {
        fs::write(&path, format!("[labels]\n{lines}\n")).unwrap();
        let refused = run(&["index", cohort_text, "--out", out_text]);
        assert!(String::from_utf8_lossy(&refused.stderr).contains(problem));
    }
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

#[test]
fn what_is_damaged_is_named_with_the_case_and_the_command_that_mends_it() {
    let (cohort, out) = (folder(), folder());
    crate::cohort_of(cohort.path(), 0..6);
    let text = out.path().to_str().unwrap();
    curate(cohort.path(), out.path(), &["--proxy-size", "16", "--no-report"]);
    let said = |name: &str| {
        let checks = doctor(text).1;
        let found =
            checks["checks"].as_array().unwrap().iter().find(|check| check["name"] == name).unwrap().clone();
        (found["state"].as_str().unwrap().to_owned(), found["text"].as_str().unwrap().to_owned())
    };
    let (state, told) = said("report");
    assert!(state == "note" && told.contains(&format!("`pdl report {text}`")), "{told}");
    fs::remove_file(out.path().join("prepared/images/ct_03.nii.gz")).unwrap();
    let (state, told) = said("prepare");
    assert!(state == "wrong" && told.starts_with("1 case (ct_03) with missing prepared files"), "{told}");
    assert!(told.contains(&format!("`pdl prepare {text}`")), "{told}");
    let cut = |name: &str| {
        let bytes = fs::read(out.path().join(name)).unwrap();
        fs::write(out.path().join(name), &bytes[..bytes.len() / 2]).unwrap();
    };
    cut("manifest.parquet");
    let (state, told) = said("rank");
    assert!(state == "wrong" && told.contains(&format!("`pdl rank {text}`")), "{told}");
    cut("cases.parquet");
    let (state, told) = said("index");
    assert!(state == "wrong" && told.contains(&format!("`pdl index COHORT --out {text}`")), "{told}");
}

/// Standard output and errors in one file, as in a log of a cluster.
#[test]
fn in_one_file_warnings_stand_before_the_result_and_the_next_step_last() {
    let (cohort, here) = (folder(), folder());
    crate::cohort_of(cohort.path(), 0..6);
    fs::remove_file(cohort.path().join("labels/ct_02.nii.gz")).unwrap();
    let log = fs::File::create(here.path().join("log")).unwrap();
    let out = here.path().join("out");
    let words =
        ["curate", cohort.path().to_str().unwrap(), "--out", out.to_str().unwrap(), "--proxy-size", "16"];
    let streams = [log.try_clone().unwrap(), log];
    let [stdout, stderr] = streams.map(Stdio::from);
    assert!(pdl().args(words).stdout(stdout).stderr(stderr).status().unwrap().success());
    let told = fs::read_to_string(here.path().join("log")).unwrap();
    let place = |text: &str| told.find(text).unwrap_or_else(|| panic!("no {text} in {told}"));
    assert!(
        place("rejected: ct_02") < place("  cases.parquet") && place("warning: ") < place("  cases.parquet")
    );
    assert!(told.lines().last().unwrap().starts_with("Next: "), "{told}");
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
    assert_eq!(run_ok(&["--help"]).trim_end(), overview.trim_end());
    assert!(overview.lines().count() <= 40, "one screen: {overview}");
    let place = |text: &str| overview.find(text).unwrap_or_else(|| panic!("no {text} in {overview}"));
    assert!(place("pdl init COHORT") < place("pdl curate COHORT"), "the way stands first: {overview}");
    assert!(place("pdl report OUT") < place("pdl-fit train OUT"), "{overview}");
    assert!(place("pdl-fit train OUT") < place("\n  index "), "{overview}");
    let help = run_ok(&["rank", "--help"]);
    let place = |text: &str| help.find(text).unwrap_or_else(|| panic!("no {text} in {help}"));
    assert!(place("--metric <") < place("\nPacing:") && place("\nPacing:") < place("--power <"), "{help}");
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
    assert!(told.contains("run the same command again to resume"), "{told}");
    assert!(!out.path().join("manifest.parquet").exists());
    curate(&cohort, out.path(), &[]);
    let manifest = |files: Vec<(String, Vec<u8>)>| {
        files.into_iter().find(|(name, _)| name == "pairs/00000-00000.parquet")
    };
    assert_eq!(manifest(files(out.path())), manifest(files(curated("ct"))));
}
