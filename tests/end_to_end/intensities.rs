//! Intensities of one scale in a cohort: units of PET, HU of CT, sizes, and what became of every
//! file.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use dicom_core::value::{DataSetSequence, Value};
use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use pdl_cohort::attributes::{PetUnits, Status};
use pdl_cohort::table::cases::Cases;
use pdl_cohort::table::sources;
use pdl_findings::SkipReason;
use pdl_io::nifti;
use pdl_tests::{run, run_ok};

use crate::{cohort_of, folder};

fn text(object: &mut InMemDicomObject, pairs: &[(Tag, &str)]) {
    for (tag, value) in pairs {
        object.put_str(*tag, VR::LO, *value);
    }
}

fn sequence(tag: Tag, items: Vec<InMemDicomObject>) -> DataElement<InMemDicomObject> {
    DataElement::new(tag, VR::SQ, Value::from(DataSetSequence::from(items)))
}

fn item(pairs: &[(Tag, &str)]) -> InMemDicomObject {
    let mut object = InMemDicomObject::new_empty();
    text(&mut object, pairs);
    object
}

/// What images and labels of 4 x 3 pixels share.
fn object(patient: &str, class: &str, uid: &str, bits: u16) -> InMemDicomObject {
    let mut object = item(&[
        (tags::SOP_CLASS_UID, class),
        (tags::SOP_INSTANCE_UID, &format!("1.2.{patient}.{uid}")),
        (tags::STUDY_INSTANCE_UID, &format!("1.3.{patient}")),
        (tags::SERIES_INSTANCE_UID, &format!("1.4.{patient}.{class}")),
        (tags::FRAME_OF_REFERENCE_UID, &format!("1.5.{patient}")),
        (tags::PATIENT_ID, patient),
    ]);
    for (tag, value) in [
        (tags::ROWS, 3),
        (tags::COLUMNS, 4),
        (tags::SAMPLES_PER_PIXEL, 1),
        (tags::BITS_ALLOCATED, bits),
        (tags::BITS_STORED, bits),
        (tags::HIGH_BIT, bits - 1),
        (tags::PIXEL_REPRESENTATION, 0),
    ] {
        object.put(DataElement::new(tag, VR::US, PrimitiveValue::from(value)));
    }
    object
}

fn write(path: &Path, object: InMemDicomObject) {
    let meta = FileMetaTableBuilder::new().transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN);
    object.with_meta(meta).unwrap().write_to_file(path).unwrap();
}

/// A PET scan of three slices of the stored values 1 to 12, in Bq/ml with what SUV takes, and a
/// segmentation of it; `edit` may change every slice.
fn patient(tree: &Path, patient: &str, edit: impl Fn(&mut InMemDicomObject)) {
    let place = tree.join(patient);
    fs::create_dir_all(&place).unwrap();
    for slice in 0..3 {
        let mut image =
            object(patient, uids::POSITRON_EMISSION_TOMOGRAPHY_IMAGE_STORAGE, &format!("1{slice}"), 16);
        text(
            &mut image,
            &[
                (tags::MODALITY, "PT"),
                (tags::IMAGE_POSITION_PATIENT, &format!("0\\0\\{}", 3 * slice)),
                (tags::IMAGE_ORIENTATION_PATIENT, "1\\0\\0\\0\\1\\0"),
                (tags::PIXEL_SPACING, "2\\2"),
                (tags::SLICE_THICKNESS, "3"),
                (tags::RESCALE_SLOPE, "1000"),
                (tags::RESCALE_INTERCEPT, "0"),
                (tags::UNITS, "BQML"),
                (tags::DECAY_CORRECTION, "ADMIN"),
                (tags::PATIENT_WEIGHT, "70"),
            ],
        );
        image.put(sequence(
            tags::RADIOPHARMACEUTICAL_INFORMATION_SEQUENCE,
            vec![item(&[(tags::RADIONUCLIDE_TOTAL_DOSE, "3.5e8")])],
        ));
        image.put(DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16((1..=12).collect())));
        edit(&mut image);
        write(&place.join(format!("{slice}.dcm")), image);
    }
    let frame = |slice: u16| {
        let at = item(&[(tags::IMAGE_POSITION_PATIENT, &format!("0\\0\\{}", 3 * slice))]);
        InMemDicomObject::from_element_iter([sequence(tags::PLANE_POSITION_SEQUENCE, vec![at])])
    };
    let mut labels = object(patient, uids::LABEL_MAP_SEGMENTATION_STORAGE, "2", 8);
    text(&mut labels, &[(tags::SEGMENTATION_TYPE, "LABELMAP"), (tags::NUMBER_OF_FRAMES, "3")]);
    let mut segment = item(&[(tags::SEGMENT_LABEL, "tumour")]);
    segment.put(DataElement::new(tags::SEGMENT_NUMBER, VR::US, PrimitiveValue::from(1_u16)));
    labels.put(sequence(tags::SEGMENT_SEQUENCE, vec![segment]));
    let shared = InMemDicomObject::from_element_iter([
        sequence(
            tags::PLANE_ORIENTATION_SEQUENCE,
            vec![item(&[(tags::IMAGE_ORIENTATION_PATIENT, "1\\0\\0\\0\\1\\0")])],
        ),
        sequence(tags::PIXEL_MEASURES_SEQUENCE, vec![item(&[(tags::PIXEL_SPACING, "2\\2")])]),
    ]);
    labels.put(sequence(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, vec![shared]));
    labels.put(sequence(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, (0..3).map(frame).collect()));
    let pixels: Vec<u8> = (0..36).map(|pixel| u8::from(pixel % 3 == 0)).collect();
    labels.put(DataElement::new(tags::PIXEL_DATA, VR::OB, PrimitiveValue::from(pixels)));
    write(&place.join("seg.dcm"), labels);
}

