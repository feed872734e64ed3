//! The size that a compressed frame states. Codecs allocate memory for it before they decode, so it
//! is compared with the header first.

/// Start of a JPEG 2000 codestream: SOC and SIZ (ISO 15444-1, A.4 and A.5).
const JPEG_2000: [u8; 4] = [0xff, 0x4f, 0xff, 0x51];
/// How far a JP2 file's boxes may put it off.
const BOXES: usize = 1024;

/// Columns, rows and components of a frame.
pub(crate) type Size = [usize; 3];

/// The frame header of a JPEG stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct JpegHeader {
    /// The coding (SOF0 to SOF15, or SOF55 of JPEG-LS): the marker's low byte.
    marker: u8,
    /// Bits a sample.
    pub precision: u8,
    size: Size,
}

impl JpegHeader {
    /// Whether it is lossy, with 12 bits a sample.
    pub(crate) fn is_lossy_12(&self) -> bool {
        matches!(self.marker, 0xc0..=0xc2) && self.precision == 12
    }

    /// Why no codec reads it; `None` if one does. The codecs of JPEG read lossless streams of any
    /// precision, and lossy ones of 8 and 12 bits, which are all that the standard has.
    pub(crate) fn unread(&self) -> Option<String> {
        let precision = self.precision;
        match self.marker {
            0xc0..=0xc2 if precision != 8 && precision != 12 => Some(format!(
                "its pixels are lossy JPEG of {precision} bits, which pdl has no codec for: decompress the files first, \
                 for instance with dcmdjpeg (DCMTK) or gdcmconv --raw (GDCM)"
            )),
            0xc5..=0xc7 | 0xcd..=0xcf => {
                Some("its pixels are hierarchical JPEG, which pdl does not read".to_owned())
            }
            0xc9..=0xcb => Some("its pixels are arithmetic-coded JPEG, which pdl does not read".to_owned()),
            _ => None,
        }
    }
}

/// Whether a fragment begins a JPEG, JPEG-LS or JPEG 2000 stream.
pub(crate) fn begins(fragment: &[u8]) -> bool {
    // SOI and the first byte of the next marker, SOC and SIZ, or the signature box of JP2.
    [&[0xff, 0xd8, 0xff][..], &JPEG_2000, b"\0\0\0\x0cjP  "].iter().any(|start| fragment.starts_with(start))
}

/// The frame header of a JPEG or JPEG-LS stream; `None` if a frame is not such a stream, or has no
/// frame header.
pub(crate) fn jpeg_header(frame: &[u8]) -> Option<JpegHeader> {
    if frame.starts_with(&[0xff, 0xd8]) { jpeg(frame) } else { None }
}

/// Reads the size from a fragment that begins a JPEG, JPEG-LS or JPEG 2000 stream; `None` if it
/// begins none.
pub(crate) fn size(fragment: &[u8]) -> Option<Size> {
    let near = &fragment[..fragment.len().min(BOXES)];
    if near.starts_with(&[0xff, 0xd8]) {
        return jpeg(fragment).map(|header| header.size);
    }
    let start = near.windows(4).position(|bytes| bytes == JPEG_2000)?;
    jpeg_2000(fragment.get(start..)?)
}

/// Number of tiles of a JPEG 2000 stream, for each of which the codec allocates memory; 1 for other
/// streams.
pub(crate) fn tiles(fragment: &[u8]) -> u64 {
    let near = &fragment[..fragment.len().min(BOXES)];
    let start = near.windows(4).position(|bytes| bytes == JPEG_2000);
    let word = |at: usize| {
        let bytes = fragment.get(start? + at..)?.first_chunk()?;
        Some(u64::from(u32::from_be_bytes(*bytes)))
    };
    let along = |axis: usize| {
        let (size, tile, first) = (word(8 + 4 * axis)?, word(24 + 4 * axis)?, word(32 + 4 * axis)?);
        Some(size.saturating_sub(first).div_ceil(tile.max(1)))
    };
    along(0).zip(along(1)).map_or(1, |(x, y)| x.saturating_mul(y))
}

