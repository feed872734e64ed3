//! Opens regular files, and refuses all others.
//!
//! Opening a FIFO waits for a writer, a device may do anything or never end, and neither can be
//! read again. So paths are inspected first, and these are never opened.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::Path;

use crate::{Result, StoreError, fault};

/// A path that is neither a file nor a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a file, found {what}, which is never opened")]
pub struct SpecialFile {
    /// Kind, with the article.
    what: &'static str,
}

/// The special file of `meta`; `None` for a file or a folder.
pub fn special(meta: &Metadata) -> Option<SpecialFile> {
    kind(meta).map(|what| SpecialFile { what })
}

#[cfg(unix)]
fn kind(meta: &Metadata) -> Option<&'static str> {
    use std::os::unix::fs::FileTypeExt;
    let kind = meta.file_type();
    match () {
        () if kind.is_fifo() => Some("a FIFO"),
        () if kind.is_socket() => Some("a socket"),
        () if kind.is_char_device() || kind.is_block_device() => Some("a device"),
        () => None,
    }
}

#[cfg(not(unix))]
fn kind(_meta: &Metadata) -> Option<&'static str> {
    None
}

/// Whether anything is at `path`, links followed.
///
/// # Errors
/// [`StoreError::Io`] when the machine keeps it from being looked at: it is not taken for missing.
pub fn is_there(path: &Path) -> Result<bool> {
    fault::exists(path).map_err(StoreError::io("look at the file", path))
}

/// Opens a file to read it, links followed.
///
/// # Errors
/// Errors of the system; one of kind [`io::ErrorKind::InvalidInput`] that holds a [`SpecialFile`]
/// for other entries than files and folders.
pub fn open(path: &Path) -> io::Result<File> {
    match special(&fs::metadata(path)?) {
        Some(special) => Err(io::Error::new(io::ErrorKind::InvalidInput, special)),
        None => File::open(path),
    }
}

/// The bytes of a file.
///
/// # Errors
/// As [`open`].
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = open(path)?;
    let mut bytes = Vec::with_capacity(file.metadata().map_or(0, |meta| meta.len() as usize));
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The text of a file.
///
/// # Errors
/// As [`open`]; one of kind [`io::ErrorKind::InvalidData`] when it is not UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    let text = String::from_utf8(read(path)?);
    text.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_device_and_a_socket_are_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for (path, what) in [(Path::new("/dev/zero"), "a device"), (&socket, "a socket")] {
            let error = open(path).unwrap_err();
            assert!(error.to_string().contains(what), "{error}");
            assert!(!fault::is_machine_error(&error));
        }
        let file = folder.path().join("file");
        fs::write(&file, b"bytes").unwrap();
        assert_eq!(read(&file).unwrap(), b"bytes");
        assert!(open(folder.path()).is_ok(), "a folder says itself that it is none");
    }
}
