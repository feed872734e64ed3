//! CT scans as DICOM: an axial series, and the labels as RTSTRUCT.
//!
//! The series holds the same HU on the same grid as the NIfTI file. Slices are numbered from the head down,
//! as scanners often do, so that a reader has to sort them by their position.

use dicom_core::value::DataSetSequence;
use dicom_core::{DataElement, PrimitiveValue, Tag, VR, dicom_value};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use pdl_store::hash;
use pdl_volume::Grid;

use crate::cohort::{Case, Cohort};
use crate::{PhantomError, rtstruct};

/// How many cases of the sample are written as DICOM.
const DICOM_CASES: usize = 2;

/// Every date in the files.
const DATE: &str = "20000101";

/// Stored value = HU + 1024.
const RESCALE_INTERCEPT: f32 = -1024.0;

/// The cases that are written as DICOM: the first axial ones (stored left, posterior, superior) of the
/// first protocol with square pixels and of the one without.
pub fn dicom_cases(cohort: &Cohort) -> Vec<&Case> {
    cohort.cases.iter().filter(|case| is_axial(&case.scan.image.grid)).take(DICOM_CASES).collect()
}

fn is_axial(grid: &Grid) -> bool {
    grid.orientation().to_string() == "LPS"
}

/// The files of one case, by name: `CT.001.dcm` and so on from the head down, and `RTSTRUCT.dcm`.
///
/// # Errors
/// [`PhantomError::NotAxial`] when the case is not stored as LPS, [`PhantomError::Dicom`] when an object
/// cannot be encoded.
pub fn files(case: &Case, seed: u64) -> Result<Vec<(String, Vec<u8>)>, PhantomError> {
    if !is_axial(&case.scan.image.grid) {
        return Err(PhantomError::NotAxial(case.name.clone()));
    }
    let study = Study::new(case, seed);
    let slices = case.scan.image.grid.shape[2];
    let mut files = Vec::with_capacity(slices + 1);
    for number in 1..=slices {
        files.push((format!("CT.{number:03}.dcm"), encoded(study.slice(case, slices - number))?));
    }
    files.push(("RTSTRUCT.dcm".to_owned(), encoded(rtstruct::object_of(&study, case))?));
    Ok(files)
}

/// What the objects of one case share.
pub(crate) struct Study {
    seed: u64,
    name: String,
    patient_name: String,
    patient_id: String,
}

impl Study {
    fn new(case: &Case, seed: u64) -> Self {
        Self {
            seed,
            name: case.name.clone(),
            patient_name: format!("PHANTOM^{:02}", case.patient_number),
            patient_id: case.patient.clone(),
        }
    }

    /// A UID under 2.25 (a UUID, version 8) that follows from seed, case and role.
    pub(crate) fn uid(&self, role: &str) -> String {
        let digest = hash::of_bytes(format!("pdl-phantom/{}/{}/{role}", self.seed, self.name).as_bytes());
        let bits = digest.bytes().take(32).fold(0_u128, |bits, digit| {
            bits << 4 | u128::from(char::from(digit).to_digit(16).unwrap_or_default())
        });
        let version = bits & !(0xf << 76) | 8 << 76;
        let uuid = version & !(0b11 << 62) | 0b10 << 62;
        format!("2.25.{uuid}")
    }

    /// The UID of the slice at this index from the feet up.
    pub(crate) fn slice_uid(&self, index: usize) -> String {
        self.uid(&format!("slice/{index}"))
    }

