//! One decoded plane of a stack.

use pdl_store::memory::{MemoryError, MemoryShare};

use crate::voxels::VoxelType;

/// Maximum number of bytes of pixels per stored byte: a header that declares more is refused before
/// memory is allocated for it.
pub(super) mod ratio {
    /// As they are.
    pub const PLAIN: u64 = 1;
    /// Two bytes repeat one up to 128 times.
    pub const PACK_BITS: u64 = 64;
    /// A match of 258 bytes in two bits.
    pub const DEFLATE: u64 = 1032;
    /// Codes of at most 12 bits for strings of at most 4096 bytes.
    pub const LZW: u64 = 4096;
    /// A bit a block of 8 x 8, in units of 4 x 2 blocks of brightness and one of each colour, three
    /// bytes a pixel.
    pub const JPEG: u64 = 1229;
}

/// Properties that all planes of one stack share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    pub columns: usize,
    pub rows: usize,
    pub voxel_type: VoxelType,
    /// Bits a sample.
    pub bits: u8,
}

/// The channels of a pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Channels {
    /// 1, or 3 for red, green and blue.
    pub colours: usize,
    /// Whether an alpha channel follows them.
    pub opacity: bool,
}

/// Samples as they are stored, pixel after pixel, row after row.
pub(super) struct Plane {
    pub kind: Kind,
    pub channels: Channels,
    pub samples: Vec<f32>,
}

/// Why a slice cannot be used.
#[derive(Debug)]
pub(super) enum SliceError {
    /// The defect, as in "is in colour".
    Problem(String),
    /// It needs more memory than there is.
    Memory(MemoryError),
}

impl From<String> for SliceError {
    fn from(problem: String) -> Self {
        Self::Problem(problem)
    }
}

impl From<&str> for SliceError {
    fn from(problem: &str) -> Self {
        Self::Problem(problem.to_owned())
    }
}

impl From<MemoryError> for SliceError {
    fn from(error: MemoryError) -> Self {
        Self::Memory(error)
    }
}

/// Counts what decoding a plane takes: its bytes as the decoder holds them, `copies` times, and its
/// samples as float32, once as they are stored and once as grey.
pub(super) fn take_working(
    memory: &MemoryShare<'_>,
    bytes: usize,
    copies: u64,
    samples: usize,
) -> Result<(), MemoryError> {
    let floats = (samples as u64).saturating_mul(2 * size_of::<f32>() as u64);
    memory.take((bytes as u64).saturating_mul(copies).saturating_add(floats))
}

/// What is said of a picture whose colours differ.
const IN_COLOUR: &str = "is in colour: save it as grey, or red, green and blue as images of their own, which are channels \
                         (CASE_0000.png to CASE_0002.png); a label map holds one number a pixel, or indices of a palette";

impl Channels {
    pub const GREY: Self = Self { colours: 1, opacity: false };
    pub const RGB: Self = Self { colours: 3, opacity: false };

    /// Samples a pixel.
    pub fn count(self) -> usize {
        self.colours + usize::from(self.opacity)
    }
}

impl Plane {
    /// One value a pixel.
    ///
    /// # Errors
    /// When colours differ, or a pixel is not opaque.
    pub fn grey(self) -> Result<Vec<f32>, String> {
        let Self { kind, channels, samples } = self;
        if channels == Channels::GREY {
            return Ok(samples);
        }
        let opaque = 2_f64.powi(i32::from(kind.bits)) as f32 - 1.0;
        let mut grey = Vec::with_capacity(kind.columns * kind.rows);
        for pixel in samples.chunks_exact(channels.count()) {
            let (colours, opacity) = pixel.split_at(channels.colours);
            if colours.iter().any(|colour| *colour != colours[0]) {
                return Err(IN_COLOUR.to_owned());
            }
            if opacity.iter().any(|opacity| *opacity != opaque) {
                return Err("is partly transparent: save it as grey without opacity".to_owned());
            }
            grey.push(colours[0]);
        }
        Ok(grey)
    }
}

/// Number of bytes of the pixels; an error if `held` bytes cannot encode them at this [`ratio`].
pub(super) fn decoded_bytes(
    columns: usize,
    rows: usize,
    bits: usize,
    held: u64,
    ratio: u64,
) -> Result<usize, String> {
    let row = (columns as u64).checked_mul(bits as u64).map(|bits| bits.div_ceil(8));
    let bytes = row.and_then(|row| row.checked_mul(rows as u64));
    let bytes = bytes.filter(|bytes| *bytes <= held.saturating_mul(ratio));
    let bytes = bytes.and_then(|bytes| usize::try_from(bytes).ok());
    bytes.ok_or_else(|| format!("declares {columns} x {rows} pixels, which its {held} bytes cannot hold"))
}

/// Samples of `bits` bits, each row in bytes of its own, the highest bits first.
pub(super) fn unpacked(bytes: &[u8], samples_a_row: usize, bits: u8) -> Vec<f32> {
    let a_byte = usize::from(8 / bits);
    let mask = u8::MAX >> (8 - bits);
    let row = |row: &[u8]| -> Vec<f32> {
        let sample = |at: usize| row[at / a_byte] >> (8 - bits as usize * (at % a_byte + 1)) & mask;
        (0..samples_a_row).map(|at| f32::from(sample(at))).collect()
    };
    bytes.chunks_exact(samples_a_row.div_ceil(a_byte).max(1)).flat_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_samples_are_taken_out_of_their_bytes_row_by_row() {
        assert_eq!(unpacked(&[0b1010_0000, 0b0110_0000], 3, 1), [1., 0., 1., 0., 1., 1.]);
        assert_eq!(unpacked(&[0x1b, 0xc0, 0xe4, 0x40], 5, 2), [0., 1., 2., 3., 3., 3., 2., 1., 0., 1.]);
        assert_eq!(unpacked(&[0xa5, 0x70], 3, 4), [10., 5., 7.]);
        assert_eq!(unpacked(&[7, 255], 1, 8), [7., 255.]);
    }

    #[test]
    fn colour_and_transparency_are_no_grey() {
        let kind = Kind { columns: 2, rows: 1, voxel_type: VoxelType::Uint8, bits: 8 };
        let plane = |channels, samples: &[f32]| Plane { kind, channels, samples: samples.to_vec() }.grey();
        assert_eq!(plane(Channels::RGB, &[7., 7., 7., 9., 9., 9.]).unwrap(), [7., 9.]);
        assert!(plane(Channels::RGB, &[7., 7., 7., 9., 9., 8.]).unwrap_err().contains("in colour"));
        let with_opacity = Channels { colours: 1, opacity: true };
        assert_eq!(plane(with_opacity, &[7., 255., 9., 255.]).unwrap(), [7., 9.]);
        assert!(plane(with_opacity, &[7., 255., 9., 254.]).unwrap_err().contains("transparent"));
    }

    #[test]
    fn what_a_file_cannot_hold_is_refused() {
        assert_eq!(decoded_bytes(9, 2, 1, 1, ratio::LZW), Ok(4));
        assert!(decoded_bytes(4096, 2, 8, 1, ratio::LZW).is_err());
        assert_eq!(decoded_bytes(5, 2, 16, 20, ratio::PLAIN), Ok(20));
        assert!(decoded_bytes(5, 2, 16, 19, ratio::PLAIN).is_err());
        assert!(decoded_bytes(usize::MAX, usize::MAX, 64, u64::MAX, ratio::LZW).is_err());
    }
}
