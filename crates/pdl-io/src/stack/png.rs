//! Planes out of PNG (w3.org/TR/png): samples as they are stored, without gamma, palettes or stretching of few bits.

use std::io::Cursor;

use png::{BitDepth, ColorType, Decoder, Info, Limits};

use super::plane::{Channels, Kind, Plane, decoded_bytes, unpacked};
use super::{Meaning, check_upright};
use crate::voxels::VoxelType;

/// What the decoder may take for rows and for chunks before the pixels, bytes.
const OVERHEAD: usize = 1 << 20;

pub(super) fn decode(bytes: &[u8], meaning: Meaning) -> Result<Plane, String> {
    let undecodable = |error: png::DecodingError| format!("cannot be decoded ({error})");
    let mut decoder = Decoder::new(Cursor::new(bytes));
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let head = decoder.read_header_info().map_err(undecodable)?;
    let [columns, rows] = [head.width, head.height].map(|side| side as usize);
    let bits = head.bit_depth as u8;
    let channels = channels(head.color_type);
    let size = decoded_bytes(columns, rows, usize::from(bits) * channels.count(), bytes.len() as u64)?;
    decoder.set_limits(Limits { bytes: size.saturating_add(OVERHEAD) });
    let mut reader = decoder.read_info().map_err(undecodable)?;
    let mut pixels = vec![0; size];
    let frame = reader.next_frame(&mut pixels).map_err(undecodable)?;
    reader.finish().map_err(undecodable)?;
    let info = reader.info();
    if [frame.width, frame.height] != [info.width, info.height] {
        return Err("begins with a part of a picture".to_owned());
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
        // How few bits hold an index says nothing of what it means.
        (ColorType::Indexed, Meaning::Labels) => {
            Ok(Plane { kind: Kind { bits: 8, ..kind }, channels, samples })
        }
        (ColorType::Indexed, Meaning::Intensities) => Ok(Plane {
            kind: Kind { bits: 8, ..kind },
            channels: Channels::RGB,
            samples: looked_up(info, &samples)?,
        }),
        _ => Ok(Plane { kind, channels, samples }),
    }
}

fn channels(colour: ColorType) -> Channels {
    match colour {
        ColorType::Grayscale | ColorType::Indexed => Channels::GREY,
        ColorType::GrayscaleAlpha => Channels { colours: 1, opacity: true },
        ColorType::Rgb => Channels::RGB,
        ColorType::Rgba => Channels { colours: 3, opacity: true },
    }
}

/// The colours that indices of the palette stand for.
fn looked_up(info: &Info<'_>, indices: &[f32]) -> Result<Vec<f32>, String> {
    let palette = info.palette.as_deref().unwrap_or_default();
    let colours: Option<Vec<&[u8]>> =
        indices.iter().map(|index| palette.chunks_exact(3).nth(*index as usize)).collect();
    let colours = colours.ok_or("has a pixel that its palette does not know")?;
    Ok(colours.into_iter().flatten().map(|colour| f32::from(*colour)).collect())
}
