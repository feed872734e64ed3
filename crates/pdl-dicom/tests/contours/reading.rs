//! Structure sets as files: what of a damaged one is read.

use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use pdl_dicom::{Region, StructureSet};
use pdl_findings::Code;

use crate::objects::{scanned, sequence, write};
use crate::series::{FRAME, at, counts, findings, square};

fn texts(values: &[(Tag, VR, &str)]) -> InMemDicomObject {
    let mut object = InMemDicomObject::new_empty();
    values.iter().for_each(|(tag, vr, value)| drop(object.put_str(*tag, *vr, *value)));
    object
}

/// A contour of this type with these numbers, and as many points declared.
fn contour(kind: &str, data: &str, declared: usize) -> InMemDicomObject {
    let mut object = texts(&[
        (tags::NUMBER_OF_CONTOUR_POINTS, VR::IS, &declared.to_string()),
        (tags::CONTOUR_DATA, VR::DS, data),
    ]);
    if !kind.is_empty() {
        object.put_str(tags::CONTOUR_GEOMETRIC_TYPE, VR::CS, kind);
    }
    object
}

fn text_of(points: &[[f64; 3]]) -> String {
    points.iter().flatten().map(f64::to_string).collect::<Vec<_>>().join("\\")
}

/// A set of structures by number and name, and of the contours of numbers.
fn set(names: &[(&str, &str)], contours: Vec<(&str, Vec<InMemDicomObject>)>) -> StructureSet {
    let roi = |(number, name): &(&str, &str)| {
        texts(&[(tags::ROI_NUMBER, VR::IS, number), (tags::ROI_NAME, VR::LO, name)])
    };
    let of_roi = |(number, contours): (&str, Vec<InMemDicomObject>)| {
        let mut item = texts(&[(tags::REFERENCED_ROI_NUMBER, VR::IS, number)]);
        item.put(sequence(tags::CONTOUR_SEQUENCE, contours));
        item
    };
    let mut object = texts(&[
        (tags::SOP_CLASS_UID, VR::UI, uids::RT_STRUCTURE_SET_STORAGE),
        (tags::SOP_INSTANCE_UID, VR::UI, "1.3"),
        (tags::MODALITY, VR::CS, "RTSTRUCT"),
    ]);
    object.put(sequence(tags::STRUCTURE_SET_ROI_SEQUENCE, names.iter().map(roi).collect()));
    object.put(sequence(tags::ROI_CONTOUR_SEQUENCE, contours.into_iter().map(of_roi).collect()));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("set");
    write(object, &path);
    StructureSet::read(&path).unwrap()
}

fn drawn(region: &Region) -> (Vec<(usize, usize)>, Vec<String>) {
    let mask = region.mask(&at(&[0.0, 3.0, 6.0]).read().stack).unwrap();
    (counts(&mask), findings(&mask))
}

#[test]
fn contours_that_enclose_nothing_are_left_out_by_name_and_the_others_stay() {
    let block = text_of(&square([2, 4], [2, 4], 3.0));
    let closed = |data: &str, declared| contour("CLOSED_PLANAR", data, declared);
    let contours = vec![
        closed(&block, 4),
        closed("", 0),
        closed("1\\2\\3", 1),
        closed("1\\2\\3\\4\\5\\3", 2),
        closed("0\\0\\3\\1\\1\\3\\2\\2\\3", 3),
        closed("1\\2\\3\\4", 1),
        closed("a\\b\\c", 1),
        closed("0\\0\\3\\8\\0\\3\\8\\8\\3", 900),
        closed("0\\0\\3\\8\\0\\3\\1e30\\8\\3", 3),
        contour("POINT", "1\\2\\3", 1),
        contour("OPEN_PLANAR", &block, 4),
        contour("OPEN_NONPLANAR", &block, 4),
        contour("SPHERE", &block, 4),
        contour("", &block, 4),
    ];
    let set = set(&[("1", "node"), ("2", "liver")], vec![("1", contours), ("2", vec![closed(&block, 5)])]);
    let (counts, told) = drawn(&set.regions[0]);
    assert_eq!(counts, [(1, 9)]);
    assert_eq!(
        told,
        [
            "open-contours: node: 5 contours skipped: 1 POINT, 1 OPEN_PLANAR, 1 OPEN_NONPLANAR, 2 of an \
             unknown type",
            "damaged-contours: node: 8 contours skipped: 1 without points, 1 with coordinates that are not \
             numbers, 1 with coordinates that are not three for each point, 1 with coordinates beyond 100 m, 1 with fewer points than declared, 3 with fewer than three points that are not on one line",
        ]
    );
    assert_eq!(drawn(&set.regions[1]), (vec![(1, 9)], vec![]));
}

#[test]
fn closed_types_are_read_in_either_case_and_xor_is_known() {
    let of = |kind: &str, columns| contour(kind, &text_of(&square(columns, [2, 4], 3.0)), 4);
    let kinds = ["CLOSED_PLANAR", "closed_planar", "INTERPOLATED_PLANAR", "CLOSEDPLANAR_XOR"];
    for (number, kind) in kinds.into_iter().enumerate() {
        let set = set(&[("1", "a")], vec![("1", vec![of(kind, [2, 4]), of(kind, [4, 6])])]);
        let pixels = if number == 3 { 12 } else { 15 };
        assert_eq!(drawn(&set.regions[0]).0, [(1, pixels)], "{kind}");
    }
}

