//! Names out of files steer no terminal, begin no line and no formula.

use std::fs;
use std::path::Path;

use dicom_core::VR;
use dicom_dictionary_std::tags;
use pdl_cohort::table::cases::Cases;
use pdl_store::printable::is_control;
use pdl_tests::{run, run_ok};

use crate::tiny::{put, write_dicom, write_volumes};
use crate::{curate, folder};

/// Clears the screen, sets a title, turns the text around, erases.
const HOSTILE: &str = "x\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\u{202e}\u{2066}\u{7f}\u{8}";

/// Everything printed, in which nothing may steer the terminal.
fn told(words: &[&str]) -> String {
    let output = run(words);
    let told = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
    assert_plain(&told, "a message");
    told
}

fn assert_plain(text: &str, whence: &str) {
    let found: Vec<char> = text.chars().filter(|c| is_control(*c) && *c != '\n' && *c != '\t').collect();
    assert!(found.is_empty(), "{whence} holds {found:?}");
}

fn assert_texts_are_plain(out: &Path) {
    for path in pdl_dicom::files_below(out).unwrap() {
        let is_text = ["csv", "json", "jsonl", "html", "toml", "md"]
            .iter()
            .any(|ending| path.extension().is_some_and(|own| own == *ending));
        if is_text {
            assert_plain(&fs::read_to_string(&path).unwrap(), &path.display().to_string());
        }
    }
}

#[test]
fn names_of_structures_and_patients_are_written_out() {
    let (tree, out) = (folder(), folder());
    let names = [format!("heart{HOSTILE}"), "lung\nerror: all is lost".to_owned(), "liver".to_owned()];
    for case in 0..5 {
        write_dicom(&tree.path().join(case.to_string()), case, &names, &|_, object| {
            put(object, tags::PATIENT_ID, VR::LO, &format!("p{case}{HOSTILE}"));
        });
    }
    let (tree, out_text) = (tree.path().to_str().unwrap(), out.path().to_str().unwrap());
    let init = folder();
    told(&["init", tree, "--out", init.path().to_str().unwrap()]);
    assert_texts_are_plain(init.path());
    told(&["curate", tree, "--out", out_text, "--keep-ids", "--proxy-size", "16"]);
    let cases = Cases::read(out.path()).unwrap();
    for name in cases.label_names.values().chain(cases.rows.iter().map(|row| &row.patient_id)) {
        assert_plain(name, "a name");
    }
    assert!(cases.label_names.values().any(|name| name.starts_with("heartx")), "{:?}", cases.label_names);
    for words in [&["summary", out_text, "--cases"][..], &["summary", out_text, "--json"]] {
        let told = told(words);
        assert!(!told.lines().any(|line| line.starts_with("error:")), "{told}");
    }
    assert_texts_are_plain(out.path());
}

#[test]
fn a_path_in_a_message_is_written_out() {
    let place = folder();
    let path = place.path().join(format!("no{HOSTILE}\nerror: forged"));
    let told = told(&["index", path.to_str().unwrap(), "--out", place.path().join("out").to_str().unwrap()]);
    assert!(told.contains("\\u001b[2J"), "{told}");
    assert_eq!(told.lines().filter(|line| line.starts_with("error:")).count(), 1, "{told}");
}

#[test]
fn words_of_the_command_line_that_are_quoted_are_written_out() {
    let hostile = format!("a{HOSTILE}");
    for words in [&[hostile.as_str()][..], &["similar", ".", "x", "--metric", &hostile]] {
        assert!(told(words).contains("\\u202e"), "{words:?}");
    }
}

#[test]
fn a_cell_of_a_table_is_no_formula_and_reads_back_as_it_was() {
    let (cohort, out, dest, again) = (folder(), folder(), folder(), folder());
    let patients = [
        "=HYPERLINK(\"http://x\")",
        "@SUM(A1)",
        "+49 171",
        "-cmd|' /C calc'!A0",
        "'=1",
        "plain",
        "-7",
        "O'Brien",
    ];
    let mut table = "image,label,patient\n".to_owned();
    for (case, patient) in patients.iter().enumerate() {
        let [image, label] = ["images", "labels"].map(|kind| format!("{kind}/=c{case}.nii.gz"));
        write_volumes(&cohort.path().join(&image), &cohort.path().join(&label), case);
        // What a spreadsheet would have to be told as text has its apostrophe already.
        let cell = pdl_store::printable::cell(patient).replace('"', "\"\"");
        table += &format!("{image},{label},\"{cell}\"\n");
    }
    fs::write(cohort.path().join("cohort.csv"), table).unwrap();
    curate(cohort.path(), out.path(), &["--proxy-size", "16", "--modality", "CT"]);
    let of = |out: &Path| {
        let mut patients: Vec<String> =
            Cases::read(out).unwrap().rows.into_iter().map(|row| row.patient_id).collect();
        patients.sort();
        patients
    };
    let mut expected = patients.map(str::to_owned);
    expected.sort();
    assert_eq!(of(out.path()), expected);
    let (out_text, dest_text) = (out.path().to_str().unwrap(), dest.path().to_str().unwrap());
    run_ok(&["export", out_text, "--to", "csv", "--dest", dest_text]);
    let list = fs::read_to_string(dest.path().join("cohort.csv")).unwrap();
    for field in list.split(['\n', ',']).map(|field| field.trim_start_matches('"')) {
        let begins_formula = field.starts_with(['=', '+', '-', '@', '\t', '\r']);
        assert!(!begins_formula || field.parse::<f64>().is_ok(), "{field}");
    }
    run_ok(&["index", dest_text, "--out", again.path().to_str().unwrap()]);
    assert_eq!(of(again.path()), expected);
}
