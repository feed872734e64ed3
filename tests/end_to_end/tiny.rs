//! Cohorts of very small volumes, made for tests that need many cases.

use std::fs;
use std::path::Path;

use dicom_core::value::DataSetSequence;
use dicom_core::{DataElement, PrimitiveValue, Tag, VR, dicom_value};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use pdl_io::nifti;
use pdl_volume::{Affine, Grid, LabelMap, Volume};

/// Columns and rows of a slice, and slices.
const SIDE: usize = 16;
const SLICES: usize = 12;
/// Between pixels and slices.
const STEP_MM: f64 = 10.0;

/// A value of a voxel between 0 and 1000 that follows from the case and the place.
fn value(case: usize, place: usize) -> u16 {
    let mut bits = (case as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        ^ (place as u64 + 1).wrapping_mul(0xd1b5_4a32_d192_ed03);
    bits ^= bits >> 29;
    bits = bits.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((bits >> 32) % 1000) as u16
}

/// Writes an image and a label map of the labels 1 and 2.
pub fn write_volumes(image: &Path, label: &Path, case: usize) {
    for path in [image, label] {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
    }
    let shape = [SIDE, SIDE, SLICES];
    let grid = Grid::new(shape, Affine::from_orientation("LPS".parse().unwrap(), [STEP_MM; 3], shape));
    let voxels: Vec<f32> = (0..grid.len()).map(|place| f32::from(value(case, place)) - 500.0).collect();
    nifti::write_image_i16(image, &Volume { grid, voxels }).unwrap();
    let inside = |place: usize| (4..12).contains(&(place % SIDE)) && (4..12).contains(&(place / SIDE % SIDE));
    let labels: Vec<u16> = (0..grid.len())
        .map(|place| if inside(place) { 1 + u16::from(place % SIDE > 7) } else { 0 })
        .collect();
    nifti::write_labels(label, &LabelMap { grid, voxels: labels }).unwrap();
}

/// An object with what all objects of a case share.
fn object(case: usize, class: &str, modality: &str, instance: usize) -> InMemDicomObject {
    let mut object = InMemDicomObject::new_empty();
    put(&mut object, tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 192");
    put(&mut object, tags::SOP_CLASS_UID, VR::UI, class);
    put(&mut object, tags::SOP_INSTANCE_UID, VR::UI, &format!("2.25.7{case:05}.{instance}"));
    put(&mut object, tags::STUDY_INSTANCE_UID, VR::UI, &format!("2.25.7{case:05}.100"));
    put(
        &mut object,
        tags::SERIES_INSTANCE_UID,
        VR::UI,
        &format!("2.25.7{case:05}.200.{modality}").replace("CT", "1").replace("RTSTRUCT", "2"),
    );
    put(&mut object, tags::FRAME_OF_REFERENCE_UID, VR::UI, &format!("2.25.7{case:05}.300"));
    put(&mut object, tags::MODALITY, VR::CS, modality);
    object
}

/// Sets an element of text.
pub fn put(object: &mut InMemDicomObject, tag: Tag, vr: VR, value: &str) {
    object.put(DataElement::new(tag, vr, value));
}

fn sequence(object: &mut InMemDicomObject, tag: Tag, items: Vec<InMemDicomObject>) {
    object.put(DataElement::new(tag, VR::SQ, DataSetSequence::from(items)));
}

/// Writes a CT series and a structure set with a square for each of `structures`; `edit` may change
/// each object, which are numbered from the feet up, with the structure set last.
pub fn write_dicom(
    folder: &Path,
    case: usize,
    structures: &[String],
    edit: &dyn Fn(usize, &mut InMemDicomObject),
) {
    fs::create_dir_all(folder).unwrap();
    for slice in 0..SLICES {
        let mut object = object(case, uids::CT_IMAGE_STORAGE, "CT", slice);
        for (tag, vr, value) in [
            (tags::IMAGE_TYPE, VR::CS, "ORIGINAL\\PRIMARY\\AXIAL".to_owned()),
            (tags::IMAGE_POSITION_PATIENT, VR::DS, format!("0\\0\\{}", slice as f64 * STEP_MM)),
            (tags::IMAGE_ORIENTATION_PATIENT, VR::DS, "1\\0\\0\\0\\1\\0".to_owned()),
            (tags::PIXEL_SPACING, VR::DS, format!("{STEP_MM}\\{STEP_MM}")),
            (tags::SLICE_THICKNESS, VR::DS, STEP_MM.to_string()),
            (tags::RESCALE_SLOPE, VR::DS, "1".to_owned()),
            (tags::RESCALE_INTERCEPT, VR::DS, "-1024".to_owned()),
            (tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2".to_owned()),
        ] {
            put(&mut object, tag, vr, &value);
        }
        let side = SIDE as u16;
        for (tag, value) in [
            (tags::SAMPLES_PER_PIXEL, 1),
            (tags::ROWS, side),
            (tags::COLUMNS, side),
            (tags::BITS_ALLOCATED, 16),
            (tags::BITS_STORED, 12),
            (tags::HIGH_BIT, 11),
            (tags::PIXEL_REPRESENTATION, 0),
        ] {
            object.put(DataElement::new(tag, VR::US, dicom_value!(U16, [value])));
        }
        let pixels: Vec<u16> =
            (0..SIDE * SIDE).map(|place| 600 + value(case, slice * SIDE * SIDE + place)).collect();
        object.put(DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(pixels.into())));
        edit(slice, &mut object);
        write(object, &folder.join(format!("{slice}.dcm")));
    }
    let mut set = structure_set(case, structures);
    edit(SLICES, &mut set);
    write(set, &folder.join("set.dcm"));
}

fn structure_set(case: usize, structures: &[String]) -> InMemDicomObject {
    let mut set = object(case, uids::RT_STRUCTURE_SET_STORAGE, "RTSTRUCT", SLICES);
    let mut series = InMemDicomObject::new_empty();
    put(&mut series, tags::SERIES_INSTANCE_UID, VR::UI, &format!("2.25.7{case:05}.200.1"));
    let mut study = InMemDicomObject::new_empty();
    sequence(&mut study, tags::RT_REFERENCED_SERIES_SEQUENCE, vec![series]);
    let mut frame = InMemDicomObject::new_empty();
    put(&mut frame, tags::FRAME_OF_REFERENCE_UID, VR::UI, &format!("2.25.7{case:05}.300"));
    sequence(&mut frame, tags::RT_REFERENCED_STUDY_SEQUENCE, vec![study]);
    sequence(&mut set, tags::REFERENCED_FRAME_OF_REFERENCE_SEQUENCE, vec![frame]);
    let (mut regions, mut drawn) = (Vec::new(), Vec::new());
    for (number, name) in structures.iter().enumerate() {
        let mut region = InMemDicomObject::new_empty();
        put(&mut region, tags::ROI_NUMBER, VR::IS, &number.to_string());
        put(&mut region, tags::ROI_NAME, VR::LO, name);
        regions.push(region);
        let contours = (1..SLICES - 1).map(|slice| square(number, slice)).collect();
        let mut contoured = InMemDicomObject::new_empty();
        put(&mut contoured, tags::REFERENCED_ROI_NUMBER, VR::IS, &number.to_string());
        sequence(&mut contoured, tags::CONTOUR_SEQUENCE, contours);
        drawn.push(contoured);
    }
    sequence(&mut set, tags::STRUCTURE_SET_ROI_SEQUENCE, regions);
    sequence(&mut set, tags::ROI_CONTOUR_SEQUENCE, drawn);
    set
}

/// Three by three pixels; the squares of ten structures lie side by side.
fn square(number: usize, slice: usize) -> InMemDicomObject {
    let (x, y) = ((number % 5 * 3) as f64 * STEP_MM, (number / 5 % 4 * 4) as f64 * STEP_MM);
    let z = slice as f64 * STEP_MM;
    let [right, below] = [x, y].map(|edge| edge + 2.4 * STEP_MM);
    let points = [[x, y, z], [right, y, z], [right, below, z], [x, below, z]];
    let numbers: Vec<String> = points.iter().flatten().map(f64::to_string).collect();
    let mut contour = InMemDicomObject::new_empty();
    put(&mut contour, tags::CONTOUR_GEOMETRIC_TYPE, VR::CS, "CLOSED_PLANAR");
    put(&mut contour, tags::CONTOUR_DATA, VR::DS, &numbers.join("\\"));
    contour
}

fn write(object: InMemDicomObject, path: &Path) {
    let meta = FileMetaTableBuilder::new().transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN);
    object.with_meta(meta).unwrap().write_to_file(path).unwrap();
}
