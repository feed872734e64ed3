//! Files that hold keys: readable by their owner alone.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::security_error::SecurityError;

/// Maximum size of such a file, in bytes.
const FILE_LIMIT: u64 = 1 << 20;

/// The content of a file that holds no key.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, SecurityError> {
    let opened = open(path).and_then(read_limited);
    opened.map_err(|source| SecurityError::Read { path: path.to_owned(), source })
}

/// The content of a file that only its owner can read.
pub(crate) fn read_private(path: &Path) -> Result<Vec<u8>, SecurityError> {
    let failed = |source| SecurityError::Read { path: path.to_owned(), source };
    let file = open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
    if mode & 0o177 != 0 {
        return Err(SecurityError::Readable { mode, path: path.to_owned() });
    }
    read_limited(file).map_err(failed)
}

fn open(path: &Path) -> io::Result<File> {
    // Before it is opened, which a pipe would block.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    File::open(path)
}

fn read_limited(file: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(FILE_LIMIT).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Writes a file that only its owner can read; an existing one stays.
pub(crate) fn write_new(path: &Path, text: &str) -> Result<(), SecurityError> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|source| SecurityError::Write { path: path.to_owned(), source })
}
