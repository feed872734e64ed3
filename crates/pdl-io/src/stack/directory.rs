//! The directories of a TIFF file: counted, and checked before a decoder takes memory for what they
//! declare.

use std::io::{self, Read, Seek, SeekFrom};

/// Entries that the decoder reads into memory: sizes, formats, the description, and where strips
/// and tiles are.
const READ: [u64; 21] =
    [254, 256, 257, 258, 259, 262, 270, 273, 274, 277, 278, 279, 284, 317, 322, 323, 324, 325, 338, 339, 347];
/// The type of text.
const ASCII: u64 = 2;
/// The types that there are, those of BigTIFF among them.
const TYPES: [u64; 16] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 16, 17, 18];
/// Bytes of a file per value of a list: each strip and tile has an offset and a length, so that no
/// list has more values than an eighth of the file's bytes; a few fit into the directory itself.
const BYTES_A_VALUE: u64 = 8;
const FEW: u64 = 8;
/// A directory of a single entry, which is the smallest.
const SMALLEST: u64 = 18;

/// Number of pages in a file of `held` bytes.
///
/// # Errors
/// When it is not a TIFF file, its directories do not end, or one declares more than the file
/// holds.
pub(super) fn count(source: &mut (impl Read + Seek), held: u64) -> Result<usize, String> {
    let mut file = Numbers { source, big_endian: false };
    let broken = |page: u64| move |error: io::Error| format!("its page {page} cannot be found: {error}");
    let no_tiff = |_| "not a TIFF file".to_owned();
    file.big_endian = match file.bytes::<2>().map_err(no_tiff)? {
        [b'I', b'I'] => false,
        [b'M', b'M'] => true,
        _ => return Err("not a TIFF file".to_owned()),
    };
    let is_big = match file.number(2).map_err(no_tiff)? {
        42 => false,
        43 => file.number(4).is_ok_and(|sizes| sizes == 8 || sizes == 8 << 16),
        _ => return Err("not a TIFF file".to_owned()),
    };
    let width = if is_big { 8 } else { 4 };
    let mut next = file.number(width).map_err(broken(1))?;
    let mut pages = 0;
    while next != 0 {
        pages += 1;
        if pages > held / SMALLEST {
            return Err("its pages follow each other in a circle".to_owned());
        }
        file.source.seek(SeekFrom::Start(next)).map_err(broken(pages))?;
        let entries = file.number(if is_big { 8 } else { 2 }).map_err(broken(pages))?;
        for _ in 0..entries {
            let [tag, kind, values, _] = file.entry(width).map_err(broken(pages))?;
            // The decoder skips too little of such an entry, and misreads all that follow.
            if is_big && !TYPES.contains(&kind) {
                return Err(format!("its page {pages} has an entry of unknown type {kind}"));
            }
            let most = if kind == ASCII { held } else { held / BYTES_A_VALUE };
            if READ.contains(&tag) && values > most.max(FEW) {
                return Err(format!(
                    "its page {pages} declares {values} values, which {held} bytes cannot hold"
                ));
            }
        }
        next = file.number(width).map_err(broken(pages))?;
    }
    usize::try_from(pages).ok().filter(|pages| *pages > 0).ok_or_else(|| "it has no page".to_owned())
}

/// Whole numbers in the file's byte order.
struct Numbers<'a, R> {
    source: &'a mut R,
    big_endian: bool,
}

impl<R: Read> Numbers<'_, R> {
    fn bytes<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.source.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// An entry of a directory: tag, type, how many values, and the values or where they are.
    fn entry(&mut self, width: usize) -> io::Result<[u64; 4]> {
        Ok([self.number(2)?, self.number(2)?, self.number(width)?, self.number(width)?])
    }

    /// One of `width` bytes, at most 8.
    fn number(&mut self, width: usize) -> io::Result<u64> {
        let mut bytes = [0; 8];
        self.source.read_exact(&mut bytes[..width])?;
        Ok(match self.big_endian {
            true => u64::from_be_bytes(bytes) >> (64 - 8 * width),
            false => u64::from_le_bytes(bytes),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::count as pages_of;
    use std::io::Cursor;

    /// A file of one page with one entry: tag 256 of a type, with one value.
    fn page(is_big: bool, kind: u16) -> Vec<u8> {
        let number = |value: u64| value.to_le_bytes()[..if is_big { 8 } else { 4 }].to_vec();
        let (head, entries): (&[u8], &[u8]) =
            if is_big { (b"II+\0\x08\0\0\0", &[1, 0, 0, 0, 0, 0, 0, 0]) } else { (b"II*\0", &[1, 0]) };
        let first = number(if is_big { 16 } else { 8 });
        let entry = [&256_u16.to_le_bytes()[..], &kind.to_le_bytes(), &number(1), &number(7)].concat();
        [head, &first, entries, &entry, &number(0)].concat()
    }

    /// tiff 0.11 skips 8 of the 16 bytes that remain of an entry of a type that it does not know.
    #[test]
    fn an_entry_of_unknown_type_is_refused_where_the_decoder_would_lose_its_place() {
        let count = |is_big, kind| {
            let bytes = page(is_big, kind);
            let held = bytes.len() as u64;
            pages_of(&mut Cursor::new(bytes), held)
        };
        assert_eq!((count(true, 4), count(false, 4), count(false, 512)), (Ok(1), Ok(1), Ok(1)));
        assert_eq!(count(true, 512), Err("its page 1 has an entry of unknown type 512".to_owned()));
    }
}
