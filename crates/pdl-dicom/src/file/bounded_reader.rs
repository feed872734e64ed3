//! A decoder of data sets that takes no more memory than the file can fill.
//!
//! dicom-parser reserves what an element declares before it reads, builds a text for every
//! backslash, and calls itself for every nested sequence. This decoder wraps it: it refuses lengths
//! beyond the end of the source, excessively nested sequences and more items than the file's size
//! allows; it reads every text undivided, in the declared character sets; and it skips sequences of
//! unknown representation (UN of undefined length), whose content is implicit whatever the transfer
//! syntax (PS3.5, 6.2.2), which dicom-parser reads as explicit.

use std::io::{Empty, Read, Seek, Write, empty};

use dicom_core::header::{DataElementHeader, Length, SequenceItemHeader};
use dicom_core::{PrimitiveValue, Tag, VR};
use dicom_dictionary_std::tags;
use dicom_encoding::TransferSyntax;
use dicom_parser::stateful::decode::{Error, Result};
use dicom_parser::{DynStatefulDecoder, StatefulDecode};
use pdl_store::memory::{MemoryError, MemoryShare};

use crate::file::charset::CharacterSet;

const ITEM: Tag = Tag(0xFFFE, 0xE000);
const END_OF_ITEM: Tag = Tag(0xFFFE, 0xE00D);
const END_OF_SEQUENCE: Tag = Tag(0xFFFE, 0xE0DD);

/// Sequences and items inside each other; reports and functional groups stay below 20.
const DEEPEST: usize = 128;
/// About what an item with one element takes in memory, bytes.
const ITEM_BYTES: u64 = 1536;
/// Memory of items: this many times the source's size, plus as many bytes.
const ITEMS_RATIO: u64 = 16;
const ITEMS_ALLOWED: u64 = 64 << 20;
/// Approximate memory of an element without its value, in bytes.
const ELEMENT_BYTES: u64 = 256;
/// Memory is reserved in steps of this many bytes, so that small files reserve none.
const STEP: u64 = 1 << 20;

/// The shortest header of an element, bytes.
const HEADER_BYTES: u64 = 8;

/// Decodes a source of known size.
pub(crate) struct Bounded<'a, R> {
    inner: DynStatefulDecoder<R>,
    /// A decoder whose source has ended: the end of the data set as dicom-parser knows it.
    end: DynStatefulDecoder<Empty>,
    /// Bytes of the source.
    size: u64,
    open: Vec<Open>,
    /// Character sets of the innermost item that declares some.
    character_set: CharacterSet,
    items: u64,
    memory: &'a MemoryShare<'a>,
    /// Bytes that are in use and not yet reserved.
    unasked: u64,
    /// The element of the data set itself at which to stop.
    until: Option<Tag>,
    /// Why it was refused, when that was here.
    refusal: Option<Refusal>,
}

/// An open sequence or item.
struct Open {
    /// Where it ends; `None` if a delimiter closes it.
    end: Option<u64>,
    /// The character set that applies after it.
    character_set: CharacterSet,
}

/// Why a data set was not decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// An element declares more bytes than are left.
    Length { tag: Tag, declared: u64, left: u64 },
    /// Sequences inside sequences.
    Depth,
    /// More items than a file of its size holds.
    Items,
    /// More memory than there is.
    Memory(MemoryError),
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Length { tag, declared, left } => {
                write!(f, "its element {tag} declares {declared} bytes, {left} are left")
            }
            Self::Depth => write!(f, "its sequences are nested more than {DEEPEST} deep"),
            Self::Items => write!(f, "it declares more items than a file of its size can hold"),
            Self::Memory(error) => write!(f, "{error}"),
        }
    }
}

impl<'a, R: Read> Bounded<'a, R> {
    /// Reads all elements before `until` of `source`, which holds at most `size` bytes.
    pub(crate) fn new(
        source: R,
        size: u64,
        syntax: &TransferSyntax,
        until: Option<Tag>,
        memory: &'a MemoryShare<'a>,
    ) -> Result<Self> {
        Ok(Self {
            inner: DynStatefulDecoder::new_with_ts(source, syntax, 0)?,
            end: DynStatefulDecoder::new_with_ts(empty(), syntax, 0)?,
            size,
            open: Vec::new(),
            character_set: CharacterSet::default(),
            items: 0,
            memory,
            unasked: 0,
            until,
            refusal: None,
        })
    }

