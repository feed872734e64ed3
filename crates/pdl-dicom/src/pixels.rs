//! Stored pixels of one file, frame by frame, whatever their transfer syntax.

pub(crate) mod codestream;
pub(crate) mod fragments;
pub(crate) mod jpeg_12;
pub(crate) mod pet;
pub(crate) mod pet_mapping;
pub(crate) mod pet_unit;

use std::borrow::Cow;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use dicom_core::value::Value;
use dicom_core::{PrimitiveValue, Tag};
use dicom_dictionary_std::{tags, uids};
use dicom_encoding::TransferSyntaxIndex;
use dicom_object::{DefaultDicomObject, InMemDicomObject};
use dicom_transfer_syntax_registry::TransferSyntaxRegistry;
use flate2::read::DeflateDecoder;
use pdl_store::catch_panic::quietly;
use pdl_store::memory::MemoryShare;

use crate::DicomError;
use crate::file::{Extent, number, open, text};
use crate::pixels::fragments::OneFrame;

/// Maximum compression ratio of codecs for real images: a header that declares more pixels is
/// refused before memory is allocated for them.
const LARGEST_RATIO: u64 = 4096;
/// Maximum ratio of run-length encoding: two bytes encode at most 128.
const LARGEST_RLE_RATIO: u64 = 64;
/// Deflate (zlib's own figure).
const LARGEST_DEFLATE_RATIO: u64 = 1032;

/// A file that cannot hold the pixels that it declares.
#[derive(Clone, Debug)]
pub(crate) struct TruncatedPixels {
    path: PathBuf,
    declared: u64,
    held: u64,
}

impl TruncatedPixels {
    /// From the header alone and the file's `size` on disk, bytes.
    pub(crate) fn of(path: &Path, object: &DefaultDicomObject, size: u64) -> Option<Self> {
        let whole = |tag, least: f64| number(object, tag).unwrap_or(least).max(least) as u64;
        let frames = whole(tags::NUMBER_OF_FRAMES, 1.0);
        let bytes = whole(tags::BITS_ALLOCATED, 8.0) / 8;
        let declared = [tags::ROWS, tags::COLUMNS, tags::SAMPLES_PER_PIXEL]
            .into_iter()
            .fold(frames.saturating_mul(bytes), |all, tag| all.saturating_mul(whole(tag, 1.0)));
        let held = size.saturating_mul(ratio(object.meta().transfer_syntax()));
        (declared > held).then(|| Self { path: path.to_owned(), declared, held })
    }

    pub(crate) fn error(&self) -> DicomError {
        DicomError::Truncated { path: self.path.clone(), declared: self.declared, held: self.held }
    }
}

/// Maximum number of bytes of pixels per byte of the file.
fn ratio(uid: &str) -> u64 {
    match uid {
        uids::RLE_LOSSLESS => LARGEST_RLE_RATIO,
        uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN | uids::DEFLATED_IMAGE_FRAME_COMPRESSION => {
            LARGEST_DEFLATE_RATIO
        }
        _ => match TransferSyntaxRegistry.get(uid) {
            Some(syntax) if !syntax.is_encapsulated_pixel_data() => 1,
            _ => LARGEST_RATIO,
        },
    }
}

/// Memory of the codecs per pixel of a frame, in bytes: two planes of 32 bits, and the output.
const CODEC_BYTES_A_PIXEL: u64 = 12;
/// And for each tile of a JPEG 2000 stream.
const CODEC_BYTES_A_TILE: u64 = 8 << 10;

/// The first group of overlays, and their bit in the pixels.
const OVERLAYS: u16 = 0x6000;
const OVERLAY_BIT_POSITION: u16 = 0x0102;

/// DICOM PS3.5, G.5.
const MOST_RLE_SEGMENTS: u32 = 15;

/// A file whose pixels can be read.
pub(crate) struct Pixels {
    path: PathBuf,
    object: DefaultDicomObject,
    /// The fragments of every frame of compressed pixels; `None` if not compressed.
    compressed: Option<Vec<Range<usize>>>,
    format: Format,
    /// Bytes of pixels beyond those that the header declares.
    excess: u64,
}

