//! Planes out of PNG (w3.org/TR/png): samples as they are stored, without gamma, palettes or
//! stretching of few bits.

use std::io::Cursor;

use pdl_store::memory::{MemoryShare, zeros};
use png::{BitDepth, ColorType, Decoder, Info, Limits};

use super::check_upright;
use super::plane::{
    Channels, Kind, Meaning, Plane, SliceError, decoded_bytes, ratio, take_working, unpacked,
};
use crate::voxels::VoxelType;

/// Memory limit of the decoder for rows and for chunks before the pixels, in bytes.
const OVERHEAD: usize = 1 << 20;

/// Ratio of pixels to file size above which rows are counted before memory is allocated for them.
const USUAL_RATIO: usize = 4;

pub(super) fn decode(bytes: &[u8], meaning: Meaning, memory: &MemoryShare<'_>) -> Result<Plane, SliceError> {
    let mut decoder = decoder(bytes);
    let head = decoder.read_header_info().map_err(|error| undecodable(&error))?;
    let [columns, rows] = [head.width, head.height].map(|side| side as usize);
    let bits = head.bit_depth as u8;
    let channels = channels(head.color_type);
    let a_pixel = usize::from(bits) * channels.count();
    let size = decoded_bytes(columns, rows, a_pixel, bytes.len() as u64, ratio::DEFLATE)?;
    // Colours of a palette are three for each stored sample.
    let samples = columns * rows * if head.color_type == ColorType::Indexed { 4 } else { channels.count() };
    take_working(memory, size, 1, samples)?;
    if size > USUAL_RATIO * bytes.len() {
        check_rows(bytes)?;
    }
    decoder.set_limits(Limits { bytes: size.saturating_add(OVERHEAD) });
    let mut reader = decoder.read_info().map_err(|error| undecodable(&error))?;
    let mut pixels = zeros::<u8>(size)?;
    let frame = reader.next_frame(&mut pixels).map_err(|error| undecodable(&error))?;
    reader.finish().map_err(|error| undecodable(&error))?;
    let info = reader.info();
    if [frame.width, frame.height] != [info.width, info.height] {
        return Err("begins with a part of an image".into());
    }
    check_upright(info.exif_metadata.as_deref())?;
    let (voxel_type, samples) = if info.bit_depth == BitDepth::Sixteen {
        let sample = |bytes: &[u8]| f32::from(u16::from_be_bytes([bytes[0], bytes[1]]));
        (VoxelType::Uint16, pixels.chunks_exact(2).map(sample).collect())
    } else {
        (VoxelType::Uint8, unpacked(&pixels, columns * channels.count(), bits))
    };
    let kind = Kind { columns, rows, voxel_type, bits };
    match (info.color_type, meaning) {
        // The number of bits of an index does not affect its meaning.
        (ColorType::Indexed, Meaning::Labels) => {
            Ok(Plane { kind: Kind { bits: 8, ..kind }, channels, samples })
        }
        (ColorType::Indexed, Meaning::Intensities | Meaning::Colour(_)) => Ok(Plane {
            kind: Kind { bits: 8, ..kind },
            channels: Channels::RGB,
            samples: looked_up(info, &samples)?,
        }),
        _ => Ok(Plane { kind, channels, samples }),
    }
}

fn decoder(bytes: &[u8]) -> Decoder<Cursor<&[u8]>> {
    let mut decoder = Decoder::new(Cursor::new(bytes));
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    decoder
}

fn undecodable(error: &png::DecodingError) -> String {
    format!("cannot be decoded ({error})")
}

/// Decodes all rows and discards them, to check that there are as many as declared.
fn check_rows(bytes: &[u8]) -> Result<(), String> {
    let mut reader = decoder(bytes).read_info().map_err(|error| undecodable(&error))?;
    while reader.next_row().map_err(|error| undecodable(&error))?.is_some() {}
    Ok(())
}

fn channels(colour: ColorType) -> Channels {
    match colour {
        ColorType::Grayscale | ColorType::Indexed => Channels::GREY,
        ColorType::GrayscaleAlpha => Channels { colours: 1, opacity: true },
        ColorType::Rgb => Channels::RGB,
        ColorType::Rgba => Channels { colours: 3, opacity: true },
    }
}

/// The colours of palette indices.
fn looked_up(info: &Info<'_>, indices: &[f32]) -> Result<Vec<f32>, String> {
    let palette: Vec<&[u8]> = info.palette.as_deref().unwrap_or_default().chunks_exact(3).collect();
    if indices.iter().any(|index| *index as usize >= palette.len()) {
        return Err("has a pixel that its palette does not know".to_owned());
    }
    Ok(indices.iter().flat_map(|index| palette[*index as usize]).map(|colour| f32::from(*colour)).collect())
}
