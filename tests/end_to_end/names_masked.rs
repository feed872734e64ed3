//! Names, ids and dates of people stand nowhere but in `sources.parquet`, whatever they are written
//! in and wherever the cohort holds them, and nothing else is taken for them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use dicom_core::{Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use pdl_cohort::attributes::Status;
use pdl_cohort::table::cases::Cases;
use pdl_findings::Code;
use pdl_tests::{run, run_ok, write_key};

use crate::folder;
use crate::identities::{Person, da};
use crate::privacy::{no_file_says, no_word_of};
use crate::tiny::{put, write_dicom, write_volumes};

/// The people of a cohort: a few, or as many as `PDL_DEID_PATIENTS` says (`just test-deid`).
fn people() -> Vec<Person> {
    let count = std::env::var("PDL_DEID_PATIENTS").map_or(20, |count| count.parse().unwrap());
    (0..count).map(Person::new).collect()
}

/// A header in which a person is named everywhere.
fn name_person(person: &Person, object_number: usize, object: &mut InMemDicomObject) {
    put(object, tags::PATIENT_NAME, VR::PN, &format!("{}^{}", person.family, person.given));
    put(object, tags::PATIENT_ID, VR::LO, &person.id);
    put(object, tags::PATIENT_BIRTH_DATE, VR::DA, &da(person.born));
    put(object, tags::ACCESSION_NUMBER, VR::SH, &person.accession);
    put(object, tags::PATIENT_COMMENTS, VR::LT, &format!("Call {} in the morning", person.phone));
    put(object, tags::STUDY_DESCRIPTION, VR::LO, &format!("CT of {} {}", person.given, person.family));
    put(object, tags::SERIES_DESCRIPTION, VR::LO, &format!("{} thorax", person.family));
    put(object, tags::MANUFACTURER, VR::LO, &format!("for {}", person.family));
    // What one slice alone says.
    if object_number == 2 {
        put(object, tags::STUDY_DATE, VR::DA, &da(person.studied));
        put(object, tags::REFERRING_PHYSICIAN_NAME, VR::PN, &person.physician);
        put(object, Tag(0x0029, 0x0010), VR::LO, "WARDS");
        put(object, Tag(0x0029, 0x1001), VR::LO, &person.ward);
    }
}

/// A tree of one folder for each person, whose names it bears.
fn write_tree(tree: &Path, people: &[Person], structures: &dyn Fn(&Person) -> Vec<String>) {
    for person in people {
        let folder = tree.join(format!("{} {} {}", person.family, person.given, person.id));
        write_dicom(&folder, person.number, &structures(person), &|number, object| {
            name_person(person, number, object);
        });
    }
}

/// Runs the program in a way that may find leaks between splits; returns what it printed.
fn told(words: &[&str]) -> String {
    let output = run(words);
    let told = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
    assert!(matches!(output.status.code(), Some(0 | 3)), "{told}");
    told
}

fn traces(people: &[Person]) -> BTreeSet<String> {
    people.iter().flat_map(Person::traces).collect()
}

/// Curates with pseudonyms, and shows what there is to be shown.
fn curate_hidden(cohort: &Path, out: &Path, flags: &[&str]) -> (Cases, String) {
    let keys = folder();
    let key = keys.path().join("key");
    write_key(&key);
    let (cohort, out_text) = (cohort.to_str().unwrap(), out.to_str().unwrap());
    let words =
        ["curate", cohort, "--out", out_text, "--proxy-size", "16", "--pseudonym-key", key.to_str().unwrap()];
    let mut printed = told(&[&words[..], flags].concat());
    printed += &told(&["summary", out_text, "--cases"]);
    (Cases::read(out).unwrap(), printed)
}

/// Whether a finding says that something was masked.
fn is_masked(cases: &Cases) -> bool {
    cases.rows.iter().flat_map(|row| &row.findings).any(|finding| finding.code == Code::NameMasked)
}

