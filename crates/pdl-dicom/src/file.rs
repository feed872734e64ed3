//! Opens DICOM files, also those without preamble or file meta group.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use dicom_core::Tag;
use dicom_dictionary_std::{tags, uids};
use dicom_encoding::TransferSyntaxIndex;
use dicom_object::file::ReadPreamble;
use dicom_object::{DefaultDicomObject, FileMetaTableBuilder, InMemDicomObject, OpenFileOptions};
use dicom_transfer_syntax_registry::TransferSyntaxRegistry;

use crate::DicomError;

/// Bytes that tell a DICOM file: preamble and "DICM", or the first element of a bare data set.
const PROBE: usize = 132;

/// How much of a file is read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Everything before the pixels.
    Header,
    /// Everything.
    Whole,
}

enum Start {
    Preamble,
    Meta,
    DataSet { explicit: bool },
}

/// Opens a file.
///
/// # Errors
/// [`DicomError::Io`], [`DicomError::NotDicom`] when its first bytes are none of DICOM's,
/// [`DicomError::Damaged`] when it breaks off before the pixels.
pub(crate) fn open(path: &Path, extent: Extent) -> Result<DefaultDicomObject, DicomError> {
    let io = |source| DicomError::Io { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(io)?;
    let mut first = Vec::with_capacity(PROBE);
    file.by_ref().take(PROBE as u64).read_to_end(&mut first).map_err(io)?;
    let start = start_of(&first).ok_or_else(|| DicomError::NotDicom { path: path.to_owned() })?;
    file.seek(SeekFrom::Start(0)).map_err(io)?;
    let source = BufReader::new(file);
    let broken = || DicomError::damaged(path, "its data set is malformed or cut short");
    match start {
        Start::Preamble => options(extent, ReadPreamble::Always).from_reader(source).map_err(|_| broken()),
        Start::Meta => options(extent, ReadPreamble::Never).from_reader(source).map_err(|_| broken()),
        Start::DataSet { explicit } => bare(source, explicit).ok_or_else(broken),
    }
}

/// Whether a file can be opened and begins as DICOM files do.
pub(crate) fn is_dicom(path: &Path) -> bool {
    let mut first = Vec::with_capacity(PROBE);
    let read = File::open(path).and_then(|file| file.take(PROBE as u64).read_to_end(&mut first));
    read.is_ok() && start_of(&first).is_some()
}

fn options(extent: Extent, preamble: ReadPreamble) -> OpenFileOptions {
    let options = OpenFileOptions::new().read_preamble(preamble);
    match extent {
        Extent::Header => options.read_until(tags::PIXEL_DATA),
        Extent::Whole => options,
    }
}

fn start_of(bytes: &[u8]) -> Option<Start> {
    if bytes.get(128..132) == Some(b"DICM") {
        return Some(Start::Preamble);
    }
    let first = bytes.get(..8)?;
    let group = u16::from_le_bytes([first[0], first[1]]);
    let element = u16::from_le_bytes([first[2], first[3]]);
    let explicit = first[4].is_ascii_uppercase() && first[5].is_ascii_uppercase();
    match (group, element) {
        (0x0002, 0x0000..=0x0010) if explicit => Some(Start::Meta),
        (0x0008, 0x0000..=0x0020) => Some(Start::DataSet { explicit }),
        _ => None,
    }
}

/// A data set without a file meta group: little endian, by its first element with or without VRs.
fn bare(source: impl Read, explicit: bool) -> Option<DefaultDicomObject> {
    let syntax = if explicit { uids::EXPLICIT_VR_LITTLE_ENDIAN } else { uids::IMPLICIT_VR_LITTLE_ENDIAN };
    let registered = TransferSyntaxRegistry.get(syntax)?;
    let object = InMemDicomObject::read_dataset_with_ts(source, registered).ok()?;
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax(syntax)
        .media_storage_sop_class_uid(text(&object, tags::SOP_CLASS_UID))
        .media_storage_sop_instance_uid(text(&object, tags::SOP_INSTANCE_UID))
        .build()
        .ok()?;
    Some(object.with_exact_meta(meta))
}

/// An attribute's text without padding; empty when it is absent.
pub(crate) fn text(object: &InMemDicomObject, tag: Tag) -> String {
    let value = object.get(tag).and_then(|element| element.to_str().ok());
    value.map(|text| text.trim_matches([' ', '\0']).to_owned()).unwrap_or_default()
}

/// An attribute's numbers; empty when it is absent or holds none.
pub(crate) fn numbers(object: &InMemDicomObject, tag: Tag) -> Vec<f64> {
    object.get(tag).and_then(|element| element.to_multi_float64().ok()).unwrap_or_default()
}

/// An attribute's first number.
pub(crate) fn number(object: &InMemDicomObject, tag: Tag) -> Option<f64> {
    numbers(object, tag).first().copied()
}

/// Exactly N finite numbers.
pub(crate) fn exactly<const N: usize>(object: &InMemDicomObject, tag: Tag) -> Option<[f64; N]> {
    let found: [f64; N] = numbers(object, tag).try_into().ok()?;
    found.iter().all(|v| v.is_finite()).then_some(found)
}

/// The items of a sequence; none when it is absent.
pub(crate) fn items(object: &InMemDicomObject, tag: Tag) -> &[InMemDicomObject] {
    object.get(tag).and_then(|element| element.items()).unwrap_or_default()
}
