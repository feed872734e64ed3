//! From stored pixels to intensities: slopes that differ from slice to slice, floats, fragments,
//! and files whose pixels are not those of their headers.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests may fail loudly")]

mod objects;

use dicom_core::value::{PixelFragmentSequence, Value};
use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use pdl_dicom::{DicomError, ReadOptions, SeriesImage, read_series};
use pdl_findings::SkipReason;

use objects::{grey_pixels, put_all, scanned, sequence, text, word, write, write_as};

/// Pixels of a slice.
const PIXELS: u16 = 6;

fn put_texts(object: &mut InMemDicomObject, pairs: &[(dicom_core::Tag, &str)]) {
    for (tag, value) in pairs {
        object.put(text(*tag, VR::LO, value));
    }
}

/// An MR slice of 3 x 2 pixels of 16 bits, of the values 10, 11 and so on.
fn slice(number: u16) -> InMemDicomObject {
    let mut object = InMemDicomObject::new_empty();
    put_texts(
        &mut object,
        &[
            (tags::SOP_CLASS_UID, uids::MR_IMAGE_STORAGE),
            (tags::SOP_INSTANCE_UID, &format!("1.2.{}", number + 1)),
            (tags::SERIES_INSTANCE_UID, "1.1"),
            (tags::MODALITY, "MR"),
            (tags::IMAGE_POSITION_PATIENT, &format!("0\\0\\{}", 5 * number)),
            (tags::IMAGE_ORIENTATION_PATIENT, "1\\0\\0\\0\\1\\0"),
            (tags::PIXEL_SPACING, "2\\3"),
            (tags::SLICE_THICKNESS, "5"),
        ],
    );
    put_all(&mut object, grey_pixels([3, 2], [16, 16], false));
    put_pixels(&mut object, PrimitiveValue::U16((10..10 + PIXELS).collect()));
    object
}

fn put_pixels(object: &mut InMemDicomObject, pixels: PrimitiveValue) {
    object.put(DataElement::new(tags::PIXEL_DATA, VR::OW, pixels));
}

/// Three slices, each after `edit`, as one volume.
fn volume(edit: impl Fn(u16, &mut InMemDicomObject)) -> Result<SeriesImage, DicomError> {
    volume_as(uids::EXPLICIT_VR_LITTLE_ENDIAN, ReadOptions::default(), edit)
}

fn volume_as(
    syntax: &str,
    options: ReadOptions,
    edit: impl Fn(u16, &mut InMemDicomObject),
) -> Result<SeriesImage, DicomError> {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..3 {
        let mut object = slice(number);
        edit(number, &mut object);
        write_as(syntax, object, &folder.path().join(format!("{number}.dcm")));
    }
    let scan = scanned(folder.path());
    assert_eq!(scan.series.len(), 1, "{:?}", scan.skipped);
    read_series(&scan.series[0], options)
}

/// The first voxel of every slice.
fn first(image: &SeriesImage) -> Vec<f32> {
    image.volume.voxels.iter().copied().step_by(usize::from(PIXELS)).collect()
}

fn codes(image: &SeriesImage) -> Vec<&str> {
    image.findings.iter().map(|finding| finding.code.as_str()).collect()
}

#[test]
fn slopes_of_mr_are_applied_where_they_differ_from_slice_to_slice() {
    let rescale = |slopes: [&'static str; 3]| {
        move |number: u16, object: &mut InMemDicomObject| {
            let slope = slopes[usize::from(number)];
            put_texts(object, &[(tags::RESCALE_SLOPE, slope), (tags::RESCALE_INTERCEPT, "1")]);
        }
    };
    let own = volume(rescale(["2", "0.5", "2.0"])).unwrap();
    assert_eq!((first(&own), codes(&own)), (vec![21.0, 6.0, 21.0], vec!["slices-rescaled"]));
    assert!(own.findings[0].message.contains("slopes of 0.5 to 2"), "{:?}", own.findings);
    let shared = volume(rescale(["2", "2.0", "2.00"])).unwrap();
    assert_eq!((first(&shared), codes(&shared)), (vec![10.0; 3], vec![]));
    let asked = ReadOptions { mr_rescale: true, ..ReadOptions::default() };
    let asked = volume_as(uids::EXPLICIT_VR_LITTLE_ENDIAN, asked, rescale(["2"; 3])).unwrap();
    assert_eq!((first(&asked), codes(&asked)), (vec![21.0; 3], vec![]));
}