#[test]
fn people_of_dicom_files_stand_nowhere_whatever_their_script() {
    let people = people();
    let (place, out) = (folder(), folder());
    let tree = place.path().join("tree");
    write_tree(&tree, &people, &|person| person.structures().into_iter().map(|(name, _)| name).collect());
    let survey = folder();
    let mut printed = told(&["init", tree.to_str().unwrap(), "--out", survey.path().to_str().unwrap()]);
    let (cases, curated) = curate_hidden(&tree, out.path(), &["--carry", "Manufacturer,KVP"]);
    printed += &curated;
    assert_eq!(cases.rows.len(), people.len());
    assert!(is_masked(&cases));
    let expected: BTreeSet<String> =
        people.iter().flat_map(|person| person.structures()).map(|(_, shown)| shown.to_lowercase()).collect();
    let found: BTreeSet<String> = cases.label_names.values().map(|name| name.to_lowercase()).collect();
    let wrong: Vec<&String> = found.symmetric_difference(&expected).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    let planted = traces(&people);
    no_word_of(&planted, &printed, "a message");
    let files = no_file_says(&planted, out.path()) + no_file_says(&planted, survey.path());
    let days = people.iter().flat_map(Person::days).collect();
    no_word_of(&days, &format!("{printed} {:?}", cases.label_names), "a message");
    println!(
        "{} identifiers of {} people in structures, headers, private elements and paths: none in {files} files and {} bytes \
         of messages",
        10 * people.len(),
        people.len(),
        printed.len()
    );
}

#[test]
fn names_of_structures_that_name_nobody_stay_as_they_are() {
    let people = people();
    let (place, out) = (folder(), folder());
    write_tree(place.path(), &people, &Person::clean_structures);
    let (cases, _) = curate_hidden(place.path(), out.path(), &[]);
    assert!(!is_masked(&cases));
    assert!(cases.rows.iter().all(|row| row.status != Status::Rejected));
    let expected: BTreeSet<String> =
        people.iter().flat_map(Person::clean_structures).map(|name| name.to_lowercase()).collect();
    let found: BTreeSet<String> = cases.label_names.values().map(|name| name.to_lowercase()).collect();
    assert_eq!(found, expected);
    println!("{} clean twins: none refused, none masked", 10 * people.len());
}

/// A table of small volumes whose rows name people; `notes` is a column that is to be carried.
fn write_table(folder: &Path, people: &[Person], notes: &dyn Fn(&Person) -> String) {
    let mut table = "image,label,patient,case_id,born,physician,site,notes\n".to_owned();
    for person in people {
        let stem = format!("{}_{}_{}", person.family, person.given, person.id);
        let [image, label] = ["images", "labels"].map(|kind| format!("{kind}/{stem}.nii.gz"));
        write_volumes(&folder.join(&image), &folder.join(&label), person.number);
        let [year, month, day] = person.born;
        table += &format!(
            "{image},{label},\"{}, {}\",{},{day:02}.{month:02}.{year},{},site{},{}\n",
            person.family,
            person.given,
            person.id,
            person.physician.replace('^', " "),
            person.number % 3,
            notes(person)
        );
    }
    fs::write(folder.join("cohort.csv"), table).unwrap();
    let first = &people[0];
    let labels = format!(
        "{{\"labels\": {{\"0\": \"background\", \"1\": \"Heart of {}\", \"2\": \"left lung\"}}}}",
        first.family
    );
    fs::write(folder.join("dataset.json"), labels).unwrap();
}

#[test]
fn people_of_a_table_stand_nowhere_when_it_goes_by_pseudonyms() {
    let people = people();
    let (place, out) = (folder(), folder());
    write_table(place.path(), &people, &|person| format!("{} {}", person.family, person.phone));
    let flags = ["--pseudonyms", "--carry", "notes,site", "--modality", "CT"];
    let (cases, printed) = curate_hidden(place.path(), out.path(), &flags);
    let planted = traces(&people);
    no_word_of(&planted, &printed, "a message");
    let files = no_file_says(&planted, out.path());
    assert_eq!(cases.label_names[&1], "Heart of PATIENT");
    assert_eq!(cases.label_names[&2], "left lung");
    let carried =
        |column: &str| cases.rows.iter().map(|row| row.carried[column].clone()).collect::<BTreeSet<_>>();
    assert_eq!(carried("notes"), BTreeSet::from([None]), "it tells patients apart");
    assert_eq!(carried("site").len(), 3);
    assert!(cases.rows.iter().all(|row| row.status != Status::Rejected));
    println!("{} identifiers of {} people in a table: none in {files} files", 5 * people.len(), people.len());
}