/// The pixels of one frame as they are stored.
pub(crate) struct Stored<'a> {
    /// The bytes of the frame, or of all frames if a pixel is a bit.
    bytes: Cow<'a, [u8]>,
    format: Format,
    /// Bits before those of the frame, where a pixel is a bit.
    skipped: usize,
}

/// How one pixel is stored.
#[derive(Clone, Copy)]
struct Format {
    /// Pixels of a frame.
    pixels: usize,
    columns: usize,
    frames: u32,
    bits_allocated: u32,
    bits_stored: u32,
    high_bit: u32,
    signed: bool,
    numbers: Numbers,
}

/// The number type of the pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Numbers {
    /// PixelData.
    Integer,
    /// FloatPixelData.
    Float32,
    /// DoubleFloatPixelData.
    Float64,
}

impl Numbers {
    const ALL: [Self; 3] = [Self::Integer, Self::Float32, Self::Float64];

    fn tag(self) -> Tag {
        match self {
            Self::Integer => tags::PIXEL_DATA,
            Self::Float32 => tags::FLOAT_PIXEL_DATA,
            Self::Float64 => tags::DOUBLE_FLOAT_PIXEL_DATA,
        }
    }

    /// Bits of a number; `None` if the header states them.
    fn bits(self) -> Option<f64> {
        match self {
            Self::Integer => None,
            Self::Float32 => Some(32.0),
            Self::Float64 => Some(64.0),
        }
    }

    /// The number type of an object; integers if it has no pixels.
    fn of(object: &InMemDicomObject) -> Self {
        Self::ALL.into_iter().find(|numbers| object.get(numbers.tag()).is_some()).unwrap_or(Self::Integer)
    }
}

impl Pixels {
    /// Opens a file and checks that its pixels are all there; the share has given the memory for
    /// it, and for decoding one frame at a time.
    pub(crate) fn open(path: &Path, memory: &MemoryShare<'_>) -> Result<Self, DicomError> {
        let object = open(path, Extent::Whole, memory)?;
        let format = Format::of(path, &object)?;
        let frames = || fragments::of_frames(&object, format.frames);
        let compressed = syntax_is_encapsulated(path, &object)?.then(frames).transpose();
        let compressed = compressed.map_err(|error| DicomError::damaged(path, error.to_string()))?;
        let mut pixels = Self { path: path.to_owned(), object, compressed, format, excess: 0 };
        pixels.excess = pixels.check_length()?;
        memory.take(pixels.decoding_bytes()).map_err(DicomError::no_memory(path))?;
        Ok(pixels)
    }

    /// Memory that decoding a frame takes.
    fn decoding_bytes(&self) -> u64 {
        let Some(frames) = &self.compressed else { return 0 };
        let frames = frames.iter().filter_map(|range| fragments::frame(&self.object, range));
        let tiles = frames.map(|frame| codestream::tiles(&frame)).max().unwrap_or(1);
        (self.format.pixels as u64)
            .saturating_mul(CODEC_BYTES_A_PIXEL)
            .saturating_add(tiles.saturating_mul(CODEC_BYTES_A_TILE))
    }

    /// The object, without another look at the file.
    pub(crate) fn object(&self) -> &DefaultDicomObject {
        &self.object
    }

