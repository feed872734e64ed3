//! Planes out of TIFF 6.0 and BigTIFF, page by page: grey of 1 to 64 bits, whole numbers or
//! fractions; without compression or with LZW, deflate or PackBits.

use std::io::{Cursor, Read, Seek};

use pdl_store::memory::MemoryShare;
use tiff::decoder::{Decoder, DecodingResult, Limits};
use tiff::tags::{CompressionMethod, PhotometricInterpretation, PlanarConfiguration, Tag};
use tiff::{ColorType, TiffError};

use super::directory;
use super::plane::{Channels, Kind, Plane, SliceError, decoded_bytes, ratio, take_working, unpacked};
use crate::voxels::VoxelType;

/// The tag Orientation: 1 has the first row on top and the first column on the left.
const ORIENTATION: Tag = Tag::Orientation;
const UPRIGHT: u16 = 1;
/// The bit of NewSubfileType that makes a page a smaller picture of another one.
const REDUCED: u32 = 1;

/// The plane of a file of one page.
pub(super) fn decode(bytes: &[u8], memory: &MemoryShare<'_>) -> Result<Plane, SliceError> {
    let mut pages = Pages::open(Cursor::new(bytes), bytes.len() as u64)?;
    match pages.count {
        1 => pages.plane(0, memory),
        count => Err(format!("is a file of {count} pages: use such a file itself as the volume").into()),
    }
}

/// A file's pages.
pub(super) struct Pages<R: Read + Seek> {
    decoder: Decoder<R>,
    /// Bytes of the file.
    held: u64,
    /// Number of pages.
    pub count: usize,
}

impl<R: Read + Seek> Pages<R> {
    /// Finds the pages of a file of `held` bytes.
    ///
    /// # Errors
    /// If it is not a TIFF file, a page is missing, or its pages are not the slices of one volume.
    pub fn open(mut source: R, held: u64) -> Result<Self, String> {
        let count = directory::count(&mut source, held)?;
        let rewound = source.rewind().map_err(TiffError::from);
        let decoder = rewound.and_then(|()| Decoder::new(source));
        let decoder = decoder.map_err(|error| format!("its page 1 cannot be read: {error}"))?;
        // Lists are checked, and so is each plane before it is decoded; the rest stays within the
        // file's size.
        let mut limits = Limits::unlimited();
        [limits.ifd_value_size, limits.intermediate_buffer_size] = [held as usize; 2];
        let mut pages = Self { decoder: decoder.with_limits(limits), held, count };
        pages.check_description()?;
        Ok(pages)
    }

    /// The plane of a page, counted from 0.
    pub fn plane(&mut self, page: usize, memory: &MemoryShare<'_>) -> Result<Plane, SliceError> {
        let undecodable = |error: TiffError| format!("cannot be decoded ({error})");
        self.decoder.seek_to_image(page).map_err(undecodable)?;
        self.check_tags()?;
        let (columns, rows) = self.decoder.dimensions().map_err(undecodable)?;
        let (bits, channels) = match self.decoder.colortype().map_err(undecodable)? {
            ColorType::Gray(bits @ (1 | 2 | 4 | 8 | 16 | 32 | 64)) => (bits, Channels::GREY),
            ColorType::RGB(bits @ (8 | 16)) => (bits, Channels::RGB),
            ColorType::RGBA(bits @ (8 | 16)) => (bits, Channels { colours: 3, opacity: true }),
            other => {
                let problem = format!("has pixels of an unsupported kind ({other:?}): save it as grey");
                return Err(problem.into());
            }
        };
        let (columns, rows) = (columns as usize, rows as usize);
        let a_pixel = usize::from(bits) * channels.count();
        let ratio = self.largest_ratio();
        let size = decoded_bytes(columns, rows, a_pixel, self.held, ratio)?;
        let (tile_columns, tile_rows) = self.decoder.chunk_dimensions();
        let tile_rows = (tile_rows as usize).min(rows);
        let tile = decoded_bytes(tile_columns as usize, tile_rows, a_pixel, self.held, ratio)?;
        let samples = columns * rows * channels.count();
        take_working(memory, size.saturating_add(tile), 1, samples)?;
        let (voxel_type, samples) = match self.decoder.read_image().map_err(undecodable)? {
            DecodingResult::U8(bytes) if bits < 8 => (VoxelType::Uint8, unpacked(&bytes, columns, bits)),
            samples => of_any_type(samples),
        };
        let kind = Kind { columns, rows, voxel_type, bits };
        Ok(Plane { kind, channels, samples })
    }

