//! What the tests share: elements of objects, files of them, and their scan.
#![allow(dead_code, reason = "each test uses a part")]

use std::path::Path;

use dicom_core::value::{DataSetSequence, Value};
use dicom_core::{DataElement, PrimitiveValue, Tag, VR, dicom_value};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use pdl_dicom::{Scan, files_below, scan};

pub type Element = DataElement<InMemDicomObject>;

pub fn item(elements: Vec<Element>) -> InMemDicomObject {
    InMemDicomObject::from_element_iter(elements)
}

pub fn sequence(tag: Tag, items: Vec<InMemDicomObject>) -> Element {
    DataElement::new(tag, VR::SQ, Value::from(DataSetSequence::from(items)))
}

/// A sequence of one item.
pub fn group(tag: Tag, elements: Vec<Element>) -> Element {
    sequence(tag, vec![item(elements)])
}

pub fn text(tag: Tag, vr: VR, value: &str) -> Element {
    DataElement::new(tag, vr, PrimitiveValue::from(value))
}

pub fn word(tag: Tag, value: u16) -> Element {
    DataElement::new(tag, VR::US, dicom_value!(U16, [value]))
}

/// The elements that describe grey pixels: `size` is columns and rows, `bits` how many are
/// allocated and how many stored.
pub fn grey_pixels(
    [columns, rows]: [u16; 2],
    [allocated, stored]: [u16; 2],
    is_signed: bool,
) -> Vec<Element> {
    let words = [
        (tags::ROWS, rows),
        (tags::COLUMNS, columns),
        (tags::SAMPLES_PER_PIXEL, 1),
        (tags::BITS_ALLOCATED, allocated),
        (tags::BITS_STORED, stored),
        (tags::HIGH_BIT, stored - 1),
        (tags::PIXEL_REPRESENTATION, u16::from(is_signed)),
    ];
    words.into_iter().map(|(tag, value)| word(tag, value)).collect()
}

pub fn put_all(object: &mut InMemDicomObject, elements: Vec<Element>) {
    for element in elements {
        object.put(element);
    }
}

/// Writes an object as explicit VR little endian.
pub fn write(object: InMemDicomObject, path: &Path) {
    write_as(uids::EXPLICIT_VR_LITTLE_ENDIAN, object, path);
}

pub fn write_as(syntax: &str, object: InMemDicomObject, path: &Path) {
    let meta = FileMetaTableBuilder::new().transfer_syntax(syntax);
    object.with_meta(meta).unwrap().write_to_file(path).unwrap();
}

/// All files below a folder, scanned.
pub fn scanned(folder: &Path) -> Scan {
    scan(&files_below(folder).unwrap(), &|| ()).unwrap()
}