#[test]
fn slopes_that_some_slices_lack_or_that_are_no_numbers_are_refused_where_they_count() {
    let refused = |volume: Result<SeriesImage, DicomError>| volume.unwrap_err().reason();
    let sloped = |number: u16, object: &mut InMemDicomObject, modality: &str, slope: &str| {
        put_texts(object, &[(tags::MODALITY, modality)]);
        if number != 1 {
            put_texts(object, &[(tags::RESCALE_SLOPE, slope)]);
        }
    };
    for modality in ["CT", "MR"] {
        let lacking = refused(volume(|number, object| sloped(number, object, modality, "2")));
        assert!(lacking.contains("missing from 1 of its 3 slices"), "{lacking}");
        // A slope of 1 is that of a slice without one.
        assert!(volume(|number, object| sloped(number, object, modality, "1")).is_ok());
    }
    let comma = |modality: &'static str| {
        volume(move |_, object| {
            put_texts(object, &[(tags::MODALITY, modality), (tags::RESCALE_SLOPE, "2,0")]);
        })
    };
    assert!(refused(comma("CT")).contains("not as a number"));
    // The slope of MR that is the same everywhere is not applied.
    assert_eq!(first(&comma("MR").unwrap()), [10.0; 3]);
}

#[test]
fn bits_above_those_stored_are_told_unless_they_spread_the_sign() {
    let told = |is_signed: bool, values: [u16; 2]| {
        let image = volume(|_, object| {
            put_all(object, grey_pixels([3, 2], [16, 12], is_signed));
            put_pixels(object, PrimitiveValue::U16(values.into_iter().cycle().take(6).collect()));
        });
        codes(&image.unwrap()).contains(&"odd-header")
    };
    assert!(told(false, [10, 0x1010]));
    assert!(!told(false, [10, 0x0fff]));
    assert!(!told(true, [10, 0xfff0]));
    assert!(!told(true, [10, 0x0ff0]));
    assert!(told(true, [10, 0xf010]));
}

#[test]
fn real_world_values_are_applied_where_they_differ_from_slice_to_slice() {
    let mapped = |number: u16, object: &mut InMemDicomObject| {
        let mut item = InMemDicomObject::new_empty();
        for (tag, value) in
            [(tags::REAL_WORLD_VALUE_SLOPE, f64::from(number + 1)), (tags::REAL_WORLD_VALUE_INTERCEPT, 0.5)]
        {
            item.put(DataElement::new(tag, VR::FD, PrimitiveValue::from(value)));
        }
        object.put(sequence(tags::REAL_WORLD_VALUE_MAPPING_SEQUENCE, vec![item]));
    };
    let image = volume(mapped).unwrap();
    assert_eq!((first(&image), codes(&image)), (vec![10.5, 20.5, 30.5], vec!["slices-rescaled"]));
}

#[test]
fn float_and_double_pixels_are_read_as_they_are() {
    for bits in [32, 64] {
        let image = volume(|number, object| {
            object.remove_element(tags::PIXEL_DATA);
            object.put(word(tags::BITS_ALLOCATED, bits));
            let values = (0..PIXELS).map(|pixel| f64::from(number) + f64::from(pixel) * 0.25 - 1.0);
            object.put(match bits {
                32 => {
                    let values = PrimitiveValue::F32(values.map(|value| value as f32).collect());
                    DataElement::new(tags::FLOAT_PIXEL_DATA, VR::OF, values)
                }
                _ => DataElement::new(
                    tags::DOUBLE_FLOAT_PIXEL_DATA,
                    VR::OD,
                    PrimitiveValue::F64(values.collect()),
                ),
            });
        });
        let image = image.unwrap();
        assert_eq!(image.volume.voxels[..7], [-1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.0]);
        assert_eq!(image.voxel_type, format!("float{bits}"));
    }
    let wrong = volume(|_, object| {
        object.remove_element(tags::PIXEL_DATA);
        let values = PrimitiveValue::F32((0..PIXELS).map(f32::from).collect());
        object.put(DataElement::new(tags::FLOAT_PIXEL_DATA, VR::OF, values));
    });
    assert!(wrong.unwrap_err().reason().contains("numbers of 32 bits, its header says 16"));
}

