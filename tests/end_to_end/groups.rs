//! Groups of patients, such as those of a site, that splits and folds keep whole.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use pdl_cohort::attributes::Split;
use pdl_cohort::table::cases::Cases;
use pdl_curriculum::audit::Audit;
use pdl_curriculum::manifest::Manifest;
use pdl_store::json;
use pdl_tests::{run, run_ok, sample};

use crate::{curate, folder};

const FAST: [&str; 3] = ["--metrics", "ssim", "--no-report"];

/// A table of the first 18 cases of the sample "ct", each a patient of its own, with a column site
/// of six values and more of what `further` gives each case.
fn table(folder: &Path, head: &str, further: impl Fn(usize) -> String) -> std::path::PathBuf {
    let root = sample("ct");
    let mut text = format!("image,label,patient,modality,site{head}\n");
    for n in 1..=18 {
        let [image, label] = ["images", "labels"].map(|kind| root.join(format!("{kind}/ct_{n:02}.nii.gz")));
        text += &format!("{},{},p{n},CT,site{}{}\n", image.display(), label.display(), n % 6, further(n));
    }
    let path = folder.join("cohort.csv");
    std::fs::write(&path, text).unwrap();
    path
}

fn sites(rows: impl IntoIterator<Item = (String, Split)>) -> BTreeMap<String, BTreeSet<Split>> {
    let mut sites: BTreeMap<String, BTreeSet<Split>> = BTreeMap::new();
    rows.into_iter().for_each(|(site, split)| {
        sites.entry(site).or_default().insert(split);
    });
    sites
}

fn of_cases(out: &Path) -> BTreeMap<String, BTreeSet<Split>> {
    let site = |row: &pdl_cohort::table::case_row::CaseRow| row.carried["site"].clone().unwrap();
    sites(Cases::read(out).unwrap().rows.iter().map(|row| (site(row), row.split)))
}

#[test]
fn splits_and_folds_keep_sites_whole() {
    let (here, out) = (folder(), folder());
    let path = table(here.path(), "", |_| String::new());
    curate(&path, out.path(), &[&FAST[..], &["--group-by", "site", "--plan-from", "outside-test"]].concat());
    let of_site = of_cases(out.path());
    assert_eq!(of_site.len(), 6);
    assert!(of_site.values().all(|splits| splits.len() == 1), "{of_site:?}");
    let held_out = |split| of_site.values().filter(|splits| splits.contains(&split)).count();
    assert_eq!([Split::Train, Split::Val, Split::Test].map(held_out), [4, 1, 1], "0.15 of 18 patients");
    let audit: Audit = json::read(&out.path().join("audit.json")).unwrap();
    assert!(audit.groups.iter().any(|group| group.column == "site"));

    // Folds follow without being told.
    let out_text = out.path().to_str().unwrap();
    run_ok(&["rank", out_text, "--folds", "3"]);
    let mut validated = BTreeSet::new();
    for fold in 0..3 {
        let manifest = Manifest::open(&out.path().join(format!("folds/{fold}"))).unwrap();
        let groups = manifest.info.held_out_groups.unwrap();
        assert_eq!(groups.column, "site");
        let cases = Cases::read(out.path()).unwrap();
        for row in &manifest.rows {
            let case = cases.rows.iter().find(|case| case.case_id == row.case_id).unwrap();
            let site = case.carried["site"].clone().unwrap();
            assert_eq!(row.split == Split::Val, groups.values.contains(&site), "{}", row.case_id);
        }
        validated.extend(groups.values);
    }
    assert_eq!(validated.len(), 5, "every site outside the test split is held out once");
}

#[test]
fn leave_one_site_out_makes_a_fold_of_each_site() {
    let (here, out) = (folder(), folder());
    let path = table(here.path(), "", |_| String::new());
    let flags = ["--carry", "site", "--test-share", "0", "--plan-from", "outside-test"];
    curate(&path, out.path(), &[&FAST[..], &flags].concat());
    let out_text = out.path().to_str().unwrap();
    let told = run_ok(&["rank", out_text, "--group-by", "site"]);
    assert!(told.contains("folds/5/ site site5 held out"), "{told}");
    for fold in 0..6 {
        let manifest = Manifest::open(&out.path().join(format!("folds/{fold}"))).unwrap();
        let values = manifest.info.held_out_groups.as_ref().unwrap().values.clone();
        assert_eq!(values, [format!("site{fold}")]);
        let held_out = manifest.rows.iter().filter(|row| row.split == Split::Val).count();
        assert_eq!((held_out, manifest.rows.len()), (3, 18));
    }
    let wrong = run(&["rank", out_text, "--group-by", "vendor"]);
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("--group-by vendor: neither"));
    let wrong = run(&["rank", out_text, "--group-by", "site", "--folds", "7"]);
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("there are 6 groups by site"));
    assert_eq!(run(&["rank", out_text, "--fold", "0"]).status.code(), Some(2));
}

#[test]
fn official_splits_hold_and_divided_or_few_groups_are_told() {
    let (here, out) = (folder(), folder());
    // The official test set: patients 1 and 2, of sites 1 and 2.
    let path = table(here.path(), ",split", |n| if n < 3 { ",test" } else { "," }.to_owned());
    curate(&path, out.path(), &[&FAST[..], &["--group-by", "site"]].concat());
    let cases = Cases::read(out.path()).unwrap();
    for row in &cases.rows {
        let site = row.carried["site"].as_deref().unwrap();
        let is_test = ["site1", "site2"].contains(&site);
        assert_eq!(row.split == Split::Test, is_test, "{}: the rest of a group follows", row.case_id);
    }
    // A table that divides a site itself.
    let out = folder();
    let path = table(here.path(), ",split", |n| match n {
        1 => ",test".to_owned(),
        7 => ",train".to_owned(),
        _ => ",".to_owned(),
    });
    curate(&path, out.path(), &[&FAST[..], &["--group-by", "site"]].concat());
    let codes = |out: &Path| -> Vec<&'static str> {
        Cases::read(out).unwrap().findings.iter().map(|finding| finding.code.as_str()).collect()
    };
    assert!(codes(out.path()).contains(&"group-divided"));
    let of_site = of_cases(out.path());
    assert_eq!(of_site["site1"], BTreeSet::from([Split::Train, Split::Test]));
    assert!(of_site.iter().filter(|(site, _)| *site != "site1").all(|(_, splits)| splits.len() == 1));
    // Two groups.
    let out = folder();
    let path = table(here.path(), ",half", |n| format!(",{}", n % 2));
    curate(&path, out.path(), &[&FAST[..], &["--group-by", "half"]].concat());
    assert!(codes(out.path()).contains(&"few-groups"));
    assert!(Cases::read(out.path()).unwrap().rows.iter().all(|row| row.split == Split::Train));
}
