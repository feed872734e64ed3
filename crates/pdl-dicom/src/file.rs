//! Opens DICOM files, also those without preamble or file meta group.

pub(crate) mod bounded_reader;
pub(crate) mod charset;
pub(crate) mod date_time;
pub(crate) mod file_tree;
pub(crate) mod functional_groups;
pub(crate) mod private_attributes;

use std::io::{self, BufRead, BufReader, Cursor, ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

use dicom_core::{PrimitiveValue, Tag};
use dicom_dictionary_std::{tags, uids};
use dicom_encoding::transfer_syntax::{Codec, TransferSyntax, TransferSyntaxIndex};
use dicom_object::{DefaultDicomObject, FileMetaTableBuilder, InMemDicomObject};
use dicom_transfer_syntax_registry::TransferSyntaxRegistry;
use pdl_store::fault::{self, ReadFault, Watched};
use pdl_store::file_state::FileState;
use pdl_store::magic;
use pdl_store::memory::{MemoryShare, reserve};
use pdl_store::regular_file;

use crate::DicomError;
use crate::file::bounded_reader::{Bounded, Refusal};

/// Bytes that identify a DICOM file: preamble and "DICM", or the first element of a bare data set.
const PROBE: usize = 132;
/// Bytes of a deflated data set for which there is room at first.
const FIRST_INFLATED: usize = 1 << 13;
/// Bytes before the file meta group where there is a preamble.
const PREAMBLE: u64 = 132;

/// Retired, and still in archives.
const EXPLICIT_VR_BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";

/// How much of a file is read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Everything before the pixels.
    Header,
    /// Everything.
    Whole,
}

/// Opens a file, whose memory is reserved from a share.
///
/// # Errors
/// [`DicomError::Io`], [`DicomError::NotDicom`] if its first bytes are not those of a DICOM file,
/// [`DicomError::Damaged`] if it breaks off before the pixels or declares more than it holds,
/// [`DicomError::Memory`] if it needs more than the share allows.
pub(crate) fn open(
    path: &Path,
    extent: Extent,
    memory: &MemoryShare<'_>,
) -> Result<DefaultDicomObject, DicomError> {
    open_in_state(path, extent, memory).map(|(object, _)| object)
}

/// Like [`open`], with the state of the file before it was read.
pub(crate) fn open_in_state(
    path: &Path,
    extent: Extent,
    memory: &MemoryShare<'_>,
) -> Result<(DefaultDicomObject, FileState), DicomError> {
    fault::retried(|| {
        let (fault, memory) = (ReadFault::default(), memory.part());
        let opened = open_once(path, extent, &fault, &memory);
        // If a read failed, that is the cause of any error of the decoders.
        if let Some(source) = fault.take() {
            return Err(DicomError::Io { path: path.to_owned(), source });
        }
        let opened = opened?;
        memory.keep(); // what a try holds that failed is given back
        Ok(opened)
    })
}

