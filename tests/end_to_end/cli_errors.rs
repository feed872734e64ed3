//! Mistakes on the command line and in settings, and the messages that they get.

use std::fs;

use pdl_tests::{run, sample};

use crate::{curated, folder};

/// Exit code and stderr.
fn told(words: &[&str]) -> (i32, String) {
    let output = run(words);
    (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_folder_that_is_no_cohort() {
    let (here, out) = (folder(), folder());
    let (code, text) =
        told(&["curate", here.path().to_str().unwrap(), "--out", out.path().to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(text.contains("neither images/ nor imagesTr/ nor a cohort.csv"), "{text}");
}

#[test]
fn a_stage_before_its_time() {
    let (code, text) = told(&["rank", "no-such-folder"]);
    assert_eq!(code, 1);
    assert!(text.contains("pdl curate COHORT --out no-such-folder"), "{text}");
    assert!(!std::path::Path::new("no-such-folder").exists());
}

#[test]
fn a_wrong_flag_or_value() {
    assert_eq!(told(&["curate"]).0, 2);
    let (code, text) = told(&["rank", "x", "--start", "none"]);
    assert_eq!(code, 2);
    assert!(text.contains("expected a number of cases"), "{text}");
    let (code, text) = told(&["score", ".", ".", "--threads", "1000000000"]);
    assert!(code == 1 && text.contains("--threads 1000000000: expected 1024 or fewer"), "{text}");
    let mut many = pdl_tests::pdl();
    let output = many.args(["score", ".", "."]).env("RAYON_NUM_THREADS", "1000000000").output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("RAYON_NUM_THREADS in the environment: expected 1024 or fewer"), "{text}");
}

#[test]
fn an_unknown_key_in_the_settings() {
    let out = folder();
    let path = out.path().join("pdl.toml");
    fs::write(&path, "[rank]\nmetrics = \"ssim\"\n").unwrap();
    let (code, text) = told(&["rank", out.path().to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(text.contains("metrics") && text.contains("pdl.toml"), "{text}");
}

#[test]
fn proxies_smaller_than_the_window() {
    let out = folder();
    let out_text = out.path().to_str().unwrap();
    let cohort = sample("ct");
    let words =
        ["curate", cohort.to_str().unwrap(), "--out", out_text, "--proxy-size", "8", "--window", "gaussian"];
    let (code, text) = told(&words);
    assert_eq!(code, 1);
    assert!(text.contains("at least 11 voxels"), "{text}");
}

#[test]
fn another_cohort_into_the_same_folder() {
    let out = curated("ct").to_str().unwrap();
    let (code, text) = told(&["index", sample("mr").to_str().unwrap(), "--out", out]);
    assert_eq!(code, 1);
    assert!(text.contains("was made from another cohort"), "{text}");
}

#[test]
fn a_patient_in_two_splits_of_the_table() {
    let cohort = folder();
    let table = cohort.path().join("list.csv");
    let line = |name: &str, split: &str| {
        let sample = sample("ct");
        format!("{0}/images/{name}.nii.gz,{0}/labels/{name}.nii.gz,one,{split}\n", sample.display())
    };
    let text = format!("image,label,patient,split\n{}{}", line("ct_01", "train"), line("ct_02", "test"));
    fs::write(&table, text).unwrap();
    let out = folder();
    let (code, text) = told(&["index", table.to_str().unwrap(), "--out", out.path().to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(text.contains("patient one is in two splits"), "{text}");
}

#[test]
fn mixed_modalities_need_a_choice() {
    let cohort = folder();
    let table = cohort.path().join("list.csv");
    let line = |name: &str, modality: &str| {
        let folder = sample(&modality.to_lowercase());
        format!("{0}/images/{name}.nii.gz,{0}/labels/{name}.nii.gz,{modality}\n", folder.display())
    };
    let text = format!("image,label,modality\n{}{}", line("ct_01", "CT"), line("mr_01", "MR"));
    fs::write(&table, text).unwrap();
    let out = folder();
    let words = ["index", table.to_str().unwrap(), "--out", out.path().to_str().unwrap()];
    let (code, text) = told(&words);
    assert_eq!(code, 1);
    assert!(text.contains("1 CT, 1 MR") && text.contains("--modality"), "{text}");
    let (code, text) = told(&[&words[..], &["--modality", "CT"]].concat());
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("rejected: mr_01: it is MR, and --modality CT selects another"), "{text}");
}

#[test]
fn pairs_of_earlier_proxies_are_not_ranked() {
    let (cohort, out) = (folder(), folder());
    crate::cohort_of(cohort.path(), 0..5);
    let out_text = out.path().to_str().unwrap();
    crate::curate(cohort.path(), out.path(), &["--proxy-size", "16"]);
    pdl_tests::run_ok(&["prepare", out_text, "--proxy-size", "12"]);
    let (code, text) = told(&["rank", out_text]);
    assert_eq!(code, 1);
    assert!(text.contains("run `pdl compare` again"), "{text}");
}

#[test]
fn a_key_or_section_that_is_nearly_right() {
    for (text, nearest) in [("[rank]\nmetrik = \"ssim\"\n", "metric"), ("[prepar]\n", "prepare")] {
        let out = folder();
        fs::write(out.path().join("pdl.toml"), text).unwrap();
        let (code, told) = told(&["rank", out.path().to_str().unwrap()]);
        assert_eq!(code, 1);
        assert!(told.contains(&format!("did you mean {nearest}?")), "{told}");
    }
}

#[test]
fn a_command_or_flag_that_is_nearly_right() {
    for (words, nearest) in [
        (&["curat", "x"][..], "'curate'"),
        (&["raport", "x"][..], "'report'"),
        (&["rank", "x", "--metrc", "ssim"][..], "'--metric'"),
        (&["rank", "x", "--order", "typcal"][..], "'typical'"),
    ] {
        let (code, told) = told(words);
        assert_eq!(code, 2);
        assert!(told.contains(nearest), "{told}");
    }
}

#[test]
fn a_folder_that_was_never_curated_has_nothing_to_show() {
    let out = folder();
    for command in ["report", "summary", "rank", "prepare"] {
        let (code, told) = told(&[command, out.path().to_str().unwrap()]);
        assert_eq!(code, 1, "{command}: {told}");
        assert!(told.starts_with("error: "), "{command}: {told}");
    }
}

/// The message of each mistake, word for word, without the folders' names: cli_errors.txt beside
/// this file (PDL_UPDATE_SNAPSHOTS=1 writes it again, to be read before it is committed).
#[test]
fn what_is_told_of_the_most_likely_mistakes() {
    let (here, new) = (folder(), folder());
    let at = |name: &str| here.path().join(name).to_str().unwrap().to_owned();
    // A folder of its own: some of these begin a stage, which locks it.
    let (cohort, curated) = (folder(), folder());
    crate::cohort_of(cohort.path(), 0..5);
    crate::curate(cohort.path(), curated.path(), &["--proxy-size", "16", "--no-report"]);
    let (out, ct) = (curated.path().to_str().unwrap(), cohort.path().to_str().unwrap());
    let new = new.path().to_str().unwrap();
    fs::create_dir_all(at("empty")).unwrap();
    fs::create_dir_all(at("volumes")).unwrap();
    for name in ["volumes/a.nii.gz", "volumes/a_seg.nii.gz", "text.txt"] {
        fs::write(at(name), "no volume").unwrap();
    }
    fs::write(at("columns.csv"), "scan,mask\na,b\n").unwrap();
    fs::write(at("split.csv"), "image,label,split\na.nii,b.nii,training set\n").unwrap();
    fs::write(at("broken.json"), "{").unwrap();
    fs::write(at("type.toml"), "[compare]\nstride = \"two\"\n").unwrap();
    fs::write(at("key.toml"), "[prepare]\nproxysize = [32, 32, 32]\n").unwrap();
    fs::write(at("renamed.toml"), "[rank]\nrate = 0.01\n").unwrap();
    let mistakes: [&[&str]; 26] = [
        &["curate", &at("none"), "--out", new],
        &["curate", &at("empty"), "--out", new],
        &["curate", &at("volumes"), "--out", new],
        &["curate", &at("text.txt"), "--out", new],
        &["curate", &at("columns.csv"), "--out", new],
        &["curate", &at("split.csv"), "--out", new],
        &["curate", &at("broken.json"), "--out", new],
        &["curate", ct],
        &["curate", ct, "--out", out, "--spacing", "1,1"],
        &["curate", ct, "--out", out, "--spacing", "1,0,1"],
        &["curate", ct, "--out", out, "--modality", "MRI"],
        &["curate", ct, "--out", out, "--orientation", "LPP"],
        &["curate", ct, "--out", out, "--carry", "hospital"],
        &["curate", ct, "--out", out, "--stratify", "patien"],
        &["curate", ct, "--out", out, "--metrics", "ssmi"],
        &["curate", ct, "--out", out, "--threads", "many"],
        &["curate", ct, "--out", out, "--val-share", "0.9", "--test-share", "0.3"],
        &["rank", out, "--config", &at("type.toml")],
        &["rank", out, "--config", &at("key.toml")],
        &["rank", out, "--config", &at("renamed.toml")],
        &["rank", out, "--config", &at("none.toml")],
        &["rank", out, "--score", "reference"],
        &["similar", out, "ct_99"],
        &["view", out, "ct_99"],
        &["report", &at("none")],
        &["heplp"],
    ];
    let mut told_all = String::new();
    for words in mistakes {
        let (code, told) = told(words);
        let plain = |text: &str| {
            let text = text.replace(out, "CURATED").replace(ct, "SAMPLE").replace(new, "NEW");
            text.replace(here.path().to_str().unwrap(), "HERE")
        };
        assert!(code == 1 || code == 2, "{words:?}: {code}: {told}");
        told_all += &format!("$ pdl {}\n{}exit code {code}\n\n", plain(&words.join(" ")), plain(&told));
    }
    let path = pdl_tests::root().join("tests/end_to_end/cli_errors.txt");
    if std::env::var_os("PDL_UPDATE_SNAPSHOTS").is_some() {
        fs::write(&path, &told_all).unwrap();
    }
    assert_eq!(told_all, fs::read_to_string(path).unwrap());
}
