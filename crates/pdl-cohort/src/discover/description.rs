//! Files that describe a cohort: read within a share of memory, and errors that quote them.

use std::path::Path;

use pdl_store::memory::{MemoryError, MemoryShare};
use pdl_store::printable::escaped;
use pdl_store::{StoreError, fault, regular_file};

use super::table_text;
use crate::CohortError;

/// Maximum memory per byte of JSON, in bytes; reached by long lists of short items.
const JSON_BYTES_A_BYTE: u64 = 64;

/// The bytes of a file; each takes `bytes_a_byte` of memory once it is parsed.
pub(super) fn read(path: &Path, bytes_a_byte: u64, memory: &MemoryShare<'_>) -> Result<Vec<u8>, StoreError> {
    let meta = fault::metadata(path).map_err(StoreError::io("read the file", path))?;
    let held = meta.map_or(0, |meta| meta.len());
    memory.take_each(held, bytes_a_byte).map_err(no_memory(path))?;
    fault::retried(|| regular_file::read(path)).map_err(StoreError::io("read the file", path))
}

/// The bytes of a JSON file as UTF-8, without a mark of the byte order.
///
/// # Errors
/// [`CohortError::Table`] if its text is of another encoding.
pub(super) fn read_json(path: &Path, memory: &MemoryShare<'_>) -> Result<Vec<u8>, CohortError> {
    let bytes = read(path, JSON_BYTES_A_BYTE, memory)?;
    table_text::utf8(bytes).map_err(|problem| table_error(path, &problem))
}

pub(super) fn no_memory(path: &Path) -> impl Fn(MemoryError) -> StoreError {
    move |source| StoreError::Memory { path: path.to_owned(), source }
}

pub(super) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A name without control characters.
pub(super) fn shown(name: &str) -> String {
    escaped(name).into_owned()
}

/// An error that quotes the table.
pub(super) fn quoting(path: &Path, problem: &str, quote: String) -> CohortError {
    CohortError::TableValue { path: path.to_owned(), problem: problem.to_owned(), quote }
}

pub(super) fn not_json(path: &Path, error: &serde_json::Error) -> CohortError {
    quoting(path, "", error.to_string()) // which says where
}

pub(super) fn table_error(path: &Path, problem: &dyn std::fmt::Display) -> CohortError {
    CohortError::Table { path: path.to_owned(), problem: problem.to_string() }
}