#[test]
fn coordinates_of_an_unknown_representation_are_read_as_text() {
    let mut long = contour("CLOSED_PLANAR", "", 4);
    let text = text_of(&square([2, 4], [2, 4], 3.0)) + "\\ ";
    long.put(DataElement::new(tags::CONTOUR_DATA, VR::UN, PrimitiveValue::U8(text.into_bytes().into())));
    let set = set(&[("1", "a")], vec![("1", vec![long])]);
    assert_eq!(drawn(&set.regions[0]), (vec![(1, 9)], vec![]));
}

#[test]
fn contours_of_no_structure_or_of_two_are_left_out_and_told() {
    let block = || contour("CLOSED_PLANAR", &text_of(&square([2, 4], [2, 4], 3.0)), 4);
    let names = [("1", "a"), ("2", "b"), ("2", "c"), ("3", "a"), ("4", "none")];
    let contours = vec![
        ("1", vec![block()]),
        ("2", vec![block()]),
        ("9", vec![block(), block()]),
        ("", vec![block()]),
        ("3", vec![block()]),
    ];
    let set = set(&names, contours);
    let pixels: Vec<usize> = set.regions.iter().map(|region| drawn(region).0.len()).collect();
    assert_eq!(pixels, [1, 0, 0, 1, 0]);
    assert_eq!(set.findings.len(), 1);
    assert_eq!(set.findings[0].code, Code::UnassignedContours);
    let told = &set.findings[0].message;
    assert!(told.starts_with("4 contours of a structure set name a structure"), "{told}");
    assert_eq!(
        drawn(&set.regions[4]).1,
        ["no-contours: none: the structure set names it and has no contours of it"]
    );
}

/// Why a set is left out that lists images, whose contours name others, and that names a frame of
/// reference, beside two series of three slices; else the series that it belongs to.
fn belongs(listed: &[&str], drawn_on: &[&str], frame: &str) -> Result<Vec<usize>, &'static str> {
    let folder = tempfile::tempdir().unwrap();
    for series in ["1.1", "1.2"] {
        at(&[0.0, 3.0, 6.0]).write(folder.path(), series);
    }
    let images = |uids: &[&str]| {
        let image = |uid: &&str| texts(&[(tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, uid)]);
        sequence(tags::CONTOUR_IMAGE_SEQUENCE, uids.iter().map(image).collect())
    };
    let holding = |element| {
        let mut item = InMemDicomObject::new_empty();
        item.put(element);
        vec![item]
    };
    let series = sequence(tags::RT_REFERENCED_SERIES_SEQUENCE, holding(images(listed)));
    let study = sequence(tags::RT_REFERENCED_STUDY_SEQUENCE, holding(series));
    let contours = sequence(tags::CONTOUR_SEQUENCE, holding(images(drawn_on)));
    let mut roi = InMemDicomObject::new_empty();
    roi.put_str(tags::REFERENCED_FRAME_OF_REFERENCE_UID, VR::UI, frame);
    let mut set = texts(&[
        (tags::SOP_CLASS_UID, VR::UI, uids::RT_STRUCTURE_SET_STORAGE),
        (tags::SOP_INSTANCE_UID, VR::UI, "1.3"),
    ]);
    set.put(sequence(tags::REFERENCED_FRAME_OF_REFERENCE_SEQUENCE, holding(study)));
    set.put(sequence(tags::STRUCTURE_SET_ROI_SEQUENCE, vec![roi]));
    set.put(sequence(tags::ROI_CONTOUR_SEQUENCE, holding(contours)));
    write(set, &folder.path().join("set"));
    let scan = scanned(folder.path());
    let (of_series, orphans) = scan.labels_of_series();
    match orphans.as_slice() {
        [] => Ok((0..2).filter(|series| !of_series[*series].is_empty()).collect()),
        [label] => Err(scan.orphan_reason(*label).words()),
        _ => panic!("{orphans:?}"),
    }
}

#[test]
fn a_set_belongs_to_the_images_it_is_drawn_on_or_says_why_to_none() {
    let both = ["1.1.0", "1.1.1", "1.2.0", "1.2.1"];
    assert_eq!(belongs(&both, &["1.2.1"], FRAME), Ok(vec![1]));
    assert_eq!(belongs(&both, &[], FRAME), Ok(vec![0, 1]));
    assert_eq!(belongs(&["1.1.0"], &["9.9.9"], FRAME), Ok(vec![0]));
    assert_eq!(belongs(&["9.9.9"], &[], FRAME), Err("label file of images that are missing or were skipped"));
    let several = "label file that names no images, in a frame of reference of several series";
    assert_eq!(belongs(&[], &[], FRAME), Err(several));
    let none = "label file that names no images, in a frame of reference of none that are here";
    assert_eq!(belongs(&[], &[], "9.9"), Err(none));
}