#[test]
fn people_by_the_names_of_images_stand_nowhere_when_these_go_by_pseudonyms() {
    let (place, out) = (folder(), folder());
    let families = ["Zweistein", "Morgenrot", "Abendstern", "Dreifuss", "Vierkant"];
    for (number, family) in families.iter().enumerate() {
        for visit in 1..3 {
            let file =
                |kind: &str| place.path().join(format!("{kind}/{family}_{number}_visit{visit}.nii.gz"));
            write_volumes(&file("images"), &file("labels"), 2 * number + visit);
        }
    }
    // A list that is not that of the folders.
    let images = families.map(|family| format!("{family}_0_visit1.nii.gz"));
    let list = serde_json::json!({ "training": images, "labels": {"1": "heart"} });
    fs::write(place.path().join("dataset.json"), list.to_string()).unwrap();
    let (cases, printed) = curate_hidden(place.path(), out.path(), &["--pseudonyms", "--modality", "CT"]);
    let planted = families.iter().map(|family| (*family).to_owned()).collect();
    no_word_of(&planted, &printed, "a message");
    no_file_says(&planted, out.path());
    let patients: BTreeSet<&str> = cases.rows.iter().map(|row| row.patient_id.as_str()).collect();
    assert_eq!(patients.len(), families.len());
    assert!(cases.findings.iter().any(|finding| finding.code == Code::PatientByName));
}

#[test]
fn columns_of_a_table_that_name_nobody_are_kept_as_they_are() {
    let people = people();
    let (place, out) = (folder(), folder());
    let notes = ["arterial phase", "Heart", "GE", "120 kV", "70"];
    write_table(place.path(), &people, &|person| notes[person.number % notes.len()].to_owned());
    let flags = ["--pseudonyms", "--carry", "notes,site", "--modality", "CT"];
    let (cases, _) = curate_hidden(place.path(), out.path(), &flags);
    assert!(cases.rows.iter().all(|row| row.status != Status::Rejected));
    let carried = |column: &str| -> BTreeSet<String> {
        cases.rows.iter().map(|row| row.carried[column].clone().unwrap()).collect()
    };
    assert_eq!(carried("notes"), notes.map(str::to_owned).into());
    assert_eq!(carried("site"), ["site0", "site1", "site2"].map(str::to_owned).into());
    println!("{} clean twins in a table: none refused, none masked", 5 * people.len());
}

#[test]
fn what_is_wrong_with_a_table_is_told_without_what_it_holds() {
    let place = folder();
    fs::write(place.path().join("a.nii"), "").unwrap();
    let head = "image,label,patient,split";
    let twice = "a.nii,b.nii,Zweistein,,Zweistein\nc.nii,d.nii,Zweistein,,Zweistein\n";
    for (name, text) in [
        ("headless.csv", "Zweistein.nii,Zweistein_seg.nii,Ottilie Zweistein,test\n".to_owned()),
        ("split.csv", format!("{head}\na.nii,b.nii,p,Ottilie Zweistein\n")),
        ("stack.csv", "image,label,stack_spacing\na.nii,b.nii,Zweistein\n".to_owned()),
        ("twice.csv", format!("{head},case_id\n{twice}")),
        ("two-splits.csv", format!("{head}\na.nii,b.nii,Zweistein,train\nc.nii,d.nii,Zweistein,test\n")),
        ("same.csv", format!("{head}\nZweistein.nii,b.nii,p,\nZweistein.nii,b.nii,p,\n")),
        ("list.json", "{\"training\": \"Zweistein\"}".to_owned()),
    ] {
        let (path, out) = (place.path().join(name), folder());
        fs::write(&path, text).unwrap();
        let words = ["index", path.to_str().unwrap(), "--out", out.path().to_str().unwrap()];
        let key = place.path().join("key");
        let hidden = ["--pseudonyms", "--pseudonym-key", key.to_str().unwrap()];
        let output = run(&[&words[..], &hidden].concat());
        let told = String::from_utf8(output.stderr).unwrap().to_lowercase();
        assert_eq!(output.status.code(), Some(1), "{name}: {told}");
        assert!(!told.contains("zweistein") && !told.contains("ottilie"), "{name}: {told}");
        let plain = String::from_utf8(run(&words).stderr).unwrap().to_lowercase();
        assert!(plain.contains("zweistein"), "{name}: {plain}");
    }
}

