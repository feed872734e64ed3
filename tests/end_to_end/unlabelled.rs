//! Images without labels: they are compared and ranked for annotation, and never trained on.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use arrow::datatypes::{DataType, Schema};
use pdl_cohort::attributes::{Split, Status};
use pdl_cohort::table::cases::Cases;
use pdl_curriculum::manifest::Manifest;
use pdl_store::table::{column, nullable, write_rows};
use pdl_tests::{run, run_ok, sample};
use serde_json::{Value, json};

use crate::{curate, folder};

const FAST: [&str; 2] = ["--metrics", "ssim"];

/// A folder of images of the sample "ct", numbered from 1, and of the labels of some of them.
fn cohort(folder: &Path, images: usize, labelled: &[usize]) {
    for case in 1..=images {
        take(folder, "images", case);
    }
    labelled.iter().for_each(|case| take(folder, "labels", *case));
}

fn take(folder: &Path, kind: &str, case: usize) {
    let name = format!("{kind}/ct_{case:02}.nii.gz");
    fs::create_dir_all(folder.join(kind)).unwrap();
    fs::copy(sample("ct").join(&name), folder.join(&name)).unwrap();
}

fn splits(out: &Path) -> BTreeMap<String, Split> {
    Cases::read(out).unwrap().rows.into_iter().map(|row| (row.case_id, row.split)).collect()
}

fn selected(out: &Path, flags: &[&str]) -> Value {
    let mut words = vec!["select", out.to_str().unwrap(), "--json"];
    words.extend(flags);
    serde_json::from_str(&run_ok(&words)).unwrap()
}