fn open_once(
    path: &Path,
    extent: Extent,
    fault: &ReadFault,
    memory: &MemoryShare<'_>,
) -> Result<(DefaultDicomObject, FileState), DicomError> {
    let io = |source| DicomError::Io { path: path.to_owned(), source };
    let damaged = |problem: &str| DicomError::damaged(path, problem);
    let file = regular_file::open(path).map_err(io)?;
    let (state, meta) = FileState::before_reading(&file).map_err(io)?;
    if meta.is_dir() {
        return Err(io(ErrorKind::IsADirectory.into()));
    }
    let mut file = Watched::new(file, fault);
    let mut first = Vec::with_capacity(PROBE);
    file.by_ref().take(PROBE as u64).read_to_end(&mut first).map_err(io)?;
    let Some(start) = start_of(&first) else {
        file.by_ref().take((magic::PROBE - PROBE) as u64).read_to_end(&mut first).map_err(io)?;
        return Err(DicomError::NotDicom { path: path.to_owned(), kind: magic::kind(&first) });
    };
    file.seek(SeekFrom::Start(start)).map_err(io)?;
    let mut source = BufReader::new(file);
    let uid = transfer_syntax(&mut source).ok_or_else(|| damaged("its file meta group is truncated"))?;
    let uid = match uid {
        Some(uid) => uid,
        // Files that name none are read if their first element shows their encoding.
        None => syntax_of(&peek(&mut source).map_err(io)?)
            .ok_or_else(|| damaged("it names no transfer syntax, and its first element does not show it"))?
            .to_owned(),
    };
    let Some(syntax) = TransferSyntaxRegistry.get(&uid) else {
        return Err(DicomError::unsupported(path, "its transfer syntax is unknown"));
    };
    let left = state.size.saturating_sub(source.stream_position().map_err(io)?);
    let object = match syntax.codec() {
        Codec::Dataset(Some(adapter)) => {
            // Inflated first: only then is it known how much an element can hold.
            let part = memory.part();
            let plain = inflated(path, adapter.adapt_reader(Box::new(source)), &part)?;
            let size = plain.len() as u64;
            decode(path, Cursor::new(plain), size, syntax, extent, memory)?
        }
        Codec::Dataset(None) => {
            return Err(DicomError::unsupported(path, "no codec for its transfer syntax"));
        }
        Codec::None | Codec::EncapsulatedPixelData(..) => {
            // Some writers name an explicit syntax and write without representations, which the
            // first element shows.
            let shown = syntax_of(&peek(&mut source).map_err(io)?)
                .filter(|uid| *uid == uids::IMPLICIT_VR_LITTLE_ENDIAN);
            let written = shown.and_then(|uid| TransferSyntaxRegistry.get(uid)).unwrap_or(syntax);
            decode(path, source, left, written, extent, memory)?
        }
    };
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax(&uid)
        .media_storage_sop_class_uid(text(&object, tags::SOP_CLASS_UID))
        .media_storage_sop_instance_uid(text(&object, tags::SOP_INSTANCE_UID))
        .build()
        .map_err(|_| damaged("its file meta group cannot be"))?;
    Ok((object.with_exact_meta(meta), state))
}

/// All that a stream holds. Memory grows with what is there, twofold each time.
fn inflated(path: &Path, mut stream: impl Read, memory: &MemoryShare<'_>) -> Result<Vec<u8>, DicomError> {
    let no_memory = DicomError::no_memory(path);
    let mut plain: Vec<u8> = Vec::new();
    loop {
        let more = plain.len().max(FIRST_INFLATED);
        memory.take(more as u64).map_err(&no_memory)?;
        reserve(&mut plain, more).map_err(&no_memory)?;
        let read = stream.by_ref().take(more as u64).read_to_end(&mut plain);
        let read =
            read.map_err(|_| DicomError::damaged(path, "its deflated data set is malformed or truncated"))?;
        if read < more {
            return Ok(plain);
        }
    }
}

fn decode(
    path: &Path,
    source: impl Read,
    size: u64,
    syntax: &TransferSyntax,
    extent: Extent,
    memory: &MemoryShare<'_>,
) -> Result<InMemDicomObject, DicomError> {
    // The first of the elements that can hold pixels.
    let until = (extent == Extent::Header).then_some(tags::FLOAT_PIXEL_DATA);
    let malformed = || DicomError::damaged(path, "its data set is malformed or truncated");
    let mut decoder = Bounded::new(source, size, syntax, until, memory).map_err(|_| malformed())?;
    let object = InMemDicomObject::read_dataset(&mut decoder);
    match (object, decoder.refusal()) {
        (Ok(object), None) => Ok(object),
        (
            _,
            Some(Refusal::Length {
                tag: tags::PIXEL_DATA | tags::FLOAT_PIXEL_DATA | tags::DOUBLE_FLOAT_PIXEL_DATA,
                declared,
                left,
            }),
        ) => Err(DicomError::Truncated { path: path.to_owned(), declared, held: left }),
        (_, Some(Refusal::Memory(source))) => Err(DicomError::Memory { path: path.to_owned(), source }),
        (_, Some(refusal)) => Err(DicomError::damaged(path, refusal.to_string())),
        (Err(_), None) => Err(malformed()),
    }
}

/// Whether a file can be opened and begins like a DICOM file.
///
/// # Errors
/// Errors of the machine if it cannot be read.
pub(crate) fn is_dicom(path: &Path) -> io::Result<bool> {
    let first = fault::retried(|| {
        let mut first = Vec::with_capacity(PROBE);
        regular_file::open(path)?.take(PROBE as u64).read_to_end(&mut first)?;
        Ok(first)
    });
    match first {
        Err(error) if fault::is_machine_error(&error) => Err(error),
        first => Ok(first.is_ok_and(|first| start_of(&first).is_some())),
    }
}