    pub(crate) fn refusal(&self) -> Option<Refusal> {
        self.refusal
    }

    fn refuse<T>(&mut self, refusal: Refusal) -> Result<T> {
        self.refusal.get_or_insert(refusal);
        Err(malformed())
    }

    /// Checks a length against the rest of the source.
    fn check(&mut self, tag: Tag, length: Length) -> Result<()> {
        let left = self.size.saturating_sub(self.inner.position());
        match length.get() {
            Some(declared) if u64::from(declared) > left => {
                self.refuse(Refusal::Length { tag, declared: u64::from(declared), left })
            }
            _ => Ok(()),
        }
    }

    /// Checks a value that is about to be read, and counts its memory.
    fn check_value(&mut self, tag: Tag, length: Length) -> Result<()> {
        self.check(tag, length)?;
        self.count(ELEMENT_BYTES + u64::from(length.get().unwrap_or(0)))
    }

    fn count(&mut self, bytes: u64) -> Result<()> {
        self.unasked += bytes;
        if self.unasked < STEP {
            return Ok(());
        }
        match self.memory.take(std::mem::take(&mut self.unasked)) {
            Ok(()) => Ok(()),
            Err(error) => self.refuse(Refusal::Memory(error)),
        }
    }

    /// Whether zeros follow the last element, too few for another one: they fill the file up.
    fn ends_in_zeros(&mut self) -> Result<bool> {
        let left = self.size.saturating_sub(self.inner.position());
        if !(1..HEADER_BYTES).contains(&left) {
            return Ok(false);
        }
        let mut rest = Vec::with_capacity(HEADER_BYTES as usize);
        self.inner.read_to_vec(left as u32, &mut rest)?;
        if rest.iter().all(|byte| *byte == 0) { Ok(true) } else { Err(malformed()) }
    }

    fn enter(&mut self, length: Length) -> Result<()> {
        let end = length.get().map(|length| self.inner.position() + u64::from(length));
        self.open.push(Open { end, character_set: self.character_set });
        if self.open.len() > DEEPEST { self.refuse(Refusal::Depth) } else { Ok(()) }
    }

    fn leave(&mut self) {
        if let Some(open) = self.open.pop() {
            self.character_set = open.character_set;
        }
    }

    /// Leaves what ended by its own length.
    fn leave_ended(&mut self) {
        let here = self.inner.position();
        while self.open.last().is_some_and(|open| open.end.is_some_and(|end| end <= here)) {
            self.leave();
        }
    }

    /// A text, undivided.
    fn read_text(&mut self, tag: Tag, length: u32) -> Result<PrimitiveValue> {
        let mut bytes = Vec::with_capacity(length as usize);
        self.inner.read_to_vec(length, &mut bytes)?;
        if bytes.len() < length as usize {
            let left = bytes.len() as u64; // the file breaks off
            return self.refuse(Refusal::Length { tag, declared: u64::from(length), left });
        }
        let text = self.character_set.decode(bytes);
        if tag == tags::SPECIFIC_CHARACTER_SET {
            self.character_set = CharacterSet::declared(&text);
        }
        Ok(PrimitiveValue::Str(text))
    }

    /// Skips the items of a sequence of undefined length in implicit VR little endian.
    fn pass_over(&mut self) -> Result<()> {
        // For every open sequence and item whether it is an item.
        let mut open = vec![false];
        while let Some(in_item) = open.last().copied() {
            let mut word = Vec::with_capacity(8);
            self.inner.read_to_vec(8, &mut word)?;
            let Some(word) = word.first_chunk::<8>() else {
                let left = word.len() as u64; // the file breaks off
                return self.refuse(Refusal::Length { tag: END_OF_SEQUENCE, declared: 8, left });
            };
            let number = |at: usize| u16::from_le_bytes([word[at], word[at + 1]]);
            let tag = Tag(number(0), number(2));
            let length = Length(u32::from(number(4)) | u32::from(number(6)) << 16);
            match tag {
                END_OF_ITEM | END_OF_SEQUENCE => {
                    open.pop();
                }
                _ => match length.get() {
                    Some(bytes) => {
                        self.check(tag, length)?;
                        self.inner.read_to(bytes, std::io::sink())?;
                    }
                    None => open.push(!in_item),
                },
            }
            if open.len() > DEEPEST {
                return self.refuse(Refusal::Depth);
            }
        }
        Ok(())
    }
}