    /// How much the page's compression can make of a byte.
    fn largest_ratio(&mut self) -> u64 {
        let method = self.decoder.find_tag_unsigned::<u16>(Tag::Compression).ok().flatten();
        match method.map_or(CompressionMethod::None, CompressionMethod::from_u16_exhaustive) {
            CompressionMethod::None => ratio::PLAIN,
            CompressionMethod::PackBits => ratio::PACK_BITS,
            CompressionMethod::Deflate | CompressionMethod::OldDeflate => ratio::DEFLATE,
            _ => ratio::LZW,
        }
    }

    /// Refuses pages with tags that change the meaning of the stored values.
    fn check_tags(&mut self) -> Result<(), String> {
        let mut tag = |tag| self.decoder.find_tag_unsigned::<u32>(tag).ok().flatten();
        if tag(ORIENTATION).is_some_and(|turn| turn != u32::from(UPRIGHT)) {
            return Err("is marked as turned or mirrored (its tag Orientation): save it upright".to_owned());
        }
        if tag(Tag::NewSubfileType).is_some_and(|kind| kind & REDUCED != 0) {
            return Err("is a smaller picture of another page: save the volume without such".to_owned());
        }
        if tag(Tag::PhotometricInterpretation)
            == Some(u32::from(PhotometricInterpretation::WhiteIsZero.to_u16()))
        {
            return Err("has white for 0: save it with black for 0".to_owned());
        }
        let apart = Some(u32::from(PlanarConfiguration::Planar.to_u16()));
        if tag(Tag::PlanarConfiguration) == apart
            && tag(Tag::SamplesPerPixel).is_some_and(|samples| samples > 1)
        {
            return Err("has several channels: save it as grey".to_owned());
        }
        Ok(())
    }

    /// Refuses a file that describes other axes than those of its pages.
    fn check_description(&mut self) -> Result<(), String> {
        self.decoder.seek_to_image(0).map_err(|error| error.to_string())?;
        let text = self.decoder.find_tag(Tag::ImageDescription).ok().flatten();
        let text = text.and_then(|text| text.into_string().ok()).unwrap_or_default();
        let (columns, rows) = self.decoder.dimensions().map_err(|error| error.to_string())?;
        let axes = Axes::described_by(&text, [rows as usize, columns as usize]);
        let films = [(axes.channels, "channels"), (axes.times, "points in time or other volumes")];
        if let Some((count, what)) = films.iter().find(|(count, _)| *count > 1) {
            return Err(format!("it has {count} {what}: save one of them alone"));
        }
        match axes.slices {
            Some(slices) if slices != self.count => {
                Err(format!("it states {slices} slices, but its page count is {}", self.count))
            }
            _ => Ok(()),
        }
    }
}

/// The axes beyond rows and columns that programs describe in the first page.
#[derive(Debug, PartialEq, Eq)]
struct Axes {
    channels: usize,
    /// Points in time; of axes without a name, all of them that count volumes.
    times: usize,
    /// Number of planes; `None` if the text does not state it.
    slices: Option<usize>,
}