    /// Patient, study, series and equipment of an object.
    pub(crate) fn common(&self, class: &str, instance: &str, modality: &str) -> InMemDicomObject {
        let series_number = if modality == "CT" { "1" } else { "2" };
        object([
            text(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 192"),
            text(tags::SOP_CLASS_UID, VR::UI, class),
            text(tags::SOP_INSTANCE_UID, VR::UI, instance),
            text(tags::STUDY_DATE, VR::DA, DATE),
            text(tags::SERIES_DATE, VR::DA, DATE),
            text(tags::STUDY_TIME, VR::TM, "120000"),
            text(tags::ACCESSION_NUMBER, VR::SH, ""),
            text(tags::MODALITY, VR::CS, modality),
            text(tags::MANUFACTURER, VR::LO, "pdl-phantom"),
            text(tags::MANUFACTURER_MODEL_NAME, VR::LO, "thorax phantom"),
            text(tags::REFERRING_PHYSICIAN_NAME, VR::PN, ""),
            text(tags::STUDY_DESCRIPTION, VR::LO, "Synthetic thorax phantom"),
            text(tags::SERIES_DESCRIPTION, VR::LO, &self.name),
            text(tags::PATIENT_NAME, VR::PN, &self.patient_name),
            text(tags::PATIENT_ID, VR::LO, &self.patient_id),
            text(tags::PATIENT_BIRTH_DATE, VR::DA, ""),
            text(tags::PATIENT_SEX, VR::CS, "O"),
            text(tags::STUDY_INSTANCE_UID, VR::UI, &self.uid("study")),
            text(tags::SERIES_INSTANCE_UID, VR::UI, &self.uid(modality)),
            text(tags::STUDY_ID, VR::SH, "1"),
            text(tags::SERIES_NUMBER, VR::IS, series_number),
            text(tags::FRAME_OF_REFERENCE_UID, VR::UI, &self.uid("frame")),
            text(tags::POSITION_REFERENCE_INDICATOR, VR::LO, ""),
        ])
    }

    /// The axial slice at this index from the feet up.
    fn slice(&self, case: &Case, index: usize) -> InMemDicomObject {
        let image = &case.scan.image;
        let [columns, rows, slices] = image.grid.shape;
        let spacing = image.grid.spacing_mm();
        let position = to_lps(image.grid.affine.apply([0.0, 0.0, index as f64]));
        let pixels = &image.voxels[index * columns * rows..(index + 1) * columns * rows];
        let stored: Vec<u16> = pixels.iter().map(|hu| (hu - RESCALE_INTERCEPT) as u16).collect();
        let number = slices - index;
        let mut slice = self.common(uids::CT_IMAGE_STORAGE, &self.slice_uid(index), "CT");
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
            // The column index grows along the stored x, which is left: +x in LPS; rows run to posterior, +y.
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
}

/// One element of an object.
pub(crate) type Element = DataElement<InMemDicomObject>;

/// An object of these elements.
pub(crate) fn object(elements: impl IntoIterator<Item = Element>) -> InMemDicomObject {
    InMemDicomObject::from_element_iter(elements)
}

/// An element of text; several values are parted by backslashes.
pub(crate) fn text(tag: Tag, vr: VR, value: &str) -> Element {
    DataElement::new(tag, vr, value)
}

/// A sequence of items.
pub(crate) fn sequence(tag: Tag, items: Vec<InMemDicomObject>) -> Element {
    DataElement::new(tag, VR::SQ, DataSetSequence::from(items))
}

fn number_of(tag: Tag, value: u16) -> Element {
    DataElement::new(tag, VR::US, dicom_value!(U16, [value]))
}

/// The value of a DS element. The grids' coordinates are multiples of 1/8, so that none needs more than the
/// 16 characters it may have.
pub(crate) fn decimals(values: &[f64]) -> String {
    let one = |value: &f64| (value + 0.0).to_string(); // never "-0"
    values.iter().map(one).collect::<Vec<_>>().join("\\")
}

/// From RAS+ to DICOM's left, posterior, superior, mm.
pub(crate) fn to_lps([x, y, z]: [f64; 3]) -> [f64; 3] {
    [-x, -y, z]
}

/// The bytes of a file: explicit VR, little endian.
fn encoded(object: InMemDicomObject) -> Result<Vec<u8>, PhantomError> {
    // Named here, so that a new version of the DICOM crates leaves the files as they are.
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN)
        .implementation_class_uid("2.25.140440789399460262495189511693224219115")
        .implementation_version_name("PDL-PHANTOM");
    let file = object.with_meta(meta).map_err(|error| PhantomError::Dicom(error.to_string()))?;
    let mut bytes = Vec::new();
    file.write_all(&mut bytes).map_err(|error| PhantomError::Dicom(error.to_string()))?;
    Ok(bytes)
}
