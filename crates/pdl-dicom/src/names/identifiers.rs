//! Identifiers of people in a header: names, ids and dates, and free text about them.

use std::collections::BTreeSet;

use dicom_core::header::Header;
use dicom_core::{PrimitiveValue, Tag, VR};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use dicom_object::mem::InMemElement;

/// A text that may identify a person.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Identifier {
    /// A name of the patient, as PN has it: components between `^`, spellings between `=`.
    Patient(String),
    /// A name of another person.
    Person(String),
    /// A number or code of the patient.
    Id(String),
    /// A day, as DA or DT has it: `YYYYMMDD`.
    Date(String),
    /// Text that may be a number, an address or the name of a hospital: only the whole text and
    /// long numbers in it identify.
    Text(String),
    /// Free text about the patient: names and numbers in it identify, too.
    AboutPatient(String),
}

/// Identifiers of people from objects or tables, independent of the order in which they are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identifiers(BTreeSet<Identifier>);

/// The kind of object of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A structure set or segmentation, whose private elements repeat the names of structures.
    Labels,
    /// Anything else.
    Other,
}

/// Elements with present or former names of the patient, and the mother's.
const PATIENT_NAMES: [Tag; 4] = [
    tags::PATIENT_NAME,
    tags::OTHER_PATIENT_NAMES,
    tags::PATIENT_BIRTH_NAME,
    tags::PATIENT_MOTHER_BIRTH_NAME,
];
// Retired, and still in archives.
const OTHER_PATIENT_IDS: Tag = Tag(0x0010, 0x1000);
const MEDICAL_RECORD_LOCATOR: Tag = Tag(0x0010, 0x1090);
const STUDY_COMMENTS: Tag = Tag(0x0032, 0x4000);
/// Numbers and codes of the patient.
const IDS: [Tag; 5] =
    [tags::PATIENT_ID, OTHER_PATIENT_IDS, tags::ACCESSION_NUMBER, MEDICAL_RECORD_LOCATOR, tags::ADMISSION_ID];
/// Text about the place and equipment of the acquisition.
const TEXTS: [Tag; 8] = [
    tags::STUDY_ID,
    tags::INSTITUTION_NAME,
    tags::INSTITUTION_ADDRESS,
    tags::STATION_NAME,
    tags::DEVICE_SERIAL_NUMBER,
    tags::REQUESTED_PROCEDURE_ID,
    tags::ISSUER_OF_PATIENT_ID,
    tags::SCHEDULED_PROCEDURE_STEP_ID,
];
/// Free text about the patient.
const ABOUT_PATIENT: [Tag; 12] = [
    tags::PATIENT_ADDRESS,
    tags::PATIENT_TELEPHONE_NUMBERS,
    tags::OCCUPATION,
    tags::ADDITIONAL_PATIENT_HISTORY,
    tags::PATIENT_COMMENTS,
    tags::COUNTRY_OF_RESIDENCE,
    tags::REGION_OF_RESIDENCE,
    tags::RESPONSIBLE_ORGANIZATION,
    tags::MILITARY_RANK,
    tags::IMAGE_COMMENTS,
    STUDY_COMMENTS,
    tags::VISIT_COMMENTS,
];
/// Sequences of many items without names.
const LARGE: [Tag; 3] = [
    tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE,
    tags::ROI_CONTOUR_SEQUENCE,
    tags::REFERENCED_FRAME_OF_REFERENCE_SEQUENCE,
];
/// Characters of a private element that can be a structure's name (LO).
const LONGEST_PRIVATE: usize = 64;

impl Identifiers {
    /// All identifiers in the header of an object, its sequences and private elements included.
    pub(crate) fn of(object: &InMemDicomObject, source: Source) -> Self {
        let mut found = Self::default();
        found.collect(object, source);
        found
    }

    /// Adds one.
    pub fn insert(&mut self, identifier: Identifier) {
        self.0.insert(identifier);
    }

    /// Adds those of others.
    pub fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// All, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Identifier> {
        self.0.iter()
    }

    fn collect(&mut self, object: &InMemDicomObject, source: Source) {
        for element in object {
            let tag = element.tag();
            match element.vr() {
                VR::SQ if LARGE.contains(&tag) => {}
                VR::SQ => {
                    let items = element.items().unwrap_or_default();
                    items.iter().for_each(|item| self.collect(item, source));
                }
                vr => {
                    if let Some(kind) = kind(tag, vr, source) {
                        self.add(element, kind);
                    }
                }
            }
        }
    }

    fn add(&mut self, element: &InMemElement, kind: fn(String) -> Identifier) {
        let Some(text) = text_of(element) else { return };
        let values = text.split('\\').map(|value| value.trim_matches([' ', '\0']));
        let is_private = element.tag().group() % 2 == 1;
        let fits =
            |value: &&str| !(value.is_empty() || is_private && value.chars().count() > LONGEST_PRIVATE);
        self.0.extend(values.filter(fits).map(|value| kind(value.to_owned())));
    }
}

/// The kind of identifier in an element's text, if it may identify a person.
fn kind(tag: Tag, vr: VR, source: Source) -> Option<fn(String) -> Identifier> {
    let is_private = tag.group() % 2 == 1;
    Some(match vr {
        VR::PN if PATIENT_NAMES.contains(&tag) => Identifier::Patient,
        VR::PN => Identifier::Person,
        VR::DA | VR::DT => Identifier::Date,
        _ if IDS.contains(&tag) => Identifier::Id,
        _ if TEXTS.contains(&tag) => Identifier::Text,
        _ if ABOUT_PATIENT.contains(&tag) => Identifier::AboutPatient,
        VR::LO | VR::SH | VR::ST | VR::LT | VR::UT | VR::UC | VR::UN
            if is_private && source == Source::Other =>
        {
            Identifier::Text
        }
        _ => return None,
    })
}

/// An element's text; that of bytes of unknown representation where they are text.
fn text_of(element: &InMemElement) -> Option<String> {
    let value = element.value().primitive()?;
    if let (VR::UN, PrimitiveValue::U8(bytes)) = (element.vr(), value) {
        let text = std::str::from_utf8(bytes).ok()?.trim_matches([' ', '\0']);
        return (bytes.len() <= 4 * LONGEST_PRIVATE && !text.chars().any(char::is_control))
            .then(|| text.to_owned());
    }
    Some(value.to_str().into_owned())
}

impl FromIterator<Identifier> for Identifiers {
    fn from_iter<T: IntoIterator<Item = Identifier>>(identifiers: T) -> Self {
        Self(identifiers.into_iter().collect())
    }
}