    /// The pixels of a frame (from 0).
    pub(crate) fn frame(&self, number: u32) -> Result<Stored<'_>, DicomError> {
        let format = self.format;
        if number >= format.frames {
            return Err(DicomError::damaged(&self.path, "it lacks a frame that it describes"));
        }
        if let Some(range) = self.compressed.as_ref().and_then(|frames| frames.get(number as usize)) {
            return Ok(Stored { bytes: Cow::Owned(self.decoded(range)?), format, skipped: 0 });
        }
        let native = self.native()?;
        if format.bits_allocated == 1 {
            // Bits run on from frame to frame, the lowest of a byte first.
            return Ok(Stored { bytes: native, format, skipped: number as usize * format.pixels });
        }
        let length = format.frame_bytes();
        let range = number as usize * length..(number as usize + 1) * length;
        let bytes = match native {
            Cow::Borrowed(all) => Cow::Borrowed(&all[range]),
            Cow::Owned(all) => Cow::Owned(all[range].to_vec()),
        };
        Ok(Stored { bytes, format, skipped: 0 })
    }

    /// Bytes of pixels beyond those that the header declares, but for the one that makes a length
    /// even.
    pub(crate) fn excess(&self) -> u64 {
        self.excess
    }

    /// Bits of a pixel that the header states as stored.
    pub(crate) fn bits_stored(&self) -> u32 {
        self.format.bits_stored
    }

    /// Whether an overlay lies in bits of the pixels (retired, DICOM PS3.3, C.9.2).
    pub(crate) fn has_overlay_bits(&self) -> bool {
        (0..16).any(|n| {
            let position = number(&self.object, Tag(OVERLAYS + 2 * n, OVERLAY_BIT_POSITION));
            position.is_some_and(|position| position > 0.0)
        })
    }

    /// The error of a file whose pixels are not those of its header.
    pub(crate) fn contradicts(&self) -> DicomError {
        DicomError::damaged(&self.path, "its pixels are not those that its header describes")
    }

    /// Uncompressed pixels, little endian.
    fn native(&self) -> Result<Cow<'_, [u8]>, DicomError> {
        let element = self.object.get(self.format.numbers.tag());
        let element = element.ok_or_else(|| DicomError::damaged(&self.path, "it has no pixels"))?;
        match element.value() {
            Value::Primitive(PrimitiveValue::U8(bytes)) => Ok(Cow::Borrowed(bytes)),
            Value::Primitive(
                value @ (PrimitiveValue::U16(_)
                | PrimitiveValue::U32(_)
                | PrimitiveValue::F32(_)
                | PrimitiveValue::F64(_)),
            ) => Ok(little_endian(value)),
            _ => Err(DicomError::damaged(
                &self.path,
                "its pixels are not stored as its transfer syntax states",
            )),
        }
    }

    /// The compressed bytes of a frame.
    fn fragments(&self, range: &Range<usize>) -> Result<Cow<'_, [u8]>, DicomError> {
        let frame = fragments::frame(&self.object, range);
        frame.ok_or_else(|| DicomError::damaged(&self.path, "it lacks a frame that it describes"))
    }

    fn decoded(&self, range: &Range<usize>) -> Result<Vec<u8>, DicomError> {
        let frame = self.fragments(range)?;
        let expected = self.format.frame_bytes();
        let undecoded = || DicomError::damaged(&self.path, "its compressed pixels cannot be decoded");
        let uid = self.object.meta().transfer_syntax();
        let mut bytes = Vec::new();
        if uid == uids::DEFLATED_IMAGE_FRAME_COMPRESSION {
            // No more than the header declares: the codec decodes all that is present.
            let inflated = DeflateDecoder::new(&*frame).take(expected as u64).read_to_end(&mut bytes);
            return inflated.ok().filter(|count| *count == expected).map(|_| bytes).ok_or_else(undecoded);
        }
        if codestream::jpeg_header(&frame).is_some_and(|header| header.is_lossy_12()) {
            let decoded = jpeg_12::decode(&frame, self.format.pixels);
            return decoded.filter(|bytes| bytes.len() == expected).ok_or_else(undecoded);
        }
        let syntax = TransferSyntaxRegistry.get(uid);
        let Some(reader) = syntax.and_then(|syntax| syntax.pixel_data_reader()) else {
            return Err(DicomError::unsupported(&self.path, "no codec for its transfer syntax"));
        };
        // Codecs of other people meet damaged data here: a panic of theirs is this file's error, no
        // more.
        let one = OneFrame { object: &self.object, bytes: &frame };
        match quietly(|| reader.decode_frame(&one, 0, &mut bytes)) {
            Some(Ok(())) if bytes.len() >= expected => {
                bytes.truncate(expected);
                let narrow = codestream::jpeg_header(&frame).is_some_and(|header| header.precision <= 8);
                if narrow && self.format.bits_allocated == 16 {
                    widen(&mut bytes);
                }
                Ok(bytes)
            }
            _ => Err(undecoded()),
        }
    }

    /// Codecs take memory for the size that a stream declares, so it must be the header's.
    fn check_frame(&self, frame: &[u8]) -> Result<(), DicomError> {
        if self.object.meta().transfer_syntax() == uids::RLE_LOSSLESS {
            return self.check_segments(frame);
        }
        if let Some(problem) = codestream::jpeg_header(frame).and_then(|header| header.unread()) {
            return Err(DicomError::unsupported(&self.path, problem));
        }
        let expected = [self.format.columns, self.format.pixels / self.format.columns.max(1), 1];
        match codestream::size(frame) {
            Some(size) if size != expected => Err(DicomError::damaged(
                &self.path,
                format!(
                    "its compressed pixels are {} x {} x {}, its header says {} x {} x 1",
                    size[0], size[1], size[2], expected[0], expected[1]
                ),
            )),
            _ => Ok(()),
        }
    }

    /// A run-length coded frame begins with the number of its segments, at most 15 (DICOM PS3.5,
    /// G.5); the codec takes memory for as many as are declared.
    fn check_segments(&self, fragment: &[u8]) -> Result<(), DicomError> {
        let segments = fragment.first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
        match segments {
            Some(segments)
                if segments <= MOST_RLE_SEGMENTS && fragment.len() >= 4 + 4 * segments as usize =>
            {
                Ok(())
            }
            _ => Err(DicomError::damaged(&self.path, "its run-length coded frame has no header that can be")),
        }
    }

    /// Checks that the declared pixels are present; returns the number of bytes beyond them.
    fn check_length(&self) -> Result<u64, DicomError> {
        let format = self.format;
        let bits = format.pixels as u64 * u64::from(format.frames) * u64::from(format.bits_allocated);
        let declared = bits.div_ceil(8);
        let Some(frames) = &self.compressed else {
            let held = self.native()?.len() as u64;
            return match held.checked_sub(declared) {
                None => Err(DicomError::Truncated { path: self.path.clone(), declared, held }),
                Some(excess) => self.check_excess(excess, held, declared),
            };
        };
        let uid = self.object.meta().transfer_syntax();
        if ![1, 8, 16].contains(&format.bits_allocated) && uid != uids::DEFLATED_IMAGE_FRAME_COMPRESSION {
            let problem =
                format!("{} bits a pixel, compressed: no codec here reads them", format.bits_allocated);
            return Err(DicomError::unsupported(&self.path, problem));
        }
        let mut bytes = 0_u64;
        for range in frames {
            let frame = self.fragments(range)?;
            self.check_frame(&frame)?;
            bytes += frame.len() as u64;
        }
        let held = bytes.saturating_mul(ratio(uid));
        if held < declared {
            return Err(DicomError::Truncated { path: self.path.clone(), declared, held });
        }
        Ok(0)
    }

    /// Refuses pixels that are a whole number of frames more than declared: then the number of
    /// frames or the width of a pixel in the header is wrong. A byte that makes a length even is no
    /// excess.
    fn check_excess(&self, excess: u64, held: u64, declared: u64) -> Result<u64, DicomError> {
        let frame = self.format.frame_bytes() as u64;
        if self.format.bits_allocated < 8 || excess <= 1 {
            return Ok(0);
        }
        if frame > 1 && excess % frame <= 1 {
            let problem = format!(
                "it has {held} bytes of pixels and its header declares {declared}: the header is wrong about frames, \
                 rows, columns or bits per pixel"
            );
            return Err(DicomError::damaged(&self.path, problem));
        }
        Ok(excess)
    }
}

