//! Which volume of a series a structure set belongs to.

use dicom_core::VR;
use dicom_dictionary_std::{tags, uids};
use tempfile::TempDir;

use crate::objects::{item, scanned, sequence, text, write};
use crate::slice_files::{Slice, each, shifted, stack, written};

/// A structure set that names these images as a whole, those for its only contour, and this series.
fn structure_set(folder: &TempDir, images: &[&str], of_contour: &[&str], series: &str) {
    let uid = |tag, uid: &str| text(tag, VR::UI, uid);
    let named = |uids: &[&str]| {
        let images = uids.iter().map(|own| item(vec![uid(tags::REFERENCED_SOP_INSTANCE_UID, own)]));
        sequence(tags::CONTOUR_IMAGE_SEQUENCE, images.collect())
    };
    let series = item(vec![uid(tags::SERIES_INSTANCE_UID, series), named(images)]);
    let study = item(vec![sequence(tags::RT_REFERENCED_SERIES_SEQUENCE, vec![series])]);
    let frame = item(vec![sequence(tags::RT_REFERENCED_STUDY_SEQUENCE, vec![study])]);
    let contours = item(vec![sequence(tags::CONTOUR_SEQUENCE, vec![item(vec![named(of_contour)])])]);
    let object = item(vec![
        uid(tags::SOP_CLASS_UID, uids::RT_STRUCTURE_SET_STORAGE),
        uid(tags::SOP_INSTANCE_UID, "1.9"),
        sequence(tags::REFERENCED_FRAME_OF_REFERENCE_SEQUENCE, vec![frame]),
        sequence(tags::ROI_CONTOUR_SEQUENCE, vec![contours]),
    ]);
    write(object, &folder.path().join("set.dcm"));
}

/// For every volume whether a structure set belongs to it.
fn labelled(slices: &[Slice], images: &[&str], of_contour: &[&str], series: &str) -> Vec<bool> {
    let folder = written(slices);
    structure_set(&folder, images, of_contour, series);
    let scan = scanned(folder.path());
    scan.labels_of_series().0.iter().map(|labels| !labels.is_empty()).collect()
}

#[test]
fn a_structure_set_belongs_to_the_phase_that_its_contours_name() {
    let slices = each(shifted(0.0), |n, slice| slice.acquisition(1 + n / 6));
    let all: Vec<String> = (1..=12).map(|number| format!("1.2.3.{number}")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    assert_eq!(labelled(&slices, &all, &["1.2.3.8"], "1.2.1"), [false, true]);
    assert_eq!(labelled(&slices, &all, &[], "1.2.1"), [true, true]);
}

#[test]
fn a_structure_set_finds_what_was_joined_or_dropped() {
    let mut doubled = stack(1, 0.0, 100, 5);
    let double = doubled[2].clone().with(tags::INSTANCE_NUMBER, VR::IS, "99");
    doubled.push(double.with(tags::SOP_INSTANCE_UID, VR::UI, "1.2.0"));
    assert_eq!(labelled(&doubled, &[], &["1.2.0"], ""), [true]);
    let joined = each(stack(1, 0.0, 100, 5), |n, slice| {
        slice.with(tags::SERIES_INSTANCE_UID, VR::UI, format!("1.2.1.{n}"))
    });
    assert_eq!(labelled(&joined, &[], &[], "1.2.1.3"), [true]);
}