/// An error of dicom-parser that can be made here; its text is not shown.
fn malformed() -> Error {
    Error::AllocateValueData { len: u32::MAX }
}

/// Whether an element is none, but zeros that fill the file up.
fn is_padding(header: &DataElementHeader) -> bool {
    header.tag == Tag(0, 0) && header.len == Length(0)
}

/// Whether values of this kind are text.
fn is_text(vr: VR) -> bool {
    use VR::{AE, AS, CS, DA, DS, DT, IS, LO, LT, PN, SH, ST, TM, UC, UI, UR, UT};
    matches!(vr, AE | AS | CS | DA | DS | DT | IS | LO | LT | PN | SH | ST | TM | UC | UI | UR | UT)
}

impl<R: Read> StatefulDecode for Bounded<'_, R> {
    type Reader = R;

    fn decode_header(&mut self) -> Result<DataElementHeader> {
        loop {
            self.leave_ended();
            if self.open.is_empty() && self.ends_in_zeros()? {
                return self.end.decode_header();
            }
            let header = self.inner.decode_header()?;
            let is_last = self.until.is_some_and(|until| until <= header.tag);
            if self.open.is_empty() && (is_last || is_padding(&header)) {
                return self.end.decode_header();
            }
            if header.vr == VR::UN && header.len.is_undefined() {
                self.pass_over()?;
                continue;
            }
            self.check(header.tag, header.len)?;
            if header.tag == END_OF_ITEM {
                self.leave();
            } else if header.vr == VR::SQ || header.len.is_undefined() {
                self.enter(header.len)?;
            }
            return Ok(header);
        }
    }

    fn decode_item_header(&mut self) -> Result<SequenceItemHeader> {
        self.leave_ended();
        let header = self.inner.decode_item_header()?;
        match header {
            SequenceItemHeader::Item { len } => {
                self.check(ITEM, len)?;
                self.enter(len)?;
                self.items += 1;
                if self.items * ITEM_BYTES
                    > self.size.saturating_mul(ITEMS_RATIO).saturating_add(ITEMS_ALLOWED)
                {
                    return self.refuse(Refusal::Items);
                }
                self.count(ITEM_BYTES)?;
            }
            SequenceItemHeader::ItemDelimiter | SequenceItemHeader::SequenceDelimiter => self.leave(),
        }
        Ok(header)
    }

    fn read_value(&mut self, header: &DataElementHeader) -> Result<PrimitiveValue> {
        self.read_value_preserved(header)
    }

    fn read_value_preserved(&mut self, header: &DataElementHeader) -> Result<PrimitiveValue> {
        self.check_value(header.tag, header.len)?;
        match header.len.get() {
            Some(length) if is_text(header.vr) => self.read_text(header.tag, length),
            _ => self.inner.read_value_preserved(header),
        }
    }

    fn read_value_bytes(&mut self, header: &DataElementHeader) -> Result<PrimitiveValue> {
        self.check_value(header.tag, header.len)?;
        self.inner.read_value_bytes(header)
    }

    fn read_to_vec(&mut self, length: u32, vec: &mut Vec<u8>) -> Result<()> {
        self.check_value(ITEM, Length(length))?;
        self.inner.read_to_vec(length, vec)
    }

    fn read_u32_to_vec(&mut self, length: u32, vec: &mut Vec<u32>) -> Result<()> {
        self.check_value(ITEM, Length(length))?;
        self.inner.read_u32_to_vec(length, vec)
    }

    fn read_to<W: Write>(&mut self, length: u32, out: W) -> Result<()> {
        self.inner.read_to(length, out)
    }

    fn skip_bytes(&mut self, length: u32) -> Result<()> {
        self.inner.skip_bytes(length)
    }

    fn seek(&mut self, position: u64) -> Result<()>
    where
        R: Seek,
    {
        self.inner.seek(position)
    }

    fn position(&self) -> u64 {
        self.inner.position()
    }
}