impl Format {
    fn of(path: &Path, object: &DefaultDicomObject) -> Result<Self, DicomError> {
        let whole = |tag, fallback: f64| number(object, tag).unwrap_or(fallback);
        let samples = whole(tags::SAMPLES_PER_PIXEL, 1.0);
        if samples != 1.0 {
            let problem = format!("{samples} samples a pixel: colours are no intensities");
            return Err(DicomError::unsupported(path, problem));
        }
        let bits_allocated = whole(tags::BITS_ALLOCATED, 0.0);
        let numbers = Numbers::of(object);
        if let Some(bits) = numbers.bits().filter(|bits| *bits != bits_allocated) {
            let problem = format!("its pixels are numbers of {bits} bits, its header says {bits_allocated}");
            return Err(DicomError::damaged(path, problem));
        }
        if numbers == Numbers::Integer && ![1.0, 8.0, 16.0, 32.0].contains(&bits_allocated) {
            let problem =
                format!("its header allocates {bits_allocated} bits a pixel: pdl reads 8, 16 and 32");
            return Err(DicomError::unsupported(path, problem));
        }
        let whole_number = |tag, fallback| match numbers {
            Numbers::Integer => whole(tag, fallback),
            Numbers::Float32 | Numbers::Float64 => fallback, // there all bits count
        };
        let bits_stored = whole_number(tags::BITS_STORED, bits_allocated);
        let high_bit = whole_number(tags::HIGH_BIT, bits_stored - 1.0);
        if bits_stored < 1.0 || high_bit + 1.0 < bits_stored || high_bit >= bits_allocated {
            return Err(DicomError::damaged(path, "its bits stored and high bit contradict each other"));
        }
        let side = |tag| whole(tag, 0.0).clamp(0.0, 65535.0) as usize;
        Ok(Self {
            pixels: side(tags::ROWS) * side(tags::COLUMNS),
            columns: side(tags::COLUMNS),
            frames: whole(tags::NUMBER_OF_FRAMES, 1.0).clamp(1.0, f64::from(u32::MAX)) as u32,
            bits_allocated: bits_allocated as u32,
            bits_stored: bits_stored as u32,
            high_bit: high_bit as u32,
            signed: whole(tags::PIXEL_REPRESENTATION, 0.0) == 1.0,
            numbers,
        })
    }

