//! Elements and objects of DICOM, and what the objects of one study share.

use dicom_core::value::DataSetSequence;
use dicom_core::{DataElement, Tag, VR, dicom_value};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use pdl_store::hash;

use crate::cohort::PhantomCase;

/// Every date in the files.
pub(crate) const DATE: &str = "20000101";

/// Attributes that the objects of one case share.
pub(crate) struct Study {
    seed: u64,
    name: String,
    patient_name: String,
    patient_id: String,
}

impl Study {
    /// The study of a case; its UIDs follow from the seed.
    pub(crate) fn new(case: &PhantomCase, seed: u64) -> Self {
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

/// An element that holds one 16-bit number.
pub(crate) fn number_of(tag: Tag, value: u16) -> Element {
    DataElement::new(tag, VR::US, dicom_value!(U16, [value]))
}

/// The value of a DS element. The grids' coordinates are multiples of 1/8, so that none needs more
/// than the 16 characters it may have.
pub(crate) fn decimals(values: &[f64]) -> String {
    let one = |value: &f64| (value + 0.0).to_string(); // never "-0"
    values.iter().map(one).collect::<Vec<_>>().join("\\")
}

/// From RAS+ to DICOM's left, posterior, superior, mm.
pub(crate) fn to_lps([x, y, z]: [f64; 3]) -> [f64; 3] {
    [-x, -y, z]
}
