//! JSON files that people read: indented, keys in the order of the type, a newline at the end.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::safe_path::SafePath;
use crate::{Result, StoreError, atomic, fault, format_version, regular_file};

/// Writes `value` as an indented JSON file, and returns whether that changed it.
///
/// # Errors
/// [`StoreError`] if it cannot be written.
pub fn write(path: impl Into<SafePath>, value: &impl Serialize) -> Result<bool> {
    let path = path.into();
    let mut bytes =
        serde_json::to_vec_pretty(value).map_err(|source| StoreError::Json { path: path.full(), source })?;
    bytes.push(b'\n');
    atomic::write_if_changed(path, &bytes)
}

/// Writes one compact JSON value a line (JSON Lines), and returns whether that changed the file.
///
/// # Errors
/// [`StoreError`] if it cannot be written.
pub fn write_lines(path: impl Into<SafePath>, rows: &[impl Serialize]) -> Result<bool> {
    let path = path.into();
    let mut bytes = Vec::new();
    for row in rows {
        serde_json::to_writer(&mut bytes, row)
            .map_err(|source| StoreError::Json { path: path.full(), source })?;
        bytes.push(b'\n');
    }
    atomic::write_if_changed(path, &bytes)
}

/// Reads a JSON file.
///
/// # Errors
/// [`StoreError`] if it is missing or does not fit the type.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = bytes_of(path)?;
    serde_json::from_slice(&bytes).map_err(|source| StoreError::Json { path: path.to_owned(), source })
}

/// Reads a JSON file of pdl's own, which states its format version from the second one on.
///
/// # Errors
/// As [`read`]; [`StoreError::NewerFormat`] if its version is above `supported`.
pub fn read_versioned<T: DeserializeOwned>(path: &Path, supported: u32) -> Result<T> {
    let bytes = read_checked(path, supported)?;
    serde_json::from_slice(&bytes).map_err(|source| StoreError::Json { path: path.to_owned(), source })
}

/// Checks that no newer pdl wrote the file `path`, before it is replaced. A missing or damaged one
/// passes.
///
/// # Errors
/// [`StoreError::NewerFormat`] if its version is above `supported`; an error of the machine.
pub fn refuse_newer(path: &Path, supported: u32) -> Result<()> {
    format_version::unless_damaged(read_checked(path, supported))
}

fn bytes_of(path: &Path) -> Result<Vec<u8>> {
    fault::retried(|| regular_file::read(path)).map_err(StoreError::io("read the file", path))
}

fn read_checked(path: &Path, supported: u32) -> Result<Vec<u8>> {
    let bytes = bytes_of(path)?;
    format_version::check(path, format_version::of_json(&bytes), supported)?;
    Ok(bytes)
}