#[test]
fn a_few_bytes_too_many_are_told_and_whole_frames_too_many_refused() {
    let with = |pixels: u16| {
        volume(move |number, object| {
            if number == 1 {
                put_pixels(object, PrimitiveValue::U16((10..10 + pixels).collect()));
            }
        })
    };
    let image = with(PIXELS + 2).unwrap();
    assert_eq!((first(&image), codes(&image)), (vec![10.0; 3], vec!["odd-header"]));
    assert!(image.findings[0].message.contains("1 file with up to 4 bytes more"), "{:?}", image.findings);
    let reason = with(2 * PIXELS).unwrap_err().reason();
    assert!(reason.contains("24 bytes of pixels and its header declares 12"), "{reason}");
    assert!(matches!(with(PIXELS - 1), Err(DicomError::Truncated { declared: 12, held: 10, .. })));
}

/// Encapsulated, but not compressed: 1.2.840.10008.1.2.1.98.
const ENCAPSULATED: &str = uids::ENCAPSULATED_UNCOMPRESSED_EXPLICIT_VR_LITTLE_ENDIAN;

#[test]
fn fragments_of_a_frame_are_joined() {
    let image = volume_as(ENCAPSULATED, ReadOptions::default(), |number, object| {
        let bytes: Vec<u8> = (0..PIXELS).flat_map(|pixel| (10 + 10 * number + pixel).to_le_bytes()).collect();
        let parts = match number {
            0 => vec![bytes],
            _ => bytes.chunks(4).map(<[u8]>::to_vec).collect(),
        };
        let fragments = PixelFragmentSequence::new(Vec::<u32>::new(), parts);
        object.put(DataElement::new(tags::PIXEL_DATA, VR::OB, Value::PixelSequence(fragments)));
    });
    assert_eq!(first(&image.unwrap()), [10.0, 20.0, 30.0]);
}

/// Lossy JPEG of 12 bits of 3 x 2 pixels, in hexadecimal: 100, 900, 2000, 4000, 50, 1234 by
/// `dcmcjpeg +ee +q 90`.
const LOSSY_12: &str = "\
     ffd8ffe000104a46494600010100000100010000ffdb00430003020203020203030303040303040508050504\
     04050a070706080c0a0c0c0b0a0b0b0d0e12100d0e110e0b0b1016101113141515150c0f1718161418121415\
     14ffc1000b0c0002000301011100ffc4001400010000000000000000000000000000000bffc4001d10000007\
     01010100000000000000000000030405060708090a020bffda0008010100003f0014fece2c34a9ceb7d153bc\
     3ca1ca4931e198f96d443a9fda2ab552e90d385e35134275e21e64687cfed963c72c064b784268ad56ab7901\
     292d1d290924a15209a9e9c50a14000000083f3fffd9";

#[test]
fn lossy_jpeg_of_12_bits_is_decoded_as_by_dcmdjpeg() {
    let digits = |at: usize| u8::from_str_radix(&LOSSY_12[at..at + 2], 16).unwrap();
    let stream: Vec<u8> = (0..LOSSY_12.len()).step_by(2).map(digits).collect();
    let with = |edit: &dyn Fn(&mut Vec<u8>)| {
        let mut stream = stream.clone();
        edit(&mut stream);
        volume_as(uids::JPEG_EXTENDED12_BIT, ReadOptions::default(), |_, object| {
            put_all(object, grey_pixels([3, 2], [16, 12], false));
            let fragments = PixelFragmentSequence::new(Vec::<u32>::new(), vec![stream.clone()]);
            object.put(DataElement::new(tags::PIXEL_DATA, VR::OB, Value::PixelSequence(fragments)));
        })
    };
    let image = with(&|_| ()).unwrap();
    assert_eq!(image.volume.voxels[..6], [48.0, 850.0, 1952.0, 3949.0, 5.0, 1180.0]);
    let cut = with(&|stream| stream.truncate(stream.len() - 40)).unwrap_err().reason();
    assert!(cut.contains("cannot be decoded"), "{cut}");
    // The precision stands behind the marker of the frame header and its length.
    let marker = stream.windows(2).position(|bytes| bytes == [0xff, 0xc1]).unwrap();
    let ten = with(&|stream| stream[marker + 4] = 10).unwrap_err().reason();
    assert!(ten.contains("lossy JPEG of 10 bits") && ten.contains("dcmdjpeg"), "{ten}");
}