impl Axes {
    /// Number of planes stated by ImageJ (lines such as `images=40`), in OME-XML, or by tifffile as
    /// a JSON shape whose last sides are those of a `plane`, with or without its channels.
    fn described_by(text: &str, plane: [usize; 2]) -> Self {
        if text.starts_with("ImageJ=") {
            let line = |name: &str| {
                let values = text.lines().filter_map(|line| line.split_once('='));
                values.filter(|(key, _)| *key == name).find_map(|(_, value)| value.trim().parse().ok())
            };
            return Self {
                channels: line("channels").unwrap_or(1),
                times: line("frames").unwrap_or(1),
                slices: line("images"),
            };
        }
        if text.contains("<OME") {
            let attribute = |name: &str| {
                let (_, after) = text.split_once(&format!(" {name}=\""))?;
                after.split('"').next()?.parse().ok()
            };
            return Self {
                channels: attribute("SizeC").unwrap_or(1),
                times: attribute("SizeT").unwrap_or(1),
                slices: attribute("SizeZ"),
            };
        }
        let shape =
            text.strip_prefix("{\"shape\": [").and_then(|rest| rest.split(']').next()).unwrap_or_default();
        let sides: Vec<usize> = shape.split(',').filter_map(|side| side.trim().parse().ok()).collect();
        let last = if matches!(sides.as_slice(), [.., rows, columns, _] if [*rows, *columns] == plane) {
            3
        } else {
            2
        };
        let mut before: Vec<usize> =
            sides.iter().rev().skip(last).copied().filter(|side| *side != 1).collect();
        let slices = (!before.is_empty()).then(|| before.remove(0));
        Self { channels: 1, times: before.into_iter().product(), slices }
    }
}

/// Numbers of any type, as they are stored.
fn of_any_type(samples: DecodingResult) -> (VoxelType, Vec<f32>) {
    macro_rules! numbers {
        ($type:ident, $samples:expr) => {
            (VoxelType::$type, $samples.into_iter().map(|sample| sample as f32).collect())
        };
    }
    match samples {
        DecodingResult::U8(samples) => numbers!(Uint8, samples),
        DecodingResult::U16(samples) => numbers!(Uint16, samples),
        DecodingResult::U32(samples) => numbers!(Uint32, samples),
        DecodingResult::U64(samples) => numbers!(Uint64, samples),
        DecodingResult::I8(samples) => numbers!(Int8, samples),
        DecodingResult::I16(samples) => numbers!(Int16, samples),
        DecodingResult::I32(samples) => numbers!(Int32, samples),
        DecodingResult::I64(samples) => numbers!(Int64, samples),
        DecodingResult::F16(samples) => {
            (VoxelType::Float32, samples.into_iter().map(|s| s.to_f32()).collect())
        }
        DecodingResult::F32(samples) => (VoxelType::Float32, samples),
        DecodingResult::F64(samples) => numbers!(Float64, samples),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_programs_say_of_their_pages_is_understood() {
        let axes = |channels, times, slices| Axes { channels, times, slices };
        for (text, expected) in [
            ("ImageJ=1.54f\nimages=40\nchannels=2\nslices=20\nhyperstack=true\n", axes(2, 1, Some(40))),
            ("ImageJ=1.54f\nimages=20\nframes=20\n", axes(1, 20, Some(20))),
            ("ImageJ=1.54f\nimages=20\nslices=20\nspacing=2.5\n", axes(1, 1, Some(20))),
            (
                r#"<?xml?><OME><Pixels SizeC="1" SizeT="3" SizeX="5" SizeY="4" SizeZ="7"/>"#,
                axes(1, 3, Some(7)),
            ),
            ("{\"shape\": [2, 20, 64, 64]}", axes(1, 2, Some(20))),
            ("{\"shape\": [20, 64, 64]}", axes(1, 1, Some(20))),
            ("{\"shape\": [20, 1, 64, 64]}", axes(1, 1, Some(20))),
            ("{\"shape\": [20, 64, 64, 3]}", axes(1, 1, Some(20))),
            ("{\"shape\": [64, 64]}", axes(1, 1, None)),
            ("a scan of 20 slices", axes(1, 1, None)),
            ("", axes(1, 1, None)),
        ] {
            assert_eq!(Axes::described_by(text, [64, 64]), expected, "{text}");
        }
    }
}
