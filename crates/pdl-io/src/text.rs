//! Headers of text.

use std::str::FromStr;

use crate::ReadError;
use crate::file::Files;

/// The first line, without its end, and what follows it; nothing when no line ends.
pub(crate) fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let line = &bytes[..end];
    Some((line.strip_suffix(b"\r").unwrap_or(line), &bytes[end + 1..]))
}

/// A field's number.
pub(crate) fn number<T: FromStr>(files: &Files<'_>, field: &str, text: &str) -> Result<T, ReadError> {
    text.trim().parse().map_err(|_| files.invalid(format!("its {field} is '{text}'")))
}

/// A field's numbers.
pub(crate) fn numbers<T: FromStr>(files: &Files<'_>, field: &str, text: &str) -> Result<Vec<T>, ReadError> {
    text.split_whitespace().map(|part| number(files, field, part)).collect()
}
