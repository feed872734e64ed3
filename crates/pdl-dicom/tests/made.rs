//! Series that are made here, with what archives do to them.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests may fail loudly")]

mod objects;

use std::fs;

use dicom_core::value::{PixelFragmentSequence, Value};
use dicom_core::{DataElement, PrimitiveValue, VR, dicom_value};
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use pdl_dicom::{Mask, ReadOptions, Scan, Segmentation, SeriesImage, paint, read_series};
use pdl_findings::Code;
use tempfile::TempDir;

use objects::{grey_pixels, item, put_all, scanned, sequence, text, word, write, write_as};

/// A CT slice of 3 x 2 pixels, all of the same value, at this height; `edit` may change it before
/// it is written.
fn slice(folder: &TempDir, number: u16, height: f64, edit: impl Fn(&mut InMemDicomObject)) {
    slice_as(uids::EXPLICIT_VR_LITTLE_ENDIAN, folder, number, height, edit);
}

fn slice_as(syntax: &str, folder: &TempDir, number: u16, height: f64, edit: impl Fn(&mut InMemDicomObject)) {
    let mut object = InMemDicomObject::new_empty();
    for (tag, vr, value) in [
        (tags::SOP_CLASS_UID, VR::UI, uids::CT_IMAGE_STORAGE.to_owned()),
        (tags::SOP_INSTANCE_UID, VR::UI, format!("1.2.{number}")),
        (tags::SERIES_INSTANCE_UID, VR::UI, "1.1".to_owned()),
        (tags::MODALITY, VR::CS, "CT".to_owned()),
        (tags::IMAGE_TYPE, VR::CS, "ORIGINAL\\PRIMARY\\AXIAL".to_owned()),
        (tags::IMAGE_POSITION_PATIENT, VR::DS, format!("10\\20\\{height}")),
        (tags::IMAGE_ORIENTATION_PATIENT, VR::DS, "1\\0\\0\\0\\1\\0".to_owned()),
        (tags::PIXEL_SPACING, VR::DS, "2\\3".to_owned()),
        (tags::SLICE_THICKNESS, VR::DS, "5".to_owned()),
        (tags::RESCALE_SLOPE, VR::DS, "2".to_owned()),
        (tags::RESCALE_INTERCEPT, VR::DS, "-1000".to_owned()),
        (tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2".to_owned()),
    ] {
        object.put_str(tag, vr, value);
    }
    put_all(&mut object, grey_pixels([3, 2], [16, 12], true));
    // Bits beyond the stored twelve are no part of the value.
    object.put(DataElement::new(
        tags::PIXEL_DATA,
        VR::OW,
        PrimitiveValue::U16(vec![0xf000 | number; 6].into()),
    ));
    edit(&mut object);
    write_as(syntax, object, &folder.path().join(format!("{number}.bin")));
}

fn image(scan: &Scan, number: usize) -> SeriesImage {
    read_series(&scan.series[number], ReadOptions::default()).unwrap()
}

/// All findings but that about the bits beyond the stored ones, which every slice has.
fn findings(image: &SeriesImage) -> Vec<String> {
    let others = image.findings.iter().filter(|finding| finding.code != Code::OddHeader);
    others.map(|finding| format!("{}: {}", finding.code, finding.message)).collect()
}

#[test]
fn slices_sort_by_position_and_the_grid_is_ras() {
    let folder = tempfile::tempdir().unwrap();
    for number in 1..=4 {
        slice(&folder, number, 40.0 - 5.0 * f64::from(number), |_| ());
    }
    let image = image(&scanned(folder.path()), 0);
    assert_eq!(findings(&image), Vec::<String>::new());
    let grid = image.volume.grid;
    assert_eq!(grid.shape, [3, 2, 4]);
    // Spacing is (between rows, between columns); left and posterior are negative.
    let steps =
        [grid.affine.step_mm(0), grid.affine.step_mm(1), grid.affine.step_mm(2), grid.affine.origin_mm()];
    assert_eq!(steps, [[-3.0, 0.0, 0.0], [0.0, -2.0, 0.0], [0.0, 0.0, 5.0], [-10.0, -20.0, 20.0]]);
    let lowest: Vec<f32> = image.volume.voxels.iter().copied().step_by(6).collect();
    assert_eq!(lowest, [-992.0, -994.0, -996.0, -998.0]);
}

/// Six pixels of 16 bits in two run-length coded segments, after a header that declares `segments`.
fn run_length_coded(object: &mut InMemDicomObject, number: u16, segments: u32) {
    let [low, high] = (0xf000 | number).to_le_bytes();
    let mut frame: Vec<u8> = [segments, 64, 72].iter().flat_map(|value| value.to_le_bytes()).collect();
    frame.resize(64, 0);
    for byte in [high, low] {
        // six literal bytes, one that says nothing
        frame.extend([5, byte, byte, byte, byte, byte, byte, 128]);
    }
    let fragments = PixelFragmentSequence::new(Vec::<u32>::new(), vec![frame]);
    object.put(DataElement::new(tags::PIXEL_DATA, VR::OB, Value::PixelSequence(fragments)));
}

#[test]
fn run_length_coded_slices_are_read_and_a_forged_number_of_segments_is_refused() {
    let (good, forged) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for number in 1..=3 {
        let height = 5.0 * f64::from(number);
        let write = |folder, segments| {
            slice_as(uids::RLE_LOSSLESS, folder, number, height, |o| run_length_coded(o, number, segments));
        };
        write(&good, 2);
        write(&forged, if number == 2 { 150_995_202 } else { 2 });
    }
    let values: Vec<f32> = image(&scanned(good.path()), 0).volume.voxels.iter().copied().step_by(6).collect();
    assert_eq!(values, [-998.0, -996.0, -994.0]);
    let scan = scanned(forged.path());
    let error = read_series(&scan.series[0], ReadOptions::default()).unwrap_err();
    assert!(error.reason().contains("run-length coded frame"), "{}", error.reason());
}

#[test]
fn a_missing_slice_is_named_and_filled() {
    let folder = tempfile::tempdir().unwrap();
    for number in [0, 1, 2, 4, 5] {
        slice(&folder, number, 5.0 * f64::from(number), |_| ());
    }
    let image = image(&scanned(folder.path()), 0);
    let expected = "missing-slice: 1 slice is missing after slice 3 (10.00 mm from the first): it is filled by interpolation";
    assert_eq!(findings(&image), [expected]);
    assert_eq!(image.volume.grid.shape, [3, 2, 6]);
    let values: Vec<f32> = image.volume.voxels.iter().copied().step_by(6).collect();
    assert_eq!(values, [-1000.0, -998.0, -996.0, -994.0, -992.0, -990.0]);
    // Labels are not interpolated: they come from the nearest slice.
    let labels = image.place_labels((0..30).map(|pixel| pixel / 6 + 1).collect()).unwrap();
    let labels: Vec<u16> = labels.voxels.iter().copied().step_by(6).collect();
    assert_eq!([labels[0], labels[2], labels[4], labels[5]], [1, 3, 4, 5]);
}

#[test]
fn phases_at_the_same_positions_are_split_and_never_interleaved() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..6_u16 {
        slice(&folder, number, 5.0 * f64::from(number % 3), |object| {
            object.put_str(tags::ACQUISITION_NUMBER, VR::IS, (number / 3).to_string());
        });
    }
    let scan = scanned(folder.path());
    assert_eq!(scan.series.len(), 2);
    let first: Vec<f32> = image(&scan, 0).volume.voxels.iter().copied().step_by(6).collect();
    let second: Vec<f32> = image(&scan, 1).volume.voxels.iter().copied().step_by(6).collect();
    assert_eq!((first, second), (vec![-1000.0, -998.0, -996.0], vec![-994.0, -992.0, -990.0]));
}