#[test]
fn colours_and_slopes_that_cannot_be_are_refused_by_their_name() {
    let palette =
        volume(|_, object| put_texts(object, &[(tags::PHOTOMETRIC_INTERPRETATION, "PALETTE COLOR")]));
    assert!(palette.unwrap_err().reason().contains("PALETTE COLOR"));
    let ct = |slope: &'static str| {
        volume(move |_, object| {
            put_texts(object, &[(tags::MODALITY, "CT"), (tags::RESCALE_SLOPE, slope)]);
            put_texts(object, &[(tags::RESCALE_INTERCEPT, "-1000")]);
        })
    };
    assert!(ct("0").unwrap_err().reason().contains("RescaleSlope is 0"));
    let turned = ct("-2").unwrap();
    assert_eq!((first(&turned), codes(&turned)), (vec![-1020.0; 3], vec!["not-hounsfield"]));
}

#[test]
fn attributes_that_are_not_as_many_numbers_as_they_should_be_are_not_called_missing() {
    let skipped = |tag, value: &'static str| {
        let folder = tempfile::tempdir().unwrap();
        let mut object = slice(0);
        put_texts(&mut object, &[(tag, value)]);
        write(object, &folder.path().join("0.dcm"));
        scanned(folder.path()).skipped[0].cause.words()
    };
    let comma = skipped(tags::IMAGE_POSITION_PATIENT, "1,5\\0\\0");
    assert!(comma.contains("ImagePositionPatient) is stated, but not as three numbers"), "{comma}");
    let one = skipped(tags::PIXEL_SPACING, "2");
    assert!(one.contains("PixelSpacing) is stated, but not as two numbers"), "{one}");
    let none = skipped(tags::IMAGE_ORIENTATION_PATIENT, "");
    assert!(none.contains("ImageOrientationPatient) is not stated"), "{none}");
    let slide = skipped(tags::TOTAL_PIXEL_MATRIX_COLUMNS, "4096");
    assert!(slide.contains("tiles of a slide"), "{slide}");
}

#[test]
fn gated_frames_of_one_object_are_told_apart_by_their_delays() {
    let folder = tempfile::tempdir().unwrap();
    let item = |element| InMemDicomObject::from_element_iter([element]);
    let mut object = slice(0);
    let frames = (0..6).map(|frame| {
        let mut place = InMemDicomObject::new_empty();
        put_texts(&mut place, &[(tags::IMAGE_POSITION_PATIENT, &format!("0\\0\\{}", 5 * (frame % 3)))]);
        let delay = PrimitiveValue::from(f64::from(100 * (frame / 3)));
        let delay = item(DataElement::new(tags::NOMINAL_CARDIAC_TRIGGER_DELAY_TIME, VR::FD, delay));
        InMemDicomObject::from_element_iter([
            sequence(tags::CARDIAC_SYNCHRONIZATION_SEQUENCE, vec![delay]),
            sequence(tags::PLANE_POSITION_SEQUENCE, vec![place]),
        ])
    });
    object.put(sequence(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, frames.collect()));
    put_texts(&mut object, &[(tags::NUMBER_OF_FRAMES, "6")]);
    put_pixels(&mut object, PrimitiveValue::U16((0..6).flat_map(|frame| [frame; 6]).collect()));
    write(object, &folder.path().join("gated.dcm"));
    let scan = scanned(folder.path());
    let volumes: Vec<Vec<f32>> = scan
        .series
        .iter()
        .map(|series| first(&read_series(series, ReadOptions::default()).unwrap()))
        .collect();
    assert_eq!(volumes, [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]);
}

#[test]
fn big_endian_and_files_without_a_preamble_are_read() {
    let big = volume_as("1.2.840.10008.1.2.2", ReadOptions::default(), |_, _| ()).unwrap();
    assert_eq!(big.volume.voxels[..6], [10.0, 11.0, 12.0, 13.0, 14.0, 15.0]);
    let folder = tempfile::tempdir().unwrap();
    for number in 0..3 {
        write(slice(number), &folder.path().join(number.to_string()));
        let path = folder.path().join(number.to_string());
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[132..]).unwrap();
    }
    let scan = scanned(folder.path());
    assert_eq!(first(&read_series(&scan.series[0], ReadOptions::default()).unwrap()), [10.0; 3]);
}