/// Offset of the file meta group in bytes, or of the data set if there is none.
fn start_of(bytes: &[u8]) -> Option<u64> {
    if bytes.get(128..132) == Some(b"DICM") {
        return Some(PREAMBLE);
    }
    let explicit = bytes.get(4..6)?.iter().all(u8::is_ascii_uppercase);
    match bytes.get(..4)? {
        [0x02, 0x00, 0x00..=0x10, 0x00] if explicit => Some(0),
        [0x08, 0x00, 0x00..=0x20, 0x00] => Some(0),
        [0x00, 0x08, 0x00, 0x00..=0x20] if explicit => Some(0),
        _ => None,
    }
}

/// The transfer syntax that a data set shows by its first element.
fn syntax_of(bytes: &[u8]) -> Option<&'static str> {
    let explicit = bytes.get(4..6)?.iter().all(u8::is_ascii_uppercase);
    match (bytes.get(..2)?, explicit) {
        ([0x00, 0x08], true) => Some(EXPLICIT_VR_BIG_ENDIAN),
        ([_, 0x00], true) => Some(uids::EXPLICIT_VR_LITTLE_ENDIAN),
        ([_, 0x00], false) => Some(uids::IMPLICIT_VR_LITTLE_ENDIAN),
        _ => None,
    }
}

/// Reads the file meta group (0002,xxxx), explicit VR little endian, whether it states its length
/// or not. Gives the transfer syntax, or inner `None` if the group names none or is not there;
/// `None` if it breaks off.
fn transfer_syntax(source: &mut BufReader<impl Read + Seek>) -> Option<Option<String>> {
    let mut found = None;
    loop {
        let header = peek(source).ok()?;
        let [0x02, 0x00, element, group_high, a, b, low, high] = header[..] else { return Some(found) };
        source.seek_relative(8).ok()?;
        let long =
            matches!(&[a, b], b"OB" | b"OW" | b"UN" | b"UT" | b"SQ" | b"OF" | b"OD" | b"OL" | b"UC" | b"UR");
        let length = if long {
            let mut length = [0; 4];
            source.read_exact(&mut length).ok()?;
            u64::from(u32::from_le_bytes(length))
        } else {
            u64::from(u16::from_le_bytes([low, high]))
        };
        let mut value = Vec::new();
        if (element, group_high) == (0x10, 0x00) {
            source.by_ref().take(length.min(64)).read_to_end(&mut value).ok()?;
            found = Some(String::from_utf8_lossy(&value).trim_matches(['\0', ' ']).to_owned());
        }
        skip(source, length - value.len() as u64)?;
    }
}

/// Skips `bytes` bytes; `None` if the file ends before.
fn skip(source: &mut BufReader<impl Read>, bytes: u64) -> Option<()> {
    match usize::try_from(bytes) {
        Ok(count) if count <= source.buffer().len() => source.consume(count),
        _ => {
            let skipped = io::copy(&mut source.by_ref().take(bytes), &mut io::sink()).ok()?;
            return (skipped == bytes).then_some(());
        }
    }
    Some(())
}

/// The next eight bytes, or fewer at the end, without going on.
fn peek(source: &mut BufReader<impl Read + Seek>) -> io::Result<Vec<u8>> {
    if let Some(next) = source.buffer().first_chunk::<8>() {
        return Ok(next.to_vec());
    }
    let mut bytes = Vec::with_capacity(8);
    source.by_ref().take(8).read_to_end(&mut bytes)?;
    source.seek_relative(-(bytes.len() as i64))?;
    Ok(bytes)
}

/// An attribute's text without padding; empty when it is absent.
pub(crate) fn text(object: &InMemDicomObject, tag: Tag) -> String {
    let value = object.get(tag).and_then(|element| element.to_str().ok());
    value.map(|text| text.trim_matches([' ', '\0']).to_owned()).unwrap_or_default()
}

/// An attribute's numbers; empty when it is absent or holds none.
pub(crate) fn numbers(object: &InMemDicomObject, tag: Tag) -> Vec<f64> {
    let Some(value) = object.get(tag).and_then(|element| element.value().primitive()) else {
        return Vec::new();
    };
    match value {
        // Texts are kept undivided.
        PrimitiveValue::Str(text) => {
            let parts = text.split('\\').map(|part| part.trim_matches([' ', '\0']));
            parts.map(|part| part.parse::<f64>().ok()).collect::<Option<_>>().unwrap_or_default()
        }
        other => other.to_multi_float64().unwrap_or_default(),
    }
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