#[test]
fn images_at_one_position_that_nothing_parts_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..6_u16 {
        slice(&folder, number, 5.0 * f64::from(number % 3), |_| ());
    }
    let scan = scanned(folder.path());
    let error = read_series(&scan.series[0], ReadOptions::default()).unwrap_err();
    assert!(error.to_string().contains("several images lie at one position"), "{error}");
}

#[test]
fn what_is_no_slice_is_skipped_and_copies_count_once() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..3 {
        slice(&folder, number, 5.0 * f64::from(number), |_| ());
    }
    fs::copy(folder.path().join("1.bin"), folder.path().join("copy")).unwrap();
    slice(&folder, 7, 0.0, |object| {
        object.put_str(tags::IMAGE_TYPE, VR::CS, "ORIGINAL\\PRIMARY\\LOCALIZER");
    });
    slice(&folder, 8, 0.0, |object| {
        object.put_str(tags::SOP_CLASS_UID, VR::UI, uids::SECONDARY_CAPTURE_IMAGE_STORAGE);
    });
    fs::write(folder.path().join("README"), "no DICOM").unwrap();
    std::os::unix::fs::symlink("nowhere", folder.path().join("link")).unwrap();
    std::os::unix::fs::symlink(".", folder.path().join("loop")).unwrap();
    let scan = scanned(folder.path());
    let words: Vec<String> = scan.skipped.iter().map(|skipped| skipped.cause.words()).collect();
    let counts = scan.skipped.iter().map(|skipped| skipped.files.len());
    let aside: Vec<(&str, usize)> = words.iter().map(String::as_str).zip(counts).collect();
    let unread = "a file cannot be read (No such file or directory (os error 2))";
    let copy = "copy of a file that was read";
    let others = [(copy, 1), ("not a DICOM file", 1), ("scout", 1), ("secondary capture", 1)];
    assert_eq!(aside, [&[(unread, 1)][..], &others[..]].concat());
    assert_eq!(scan.series.len(), 1);
    assert_eq!(image(&scan, 0).volume.grid.shape, [3, 2, 3]);
}