    fn frame_bytes(&self) -> usize {
        (self.pixels * self.bits_allocated as usize).div_ceil(8)
    }

    /// A pixel from its little-endian bytes: what lies beyond the stored bits is cut off, the sign
    /// spread.
    fn value(&self, bytes: &[u8]) -> i64 {
        self.value_of(bytes.iter().rev().fold(0, |sum: u64, byte| sum << 8 | u64::from(*byte)))
    }

    fn value_of(&self, raw: u64) -> i64 {
        let lowest = self.high_bit + 1 - self.bits_stored;
        let beyond = 64 - self.bits_stored;
        let top = raw >> lowest << beyond;
        if self.signed { top as i64 >> beyond } else { (top >> beyond) as i64 }
    }
}

impl Stored<'_> {
    /// The integers of some of its pixels, which count row by row, with their sign; `None` if it
    /// has fewer, or they are not integers.
    pub(crate) fn values(&self, pixels: Range<usize>) -> Option<impl Iterator<Item = i64>> {
        let format = self.format;
        if pixels.end > format.pixels || format.numbers != Numbers::Integer {
            return None;
        }
        let bits = format.bits_allocated as usize;
        let width = bits / 8;
        let value = move |pixel: usize| {
            if bits == 1 {
                let at = self.skipped + pixel;
                i64::from(self.bytes[at / 8] >> (at % 8) & 1)
            } else {
                format.value(&self.bytes[pixel * width..(pixel + 1) * width])
            }
        };
        Some(pixels.map(value))
    }

    /// Writes slope * stored + intercept of some of its pixels, which count row by row; `None` if
    /// it has fewer.
    pub(crate) fn scaled(
        &self,
        pixels: Range<usize>,
        [slope, intercept]: [f64; 2],
        to: &mut [f32],
    ) -> Option<()> {
        if pixels.end > self.format.pixels {
            return None;
        }
        match self.format.numbers {
            // Nearly all files: a fixed width is several times as fast.
            Numbers::Integer if self.format.bits_allocated == 16 => {
                let chunks = self.bytes.get(pixels.start * 2..pixels.end * 2)?.chunks_exact(2);
                for (voxel, value) in to.iter_mut().zip(chunks.filter_map(|chunk| chunk.first_chunk())) {
                    let value = self.format.value_of(u64::from(u16::from_le_bytes(*value)));
                    *voxel = (value as f64 * slope + intercept) as f32;
                }
            }
            Numbers::Integer => {
                for (voxel, value) in to.iter_mut().zip(self.values(pixels)?) {
                    *voxel = (value as f64 * slope + intercept) as f32;
                }
            }
            Numbers::Float32 => {
                let chunks = self.bytes.get(pixels.start * 4..pixels.end * 4)?.chunks_exact(4);
                for (voxel, value) in to.iter_mut().zip(chunks.filter_map(|chunk| chunk.first_chunk())) {
                    *voxel = (f64::from(f32::from_le_bytes(*value)) * slope + intercept) as f32;
                }
            }
            Numbers::Float64 => {
                let chunks = self.bytes.get(pixels.start * 8..pixels.end * 8)?.chunks_exact(8);
                for (voxel, value) in to.iter_mut().zip(chunks.filter_map(|chunk| chunk.first_chunk())) {
                    *voxel = (f64::from_le_bytes(*value) * slope + intercept) as f32;
                }
            }
        }
        Some(())
    }

    /// Whether a pixel of 16 bits has bits above the stored ones that do not repeat its sign.
    pub(crate) fn has_bits_beyond(&self) -> bool {
        let Format { bits_allocated: 16, high_bit, signed, numbers: Numbers::Integer, .. } = self.format
        else {
            return false;
        };
        let above = high_bit + 1;
        if above >= 16 {
            return false;
        }
        let is_odd = |pixel: &[u8]| {
            let word = u16::from_le_bytes([pixel[0], pixel[1]]);
            let spread = signed && word >> high_bit & 1 == 1 && word >> above == u16::MAX >> above;
            word >> above != 0 && !spread
        };
        // Without a branch for every pixel.
        self.bytes.chunks_exact(2).fold(false, |odd, pixel| odd | is_odd(pixel))
    }

    /// Number of pixels.
    pub(crate) fn len(&self) -> usize {
        self.format.pixels
    }
}

