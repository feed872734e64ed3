//! The page that shows a cohort: what it holds, and what it must not hold. `tests/report` looks at
//! it in a browser.

use std::fs;

use pdl_tests::{run, run_ok, sample};
use serde_json::Value;

use crate::{curate, curated, folder};

/// The data inside a page.
fn data(page: &str) -> Value {
    let start = page.find("id=\"data\">").unwrap() + "id=\"data\">".len();
    serde_json::from_str(&page[start..start + page[start..].find("</script>").unwrap()]).unwrap()
}

#[test]
fn curating_leaves_a_page_with_every_case_and_no_path() {
    let out = curated("ct");
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    let data = data(&page);
    assert_eq!(data["cases"].as_array().unwrap().len(), 24);
    assert_eq!(data["compared"], 24);
    assert_eq!(data["thumbnails"]["sheets"].as_array().unwrap().len(), 1);
    for place in [out.to_str().unwrap(), sample("ct").to_str().unwrap(), "nii.gz\""] {
        assert!(!page.contains(place), "{place}");
    }
    // Nothing is loaded from anywhere: the policy forbids it, and no element asks for it.
    assert!(page.contains("default-src 'none'"));
    assert!(!page.contains("<link") && !page.contains(" src=\"http"));
    assert!(page.len() < 5 << 20);
}

#[test]
fn the_page_says_what_the_pairs_say() {
    let out = curated("ct");
    let data = data(&fs::read_to_string(out.join("report.html")).unwrap());
    let nearest = &data["matrix"]["nearest"][0];
    let id = |place: usize| data["cases"][nearest[place].as_u64().unwrap() as usize]["id"].as_str().unwrap();
    let similar: Value =
        serde_json::from_str(&run_ok(&["similar", out.to_str().unwrap(), id(0), "--json"])).unwrap();
    assert_eq!(similar["nearest"][0]["case_id"], id(1));
    let (own, theirs) = (nearest[2].as_f64().unwrap(), similar["nearest"][0]["value"].as_f64().unwrap());
    assert!((own - theirs).abs() < 1e-6, "{own} {theirs}");
}

#[test]
fn the_same_folder_gives_the_same_bytes_on_any_number_of_threads() {
    let out = curated("mr");
    let text = out.to_str().unwrap();
    let before = fs::read(out.join("report.html")).unwrap();
    let told = run_ok(&["report", text, "--threads", "1"]);
    assert!(told.contains("nothing to do"), "{told}");
    assert_eq!(fs::read(out.join("report.html")).unwrap(), before);
}

#[test]
fn a_page_of_fewer_cases_still_counts_all() {
    let (cohort, out) = (sample("mr"), folder());
    curate(&cohort, out.path(), &["--no-report"]);
    assert!(!out.path().join("report.html").exists());
    let result: Value =
        serde_json::from_str(&run_ok(&["report", out.path().to_str().unwrap(), "--cases", "8", "--json"]))
            .unwrap();
    assert_eq!((&result["report"]["cases"], &result["report"]["shown"]), (&24.into(), &8.into()));
    let data = data(&fs::read_to_string(out.path().join("report.html")).unwrap());
    assert_eq!(data["cases"].as_array().unwrap().len(), 8);
    assert_eq!(data["summary"]["found"], 24);
    assert_eq!(data["all_compared"], 24);
}

#[test]
fn a_cohort_that_was_only_indexed_has_a_page_too() {
    let out = folder();
    let text = out.path().to_str().unwrap();
    run_ok(&["index", sample("ct").to_str().unwrap(), "--out", text]);
    run_ok(&["report", text]);
    let data = data(&fs::read_to_string(out.path().join("report.html")).unwrap());
    assert_eq!(data["cases"].as_array().unwrap().len(), 24);
    assert!(data["matrix"].is_null() && data["curriculum"].is_null() && data["thumbnails"].is_null());
    let nowhere = folder();
    let told = run(&["report", nowhere.path().to_str().unwrap()]);
    assert_eq!(told.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&told.stderr).contains("not a curation folder"));
}

