//! Headers of text.

use std::io::{BufRead, Read};
use std::str::FromStr;

use crate::ReadError;
use crate::file::{Files, Source};

/// Maximum size of a header in bytes: bounds the search for its last line in binary data.
const LONGEST_HEADER: u64 = 1 << 20;

/// The next line, without its end, into `line`; false at the end of the file or of the longest
/// header. The last line of a file need not end. `read` counts the bytes of the header.
pub(crate) fn next_line(
    files: &Files<'_>,
    source: &mut Source,
    line: &mut Vec<u8>,
    read: &mut u64,
) -> Result<bool, ReadError> {
    line.clear();
    let count = source.by_ref().take(LONGEST_HEADER - *read).read_until(b'\n', line);
    *read += count.map_err(|error| files.damaged(&error))? as u64;
    if line.pop_if(|byte| *byte == b'\n').is_none() {
        return Ok(!line.is_empty() && *read < LONGEST_HEADER);
    }
    line.pop_if(|byte| *byte == b'\r');
    Ok(true)
}

/// A field's number.
pub(crate) fn number<T: FromStr>(files: &Files<'_>, field: &str, text: &str) -> Result<T, ReadError> {
    text.trim().parse().map_err(|_| files.invalid(format!("its {field} is '{text}'")))
}

/// A field's numbers.
pub(crate) fn numbers<T: FromStr>(files: &Files<'_>, field: &str, text: &str) -> Result<Vec<T>, ReadError> {
    text.split_whitespace().map(|part| number(files, field, part)).collect()
}
