//! One decoded plane of a stack.

use pdl_store::memory::{MemoryError, MemoryShare};

use crate::voxels::VoxelType;

/// Maximum number of bytes of pixels per stored byte: a header that declares more is refused before
/// memory is allocated for it.
pub(super) mod ratio {
    /// Values as stored.
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

/// The meaning of the values of a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    Intensities,
    /// Values of one colour: red (0), green (1) or blue (2).
    Colour(usize),
    Labels,
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
    /// The plane needs more memory than there is.
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

/// Message about a picture whose colours differ.
const IN_COLOUR: &str = "is in colour: save it as grey, or red, green and blue as images of their own, which are channels \
                         (CASE_0000.png to CASE_0002.png)";
/// Message about a label map whose colours differ.
const LABELS_IN_COLOUR: &str = "is in colour: a label map holds one number a pixel, or indices of a palette";
/// Message about a picture that is not opaque.
const TRANSPARENT: &str = "is partly transparent: save it as grey or colours without opacity";
/// Number of colours: red, green and blue.
const COLOURS: usize = 3;

impl Channels {
    pub const GREY: Self = Self { colours: 1, opacity: false };
    pub const RGB: Self = Self { colours: 3, opacity: false };

    /// Samples a pixel.
    pub fn count(self) -> usize {
        self.colours + usize::from(self.opacity)
    }
}

impl Plane {
    /// Whether the colours of a pixel differ.
    pub fn is_in_colour(&self) -> bool {
        let colours = self.channels.colours;
        let pixels = self.samples.chunks_exact(self.channels.count());
        colours > 1 && pixels.into_iter().any(|pixel| differ(&pixel[..colours]))
    }

    /// One value a pixel: of a colour of it, of its grey, or the stored one. The colours of a grey
    /// pixel are its grey.
    ///
    /// # Errors
    /// When colours differ and none is chosen, or a pixel is not opaque.
    pub fn values(self, meaning: Meaning) -> Result<Vec<f32>, String> {
        let chosen = match meaning {
            Meaning::Colour(colour) if colour >= COLOURS => {
                return Err(format!("has {COLOURS} colours, numbered from 0, and none is {colour}"));
            }
            Meaning::Colour(colour) => Some(colour),
            Meaning::Intensities | Meaning::Labels => None,
        };
        let Self { kind, channels, samples } = self;
        if channels == Channels::GREY {
            return Ok(samples);
        }
        let opaque = 2_f64.powi(i32::from(kind.bits)) as f32 - 1.0;
        let mut values = Vec::with_capacity(kind.columns * kind.rows);
        for pixel in samples.chunks_exact(channels.count()) {
            let (colours, opacity) = pixel.split_at(channels.colours);
            if chosen.is_none() && differ(colours) {
                let is_label = meaning == Meaning::Labels;
                return Err(if is_label { LABELS_IN_COLOUR } else { IN_COLOUR }.to_owned());
            }
            if opacity.iter().any(|opacity| *opacity != opaque) {
                return Err(TRANSPARENT.to_owned());
            }
            values.push(colours.get(chosen.unwrap_or(0)).copied().unwrap_or(colours[0]));
        }
        Ok(values)
    }
}

fn differ(colours: &[f32]) -> bool {
    colours.iter().any(|colour| *colour != colours[0])
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
    fn colours_and_transparency_are_no_grey() {
        let kind = Kind { columns: 2, rows: 1, voxel_type: VoxelType::Uint8, bits: 8 };
        let plane = |channels, samples: &[f32]| Plane { kind, channels, samples: samples.to_vec() };
        let grey = |channels, samples: &[f32]| plane(channels, samples).values(Meaning::Intensities);
        assert_eq!(grey(Channels::RGB, &[7., 7., 7., 9., 9., 9.]).unwrap(), [7., 9.]);
        assert!(grey(Channels::RGB, &[7., 7., 7., 9., 9., 8.]).unwrap_err().contains("in colour"));
        let with_opacity = Channels { colours: 1, opacity: true };
        assert_eq!(grey(with_opacity, &[7., 255., 9., 255.]).unwrap(), [7., 9.]);
        assert!(grey(with_opacity, &[7., 255., 9., 254.]).unwrap_err().contains("transparent"));
    }

    #[test]
    fn each_colour_is_a_volume_and_those_of_grey_are_equal() {
        let kind = Kind { columns: 2, rows: 1, voxel_type: VoxelType::Uint8, bits: 8 };
        let plane = |channels, samples: &[f32]| Plane { kind, channels, samples: samples.to_vec() };
        let with_opacity = Channels { colours: 3, opacity: true };
        let pixels = [1., 2., 3., 255., 4., 5., 6., 255.];
        let colour = |colour| plane(with_opacity, &pixels).values(Meaning::Colour(colour));
        assert_eq!([0, 1, 2].map(|n| colour(n).unwrap()), [[1., 4.], [2., 5.], [3., 6.]]);
        assert!(colour(3).unwrap_err().contains("numbered from 0"));
        let glass = plane(with_opacity, &[1., 2., 3., 255., 4., 5., 6., 0.]);
        assert!(glass.is_in_colour() && glass.values(Meaning::Colour(0)).is_err());
        assert_eq!(plane(Channels::GREY, &[7., 9.]).values(Meaning::Colour(2)).unwrap(), [7., 9.]);
        assert!(!plane(Channels::RGB, &[7., 7., 7., 9., 9., 9.]).is_in_colour());
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
