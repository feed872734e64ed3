//! Every case has an id of its own, and keeps it with its split whatever arrives.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Output;

use pdl_cohort::attributes::Split;
use pdl_cohort::table::case_row::{self, CaseRow};
use pdl_cohort::table::cases::{self, Cases};
use pdl_store::table;
use pdl_tests::{files, run, run_ok, sample};
use serde_json::Value;

use crate::folder;

const FLAGS: [&str; 3] = ["--proxy-size", "16", "--no-report"];

/// Whether a cohort was curated to the end. Copies of one sample on a small grid resemble each
/// other, which the audit reports as leaks; that is no concern of these tests.
fn is_curated(output: &Output) -> bool {
    matches!(output.status.code(), Some(0 | 3))
}

/// Indexes and prepares. Without a comparison no patients are joined, whose splits would move.
fn prepare(cohort: &Path, out: &Path) {
    let [cohort, out] = [cohort, out].map(|path| path.to_str().unwrap());
    run_ok(&["index", cohort, "--out", out]);
    run_ok(&["prepare", out, FLAGS[0], FLAGS[1]]);
}

fn curate(cohort: &Path, out: &Path) {
    let mut words = vec!["curate", cohort.to_str().unwrap(), "--out", out.to_str().unwrap()];
    words.extend(FLAGS);
    let output = run(&words);
    assert!(is_curated(&output), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Copies a case of the sample "ct" to `SITE/PATIENT/ct/` and gives its row of a table.
fn add(cohort: &Path, number: usize, site: &str, patient: &str) -> String {
    let file = |name: &str| format!("{site}/{patient}/ct/{name}.nii.gz");
    for (kind, name) in [("images", "image"), ("labels", "label")] {
        let to = cohort.join(file(name));
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(sample("ct").join(kind).join(format!("ct_{number:02}.nii.gz")), to).unwrap();
    }
    format!("{},{}\n", file("image"), file("label"))
}

/// Ten patients of two sites, by the same names at each; no column says who they are.
fn two_sites(cohort: &Path) -> String {
    let rows = (0..10).map(|n| add(cohort, n + 1, ["siteA", "siteB"][n / 5], &format!("p{:02}", n % 5 + 1)));
    let table = "image,label\n".to_owned() + &rows.collect::<String>();
    fs::write(cohort.join("cohort.csv"), &table).unwrap();
    table
}

fn by_image(out: &Path) -> BTreeMap<String, (String, Split)> {
    let named = |row: CaseRow| (row.image, (row.case_id, row.split));
    Cases::read(out).unwrap().rows.into_iter().map(named).collect()
}

#[test]
fn patients_of_one_name_at_two_sites_have_ids_of_their_own_and_keep_them_and_their_splits() {
    let (cohort, out) = (folder(), folder());
    let table = two_sites(cohort.path());
    prepare(cohort.path(), out.path());
    let before = by_image(out.path());
    let ids: BTreeSet<&str> = before.values().map(|(id, _)| id.as_str()).collect();
    let expected: BTreeSet<String> =
        (0..10).map(|n| format!("site{}-p{:02}", ["A", "B"][n / 5], n % 5 + 1)).collect();
    assert_eq!(ids, expected.iter().map(String::as_str).collect::<BTreeSet<&str>>());
    for kind in ["images", "labels"] {
        assert_eq!(fs::read_dir(out.path().join("prepared").join(kind)).unwrap().count(), 10);
    }
    let prepared = files(&out.path().join("prepared"));
    // What arrives lies deeper, is of another kind and of another name; and the table has another
    // order.
    let mut rows: Vec<String> = table.lines().skip(1).map(str::to_owned).collect();
    rows.reverse();
    rows.insert(3, add(cohort.path(), 11, "siteC/2024", "p01").trim().to_owned());
    rows.insert(0, add(cohort.path(), 12, "sitea", "p01").trim().to_owned());
    fs::write(cohort.path().join("cohort.csv"), "image,label\n".to_owned() + &rows.join("\n") + "\n")
        .unwrap();
    prepare(cohort.path(), out.path());
    let after = by_image(out.path());
    assert_eq!(after.len(), 12);
    for (image, was) in &before {
        assert_eq!(&after[image], was, "{image}");
    }
    let folded: BTreeSet<String> = after.values().map(|(id, _)| id.to_lowercase()).collect();
    assert_eq!(folded.len(), 12);
    let now: BTreeMap<_, _> = files(&out.path().join("prepared")).into_iter().collect();
    assert!(prepared.iter().all(|(name, bytes)| now[name] == *bytes));
}

#[test]
fn a_folder_in_which_two_cases_share_an_id_is_refused_by_later_stages_and_healed_by_curate() {
    let (cohort, out, anew) = (folder(), folder(), folder());
    two_sites(cohort.path());
    curate(cohort.path(), out.path());
    curate(cohort.path(), anew.path());
    // As if the case had no part of its path that tells it from the other: `p01`.
    let shared = |id: &str| if id.ends_with("p01") { "image-1c9d3a5e".to_owned() } else { id.to_owned() };
    let path = out.path().join(cases::FILE);
    let (mut rows, metadata) = table::read_rows::<CaseRow>(&path, 1).unwrap();
    for row in &mut rows {
        row.case_id = shared(&row.case_id);
        row.patient_id.clone_from(&row.case_id);
        if row.case_id.starts_with("image") {
            row.split = Split::Test;
        }
    }
    let metadata: Vec<_> = metadata.into_iter().filter(|(key, _)| key.starts_with("pdl.")).collect();
    table::write_rows(&path, &case_row::schema(), &rows, metadata).unwrap();
    let before = rows.iter().map(|row| (row.image.clone(), row.split)).collect::<BTreeMap<_, _>>();
    let prepared = out.path().join("prepared/images");
    fs::rename(prepared.join("siteA-p01.nii.gz"), prepared.join("image-1c9d3a5e.nii.gz")).unwrap();

    let out_text = out.path().to_str().unwrap();
    for command in ["prepare", "rank"] {
        let refused = run(&[command, out_text]);
        let text = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(1), "{text}");
        assert!(text.contains("two cases have the id image-1c9d3a5e; index the cohort again"), "{text}");
    }
    let mut words = vec!["curate", cohort.path().to_str().unwrap(), "--out", out_text, "--json"];
    words.extend(FLAGS);
    let healed = run(&words);
    let text = String::from_utf8_lossy(&healed.stderr).into_owned();
    assert!(is_curated(&healed), "{text}");
    assert!(
        text.contains("2 cases shared 1 id in cases.parquet") && text.contains("[case-id-shared]"),
        "{text}"
    );
    let result: Value = serde_json::from_slice(&healed.stdout).unwrap();
    assert_eq!(result["index"]["renamed"][0]["code"], "case-id-shared");
    assert_eq!(result["index"]["moved"], serde_json::json!([]));
    let after = by_image(out.path());
    let fresh = by_image(anew.path());
    for (image, (id, split)) in &after {
        assert_eq!((id, *split), (&fresh[image].0, before[image]), "{image}");
    }
    // What was made is what a folder that never had the fault holds.
    assert_eq!(
        files(&out.path().join("prepared/images")).into_iter().map(|(name, _)| name).collect::<Vec<_>>(),
        files(&anew.path().join("prepared/images")).into_iter().map(|(name, _)| name).collect::<Vec<_>>()
    );
    let again = run(&words);
    assert!(!String::from_utf8_lossy(&again.stderr).contains("case-id-shared"));
}

#[test]
fn what_init_names_the_index_stage_reads_and_known_cases_keep_their_ids() {
    let (cohort, place) = (folder(), folder());
    let out = place.path().join("out");
    let (cohort_text, out_text) = (cohort.path().to_str().unwrap(), out.to_str().unwrap());
    let scan = |number: usize, to: &str| {
        for (kind, name) in [("images", "scan.nii.gz"), ("labels", "scan_seg.nii.gz")] {
            let to = cohort.path().join(to).join(name);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(sample("ct").join(kind).join(format!("ct_0{number}.nii.gz")), to).unwrap();
        }
    };
    for number in 1..=4 {
        scan(number, &format!("site {}/c{}", number % 2, number / 3));
    }
    let table = out.join("cohort.csv");
    let ids = || {
        let text = fs::read_to_string(&table).unwrap();
        text.lines().skip(1).map(|line| line.split(',').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    run_ok(&["init", cohort_text, "--out", out_text]);
    let first = ids();
    assert_eq!(first, ["site_0-c0", "site_0-c1", "site_1-c0", "site_1-c1"]);
    run_ok(&["index", table.to_str().unwrap(), "--out", out_text]);
    let before = by_image(&out);
    assert_eq!(before.values().map(|(id, _)| id.clone()).collect::<Vec<_>>(), first);
    // Now one more folder tells cases apart.
    scan(5, "site 0/c0/later");
    run_ok(&["init", cohort_text, "--out", out_text, "--force"]);
    assert!(ids().len() == 5 && first.iter().all(|id| ids().contains(id)), "{:?}", ids());
    run_ok(&["index", table.to_str().unwrap(), "--out", out_text]);
    let after = by_image(&out);
    assert!(before.iter().all(|(image, was)| after[image] == *was));
}

#[test]
fn rows_that_nothing_tells_apart_are_refused() {
    let (cohort, out) = (folder(), folder());
    let [one, two] = [(1, "siteA"), (2, "siteB")].map(|(n, site)| add(cohort.path(), n, site, "p01"));
    let index = |table: String| {
        fs::write(cohort.path().join("cohort.csv"), table).unwrap();
        let refused = run(&["index", cohort.path().to_str().unwrap(), "--out", out.path().to_str().unwrap()]);
        assert_eq!(refused.status.code(), Some(1));
        assert!(!out.path().join(cases::FILE).exists());
        String::from_utf8_lossy(&refused.stderr).into_owned()
    };
    let text = index(format!("case_id,image,label\nx,{one}x,{two}"));
    assert!(text.contains("rows 1 and 2 of the cohort's table have the same case_id, x"), "{text}");
    let text = index(format!("image,label\n{one}{two}{one}"));
    assert!(text.contains("two cases are made from the same files"), "{text}");
}
