//! Planes out of JPEG, baseline and progressive, 8 bits.

use pdl_store::memory::MemoryShare;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::check_upright;
use super::plane::{Channels, Kind, Plane, SliceError, decoded_bytes, ratio, take_working};
use crate::voxels::VoxelType;

/// The markers of a scan's start and of the image's end (ITU-T T.81, B.1.1.3).
const START_OF_SCAN: [u8; 2] = [0xff, 0xda];
const END_OF_IMAGE: [u8; 2] = [0xff, 0xd9];

/// Copies of the pixels that the decoder holds: coefficients of two bytes, components at full size,
/// and the picture.
const COPIES: u64 = 4;

pub(super) fn decode(bytes: &[u8], memory: &MemoryShare<'_>) -> Result<Plane, SliceError> {
    let undecodable = |error: zune_jpeg::errors::DecodeErrors| format!("cannot be decoded ({error:?})");
    if !is_whole(bytes) {
        return Err("is truncated: it has no end".into());
    }
    // A decoder that is not strict paints grey what it cannot read.
    let options = DecoderOptions::default().set_strict_mode(true);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(undecodable)?;
    let (columns, rows) = decoder.dimensions().ok_or("does not state its size")?;
    check_upright(decoder.exif().map(Vec::as_slice))?;
    let (channels, colours) = match decoder.input_colorspace() {
        Some(ColorSpace::Luma) => (Channels::GREY, ColorSpace::Luma),
        Some(ColorSpace::YCbCr | ColorSpace::RGB) => (Channels::RGB, ColorSpace::RGB),
        _ => return Err("is neither grey nor red, green and blue: save it as grey".into()),
    };
    let size = decoded_bytes(columns, rows, 8 * channels.count(), bytes.len() as u64, ratio::JPEG)?;
    take_working(memory, size, COPIES, size)?;
    decoder.set_options(options.jpeg_set_out_colorspace(colours));
    let pixels = decoder.decode().map_err(undecodable)?;
    let kind = Kind { columns, rows, voxel_type: VoxelType::Uint8, bits: 8 };
    Ok(Plane { kind, channels, samples: pixels.into_iter().map(f32::from).collect() })
}

/// Whether the end follows the last scan's start; a thumbnail in the header has both before it.
fn is_whole(bytes: &[u8]) -> bool {
    let last = |marker: [u8; 2]| bytes.windows(2).rposition(|two| two == marker);
    last(END_OF_IMAGE) > last(START_OF_SCAN)
}