#[test]
fn what_is_no_dicom_is_named_for_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    put("page.dcm", b"<!DOCTYPE html><html>not found</html>");
    put("packed.dcm", b"PK\x03\x04 and so on");
    put("empty.dcm", b"");
    let mut index = InMemDicomObject::new_empty();
    index.put(sequence(tags::DIRECTORY_RECORD_SEQUENCE, Vec::new()));
    write(index, &folder.path().join("DICOMDIR"));
    let aside = scanned(folder.path()).skipped;
    let words: Vec<String> = aside.iter().map(|aside| aside.cause.words()).collect();
    let reasons = aside.iter().map(|aside| aside.cause.reason());
    let mut found: Vec<(&str, SkipReason)> = words.iter().map(String::as_str).zip(reasons).collect();
    found.sort_unstable();
    let expected = [
        ("index of a medium (DICOMDIR)", SkipReason::Dicomdir),
        ("not a DICOM file but HTML", SkipReason::NotDicom),
        ("not a DICOM file but a ZIP archive", SkipReason::NotDicom),
        ("not a DICOM file but empty", SkipReason::NotDicom),
    ];
    assert_eq!(found, expected);
}

#[test]
fn values_by_a_table_are_refused_and_those_of_another_quantity_told() {
    let ct = |edit: fn(&mut InMemDicomObject)| {
        volume(move |_, object| {
            put_texts(object, &[(tags::MODALITY, "CT"), (tags::RESCALE_INTERCEPT, "-1024")]);
            edit(object);
        })
    };
    let table = |object: &mut InMemDicomObject| {
        object.put(sequence(tags::MODALITY_LUT_SEQUENCE, vec![InMemDicomObject::new_empty()]));
    };
    assert!(ct(table).unwrap_err().reason().contains("by a table (Modality LUT)"));
    let iodine = ct(|object| put_texts(object, &[(tags::RESCALE_TYPE, "MGML")])).unwrap();
    assert_eq!(codes(&iodine), ["not-hounsfield"]);
    assert!(iodine.findings[0].message.contains("milligrams per millilitre"), "{:?}", iodine.findings);
    assert_eq!(codes(&ct(|object| put_texts(object, &[(tags::RESCALE_TYPE, "HU")])).unwrap()), [""; 0]);
    let raised = ct(|object| put_texts(object, &[(tags::RESCALE_INTERCEPT, "0")])).unwrap();
    assert!(raised.findings[0].message.contains("neither a sign nor an offset"), "{:?}", raised.findings);
}

#[test]
fn a_mosaic_of_an_unknown_number_of_slices_is_refused_and_slices_that_bear_its_name_are_read() {
    let mosaic = |object: &mut InMemDicomObject| {
        put_texts(object, &[(tags::IMAGE_TYPE, "ORIGINAL\\PRIMARY\\M\\ND\\MOSAIC")]);
    };
    assert_eq!(first(&volume(|_, object| mosaic(object)).unwrap()), [10.0; 3]);
    let folder = tempfile::tempdir().unwrap();
    let mut object = slice(0);
    mosaic(&mut object);
    write(object, &folder.path().join("0.dcm"));
    let scan = scanned(folder.path());
    let reason = read_series(&scan.series[0], ReadOptions::default()).unwrap_err().reason();
    assert!(reason.contains("a mosaic of slices, and its header does not say how many"), "{reason}");
}

#[test]
fn float_slices_that_are_there_twice_are_dropped() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..4 {
        let mut object = slice(number.min(2));
        object.remove_element(tags::PIXEL_DATA);
        put_texts(&mut object, &[(tags::SOP_INSTANCE_UID, &format!("1.2.{number}"))]);
        object.put(word(tags::BITS_ALLOCATED, 32));
        let values = PrimitiveValue::F32((0..PIXELS).map(|pixel| 0.5 * f32::from(pixel)).collect());
        object.put(DataElement::new(tags::FLOAT_PIXEL_DATA, VR::OF, values));
        write(object, &folder.path().join(number.to_string()));
    }
    let scan = scanned(folder.path());
    let image = read_series(&scan.series[0], ReadOptions::default()).unwrap();
    assert_eq!((image.volume.grid.shape, codes(&image)), ([3, 2, 3], vec!["repeated-slice"]));
}

#[test]
fn planes_that_cannot_be_are_skipped_with_what_is_wrong() {
    let reason = |tag, value: &str| {
        let folder = tempfile::tempdir().unwrap();
        let mut object = slice(0);
        put_texts(&mut object, &[(tag, value)]);
        write(object, &folder.path().join("0.dcm"));
        scanned(folder.path()).skipped[0].cause.words()
    };
    let orientation = reason(tags::IMAGE_ORIENTATION_PATIENT, "0.9\\0\\0\\0\\1\\0");
    assert!(orientation.contains("no pair of unit vectors"), "{orientation}");
    let spacing = reason(tags::PIXEL_SPACING, "0\\2");
    assert!(spacing.contains("pixel spacing is not positive"), "{spacing}");
}