fn ids(selection: &Value) -> Vec<String> {
    let cases = selection["cases"].as_array().unwrap();
    cases.iter().map(|case| case["case_id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_partly_labelled_cohort_compares_all_cases_and_trains_on_the_labelled() {
    let (whole, labelled_alone, out, other) = (folder(), folder(), folder(), folder());
    let labelled: Vec<usize> = (1..=8).collect();
    cohort(whole.path(), 14, &labelled);
    cohort(labelled_alone.path(), 8, &labelled);
    let printed = curate(whole.path(), out.path(), &FAST);
    assert!(printed.contains("6 unlabelled, 0 rejected"), "{printed}");
    curate(labelled_alone.path(), other.path(), &FAST);

    let cases = Cases::read(out.path()).unwrap();
    for row in &cases.rows {
        let is_labelled = row.label.is_some();
        assert_eq!(row.status == Status::Unlabelled, !is_labelled, "{}", row.case_id);
        assert_eq!(row.findings.iter().any(|finding| finding.code.as_str() == "no-label"), !is_labelled);
        assert!(is_labelled || row.labels_annotated.is_empty());
    }
    // Every split has its share of the labelled cases, as if there were no others.
    let (all, alone) = (splits(out.path()), splits(other.path()));
    assert!(alone.iter().all(|(case, split)| all[case] == *split), "{all:?} {alone:?}");
    assert_eq!(all.values().filter(|split| **split == Split::Test).count(), 2, "0.15 of 14");

    let prepared = pdl_prepare::prepared_row::read(out.path()).unwrap();
    assert_eq!((prepared.len(), prepared.iter().filter(|row| row.label.is_none()).count()), (14, 6));
    assert!(prepared.iter().all(|row| out.path().join(&row.image).is_file()));
    assert_eq!(fs::read_dir(out.path().join("prepared/labels")).unwrap().count(), 8);
    let proxies = pdl_prepare::proxies::Proxies::open(out.path()).unwrap();
    assert_eq!(proxies.len(), 14);
    // The labelled cases are prepared and ranked as they are without the others.
    let (manifest, expected) = (Manifest::open(out.path()).unwrap(), Manifest::open(other.path()).unwrap());
    assert_eq!(manifest.rows, expected.rows);
    assert!(out.path().join("report.html").is_file());

    let out = out.path().to_str().unwrap();
    assert!(run_ok(&["summary", out, "--cases"]).contains("unlabelled  no-label"));
    assert!(run_ok(&["similar", out, "ct_12"]).contains("most similar to ct_12"));
    run_ok(&["view", out, "ct_12", "--to", &format!("{out}/view.png")]);
    // A machine without a good libtorch is no matter of the folder.
    assert!(pdl_tests::pdl().env_remove("LIBTORCH").args(["doctor", out]).output().unwrap().status.success());
    run_ok(&["validate", out]);
}

#[test]
fn a_cohort_without_labels_is_curated_and_goes_on_when_labels_arrive() {
    let (cohort_folder, out) = (folder(), folder());
    cohort(cohort_folder.path(), 12, &[]);
    let printed = curate(cohort_folder.path(), out.path(), &[&FAST[..], &["--json"]].concat());
    let result: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!((&result["index"]["unlabelled"], &result["index"]["rejected"]), (&12.into(), &0.into()));
    let findings = result["prepare"]["findings"].as_array().unwrap();
    assert!(findings.iter().any(|finding| finding["code"] == "plan-without-labels"), "{findings:?}");
    let printed = curate(cohort_folder.path(), out.path(), &FAST);
    assert!(printed.contains("12 unlabelled, 0 rejected") && printed.contains("pdl select"), "{printed}");
    assert!(out.path().join("report.html").is_file() && out.path().join("audit.json").is_file());
    assert!(!out.path().join("manifest.json").exists());
    let plan = pdl_prepare::plan::read(out.path()).unwrap();
    let foreground = plan.fingerprint.foreground;
    assert!(plan.fingerprint.without_labels);
    assert!(foreground.p00_5 < -300.0 && foreground.p99_5 > 100.0, "of whole bodies: {foreground:?}");
    let refused = run(&["rank", out.path().to_str().unwrap()]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("no case has a label"));

    let first = selected(out.path(), &["--count", "5"]);
    let cases = first["cases"].as_array().unwrap();
    assert!(cases[0]["distance"].is_null() && cases[0]["reason"].as_str().unwrap().contains("most typical"));
    assert!(cases[1..].iter().all(|case| case["nearest_is"] == "selected"), "{first}");
    let all = ids(&selected(out.path(), &["--count", "12"]));
    assert_eq!(ids(&first), all[..5], "a longer selection begins with the shorter one");

    // The labels of the selected cases arrive, in another order.
    let before = splits(out.path());
    for case in ids(&first).iter().rev() {
        take(cohort_folder.path(), "labels", case[3..].parse().unwrap());
    }
    let mut words =
        vec!["curate", cohort_folder.path().to_str().unwrap(), "--out", out.path().to_str().unwrap()];
    words.extend(FAST);
    let went_on = run(&words);
    let told = String::from_utf8_lossy(&went_on.stderr);
    assert!(went_on.status.success() && told.contains("no training case had a label"), "{told}");
    assert_eq!(splits(out.path()), before);
    let manifest = Manifest::open(out.path()).unwrap();
    let mut rows: Vec<String> = manifest.rows.iter().map(|row| row.case_id.clone()).collect();
    let mut expected = ids(&first);
    rows.sort();
    expected.sort();
    assert_eq!(rows, expected);
    assert!(manifest.rows.iter().all(|row| row.split == before[&row.case_id]));
    // What is selected next is what would have come next.
    let next = selected(out.path(), &["--count", "4"]);
    assert_eq!(ids(&next), all[5..9]);
    assert_eq!((next["labelled"].as_u64(), next["candidates"].as_u64()), (Some(5), Some(7)));
    // A new plan takes the intensities of the labels, and nothing else changes.
    curate(cohort_folder.path(), out.path(), &[&FAST[..], &["--replan"]].concat());
    let plan = pdl_prepare::plan::read(out.path()).unwrap();
    assert!(!plan.fingerprint.without_labels);
    assert_eq!(splits(out.path()), before);
}

#[test]
fn a_selection_is_a_table_with_reasons_and_keeps_to_a_split() {
    let (cohort_folder, out) = (folder(), folder());
    cohort(cohort_folder.path(), 12, &[1, 2, 3, 4]);
    curate(cohort_folder.path(), out.path(), &[&FAST[..], &["--no-report"]].concat());
    let cases = Cases::read(out.path()).unwrap();
    let words = ["select", out.path().to_str().unwrap(), "--count", "50", "--order", "facility-location"];
    let table = run_ok(&words);
    let mut lines = table.lines();
    let head = "rank,case_id,patient_id,split,image,distance,nearest_case,nearest_is,uncertainty,reason";
    assert_eq!(lines.next(), Some(head));
    let selection = selected(out.path(), &words[2..]);
    let rows = selection["cases"].as_array().unwrap();
    assert_eq!((rows.len(), lines.clone().count()), (8, 8), "all that have no label");
    for (row, line) in rows.iter().zip(lines) {
        assert!(row["reason"].as_str().unwrap().contains("raises the similarity"), "{row}");
        let case = cases.rows.iter().find(|case| case.case_id == row["case_id"].as_str().unwrap()).unwrap();
        assert_eq!((case.status, serde_json::json!(case.split)), (Status::Unlabelled, row["split"].clone()));
        assert!(row["distance"].as_f64().unwrap() > 0.0);
        assert!(line.starts_with(&format!("{},{},", row["rank"], case.case_id)), "{line}");
    }
    let file = out.path().join("next.json");
    run_ok(&[&words[..], &["--split", "train", "--to", file.to_str().unwrap()]].concat());
    let of_file: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let of_train = of_file["cases"].as_array().unwrap();
    assert!(!of_train.is_empty() && of_train.iter().all(|case| case["split"] == "train"));
    assert_eq!(
        of_file,
        selected(out.path(), &["--count", "50", "--order", "facility-location", "--split", "train"])
    );
}

#[test]
fn the_uncertainty_of_predictions_weighs_what_is_annotated_next() {
    let (cohort_folder, out) = (folder(), folder());
    cohort(cohort_folder.path(), 12, &[1, 2, 3, 4]);
    curate(cohort_folder.path(), out.path(), &[&FAST[..], &["--no-report"]].concat());
    let plain = selected(out.path(), &["--count", "8"]);
    let by_similarity = ids(&plain);
    assert!(plain["cases"][0]["uncertainty"].is_null());
    let predictions = out.path().join("predicted");
    let weighed = |rows: &[(&str, Option<f64>)], flags: &[&str]| {
        let columns = [column("name", DataType::Utf8), nullable("uncertainty", DataType::Float64)];
        let rows: Vec<Value> =
            rows.iter().map(|(name, unsure)| json!({ "name": name, "uncertainty": unsure })).collect();
        fs::create_dir_all(&predictions).unwrap();
        let file = predictions.join("predictions.parquet");
        write_rows(&file, &Schema::new(columns.to_vec()), &rows, Vec::new()).unwrap();
        let words = ["--count", "8", "--uncertainty", predictions.to_str().unwrap()];
        [&words[..], flags].concat().iter().map(|word| (*word).to_owned()).collect::<Vec<_>>()
    };
    let select =
        |words: Vec<String>| selected(out.path(), &words.iter().map(String::as_str).collect::<Vec<_>>());
    // Equal uncertainties change nothing.
    let equal: Vec<_> = by_similarity.iter().map(|case| (case.as_str(), Some(0.25))).collect();
    for order in ["k-centre", "facility-location"] {
        let alone = selected(out.path(), &["--count", "8", "--order", order]);
        assert_eq!(ids(&select(weighed(&equal, &["--order", order]))), ids(&alone), "{order}");
    }
    // The last by similarity comes first where the network is unsure of it; a case without a figure
    // is not selected.
    let last = by_similarity[7].as_str();
    let mut rows: Vec<_> = by_similarity[1..7].iter().map(|case| (case.as_str(), Some(0.01))).collect();
    rows.extend([(last, Some(1.0)), (by_similarity[0].as_str(), None)]);
    for order in ["k-centre", "facility-location"] {
        let selection = select(weighed(&rows, &["--order", order]));
        let found = ids(&selection);
        assert_eq!((found.len(), found[0].as_str()), (7, last), "{order}");
        assert_eq!(
            (&selection["without_uncertainty"], &selection["cases"][0]["uncertainty"]),
            (&json!(1), &json!(1.0))
        );
        let reason = selection["cases"][0]["reason"].as_str().unwrap();
        assert!(reason.contains("its uncertainty (1.000)"), "{reason}");
        assert!(!found.contains(&by_similarity[0]));
    }
    for (rows, cause) in [
        (vec![("another", Some(0.5))], "none of its 1 images is known to be of an unlabelled case"),
        (vec![(last, None)], "predict them with --uncertainty"),
        (vec![], "it has no row"),
    ] {
        let words = weighed(&rows, &[]);
        let words: Vec<&str> = ["select", out.path().to_str().unwrap()]
            .into_iter()
            .chain(words.iter().map(String::as_str))
            .collect();
        let refused = run(&words);
        let told = String::from_utf8_lossy(&refused.stderr);
        assert!(refused.status.code() == Some(1) && told.contains(cause), "{told}");
    }
}

/// Files of one name in several folders: only a name that tells them apart counts.
#[test]
fn an_uncertainty_is_of_one_case_or_of_none() {
    let (cohort_folder, out) = (folder(), folder());
    cohort(cohort_folder.path(), 6, &[1, 2, 3]);
    let mut table = "image,label,modality,patient\n".to_owned();
    for case in 1..=6 {
        let to = cohort_folder.path().join(format!("p{case}"));
        fs::create_dir_all(&to).unwrap();
        let name = format!("ct_{case:02}.nii.gz");
        fs::rename(cohort_folder.path().join("images").join(&name), to.join("image.nii.gz")).unwrap();
        let label = if case < 4 { format!("labels/{name}") } else { String::new() };
        table += &format!("p{case}/image.nii.gz,{label},CT,p{case}\n");
    }
    fs::write(cohort_folder.path().join("cohort.csv"), table).unwrap();
    let source = cohort_folder.path().join("cohort.csv");
    curate(&source, out.path(), &[&FAST[..], &["--no-report"]].concat());
    let file = out.path().join("predictions.parquet");
    let columns = [column("name", DataType::Utf8), nullable("uncertainty", DataType::Float64)];
    let write = |names: &[&str]| {
        let rows: Vec<Value> = names.iter().map(|name| json!({ "name": name, "uncertainty": 0.5 })).collect();
        write_rows(&file, &Schema::new(columns.to_vec()), &rows, Vec::new()).unwrap();
    };
    let words = ["select", out.path().to_str().unwrap(), "--uncertainty", file.to_str().unwrap(), "--json"];
    write(&["image"]);
    let refused = run(&words);
    assert!(!refused.status.success(), "{}", String::from_utf8_lossy(&refused.stdout));
    write(&["image", "p4/image"]);
    let selection: Value = serde_json::from_str(&run_ok(&words)).unwrap();
    let image = selection["cases"][0]["image"].as_str().unwrap().to_owned();
    assert_eq!(
        (ids(&selection).len(), selection["without_uncertainty"].as_u64()),
        (1, Some(2)),
        "{selection}"
    );
    assert!(image.ends_with("p4/image.nii.gz"), "{image}");
}

#[test]
fn a_dicom_series_without_a_structure_set_is_unlabelled() {
    let (archive, out, keys) = (folder(), folder(), folder());
    copy_tree(&sample("dicom"), archive.path());
    let sets: Vec<_> = pdl_tests::files(archive.path())
        .into_iter()
        .filter(|(name, bytes)| is_structure_set(name, bytes))
        .map(|(name, _)| name)
        .collect();
    fs::remove_file(archive.path().join(&sets[0])).unwrap();
    let key = keys.path().join("key");
    pdl_tests::write_key(&key);
    let flags = [&FAST[..], &["--no-report", "--pseudonym-key", key.to_str().unwrap()]].concat();
    curate(archive.path(), out.path(), &flags);
    let cases = Cases::read(out.path()).unwrap();
    let unlabelled = cases.rows.iter().filter(|row| row.status == Status::Unlabelled);
    assert_eq!((unlabelled.count(), cases.labelled().count()), (1, sets.len() - 1));
    assert_eq!(pdl_prepare::prepared_row::read(out.path()).unwrap().len(), sets.len());
}

/// SOP Class UID of an RT Structure Set.
fn is_structure_set(name: &str, bytes: &[u8]) -> bool {
    let uid = b"1.2.840.10008.5.1.4.1.1.481.3";
    name.ends_with(".dcm") && bytes.windows(uid.len()).take(2000).any(|window| window == uid)
}

fn copy_tree(from: &Path, to: &Path) {
    for (name, bytes) in pdl_tests::files(from) {
        let path = to.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}