#[test]
fn patients_that_were_taken_as_one_are_named() {
    let out = folder();
    let text = out.path().to_str().unwrap();
    let same = out.path().join("same.csv");
    fs::create_dir_all(out.path()).unwrap();
    let cases = sample("ct").join("cohort.csv");
    let table = fs::read_to_string(cases).unwrap();
    let mut patients: Vec<&str> = table.lines().skip(1).filter_map(|line| line.split(',').nth(2)).collect();
    patients.sort_unstable();
    patients.dedup();
    fs::write(&same, format!("patient_a,patient_b\n{},{}\n", patients[0], patients[1])).unwrap();
    run_ok(&[
        "index",
        sample("ct").to_str().unwrap(),
        "--out",
        text,
        "--same-patient",
        same.to_str().unwrap(),
    ]);
    run_ok(&["report", text]);
    let page = fs::read_to_string(out.path().join("report.html")).unwrap();
    let joined = &data(&page)["joined_patients"];
    assert_eq!(joined.as_array().unwrap().len(), 1);
    assert_eq!(joined[0]["names"], serde_json::json!([patients[0], patients[1]]));
    assert!(joined[0]["cases"].as_array().unwrap().len() >= 2);
    // What a browser without scripts shows.
    assert!(page.contains("<li>24 cases found, 0 rejected, 0 failed</li>"));
}

#[test]
fn the_summary_counts_what_the_table_holds() {
    let out = curated("ct").to_str().unwrap();
    let told = run_ok(&["summary", out]);
    assert!(told.contains("24 CT usable of 20 patients"), "{told}");
    assert!(told.contains("train 18") && told.contains("0 pairs between two splits"), "{told}");
    let result: Value = serde_json::from_str(&run_ok(&["summary", out, "--json"])).unwrap();
    assert_eq!((&result["ranked"], &result["leaks"]), (&18.into(), &0.into()));
    assert_eq!(result["cohort"]["labels"].as_array().unwrap().len(), 5);
}

#[test]
fn every_command_has_a_man_page_and_is_completed() {
    let pages = folder();
    run_ok(&["man", pages.path().to_str().unwrap()]);
    let completions = run_ok(&["completions", "bash"]);
    for command in ["curate", "index", "prepare", "compare", "rank", "audit", "report", "summary", "export"] {
        let page = fs::read_to_string(pages.path().join(format!("pdl-{command}.1"))).unwrap();
        assert!(page.starts_with(".ie") || page.contains(".TH"), "{command}");
        assert!(completions.contains(&format!("pdl,{command})")), "{command}");
    }
}

#[test]
fn a_case_is_drawn_and_a_wrong_one_is_named() {
    let (out, pictures) = (curated("ct").to_str().unwrap(), folder());
    let picture = pictures.path().join("a.png");
    run_ok(&["view", out, "ct_01", "--to", picture.to_str().unwrap()]);
    let bytes = fs::read(&picture).unwrap();
    assert_eq!(&bytes[1..4], b"PNG");
    let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    assert_eq!((number(16), number(20)), (1152, 768)); // three planes wide, two rows high
    let told = run(&["view", out, "ct_99", "--to", picture.to_str().unwrap()]);
    assert_eq!(told.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&told.stderr).contains("'ct_99'; did you mean 'ct_"));
}

#[test]
fn a_cohort_of_one_case_has_a_page_and_is_healthy() {
    let (cohort, out) = (folder(), folder());
    crate::cohort_of(cohort.path(), 0..1);
    curate(cohort.path(), out.path(), &[]);
    let data = data(&fs::read_to_string(out.path().join("report.html")).unwrap());
    assert_eq!((&data["compared"], &data["matrix"]), (&1.into(), &Value::Null));
    let told =
        pdl_tests::pdl().env_remove("LIBTORCH").args(["doctor", out.path().to_str().unwrap()]).output();
    assert!(!String::from_utf8_lossy(&told.unwrap().stdout).contains("WRONG"));
}