/// The first frame header (SOF0 to SOF15, or SOF55 of JPEG-LS) among the marker segments.
fn jpeg(bytes: &[u8]) -> Option<JpegHeader> {
    let word = |at: usize| bytes.get(at..at + 2).map(|b| usize::from(u16::from_be_bytes([b[0], b[1]])));
    let mut at = 2;
    loop {
        let marker = word(at)?;
        let is_frame =
            matches!(marker, 0xffc0..=0xffcf | 0xfff7) && ![0xffc4, 0xffc8, 0xffcc].contains(&marker);
        match marker {
            0xffff => at += 1, // fill
            _ if is_frame => {
                let size = [word(at + 7)?, word(at + 5)?, usize::from(*bytes.get(at + 9)?)];
                return Some(JpegHeader { marker: marker as u8, precision: *bytes.get(at + 4)?, size });
            }
            0xff00.. => at += 2 + word(at + 2)?,
            _ => return None,
        }
    }
}

fn jpeg_2000(bytes: &[u8]) -> Option<Size> {
    let word =
        |at: usize| bytes.get(at..at + 4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]) as usize);
    let columns = word(8)?.checked_sub(word(16)?)?;
    let rows = word(12)?.checked_sub(word(20)?)?;
    let components = bytes.get(40..42).map(|b| usize::from(u16::from_be_bytes([b[0], b[1]])))?;
    Some([columns, rows, components])
}

#[cfg(test)]
mod tests {
    use super::{begins, jpeg_header, size, tiles};

    #[test]
    fn the_size_stands_in_the_frame_header() {
        let jpeg = [0xff, 0xd8, 0xff, 0xe0, 0, 4, 1, 2, 0xff, 0xc3, 0, 11, 16, 0, 64, 1, 0, 1, 1, 0x11, 0];
        assert_eq!(size(&jpeg), Some([256, 64, 1]));
        assert!(begins(&jpeg) && !begins(&jpeg[2..]));
        let header = jpeg_header(&jpeg).unwrap();
        assert_eq!((header.precision, header.unread()), (16, None), "lossless");
        let lossy = |precision: u8| {
            let bytes = jpeg.map(|byte| match byte {
                0xc3 => 0xc1,
                16 => precision,
                other => other,
            });
            jpeg_header(&bytes).unwrap()
        };
        assert!(lossy(12).is_lossy_12() && !lossy(8).is_lossy_12() && !header.is_lossy_12());
        assert_eq!((lossy(8).unread(), lossy(12).unread()), (None, None));
        assert!(lossy(10).unread().unwrap().contains("lossy JPEG of 10 bits"));
        assert_eq!(size(&jpeg[..14]), None);
        let siz =
            [&[0xff, 0x4f, 0xff, 0x51, 0, 41, 0, 0, 0, 0, 2, 0, 0, 0, 1, 0][..], &[0; 24], &[0, 1]].concat();
        assert_eq!(size(&siz), Some([512, 256, 1]));
        assert_eq!(size(&[&[0; 80][..], &siz].concat()), Some([512, 256, 1]));
        assert_eq!(size(&[1, 2, 3]), None);
        assert_eq!((tiles(&jpeg), tiles(&[])), (1, 1));
    }

    #[test]
    fn tiles_are_counted_before_a_codec_makes_them() {
        let words = [512_u32, 256, 0, 0, 64, 100, 0, 0].map(u32::to_be_bytes).concat();
        let siz = [&[0xff, 0x4f, 0xff, 0x51, 0, 41, 0, 0][..], &words, &[0, 1]].concat();
        assert_eq!((size(&siz), tiles(&siz)), (Some([512, 256, 1]), 8 * 3));
    }
}
