//! The files of one volume: read whole, hashed, and inflated when they are compressed.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use pdl_store::hash;

use crate::{Part, ReadError};

/// The file that a volume is named by, and those that it is read from.
pub(crate) struct Files<'a> {
    /// The name that was given.
    pub path: &'a Path,
    /// How its format is called.
    pub format: &'static str,
    /// What has been read so far.
    pub parts: Vec<Part>,
}

impl<'a> Files<'a> {
    pub(crate) fn new(path: &'a Path, format: &'static str) -> Self {
        Self { path, format, parts: Vec::new() }
    }

    /// All bytes of a file.
    pub(crate) fn read(&mut self, path: &Path) -> Result<Vec<u8>, ReadError> {
        let bytes = fs::read(path).map_err(|source| ReadError::Io { path: path.to_owned(), source })?;
        self.parts.push(Part { path: path.to_owned(), blake3: hash::of_bytes(&bytes) });
        Ok(bytes)
    }

    /// The content hash of all that was read: a single file's own, else the hash of the files' hashes.
    pub(crate) fn blake3(&self) -> String {
        match self.parts.as_slice() {
            [one] => one.blake3.clone(),
            parts => {
                let hashes: Vec<&str> = parts.iter().map(|part| part.blake3.as_str()).collect();
                hash::of_bytes(hashes.join("\n").as_bytes())
            }
        }
    }

    /// The file beside this one that has its stem and one of `endings`.
    pub(crate) fn companion(&self, endings: &[&str]) -> Result<PathBuf, ReadError> {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let stem = name.strip_suffix(".gz").unwrap_or(&name);
        let stem = stem.rsplit_once('.').map_or(stem, |(stem, _)| stem);
        let candidates = endings.iter().map(|ending| self.path.with_file_name(format!("{stem}.{ending}")));
        let found = candidates.into_iter().find(|path| path.is_file());
        found.ok_or_else(|| {
            self.invalid(format!("the other file of the pair, .{}, is not beside it", endings[0]))
        })
    }

    /// A file that a header names, beside the header: nothing else may be named.
    pub(crate) fn beside(&self, name: &str) -> Result<PathBuf, ReadError> {
        let plain =
            Path::new(name).components().count() == 1 && !name.starts_with(['/', '\\']) && name != "..";
        if !plain {
            return Err(
                self.unsupported("its voxels lie in another folder: put header and voxels side by side")
            );
        }
        Ok(self.path.with_file_name(name))
    }

    pub(crate) fn damaged(&self, error: &std::io::Error) -> ReadError {
        ReadError::Damaged { path: self.path.to_owned(), problem: error.to_string() }
    }

    pub(crate) fn invalid(&self, problem: impl std::fmt::Display) -> ReadError {
        ReadError::Invalid { format: self.format, path: self.path.to_owned(), problem: problem.to_string() }
    }

    pub(crate) fn unsupported(&self, problem: impl std::fmt::Display) -> ReadError {
        ReadError::Unsupported { path: self.path.to_owned(), problem: problem.to_string() }
    }
}

/// Whether bytes are a gzip stream.
pub(crate) fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b])
}

/// The bytes, inflated when they are a gzip stream.
pub(crate) fn plain(bytes: &[u8]) -> Box<dyn Read + '_> {
    if is_gzip(bytes) { Box::new(MultiGzDecoder::new(bytes)) } else { Box::new(bytes) }
}
