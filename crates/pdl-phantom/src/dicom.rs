//! CT scans as DICOM: an axial series, and the labels as RTSTRUCT.
//!
//! The series holds the same HU on the same grid as the NIfTI file. Slices are numbered from the
//! head down, as scanners often do, so that a reader has to sort them by their position.

use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use pdl_volume::Grid;

use crate::cohort::{PhantomCase, PhantomCohort};
use crate::dicom_elements::{DATE, Study, decimals, number_of, text, to_lps};
use crate::{PhantomError, rtstruct};

/// Number of cases of the sample that are written as DICOM.
const DICOM_CASES: usize = 2;

/// Stored value = HU + 1024.
const RESCALE_INTERCEPT: f32 = -1024.0;

/// The cases that are written as DICOM: the first axial ones (stored left, posterior, superior) of
/// the first protocol with square pixels and of the one without.
pub fn dicom_cases(cohort: &PhantomCohort) -> Vec<&PhantomCase> {
    cohort.cases.iter().filter(|case| is_axial(&case.scan.image.grid)).take(DICOM_CASES).collect()
}

fn is_axial(grid: &Grid) -> bool {
    grid.orientation().to_string() == "LPS"
}

/// The files of one case, by name: `CT.001.dcm` and so on from the head down, and `RTSTRUCT.dcm`.
///
/// # Errors
/// [`PhantomError::NotAxial`] if the case is not stored as LPS, [`PhantomError::Dicom`] when an
/// object cannot be encoded.
pub fn files(case: &PhantomCase, seed: u64) -> Result<Vec<(String, Vec<u8>)>, PhantomError> {
    if !is_axial(&case.scan.image.grid) {
        return Err(PhantomError::NotAxial(case.name.clone()));
    }
    let study = Study::new(case, seed);
    let slices = case.scan.image.grid.shape[2];
    let mut files = Vec::with_capacity(slices + 1);
    for number in 1..=slices {
        files.push((format!("CT.{number:03}.dcm"), encoded(slice(&study, case, slices - number))?));
    }
    files.push(("RTSTRUCT.dcm".to_owned(), encoded(rtstruct::object_of(&study, case))?));
    Ok(files)
}

/// The axial slice at this index from the feet up.
fn slice(study: &Study, case: &PhantomCase, index: usize) -> InMemDicomObject {
    let image = &case.scan.image;
    let [columns, rows, slices] = image.grid.shape;
    let spacing = image.grid.spacing_mm();
    let position = to_lps(image.grid.affine.apply([0.0, 0.0, index as f64]));
    let pixels = &image.voxels[index * columns * rows..(index + 1) * columns * rows];
    let stored: Vec<u16> = pixels.iter().map(|hu| (hu - RESCALE_INTERCEPT) as u16).collect();
    let number = slices - index;
    let mut slice = study.common(uids::CT_IMAGE_STORAGE, &study.slice_uid(index), "CT");
    for element in [
        text(tags::IMAGE_TYPE, VR::CS, "DERIVED\\PRIMARY\\AXIAL"),
        text(tags::CONTENT_DATE, VR::DA, DATE),
        text(tags::CONTENT_TIME, VR::TM, "120000"),
        text(tags::ACQUISITION_NUMBER, VR::IS, "1"),
        text(tags::INSTANCE_NUMBER, VR::IS, &number.to_string()),
        text(tags::PATIENT_POSITION, VR::CS, "HFS"),
        text(tags::KVP, VR::DS, "120"),
        text(tags::SLICE_THICKNESS, VR::DS, &decimals(&[spacing[2]])),
        text(tags::IMAGE_POSITION_PATIENT, VR::DS, &decimals(&position)),
        // The column index grows along the stored x, which is left: +x in LPS; rows run to
        // posterior, +y.
        text(tags::IMAGE_ORIENTATION_PATIENT, VR::DS, "1\\0\\0\\0\\1\\0"),
        text(tags::SLICE_LOCATION, VR::DS, &decimals(&position[2..])),
        // Between rows first, then between columns.
        text(tags::PIXEL_SPACING, VR::DS, &decimals(&[spacing[1], spacing[0]])),
        number_of(tags::SAMPLES_PER_PIXEL, 1),
        text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2"),
        number_of(tags::ROWS, rows as u16),
        number_of(tags::COLUMNS, columns as u16),
        number_of(tags::BITS_ALLOCATED, 16),
        number_of(tags::BITS_STORED, 12),
        number_of(tags::HIGH_BIT, 11),
        number_of(tags::PIXEL_REPRESENTATION, 0),
        text(tags::WINDOW_CENTER, VR::DS, "40"),
        text(tags::WINDOW_WIDTH, VR::DS, "400"),
        text(tags::RESCALE_INTERCEPT, VR::DS, &decimals(&[f64::from(RESCALE_INTERCEPT)])),
        text(tags::RESCALE_SLOPE, VR::DS, "1"),
        text(tags::RESCALE_TYPE, VR::LO, "HU"),
        DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(stored.into())),
    ] {
        slice.put(element);
    }
    slice
}

/// The bytes of a file: explicit VR, little endian.
fn encoded(object: InMemDicomObject) -> Result<Vec<u8>, PhantomError> {
    // Stated here, so that the files do not change with a new version of the DICOM crates.
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN)
        .implementation_class_uid("2.25.140440789399460262495189511693224219115")
        .implementation_version_name("PDL-PHANTOM");
    let file = object.with_meta(meta).map_err(|error| PhantomError::Dicom(error.to_string()))?;
    let mut bytes = Vec::new();
    file.write_all(&mut bytes).map_err(|error| PhantomError::Dicom(error.to_string()))?;
    Ok(bytes)
}
