//! The kind of a file by its first bytes, if that differs from its name.

use std::fmt;
use std::io::Read;
use std::path::Path;

use crate::{fault, regular_file};

/// A kind of file that is identified by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A ZIP archive.
    Zip,
    /// A file that gzip packed.
    Gzip,
    /// A file that bzip2 packed.
    Bzip2,
    /// A file that xz packed.
    Xz,
    /// Zstandard.
    Zstd,
    /// A 7z archive.
    SevenZip,
    /// A RAR archive.
    Rar,
    /// A PDF document.
    Pdf,
    /// A text in XML.
    Xml,
    /// A PNG image.
    Png,
    /// A JPEG image.
    Jpeg,
    /// A JPEG 2000 codestream.
    Jpeg2000,
    /// A GIF image.
    Gif,
    /// A TIFF image.
    Tiff,
    /// A container of HDF5.
    Hdf5,
    /// NetCDF.
    NetCdf,
    /// A NumPy array.
    Numpy,
    /// A MATLAB file.
    Matlab,
    /// A volume with a header of Teem.
    Nrrd,
    /// Metadata that macOS writes beside a file.
    AppleDouble,
    /// A pointer of Git LFS.
    GitLfs,
    /// No bytes at all.
    Empty,
    /// Zeros alone.
    Zeros,
    /// DICOM with a preamble.
    Dicom,
    /// A tar archive.
    Tar,
    /// A volume of NIfTI-1 or NIfTI-2.
    Nifti,
    /// A page, as of a download that failed.
    Html,
}

impl fmt::Display for FileKind {
    /// As a noun phrase, such as "a ZIP archive".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Zip => "a ZIP archive",
            Self::Gzip => "a gzip file",
            Self::Bzip2 => "a bzip2 file",
            Self::Xz => "an xz file",
            Self::Zstd => "a zstd file",
            Self::SevenZip => "a 7z archive",
            Self::Rar => "a RAR archive",
            Self::Pdf => "a PDF document",
            Self::Xml => "XML",
            Self::Png => "a PNG image",
            Self::Jpeg => "a JPEG image",
            Self::Jpeg2000 => "a JPEG 2000 image",
            Self::Gif => "a GIF image",
            Self::Tiff => "a TIFF image",
            Self::Hdf5 => "an HDF5 file",
            Self::NetCdf => "a NetCDF file",
            Self::Numpy => "a NumPy array",
            Self::Matlab => "a MATLAB file",
            Self::Nrrd => "NRRD",
            Self::AppleDouble => "metadata that macOS writes beside a file (AppleDouble)",
            Self::GitLfs => "a pointer of Git LFS to a file that was not fetched",
            Self::Empty => "empty",
            Self::Zeros => "nothing but zeros",
            Self::Dicom => "DICOM",
            Self::Tar => "a tar archive",
            Self::Nifti => "NIfTI",
            Self::Html => "HTML",
        })
    }
}

/// Number of bytes that identify every kind.
pub const PROBE: usize = 512;

/// Signatures of the kinds.
const BEGINNINGS: [(&[u8], FileKind); 23] = [
    (b"PK\x03\x04", FileKind::Zip),
    (b"PK\x05\x06", FileKind::Zip),
    (b"\x1f\x8b", FileKind::Gzip),
    (b"BZh", FileKind::Bzip2),
    (b"\xfd7zXZ\0", FileKind::Xz),
    (b"\x28\xb5\x2f\xfd", FileKind::Zstd),
    (b"7z\xbc\xaf\x27\x1c", FileKind::SevenZip),
    (b"Rar!\x1a\x07", FileKind::Rar),
    (b"%PDF", FileKind::Pdf),
    (b"<?xml", FileKind::Xml),
    (b"\x89PNG", FileKind::Png),
    (b"\xff\xd8\xff", FileKind::Jpeg),
    (b"\xff\x4f\xff\x51", FileKind::Jpeg2000),
    (b"GIF8", FileKind::Gif),
    (b"II*\0", FileKind::Tiff),
    (b"MM\0*", FileKind::Tiff),
    (b"\x89HDF\r\n", FileKind::Hdf5),
    (b"CDF\x01", FileKind::NetCdf),
    (b"\x93NUMPY", FileKind::Numpy),
    (b"MATLAB 5.0", FileKind::Matlab),
    (b"NRRD000", FileKind::Nrrd),
    (b"\0\x05\x16\x07", FileKind::AppleDouble),
    (b"version https://git-lfs", FileKind::GitLfs),
];

/// The kind of a file that begins with these bytes (up to [`PROBE`]); `None` if unknown.
pub fn kind(first: &[u8]) -> Option<FileKind> {
    if first.is_empty() {
        return Some(FileKind::Empty);
    }
    if first.len() >= PROBE && first.iter().all(|byte| *byte == 0) {
        return Some(FileKind::Zeros);
    }
    let known = BEGINNINGS.iter().find(|(start, _)| first.starts_with(start)).map(|(_, kind)| *kind);
    let at = |place: usize, bytes: &[u8]| first.get(place..).is_some_and(|rest| rest.starts_with(bytes));
    let is_nifti = at(344, b"n+1\0") || at(344, b"ni1\0") || at(4, b"n+2\0") || at(4, b"ni2\0");
    let further = [
        (at(128, b"DICM"), FileKind::Dicom),
        (at(257, b"ustar"), FileKind::Tar),
        (is_nifti, FileKind::Nifti),
        (is_html(first), FileKind::Html),
    ];
    known.or_else(|| further.into_iter().find(|(told, _)| *told).map(|(_, kind)| kind))
}

fn is_html(first: &[u8]) -> bool {
    let start = first.strip_prefix(b"\xef\xbb\xbf").unwrap_or(first).trim_ascii_start();
    let begins = |word: &[u8]| start.get(..word.len()).is_some_and(|own| own.eq_ignore_ascii_case(word));
    begins(b"<!doctype html") || begins(b"<html") || begins(b"<head")
}

/// The kind of a file by its first bytes; `None` if unknown, or if the file cannot be read.
pub fn kind_of_file(path: &Path) -> Option<FileKind> {
    let first = fault::retried(|| {
        let mut first = Vec::with_capacity(PROBE);
        regular_file::open(path)?.take(PROBE as u64).read_to_end(&mut first)?;
        Ok::<_, std::io::Error>(first)
    });
    kind(&first.ok()?)
}

#[cfg(test)]
mod tests {
    use super::{FileKind, kind};

    #[test]
    fn kinds_are_told_by_their_first_bytes() {
        let dicom = [&[0; 128][..], b"DICM\x02\0"].concat();
        let mut nifti = vec![0; 352];
        nifti[344..348].copy_from_slice(b"n+1\0");
        for (bytes, expected) in [
            (&b"PK\x03\x04\x14"[..], Some(FileKind::Zip)),
            (b" \r\n<!DOCTYPE HTML>", Some(FileKind::Html)),
            (b"\xef\xbb\xbf<html>", Some(FileKind::Html)),
            (&dicom, Some(FileKind::Dicom)),
            (&nifti, Some(FileKind::Nifti)),
            (&[0; 512], Some(FileKind::Zeros)),
            (&[0; 100], None),
            (b"", Some(FileKind::Empty)),
            (b"a text", None),
        ] {
            assert_eq!(kind(bytes), expected, "{bytes:?}");
        }
    }
}
