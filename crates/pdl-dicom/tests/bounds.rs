//! Files that hold, or declare and may hold, more than there is memory for: refused with the
//! figures before it is taken.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests may fail loudly")]

mod counting;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use dicom_core::value::{DataSetSequence, PixelFragmentSequence, Value};
use dicom_core::{DataElement, PrimitiveValue, Tag, VR, dicom_value};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use pdl_dicom::{DicomError, ReadOptions, Segmentation, StructureSet, read_series_within, scan_within};
use pdl_store::memory::{MemoryError, MemoryLimit};
use tempfile::TempDir;

use counting::{measured, turn};

const LIMIT: u64 = 32 << 20;

/// What `work` gives, which must not have taken more memory than the limit and some.
#[track_caller]
fn within<T>(work: impl FnOnce(&MemoryLimit) -> T) -> T {
    let (result, most) = measured(|| work(&MemoryLimit::new(LIMIT)));
    // What is read of a file is held beside what is counted of it for a moment.
    assert!(most < 2 * LIMIT as usize, "{most} bytes");
    result
}

#[track_caller]
fn is_too_large(error: &DicomError) {
    assert!(matches!(error.memory(), Some(MemoryError::TooLarge { allowed: LIMIT, .. })), "{error}");
    assert!(error.reason().contains("and the limit is 32.0 MiB"), "{}", error.reason());
}

/// A CT slice of this many columns and rows of 8 bits, with these pixels.
fn slice(folder: &TempDir, syntax: &str, side: u16, pixels: DataElement<InMemDicomObject>) {
    let mut object = InMemDicomObject::new_empty();
    for (tag, vr, value) in [
        (tags::SOP_CLASS_UID, VR::UI, uids::CT_IMAGE_STORAGE),
        (tags::SOP_INSTANCE_UID, VR::UI, "1.2"),
        (tags::SERIES_INSTANCE_UID, VR::UI, "1.1"),
        (tags::MODALITY, VR::CS, "CT"),
        (tags::IMAGE_POSITION_PATIENT, VR::DS, "10\\20\\30"),
        (tags::IMAGE_ORIENTATION_PATIENT, VR::DS, "1\\0\\0\\0\\1\\0"),
        (tags::PIXEL_SPACING, VR::DS, "1\\1"),
        (tags::SLICE_THICKNESS, VR::DS, "5"),
        (tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2"),
    ] {
        object.put_str(tag, vr, value);
    }
    for (tag, value) in [
        (tags::ROWS, side),
        (tags::COLUMNS, side),
        (tags::SAMPLES_PER_PIXEL, 1),
        (tags::BITS_ALLOCATED, 8),
        (tags::BITS_STORED, 8),
        (tags::HIGH_BIT, 7),
        (tags::PIXEL_REPRESENTATION, 0),
    ] {
        object.put(DataElement::new(tag, VR::US, dicom_value!(U16, [value])));
    }
    object.put(pixels);
    write(folder, syntax, object);
}

fn write(folder: &TempDir, syntax: &str, object: InMemDicomObject) -> PathBuf {
    let path = folder.path().join("1.bin");
    let meta = FileMetaTableBuilder::new().transfer_syntax(syntax);
    object.with_meta(meta).unwrap().write_to_file(&path).unwrap();
    path
}

fn fragment(mut bytes: Vec<u8>, length: usize) -> DataElement<InMemDicomObject> {
    bytes.resize(length, 0);
    let fragments = PixelFragmentSequence::new(Vec::<u32>::new(), vec![bytes]);
    DataElement::new(tags::PIXEL_DATA, VR::OB, Value::PixelSequence(fragments))
}

/// The start of a JPEG 2000 stream of `side` columns and rows, in tiles of `tile`.
fn jpeg_2000(side: u32, tile: u32) -> Vec<u8> {
    let words = [side, side, 0, 0, tile, tile, 0, 0].map(u32::to_be_bytes).concat();
    [&[0xff, 0x4f, 0xff, 0x51, 0, 41, 0, 0][..], &words, &[0, 1, 7, 1, 1]].concat()
}

/// Reads the only series of a folder, which must be too large.
#[track_caller]
fn refused(folder: &TempDir) {
    within(|limit| {
        let scan = scan_within(&[folder.path().join("1.bin")], limit, &|| ()).unwrap();
        assert_eq!(scan.series.len(), 1, "{:?}", scan.skipped);
        let read = read_series_within(&scan.series[0], ReadOptions::default(), &limit.alone());
        is_too_large(&read.unwrap_err());
    });
}

#[test]
fn pixels_in_any_transfer_syntax_are_counted_before_they_are_decoded() {
    let _turn = turn();
    let large: u16 = 3000; // 36 MB as float32
    let folder = || tempfile::tempdir().unwrap();
    let native = folder();
    let bytes = vec![0_u8; usize::from(large).pow(2)];
    let pixels = DataElement::new(tags::PIXEL_DATA, VR::OB, PrimitiveValue::U8(bytes.into()));
    slice(&native, uids::EXPLICIT_VR_LITTLE_ENDIAN, large, pixels);
    refused(&native);
    let run_length = folder();
    let head = [1_u32, 64].iter().flat_map(|n| n.to_le_bytes()).collect();
    slice(&run_length, uids::RLE_LOSSLESS, large, fragment(head, 200_000));
    refused(&run_length);
    let jpeg = folder();
    let [high, low] = large.to_be_bytes();
    let head = vec![0xff, 0xd8, 0xff, 0xc0, 0, 11, 8, high, low, high, low, 1, 1, 0x11, 0];
    slice(&jpeg, uids::JPEG_BASELINE8_BIT, large, fragment(head, 10_000));
    refused(&jpeg);
    let wavelets = folder();
    let head = jpeg_2000(large.into(), large.into());
    slice(&wavelets, uids::JPEG2000_LOSSLESS, large, fragment(head, 10_000));
    refused(&wavelets);
    // Few pixels, in so many tiles that the codec's own lists are what is large.
    let tiles = folder();
    slice(&tiles, uids::JPEG2000_LOSSLESS, 250, fragment(jpeg_2000(250, 1), 10_000));
    refused(&tiles);
}

#[test]
fn frames_of_one_file_are_counted_together() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let (side, frames) = (500_u16, 40_u16); // 40 MB as float32
    let bytes = vec![0_u8; usize::from(side).pow(2) * usize::from(frames)];
    let pixels = DataElement::new(tags::PIXEL_DATA, VR::OB, PrimitiveValue::U8(bytes.into()));
    slice(&folder, uids::EXPLICIT_VR_LITTLE_ENDIAN, side, pixels);
    let path = folder.path().join("1.bin");
    let mut object = dicom_object::open_file(&path).unwrap().into_inner();
    object.put_str(tags::NUMBER_OF_FRAMES, VR::IS, frames.to_string());
    let groups: Vec<InMemDicomObject> = (0..frames)
        .map(|frame| {
            let mut position = InMemDicomObject::new_empty();
            position.put_str(tags::IMAGE_POSITION_PATIENT, VR::DS, format!("0\\0\\{}", 2 * frame));
            let mut group = InMemDicomObject::new_empty();
            let items = DataSetSequence::from(vec![position]);
            group.put(DataElement::new(tags::PLANE_POSITION_SEQUENCE, VR::SQ, items));
            group
        })
        .collect();
    let groups = DataSetSequence::from(groups);
    object.put(DataElement::new(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, VR::SQ, groups));
    write(&folder, uids::EXPLICIT_VR_LITTLE_ENDIAN, object);
    refused(&folder);
}