fn index(tree: &Path, out: &Path, flags: &[&str]) -> Cases {
    let words = ["index", tree.to_str().unwrap(), "--out", out.to_str().unwrap(), "--keep-ids"];
    run_ok(&[&words[..], flags].concat());
    Cases::read(out).unwrap()
}

/// Largest intensity and status by patient.
fn largest(cases: &Cases) -> BTreeMap<&str, (f32, Status)> {
    let row = |row: &'_ pdl_cohort::table::case_row::CaseRow| (row.intensities.max as f32, row.status);
    cases.rows.iter().map(|case| (case.patient_id.as_str(), row(case))).collect()
}

fn codes(cases: &Cases) -> Vec<&str> {
    cases.findings.iter().map(|finding| finding.code.as_str()).collect()
}

/// SUVbw of 12,000 Bq/ml, of 70 kg and 350 MBq.
const SUV: f32 = 12_000.0 * 70_000.0 / 3.5e8;

#[test]
fn the_first_index_decides_the_unit_of_pet_and_later_cases_change_it_for_none() {
    let (tree, out) = (folder(), folder());
    patient(tree.path(), "1", |_| ());
    patient(tree.path(), "2", |image| text(image, &[(tags::UNITS, "GML"), (tags::RESCALE_SLOPE, "0.5")]));
    let first = index(tree.path(), out.path(), &[]);
    let found = largest(&first);
    assert!((found["1"].0 / SUV - 1.0).abs() < 1e-6 && found["2"].0 == 6.0, "{found:?}");
    assert_eq!((first.pet_units, codes(&first).contains(&"pet-units")), (Some(PetUnits::Suv), false));

    patient(tree.path(), "3", |image| text(image, &[(tags::PATIENT_WEIGHT, "")]));
    let second = index(tree.path(), out.path(), &[]);
    assert_eq!(largest(&second)["1"].0, found["1"].0, "nothing is re-scaled");
    let rejected = second.rows.iter().find(|row| row.patient_id == "3").unwrap();
    assert_eq!(rejected.status, Status::Rejected);
    let finding = &rejected.findings[0];
    assert_eq!(finding.code.as_str(), "other-pet-unit");
    assert!(finding.message.contains("lacks the patient's weight"), "{}", finding.message);

    let bqml = index(tree.path(), out.path(), &["--pet-units", "bqml"]);
    let found = largest(&bqml);
    assert_eq!((found["1"].0, bqml.pet_units), (12_000.0, Some(PetUnits::Bqml)));
}

#[test]
fn pet_that_cannot_all_become_suv_stays_as_stored_and_several_units_are_told() {
    let (tree, out) = (folder(), folder());
    patient(tree.path(), "1", |_| ());
    patient(tree.path(), "2", |image| text(image, &[(tags::UNITS, "CNTS")]));
    let first = index(tree.path(), out.path(), &[]);
    assert_eq!((largest(&first)["1"].0, first.pet_units), (12_000.0, Some(PetUnits::Stored)));
    let told = &first.findings.iter().find(|finding| finding.code.as_str() == "pet-units").unwrap().message;
    for words in ["1 in Bq/ml, 1 in counts", "cannot be compared", "cannot be computed for 1 of them"] {
        assert!(told.contains(words), "{told}");
    }
    // What was decided stays, though every case could be SUV now.
    fs::remove_dir_all(tree.path().join("2")).unwrap();
    let second = index(tree.path(), out.path(), &[]);
    assert_eq!((largest(&second)["1"].0, second.pet_units), (12_000.0, Some(PetUnits::Stored)));
    assert!(codes(&second).contains(&"pet-units"));
    // Who asks for stored values of one unit is told nothing.
    let asked = index(tree.path(), out.path(), &["--pet-units", "stored"]);
    assert!(!codes(&asked).contains(&"pet-units"));
    assert_eq!(largest(&index(tree.path(), out.path(), &["--pet-units", "suv"]))["1"].0, SUV);
}