#[test]
fn an_allow_list_keeps_no_name_out_of_the_files() {
    let (place, out) = (folder(), folder());
    let names = ["Heart", "drawn by Ottilie", "LEFT LUNG"].map(str::to_owned);
    write_dicom(place.path(), 1, &names, &|_, object| put(object, tags::PATIENT_NAME, VR::PN, "Heart^John"));
    let flags = ["--structures-only", "heart,left lung,liver"];
    let (cases, printed) = curate_hidden(place.path(), out.path(), &flags);
    assert_eq!(cases.label_names.values().collect::<Vec<_>>(), ["heart", "left lung", "liver"]);
    assert_eq!(cases.rows[0].labels_annotated, [1, 2]);
    assert!(printed.contains("no structure is called 'liver'"), "{printed}");
    let planted = ["Ottilie", "John"].map(str::to_owned).into();
    no_word_of(&planted, &printed, "a message");
    no_file_says(&planted, out.path());
    // Without the list the patient's name is hidden, even where it is an organ's.
    let plain = folder();
    let (cases, _) = curate_hidden(place.path(), plain.path(), &[]);
    assert_eq!(cases.label_names.values().collect::<Vec<_>>(), ["drawn by Ottilie", "LEFT LUNG", "PATIENT"]);
    assert!(is_masked(&cases));
}

#[test]
fn a_name_that_an_earlier_run_let_through_goes_away() {
    let (place, out, keys) = (folder(), folder(), folder());
    let name = ["GTV Ottilie".to_owned()];
    let key = keys.path().join("key");
    write_key(&key);
    let words = ["index", place.path().to_str().unwrap(), "--out", out.path().to_str().unwrap()];
    let words = [&words[..], &["--pseudonym-key", key.to_str().unwrap()]].concat();
    write_dicom(place.path(), 1, &name, &|_, _| ());
    run_ok(&words);
    assert_eq!(Cases::read(out.path()).unwrap().label_names[&1], "GTV Ottilie");
    let survey = folder();
    run_ok(&["init", place.path().to_str().unwrap(), "--out", survey.path().to_str().unwrap()]);
    // A header that names her comes later.
    write_dicom(place.path(), 1, &name, &|_, object| {
        put(object, tags::PATIENT_NAME, VR::PN, "Zweistein^Ottilie");
    });
    run_ok(&words);
    assert_eq!(Cases::read(out.path()).unwrap().label_names, [(1, "GTV PATIENT".to_owned())].into());
    no_file_says(&["Ottilie".to_owned()].into(), out.path());

    // What `init` wrote before that is the user's: it is told, without the name.
    let settings = out.path().join("pdl.toml");
    fs::copy(survey.path().join("pdl.toml"), &settings).unwrap();
    for still_there in [true, false] {
        run_ok(&words);
        let cases = Cases::read(out.path()).unwrap();
        let told = cases.findings.iter().find(|finding| finding.code == Code::NameMasked);
        assert_eq!(told.is_some(), still_there, "{told:?}");
        let message = told.map_or("pdl.toml", |finding| finding.message.as_str());
        assert!(message.contains("pdl.toml") && !message.contains("Ottilie"), "{message}");
        fs::write(&settings, "").unwrap();
    }
    no_file_says(&["Ottilie".to_owned()].into(), out.path());
}

#[test]
fn text_in_pixels_is_told() {
    let (place, out, keys) = (folder(), folder(), folder());
    let names = ["Heart".to_owned()];
    write_dicom(&place.path().join("a"), 1, &names, &|_, object| {
        put(object, tags::BURNED_IN_ANNOTATION, VR::CS, "YES");
    });
    write_dicom(&place.path().join("b"), 2, &names, &|number, object| {
        if number == 0 {
            put(object, tags::SOP_CLASS_UID, VR::UI, uids::SECONDARY_CAPTURE_IMAGE_STORAGE);
        }
    });
    let key = keys.path().join("key");
    let words = ["index", place.path().to_str().unwrap(), "--out", out.path().to_str().unwrap()];
    run_ok(&[&words[..], &["--pseudonym-key", key.to_str().unwrap()]].concat());
    let cases = Cases::read(out.path()).unwrap();
    let burned = |row: &&pdl_cohort::table::case_row::CaseRow| {
        row.findings.iter().any(|finding| finding.code == Code::BurnedInAnnotation)
    };
    assert_eq!(cases.rows.iter().filter(burned).count(), 1);
    let captures = cases.findings.iter().find(|finding| finding.code == Code::SecondaryCapture).unwrap();
    assert!(captures.message.starts_with("1 secondary capture in the tree"), "{}", captures.message);
}