/// A deflated file with 200 MB of zeros in a private element before anything of an image.
fn deflated(path: &Path) {
    let mut meta = vec![0x02, 0x00, 0x10, 0x00, b'U', b'I', 22, 0];
    meta.extend(b"1.2.840.10008.1.2.1.99");
    let mut file = vec![0; 128];
    file.extend(b"DICM");
    file.extend([0x02, 0x00, 0x00, 0x00, b'U', b'L', 4, 0]);
    file.extend((meta.len() as u32).to_le_bytes());
    file.extend(meta);
    let mut encoder = flate2::write::DeflateEncoder::new(file, flate2::Compression::fast());
    let million = vec![0; 1_000_000];
    encoder.write_all(&[0x07, 0x00, 0x10, 0x00, b'O', b'B', 0, 0]).unwrap();
    encoder.write_all(&200_000_000_u32.to_le_bytes()).unwrap();
    (0..200).for_each(|_| encoder.write_all(&million).unwrap());
    fs::write(path, encoder.finish().unwrap()).unwrap();
}

#[test]
fn a_deflated_data_set_is_inflated_up_to_the_limit_only() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let paths = ["a", "b"].map(|name| folder.path().join(name));
    paths.iter().for_each(|path| deflated(path));
    let scan = within(|limit| scan_within(&paths, limit, &|| ()).unwrap());
    let [aside] = scan.skipped.as_slice() else { panic!("{:?}", scan.skipped) };
    let reason = "it needs at least 64.0 MiB of memory, and the limit is 32.0 MiB";
    assert_eq!((aside.files.len(), aside.cause.words().as_str()), (2, reason));
    is_too_large(&within(|limit| StructureSet::read_within(&paths[0], &limit.alone())).unwrap_err());
}

#[test]
fn a_structure_set_and_a_segmentation_larger_than_the_limit_are_refused() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let item = |tag: Tag, value: InMemDicomObject| {
        let mut item = InMemDicomObject::new_empty();
        item.put(DataElement::new(tag, VR::SQ, DataSetSequence::from(vec![value])));
        item
    };
    let mut contour = InMemDicomObject::new_empty();
    contour.put_str(tags::CONTOUR_GEOMETRIC_TYPE, VR::CS, "CLOSED_PLANAR");
    // 18 MB, and 72 as points
    contour.put_str(tags::CONTOUR_DATA, VR::DS, "1\\2\\3\\".repeat(3_000_000) + "1\\2\\3");
    let mut roi = item(tags::CONTOUR_SEQUENCE, contour);
    roi.put_str(tags::REFERENCED_ROI_NUMBER, VR::IS, "1");
    let mut set = item(tags::ROI_CONTOUR_SEQUENCE, roi);
    let mut named = InMemDicomObject::new_empty();
    named.put_str(tags::ROI_NUMBER, VR::IS, "1");
    set.put(DataElement::new(tags::STRUCTURE_SET_ROI_SEQUENCE, VR::SQ, DataSetSequence::from(vec![named])));
    set.put_str(tags::SOP_CLASS_UID, VR::UI, uids::RT_STRUCTURE_SET_STORAGE);
    set.put_str(tags::SOP_INSTANCE_UID, VR::UI, "1.3");
    let path = write(&folder, uids::IMPLICIT_VR_LITTLE_ENDIAN, set); // lengths of 32 bits
    is_too_large(&within(|limit| StructureSet::read_within(&path, &limit.alone())).unwrap_err());

    let bytes = vec![0_u8; 40 << 20];
    let pixels = DataElement::new(tags::PIXEL_DATA, VR::OB, PrimitiveValue::U8(bytes.into()));
    slice(&folder, uids::EXPLICIT_VR_LITTLE_ENDIAN, 6000, pixels);
    let read = within(|limit| Segmentation::read_within(&path, &limit.alone()).map(|_| ()));
    is_too_large(&read.unwrap_err());
}
