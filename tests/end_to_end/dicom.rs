//! Trees of DICOM files: the same volumes as the NIfTI cohort, and not a word about the patients.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use dicom_core::VR;
use dicom_dictionary_std::tags;
use dicom_object::{InMemDicomObject, open_file};
use pdl_cohort::attributes::{Split, Status};
use pdl_cohort::table::case_row::CaseRow;
use pdl_cohort::table::cases::Cases;
use pdl_cohort::table::sources;
use pdl_tests::{files, root, run, run_ok, sample, write_key};

use crate::folder;
use crate::privacy::{no_file_says, no_word_of};

fn samples() -> PathBuf {
    root().join("sample-data/dicom")
}

/// Copies one sample case into `to` after `edit`; `prefix` takes the place of the UIDs' own
/// "2.25.".
pub(crate) fn copy_case(case: &str, to: &Path, prefix: &str, edit: impl Fn(&mut InMemDicomObject)) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(samples().join(case)).unwrap() {
        let path = entry.unwrap().path();
        let text = |bytes: Vec<u8>| bytes.iter().map(|b| char::from(*b)).collect::<String>();
        let edited = text(fs::read(&path).unwrap()).replace("2.25.", prefix);
        let target = to.join(path.file_name().unwrap());
        fs::write(&target, edited.chars().map(|c| c as u8).collect::<Vec<u8>>()).unwrap();
        let mut object = open_file(&target).unwrap();
        edit(&mut object);
        object.write_to_file(&target).unwrap();
    }
}

#[test]
fn a_tree_of_dicom_files_gives_the_voxels_and_labels_of_the_nifti_cohort() {
    let (out, keys) = (folder(), folder());
    let key = keys.path().join("key");
    let tree = samples();
    let words = ["index", tree.to_str().unwrap(), "--out", out.path().to_str().unwrap()];
    let words = [&words[..], &["--pseudonym-key", key.to_str().unwrap()]].concat();
    run_ok(&words);
    let cases = Cases::read(out.path()).unwrap();
    let names = ["left lung", "right lung", "heart", "spinal cord", "oesophagus"];
    assert_eq!(
        cases.label_names.values().map(String::as_str).collect::<BTreeSet<_>>(),
        BTreeSet::from(names)
    );
    assert_eq!(cases.rows.len(), 2);
    for row in &cases.rows {
        assert_eq!(row.status, Status::Ok, "{:?}", row.findings);
        let image = pdl_io::read_image(&out.path().join(&row.image)).unwrap().volume;
        let labels = pdl_io::read_labels(&out.path().join(row.label.as_ref().unwrap())).unwrap().map;
        let case = ["ct_01", "ct_04"].into_iter().find(|case| {
            pdl_io::read_image(&sample("ct").join(format!("images/{case}.nii.gz"))).unwrap().volume == image
        });
        let case = case.expect("one of the sample's images");
        let expected = pdl_io::read_labels(&sample("ct").join(format!("labels/{case}.nii.gz"))).unwrap().map;
        // Labels are numbered by name here, in the order of the structure set there.
        let value = |label: u16| {
            let found = cases.label_names.iter().find(|(_, name)| *name == names[usize::from(label) - 1]);
            *found.unwrap().0
        };
        assert!(labels == expected.map(|label| if *label == 0 { 0 } else { value(*label) }), "{case}");
    }
    let before = files(out.path());
    run_ok(&words);
    assert!(files(out.path()) == before, "a second run changes nothing");
}

#[test]
fn structures_are_chosen_joined_and_ordered_by_patterns() {
    let (out, keys) = (folder(), folder());
    let key = keys.path().join("key");
    let tree = samples();
    let words = ["index", tree.to_str().unwrap(), "--out", out.path().to_str().unwrap()];
    let flags = ["--pseudonym-key", key.to_str().unwrap(), "--structures", "*Lung=lungs,heart=heart"];
    run_ok(&[&words[..], &flags].concat());
    let cases = Cases::read(out.path()).unwrap();
    assert_eq!(cases.label_names.values().collect::<Vec<_>>(), ["lungs", "heart"]);
    assert!(cases.rows.iter().all(|row| row.labels_annotated == [1, 2]));
}