#[test]
fn files_of_one_uid_with_other_pixels_are_no_copies_and_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..6_u16 {
        let instance = format!("1.2.{}", number % 3);
        slice(&folder, number, 5.0 * f64::from(number % 3), |object| {
            object.put_str(tags::SOP_INSTANCE_UID, VR::UI, instance.clone());
        });
    }
    let scan = scanned(folder.path());
    assert_eq!((scan.series.len(), scan.skipped.len()), (1, 0), "{:?}", scan.skipped);
    let error = read_series(&scan.series[0], ReadOptions::default()).unwrap_err();
    assert!(error.to_string().contains("exported 2 times with other pixels"), "{error}");
}

#[test]
fn every_cut_of_a_file_is_refused_and_none_panics() {
    let folder = tempfile::tempdir().unwrap();
    slice(&folder, 1, 0.0, |_| ());
    let path = folder.path().join("1.bin");
    let bytes = fs::read(&path).unwrap();
    for length in 0..bytes.len() {
        fs::write(&path, &bytes[..length]).unwrap();
        let scan = scanned(folder.path());
        for series in &scan.series {
            assert!(
                read_series(series, ReadOptions::default()).is_err(),
                "cut at {length} of {}",
                bytes.len()
            );
        }
    }
}

#[test]
fn a_header_that_declares_too_much_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    slice(&folder, 1, 0.0, |object| {
        for tag in [tags::ROWS, tags::COLUMNS] {
            object.put(DataElement::new(tag, VR::US, dicom_value!(U16, [65535])));
        }
    });
    assert!(read_series(&scanned(folder.path()).series[0], ReadOptions::default()).is_err());
}

/// A segmentation of the slices of 3 x 2 pixels at 0 and 5 mm, a byte a pixel.
fn segmentation(folder: &TempDir, kind: &str, pixels: Vec<u8>) {
    let segment = |number: u16, name: &str| {
        item(vec![word(tags::SEGMENT_NUMBER, number), text(tags::SEGMENT_LABEL, VR::LO, name)])
    };
    let frame = |height: &str| {
        let place = text(tags::IMAGE_POSITION_PATIENT, VR::DS, &format!("10\\20\\{height}"));
        item(vec![sequence(tags::PLANE_POSITION_SEQUENCE, vec![item(vec![place])])])
    };
    let turned = text(tags::IMAGE_ORIENTATION_PATIENT, VR::DS, "1\\0\\0\\0\\1\\0");
    let measures = text(tags::PIXEL_SPACING, VR::DS, "2\\3");
    let shared = item(vec![
        sequence(tags::PLANE_ORIENTATION_SEQUENCE, vec![item(vec![turned])]),
        sequence(tags::PIXEL_MEASURES_SEQUENCE, vec![item(vec![measures])]),
    ]);
    let mut object = item(vec![
        text(tags::SOP_CLASS_UID, VR::UI, uids::LABEL_MAP_SEGMENTATION_STORAGE),
        text(tags::SOP_INSTANCE_UID, VR::UI, "1.3"),
        text(tags::PATIENT_NAME, VR::PN, "Muster^Eva"),
        text(tags::SEGMENTATION_TYPE, VR::CS, kind),
        text(tags::NUMBER_OF_FRAMES, VR::IS, "2"),
        sequence(tags::SEGMENT_SEQUENCE, vec![segment(1, "lung"), segment(2, "GTV Muster")]),
        sequence(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, vec![shared]),
        sequence(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, vec![frame("0"), frame("5")]),
        DataElement::new(tags::PIXEL_DATA, VR::OB, PrimitiveValue::from(pixels)),
    ]);
    put_all(&mut object, grey_pixels([3, 2], [8, 8], false));
    write(object, &folder.path().join("seg.bin"));
}

#[test]
fn a_label_map_holds_several_segments_in_a_frame_and_names_no_patient() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..2 {
        slice(&folder, number, 5.0 * f64::from(number), |_| ());
    }
    segmentation(&folder, "LABELMAP", vec![0, 1, 2, 2, 0, 0, 1, 1, 1, 0, 0, 2]);
    let scan = scanned(folder.path());
    assert_eq!(scan.labels[0].names, ["lung", "GTV PATIENT"]);
    let image = image(&scan, 0);
    let segments = Segmentation::read(&scan.labels[0].path).unwrap();
    let masks: Vec<Mask> = (1..=2).map(|number| segments.mask(number, &image.stack).unwrap()).collect();
    let (painted, overlaps) = paint(&image.stack, (1..).zip(&masks));
    assert_eq!(painted, [0, 1, 2, 2, 0, 0, 1, 1, 1, 0, 0, 2]);
    assert!(overlaps.is_empty());
    let twice = paint(&image.stack, [(3, &masks[0]), (1, &masks[1]), (5, &masks[0])]).1;
    assert_eq!(twice.into_iter().collect::<Vec<_>>(), [((3, 5), 4)], "which loses, which wins, and how much");
    assert_eq!(masks[0].findings, []);
    assert_eq!(masks[1].findings[0].code.as_str(), "name-masked");
}