/// Widens the bytes of a codec to 16-bit words: 8-bit pixels of a file that allocates 16 bits. They
/// fill the first half.
fn widen(bytes: &mut [u8]) {
    for pixel in (0..bytes.len() / 2).rev() {
        bytes[2 * pixel] = bytes[pixel];
        bytes[2 * pixel + 1] = 0;
    }
}

/// The bytes of words, the lowest first; without a copy where the machine has them so.
fn little_endian(words: &PrimitiveValue) -> Cow<'_, [u8]> {
    if cfg!(target_endian = "little") {
        return words.to_bytes();
    }
    match words {
        PrimitiveValue::U16(words) => words.iter().flat_map(|w| w.to_le_bytes()).collect(),
        PrimitiveValue::U32(words) => words.iter().flat_map(|w| w.to_le_bytes()).collect(),
        PrimitiveValue::F32(numbers) => numbers.iter().flat_map(|v| v.to_le_bytes()).collect(),
        PrimitiveValue::F64(numbers) => numbers.iter().flat_map(|v| v.to_le_bytes()).collect(),
        other => other.to_bytes(),
    }
}

/// Stored data type of a pixel, such as "int16".
pub(crate) fn voxel_type(object: &DefaultDicomObject) -> String {
    if let Some(bits) = Numbers::of(object).bits() {
        return format!("float{bits}");
    }
    let bits = number(object, tags::BITS_ALLOCATED).unwrap_or(16.0);
    let signed = number(object, tags::PIXEL_REPRESENTATION) == Some(1.0);
    format!("{}int{bits}", if signed { "" } else { "u" })
}

/// Whether the pixels are compressed; an error when no codec here can read them.
fn syntax_is_encapsulated(path: &Path, object: &DefaultDicomObject) -> Result<bool, DicomError> {
    let uid = object.meta().transfer_syntax().trim_end_matches('\0');
    let Some(syntax) = TransferSyntaxRegistry.get(uid) else {
        return Err(DicomError::unsupported(path, "its transfer syntax is unknown"));
    };
    if !syntax.is_encapsulated_pixel_data() {
        return Ok(false);
    }
    if syntax.pixel_data_reader().is_some() {
        return Ok(true);
    }
    let problem = match uid {
        uids::JPEGLS_LOSSLESS | uids::JPEGLS_NEAR_LOSSLESS => {
            "its pixels are JPEG-LS: build pdl with the feature jpeg-ls (which needs cmake)".to_owned()
        }
        _ => format!("its pixels are compressed as {}, which pdl does not read", syntax.name()),
    };
    Err(DicomError::unsupported(path, problem))
}

/// Whether a file's photometric interpretation shows large values dark.
pub(crate) fn is_inverted(object: &DefaultDicomObject) -> bool {
    text(object, tags::PHOTOMETRIC_INTERPRETATION) == "MONOCHROME1"
}
