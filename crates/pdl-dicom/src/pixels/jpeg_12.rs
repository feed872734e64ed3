//! Lossy JPEG of 12 bits a sample (JPEG Extended, process 4), which the codec of all other JPEG
//! streams does not decode.

use oxiarc_jpeg::{DecodeLimits, DecodeOptions, Decoder};
use pdl_store::catch_panic::quietly;

/// The pixels of a stream as little-endian 16-bit words, row by row; `None` if it is damaged, or
/// not of `pixels` samples. `pixels` are those that the file's header declares.
pub(crate) fn decode(stream: &[u8], pixels: usize) -> Option<Vec<u8>> {
    let limits = DecodeLimits {
        max_pixels: pixels as u64,
        max_components: 1,
        max_coefficient_bytes: COEFFICIENT_BYTES_A_PIXEL.saturating_mul(pixels.max(BLOCKS) as u64),
        ..DecodeLimits::strict()
    };
    let limits = DecodeLimits { max_width: MOST, max_height: MOST, ..limits };
    let limits = limits.with_max_output_bytes(u64::MAX).with_max_input_bytes(u64::MAX);
    let options = DecodeOptions { limits, raw_components: true, ..DecodeOptions::default() };
    let samples = quietly(|| Decoder::with_options(stream, options).decode_u16())?.ok()?;
    (samples.len() == pixels).then(|| samples.into_iter().flat_map(u16::to_le_bytes).collect())
}

/// The largest side that a frame header can state.
const MOST: u32 = 65_535;
/// A progressive stream is decoded from all its coefficients, which fill whole blocks of 8 x 8.
const COEFFICIENT_BYTES_A_PIXEL: u64 = 4;
/// Images of fewer pixels are mostly the edges of their blocks.
const BLOCKS: usize = 1 << 20;