#[test]
fn structures_come_from_the_latest_file_that_has_them_and_what_is_not_used_is_told() {
    let (tree, keys) = (folder(), folder());
    let key = keys.path().join("key");
    copy_case("ct_01", tree.path(), "2.25.", |_| ());
    let first = tree.path().join("RTSTRUCT.dcm");
    let mut later = open_file(&first).unwrap();
    later.put_str(tags::SOP_INSTANCE_UID, VR::UI, "2.25.99");
    later.put_str(tags::STRUCTURE_SET_DATE, VR::DA, "20990101");
    later.update_value(tags::STRUCTURE_SET_ROI_SEQUENCE, |value| {
        for item in value.items_mut().unwrap() {
            if item.element(tags::ROI_NAME).unwrap().to_str().unwrap().trim() == "heart" {
                item.put_str(tags::ROI_NAME, VR::LO, "left lung, upper lobe");
            }
        }
    });
    later.write_to_file(tree.path().join("RTSTRUCT-later.dcm")).unwrap();
    fs::copy(sample("ct").join("images/ct_01.nii.gz"), tree.path().join("scan.nii.gz")).unwrap();
    let index = |flags: &[&str]| {
        let out = folder();
        let words = ["index", tree.path().to_str().unwrap(), "--out", out.path().to_str().unwrap()];
        let output = run(&[&words[..], &["--pseudonym-key", key.to_str().unwrap()], flags].concat());
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(
            output.status.success() && told.contains("DICOM files and 1 volume of other formats"),
            "{told}"
        );
        let cases = Cases::read(out.path()).unwrap();
        let aside = sources::read(out.path())
            .unwrap()
            .into_iter()
            .filter_map(|row| row.set_aside)
            .collect::<Vec<_>>();
        (told, cases, aside)
    };
    let (told, cases, aside) = index(&[]);
    assert!(
        told.contains("2 structure sets or segmentations refer to it: each structure comes from the latest")
            && told.contains("in several of them); 2 used"),
        "{told}"
    );
    assert!(cases.label_names.values().any(|name| name == "heart"), "that only the earlier one has");
    assert!(!aside.iter().any(|why| why.contains("beside a later one")), "{aside:?}");

    let (told, cases, aside) = index(&["--structures", "HEART=heart,*lung=lungs"]);
    assert!(told.contains("in several of them); 2 used"), "{told}");
    assert_eq!(cases.rows[0].labels_annotated, [1, 2], "{told}");
    assert!(!aside.iter().any(|why| why.contains("beside a later one")), "{aside:?}");

    let (told, ..) = index(&["--structures", "heart=heart,left lung*=lung,*upper lobe=lobe"]);
    assert!(
        told.contains("structures overlap, and the later one in --structures wins: lung over heart ("),
        "{told}"
    );
}

#[test]
fn how_a_series_was_acquired_is_kept_when_asked_for_and_whose_it_is_never() {
    let (out, keys) = (folder(), folder());
    let key = keys.path().join("key");
    let tree = samples();
    let words = ["index", tree.to_str().unwrap(), "--out", out.path().to_str().unwrap()];
    let words = [&words[..], &["--pseudonym-key", key.to_str().unwrap()]].concat();
    run_ok(&[&words[..], &["--carry", "Manufacturer,KVP,EchoTime"]].concat());
    for row in &Cases::read(out.path()).unwrap().rows {
        let kept: Vec<_> =
            row.carried.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
        assert_eq!(kept, [("EchoTime", None), ("KVP", Some("120")), ("Manufacturer", Some("pdl-phantom"))]);
    }
    let refused = run(&[&words[..], &["--carry", "PatientName"]].concat());
    assert_eq!(refused.status.code(), Some(1));
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        told.contains("--carry PatientName: of DICOM headers these can be stored: BodyPartExamined,"),
        "{told}"
    );
}

/// What was planted, and every UID of the files.
fn plant(tree: &Path) -> BTreeSet<String> {
    let mut planted: BTreeSet<String> = [
        "Zweistein",
        "Ottilie",
        "MRN-7712345",
        "19531224",
        "ACC9988776",
        "20190817",
        "Sundholm",
        "phone 555",
    ]
    .map(str::to_owned)
    .into();
    let edit = |id: &str, object: &mut InMemDicomObject| {
        object.put_str(tags::PATIENT_NAME, VR::PN, "Zweistein^Ottilie");
        object.put_str(tags::PATIENT_ID, VR::LO, format!("MRN-7712345{id}"));
        object.put_str(tags::PATIENT_BIRTH_DATE, VR::DA, "19531224");
        object.put_str(tags::ACCESSION_NUMBER, VR::SH, "ACC9988776");
        object.put_str(tags::STUDY_DATE, VR::DA, "20190817");
        object.put_str(tags::INSTITUTION_NAME, VR::LO, "Sundholm");
        object.put_str(dicom_core::Tag(0x0029, 0x0010), VR::LO, "PRIVATE");
        object.put_str(dicom_core::Tag(0x0029, 0x1001), VR::LO, "phone 555");
    };
    let place = |name: &str| tree.join(format!("Zweistein_Ottilie_{name}"));
    for (case, name, prefix) in [
        ("ct_01", "a", "2.25."),
        ("ct_04", "b", "2.26."),
        ("ct_01", "c", "2.27."),
        ("ct_04", "d", "2.28."),
        ("ct_01", "e", "2.29."),
    ] {
        copy_case(case, &place(name), prefix, |object| edit(name, object));
    }
    for path in pdl_dicom::files_below(tree).unwrap() {
        let object = open_file(&path).unwrap();
        for tag in [
            tags::STUDY_INSTANCE_UID,
            tags::SERIES_INSTANCE_UID,
            tags::SOP_INSTANCE_UID,
            tags::FRAME_OF_REFERENCE_UID,
        ] {
            planted.insert(object.element(tag).unwrap().to_str().unwrap().trim_end_matches('\0').to_owned());
        }
    }
    // A slice truncated in its pixels, one in its header, a damaged structure set, and files that
    // are none.
    let cut = |path: PathBuf, share: usize| {
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() * share / 10]).unwrap();
    };
    cut(place("a").join("CT.005.dcm"), 9);
    cut(place("b").join("CT.007.dcm"), 1);
    cut(place("c").join("RTSTRUCT.dcm"), 5);
    fs::write(tree.join("Zweistein MRN-7712345.txt"), "Zweistein, Ottilie, 19531224").unwrap();
    fs::write(tree.join("Ottilie.dcm"), [vec![0; 128], b"DICM Zweistein^Ottilie 19531224".to_vec()].concat())
        .unwrap();
    planted
}

