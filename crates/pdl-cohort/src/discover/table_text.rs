//! Text of tables and JSON files as people's programs write it: encodings, the line `sep=` of
//! Excel, cells that mean a missing value, and paths of Windows.

use std::path::Path;

use pdl_store::{StoreError, fault};

const UTF8_MARK: &[u8] = b"\xef\xbb\xbf";
const UTF16_LE_MARK: &[u8] = b"\xff\xfe";
const UTF16_BE_MARK: &[u8] = b"\xfe\xff";

/// Cells that programs write for a missing value, in lower case: pandas, R and Excel.
const MISSING: [&str; 9] = ["n/a", "#n/a", "na", "<na>", "nan", "nat", "none", "null", "nil"];

/// Whether a cell is blank, or means a missing value.
pub(super) fn is_missing(cell: &str) -> bool {
    cell.is_empty() || MISSING.contains(&cell.to_lowercase().as_str())
}

/// The bytes of a text as UTF-8 without a mark of the byte order; UTF-16 is converted.
///
/// # Errors
/// What is wrong with its encoding, and what to do.
pub(super) fn utf8(bytes: Vec<u8>) -> Result<Vec<u8>, &'static str> {
    if let Some(text) = bytes.strip_prefix(UTF8_MARK) {
        return checked(text.to_vec());
    }
    let zeros_at = |first: usize| {
        let mut places = bytes.iter().skip(first).step_by(2).take(8).peekable();
        bytes.len() >= 4 && places.peek().is_some() && places.all(|byte| *byte == 0)
    };
    if let Some(text) = bytes.strip_prefix(UTF16_LE_MARK) {
        return utf16(text, u16::from_le_bytes);
    }
    if let Some(text) = bytes.strip_prefix(UTF16_BE_MARK) {
        return utf16(text, u16::from_be_bytes);
    }
    match (zeros_at(1), zeros_at(0)) {
        (true, false) => utf16(&bytes, u16::from_le_bytes),
        (false, true) => utf16(&bytes, u16::from_be_bytes),
        _ => checked(bytes),
    }
}

fn checked(bytes: Vec<u8>) -> Result<Vec<u8>, &'static str> {
    match std::str::from_utf8(&bytes) {
        Ok(_) => Ok(bytes),
        Err(_) => Err("its text is not UTF-8: save it so (in Excel as \"CSV UTF-8\")"),
    }
}

fn utf16(bytes: &[u8], number: fn([u8; 2]) -> u16) -> Result<Vec<u8>, &'static str> {
    let units: Vec<u16> =
        bytes.chunks(2).map(|two| number([two[0], two.get(1).copied().unwrap_or(0)])).collect();
    let text = String::from_utf16(&units).map_err(|_| "its text is not valid UTF-16: save it as UTF-8")?;
    Ok(text.into_bytes())
}

/// The field separator of a table, and the bytes after the line `sep=;` that states it to Excel.
/// Without that line it is the first of `candidates` that the first line has, else a comma.
pub(super) fn separated<'a>(bytes: &'a [u8], candidates: &[u8]) -> (u8, &'a [u8]) {
    let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(bytes.len());
    let (first, rest) = bytes.split_at(end);
    if let [b'"', b's', b'e', b'p', b'=', stated, b'"'] | [b's', b'e', b'p', b'=', stated] = first {
        let rest = rest.strip_prefix(b"\r\n").or_else(|| rest.get(1..)).unwrap_or_default();
        return (*stated, rest);
    }
    let found = candidates.iter().copied().find(|byte| first.contains(byte));
    (found.unwrap_or(b','), bytes)
}

/// A path with slashes, where it has the backslashes of Windows and no file has that very name.
///
/// # Errors
/// [`StoreError`] if an error of the machine prevents the file from being looked at.
pub(super) fn with_slashes(text: String, folder: &Path) -> Result<String, StoreError> {
    if !text.contains('\\') {
        return Ok(text);
    }
    let path = folder.join(&text);
    let is_name = fault::exists(&path).map_err(StoreError::io("look at the file", &path))?;
    Ok(if is_name { text } else { text.replace('\\', "/") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_of_spreadsheets_are_read() {
        let text = "image,label\nmü.nii,b\n";
        let marked = |mark: &[u8], bytes: Vec<u8>| [mark.to_vec(), bytes].concat();
        let of_units = |bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect::<Vec<_>>();
        for bytes in [
            text.as_bytes().to_vec(),
            marked(UTF8_MARK, text.as_bytes().to_vec()),
            marked(UTF16_LE_MARK, of_units(u16::to_le_bytes)),
            marked(UTF16_BE_MARK, of_units(u16::to_be_bytes)),
            of_units(u16::to_le_bytes),
            of_units(u16::to_be_bytes),
        ] {
            assert_eq!(utf8(bytes).unwrap(), text.as_bytes());
        }
        assert!(utf8(b"image\nm\xfc.nii\n".to_vec()).unwrap_err().contains("CSV UTF-8"));
        assert_eq!(utf8(Vec::new()), Ok(Vec::new()));
    }

    #[test]
    fn the_separator_is_stated_or_in_the_first_line() {
        assert_eq!(separated(b"sep=;\r\na;b\n", b";\t"), (b';', &b"a;b\n"[..]));
        assert_eq!(separated(b"\"sep=\t\"\na\tb\n", b";\t"), (b'\t', &b"a\tb\n"[..]));
        assert_eq!(separated(b"a;b\nc,d;e\n", b";\t").0, b';');
        assert_eq!(separated(b"a\n", b";\t").0, b',');
    }

    #[test]
    fn cells_of_other_programs_are_missing_values() {
        for cell in ["", "nan", "NaN", "N/A", "#N/A", "<NA>", "None", "NULL"] {
            assert!(is_missing(cell), "{cell}");
        }
        assert!(!is_missing("nano") && !is_missing("0") && !is_missing("-"));
    }
}