#[test]
fn every_file_of_a_tree_is_accounted_for() {
    let (tree, out) = (folder(), folder());
    patient(tree.path(), "1", |_| ());
    patient(tree.path(), "2", |_| ());
    fs::remove_file(tree.path().join("2/seg.dcm")).unwrap();
    fs::copy(tree.path().join("1/1.dcm"), tree.path().join("1/copy.dcm")).unwrap();
    fs::write(tree.path().join("1/page.dcm"), "<html></html>").unwrap();
    fs::write(tree.path().join("notes.txt"), "notes").unwrap();
    let cases = index(tree.path(), out.path(), &[]);
    assert_eq!(cases.rows.len(), 2);
    let rows = sources::read(out.path()).unwrap();
    let listed: usize = rows.iter().map(|row| row.image.len() + row.label.len()).sum();
    assert_eq!(listed, pdl_dicom::files_below(tree.path()).unwrap().len());
    let why = |name: &str| rows.iter().find(|row| row.image[0].ends_with(name)).unwrap();
    assert_eq!(why("page.dcm").reason, Some(SkipReason::NotDicom));
    assert_eq!(why("page.dcm").set_aside.as_deref(), Some("not a DICOM file but HTML"));
    assert!(["copy.dcm", "1.dcm"].iter().any(|name| {
        rows.iter().any(|row| row.reason == Some(SkipReason::Copy) && row.image[0].ends_with(name))
    }));

    let out = out.path().to_str().unwrap();
    let told = run_ok(&["summary", out, "--files"]);
    for line in ["files       10 files", "6  read as images", "1  read as labels"] {
        assert!(told.contains(line), "{told}");
    }
    assert!(told.contains("2  skipped: not a DICOM file [not-dicom]"), "{told}");
    let json: serde_json::Value =
        serde_json::from_str(&run_ok(&["summary", out, "--files", "--json"])).unwrap();
    let expected = serde_json::json!({ "image": 6, "label": 1, "rejected": 0, "skipped": { "not-dicom": 2, "copy": 1 } });
    assert_eq!(json["files"], expected);
}

/// The codes of the first case of five, after it was changed.
fn after(change: impl Fn(&mut pdl_volume::Volume<f32>)) -> Vec<String> {
    let (cohort, out) = (folder(), folder());
    cohort_of(cohort.path(), 0..5);
    let path = cohort.path().join("images/ct_01.nii.gz");
    let label = cohort.path().join("labels/ct_01.nii.gz");
    let mut image = pdl_io::read_image(&path).unwrap().volume;
    change(&mut image);
    nifti::write_image(&path, &image).unwrap();
    let mut labels = pdl_io::read_labels(&label).unwrap().map;
    labels.grid = image.grid;
    nifti::write_labels(&label, &labels).unwrap();
    run_ok(&["index", cohort.path().to_str().unwrap(), "--out", out.path().to_str().unwrap()]);
    let cases = Cases::read(out.path()).unwrap();
    assert!(cases.rows[1..].iter().all(|row| row.findings.is_empty()), "{:?}", cases.rows);
    cases.rows[0].findings.iter().map(|finding| finding.code.to_string()).collect()
}

#[test]
fn a_ct_that_is_not_in_hounsfield_units_is_told() {
    assert_eq!(after(|_| ()), [""; 0]);
    let scaled =
        |change: fn(f32) -> f32| after(|image| image.voxels.iter_mut().for_each(|v| *v = change(*v)));
    for change in [
        |v: f32| v + 1024.0,                             // its offset was not applied
        |v: f32| (v + 1024.0) / 3072.0 * 255.0,          // stretched to a byte
        |v: f32| v * 20.0,                               // a wrong slope
        |v: f32| if v < 0.0 { v + 65_536.0 } else { v }, // its sign was lost
    ] {
        assert_eq!(scaled(change), ["not-hounsfield"]);
    }
}

#[test]
fn a_case_of_another_size_than_the_cohort_is_told_or_rejected() {
    let sized = |times: f64| {
        after(|image| {
            let rows = image.grid.affine.rows().map(|row| row.map(|v| v * times));
            image.grid.affine = pdl_volume::Affine::from_upper_rows([rows[0], rows[1], rows[2]]);
        })
    };
    assert_eq!(sized(0.1), ["size-differs"]); // cm, read as mm
    assert_eq!(sized(0.005), ["implausible-size"]);
    assert_eq!(sized(2.0), [""; 0]);
}

#[test]
fn what_lies_under_the_name_of_a_volume_is_named() {
    let (cohort, out) = (folder(), folder());
    cohort_of(cohort.path(), 0..3);
    let put = |case: &str, bytes: &[u8]| {
        fs::write(cohort.path().join(format!("images/{case}.nii.gz")), bytes).unwrap();
    };
    put("ct_01", b"PK\x03\x04 an archive");
    put("ct_02", b"<!doctype html><p>log in first</p>");
    let output = run(&["index", cohort.path().to_str().unwrap(), "--out", out.path().to_str().unwrap()]);
    let told = String::from_utf8(output.stderr).unwrap();
    for words in ["it is named as NIfTI and is a ZIP archive", "it is named as NIfTI and is HTML"] {
        assert!(told.contains(words), "{told}");
    }
}
