//! Whose the images are stands nowhere, where cases go by pseudonyms.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::Path;

use pdl_cohort::attributes::Status;
use pdl_cohort::table::cases::Cases;
use pdl_cohort::table::sources;
use pdl_tests::{files, run, run_ok, write_key};

use crate::{cohort_of, folder};

/// Everything a file says, compressed or not.
fn content(name: &str, bytes: &[u8], path: &Path) -> String {
    let mut text = String::from_utf8_lossy(bytes).into_owned();
    if name.ends_with(".gz") {
        let mut plain = Vec::new();
        flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut plain).unwrap();
        text += &String::from_utf8_lossy(&plain);
    }
    if name.ends_with(".parquet") {
        let (rows, metadata) = pdl_store::table::read_rows::<serde_json::Value>(path, 1).unwrap();
        text += &format!("{rows:?} {metadata:?}");
    }
    text
}

/// None of the words may stand in the text.
pub fn no_word_of(planted: &BTreeSet<String>, text: &str, whence: &str) {
    for word in planted {
        assert!(!text.contains(word.as_str()), "{whence} says {word}");
    }
}

/// None of the words may stand in a file of `out`, or in its name, but for the one that is there
/// for them; returns how many files were looked at.
pub fn no_file_says(planted: &BTreeSet<String>, out: &Path) -> usize {
    let mut seen = 0;
    for path in pdl_dicom::files_below(out).unwrap() {
        let name = path.strip_prefix(out).unwrap().to_string_lossy().into_owned();
        no_word_of(planted, &name, "a file's name");
        if name != sources::FILE {
            no_word_of(planted, &content(&name, &fs::read(&path).unwrap(), &path), &name);
            seen += 1;
        }
    }
    seen
}

/// Cases of the sample under names that tell whose they are, in a folder that does, too; one of
/// them is damaged.
fn telling_cohort(folder: &Path) -> BTreeSet<String> {
    cohort_of(folder, 0..8);
    let path = folder.join("cohort.csv");
    let mut table = fs::read_to_string(&path).unwrap();
    for number in 1..=8 {
        let (case, name) = (format!("ct_0{number}"), format!("Zweistein_Ottilie_7712345_{number}"));
        for kind in ["images", "labels"] {
            let file = |name: &str| folder.join(format!("{kind}/{name}.nii.gz"));
            fs::rename(file(&case), file(&name)).unwrap();
        }
        table = table.replace(&case, &name);
    }
    fs::write(path, table.replace("ct-p", "MRN-")).unwrap();
    let damaged = folder.join("images/Zweistein_Ottilie_7712345_8.nii.gz");
    let bytes = fs::read(&damaged).unwrap();
    fs::write(&damaged, &bytes[..bytes.len() / 2]).unwrap();
    ["Zweistein", "Ottilie", "7712345", "MRN-"].map(str::to_owned).into()
}

#[test]
fn a_cohort_named_by_files_goes_by_pseudonyms_when_asked() {
    let (place, out, keys, plain) = (folder(), folder(), folder(), folder());
    let cohort = place.path().join("Zweistein");
    let planted = telling_cohort(&cohort);
    let (key, mapping) = (keys.path().join("key"), keys.path().join("mapping.csv"));
    write_key(&key);
    let (out_text, cohort_text) = (out.path().to_str().unwrap(), cohort.to_str().unwrap());
    let mut words = vec!["curate", cohort_text, "--out", out_text, "--proxy-size", "16", "--pseudonyms"];
    words.extend(["--pseudonym-key", key.to_str().unwrap(), "--mapping", mapping.to_str().unwrap()]);
    let output = run(&words);
    let told = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
    assert!(output.status.success(), "{told}");
    no_word_of(&planted, &told, "a message");
    assert!(no_file_says(&planted, out.path()) > 15);

    // The volumes are those of the cohort, and the damaged one is listed as it would be under its
    // own name.
    run_ok(&["index", cohort_text, "--out", plain.path().to_str().unwrap()]);
    let (hidden, named) = (Cases::read(out.path()).unwrap(), Cases::read(plain.path()).unwrap());
    let read = |out: &Path, file: &str| pdl_io::read_image(&out.join(file)).unwrap().volume;
    let table = fs::read_to_string(&mapping).unwrap();
    for row in &named.rows {
        let line = table.lines().find(|line| line.contains(&format!(",{},", row.case_id))).unwrap();
        let fields: Vec<&str> = line.split(',').collect();
        let twin = hidden.rows.iter().find(|twin| twin.case_id == fields[0]).unwrap();
        assert_eq!((fields[1], fields[3]), (twin.patient_id.as_str(), row.patient_id.as_str()));
        let codes = |findings: &[pdl_findings::Finding]| {
            findings.iter().map(|finding| finding.code.to_string()).collect::<Vec<_>>()
        };
        assert_eq!((twin.status, codes(&twin.findings)), (row.status, codes(&row.findings)));
        if row.status == Status::Rejected {
            assert_eq!((twin.image.as_str(), &twin.label), ("", &None));
            continue;
        }
        assert!(read(out.path(), &twin.image) == read(plain.path(), &row.image));
        let (label, twin_label) = (row.label.as_ref().unwrap(), twin.label.as_ref().unwrap());
        assert!(read(out.path(), twin_label) == read(plain.path(), label));
        assert_eq!(twin.labels, row.labels);
    }
    assert_eq!(named.rows.iter().filter(|row| row.status == Status::Rejected).count(), 1);
    #[cfg(unix)]
    for file in [&mapping, &out.path().join(sources::FILE)] {
        let mode = std::os::unix::fs::PermissionsExt::mode(&file.metadata().unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
    }

    // Again: nothing changes, until a source does.
    let before = files(out.path());
    run_ok(&words);
    assert!(files(out.path()) == before);
    for kind in ["images", "labels"] {
        let file = |number: u32| cohort.join(format!("{kind}/Zweistein_Ottilie_7712345_{number}.nii.gz"));
        fs::copy(file(1), file(8)).unwrap();
    }
    run_ok(&words);
    assert_eq!(Cases::read(out.path()).unwrap().usable().count(), 8);
}

#[test]
fn pseudonyms_are_asked_for_without_contradiction() {
    let (cohort, out) = (folder(), folder());
    cohort_of(cohort.path(), 0..3);
    let (cohort, out) = (cohort.path().to_str().unwrap(), out.path().to_str().unwrap());
    for flags in [&["--keep-ids", "--pseudonyms"][..], &["--mapping", "mapping.csv"]] {
        let output = run(&[&["index", cohort, "--out", out], flags].concat());
        assert_eq!(output.status.code(), Some(1), "{flags:?}");
        assert!(String::from_utf8(output.stderr).unwrap().contains(flags[0]));
    }
}