#[test]
fn no_output_and_no_message_tells_whose_the_images_are() {
    let (tree, out, keys) = (folder(), folder(), folder());
    let planted = plant(tree.path());
    let key = keys.path().join("key");
    // Splits follow the pseudonyms: under a key of its own each run would have others, and some no
    // training case.
    write_key(&key);
    let out_text = out.path().to_str().unwrap();
    let cohort = ["--out", out_text, "--pseudonym-key", key.to_str().unwrap()];
    let tree_text = tree.path().to_str().unwrap();
    let mut messages = String::new();
    let mut told = |words: &[&str]| {
        let output = run(words);
        messages += &String::from_utf8_lossy(&output.stdout);
        messages += &String::from_utf8_lossy(&output.stderr);
        output.status.success()
    };
    assert!(told(&[&["index", tree_text], &cohort[..]].concat()));
    let cases = Cases::read(out.path()).unwrap();
    let usable: Vec<CaseRow> = cases.usable().cloned().collect();
    assert!(usable.len() >= 2 && usable.len() < cases.rows.len(), "{:?}", cases.rows);
    // A volume that vanishes fails while it is prepared.
    let training = |row: &&CaseRow| row.split == Split::Train;
    let vanishing = usable.iter().find(|row| !training(row)).unwrap_or(&usable[0]);
    assert!(
        usable.iter().filter(|row| row.case_id != vanishing.case_id).any(|row| training(&row)),
        "{usable:?}"
    );
    fs::remove_file(out.path().join(&vanishing.image)).unwrap();
    assert!(told(&["prepare", out_text, "--proxy-size", "16"]));
    assert!(out.path().join("failures.json").exists());
    assert!(told(&[&["curate", tree_text, "--proxy-size", "16"], &cohort[..]].concat()));
    let export = out.path().join("export");
    assert!(told(&["export", out_text, "--to", "monai", "--dest", export.to_str().unwrap()]));
    // Another tree into the same folder, and a strict run.
    assert!(!told(&[&["index", samples().to_str().unwrap()], &cohort[..]].concat()));
    assert!(!told(&[&["index", tree_text, "--strict"], &cohort[..]].concat()));

    no_word_of(&planted, &messages, "a message");
    assert!(no_file_says(&planted, out.path()) > 15);

    // The one place that does, for its owner only; and so that this test can fail: with --keep-ids
    // the ids are there.
    let rows = sources::read(out.path()).unwrap();
    let (aside, of_cases): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.set_aside.is_some());
    assert!(of_cases.iter().all(|row| row.image[0].contains("Zweistein_Ottilie")));
    let why = |file: &str| {
        let row = aside.iter().find(|row| row.image[0].ends_with(file)).expect(file);
        row.set_aside.clone().unwrap()
    };
    assert!(["Zweistein MRN-7712345.txt", "Ottilie.dcm"].iter().all(|file| !why(file).is_empty()));
    assert!(messages.contains("in sources.parquet)"), "{messages}");
    #[cfg(unix)]
    {
        let meta = out.path().join(sources::FILE).metadata().unwrap();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&meta.permissions()) & 0o777, 0o600);
    }
    let kept = folder();
    run_ok(&["index", tree_text, "--out", kept.path().to_str().unwrap(), "--keep-ids"]);
    assert!(
        Cases::read(kept.path()).unwrap().rows.iter().all(|row| row.patient_id.starts_with("MRN-7712345"))
    );
}
