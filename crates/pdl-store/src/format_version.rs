//! Versions of the formats of pdl's own files, so that a file of a newer pdl is refused with its
//! version instead of being misread, taken for damage or replaced.
//!
//! A JSON object states its version as `schema_version`, a table as `pdl.schema_version` of its
//! key-value metadata. A file that states none has version 1.

use std::path::Path;

use serde::Deserialize;

use crate::{Result, StoreError, fault};

/// Key of the version in the metadata of a table or of an Arrow file.
pub const TABLE_KEY: &str = "pdl.schema_version";

/// Checks the version that a file states.
///
/// # Errors
/// [`StoreError::NewerFormat`] if it is above `supported`.
pub fn check(path: &Path, found: Option<u64>, supported: u32) -> Result<()> {
    match found {
        Some(found) if found > u64::from(supported) => {
            Err(StoreError::NewerFormat { path: path.to_owned(), found, supported })
        }
        _ => Ok(()),
    }
}

/// Checks the version in the metadata of a table or of an Arrow file. What is no number is no
/// version that this pdl writes: it is the table's problem.
///
/// # Errors
/// As [`check`]; [`StoreError::Table`] for a version that is no number.
pub fn check_text(path: &Path, stated: Option<&str>, supported: u32) -> Result<()> {
    let number = stated.map(|text| {
        text.parse().map_err(|_| StoreError::Table {
            path: path.to_owned(),
            problem: format!("expected a format version, found \"{}\"", text.escape_default()),
        })
    });
    check(path, number.transpose()?, supported)
}

/// Checks the version of a file that is to be replaced: a missing or damaged file may be.
///
/// # Errors
/// [`StoreError::NewerFormat`]; an error of the machine.
pub fn unless_damaged<T>(read: Result<T>) -> Result<()> {
    match read {
        Err(error @ StoreError::NewerFormat { .. }) => Err(error),
        Err(error) if fault::machine_error(&error).is_some() => Err(error),
        _ => Ok(()),
    }
}

/// The version that the text of a JSON file states; `None` if it states none, or is no JSON.
pub fn of_json(bytes: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct Head {
        schema_version: u64,
    }
    let is_object = bytes.trim_ascii_start().starts_with(b"{");
    serde_json::from_slice(bytes).ok().filter(|_| is_object).map(|Head { schema_version }| schema_version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_newer_version_is_refused_and_named() {
        let path = Path::new("OUT/cases.parquet");
        for stated in [None, Some("0"), Some("1"), Some("3")] {
            check_text(path, stated, 3).unwrap();
        }
        for (stated, named) in [("4", "found 4"), ("18446744073709551615", "found 18446744073709551615")] {
            let error = check_text(path, Some(stated), 3).unwrap_err();
            assert!(matches!(error, StoreError::NewerFormat { supported: 3, .. }), "{error}");
            let told = error.to_string();
            assert!(told.contains(named) && told.contains("OUT/cases.parquet"), "{told}");
        }
        let error = check_text(path, Some("\x1b[2J"), 3).unwrap_err().to_string();
        assert!(error.contains("expected a format version") && !error.contains('\x1b'), "{error}");
    }

    #[test]
    fn json_states_its_version_as_a_field_of_an_object() {
        assert_eq!(of_json(b"\n {\"rows\": [], \"schema_version\": 7}"), Some(7));
        for text in ["[7]", "{}", "{\"schema_version\": \"7\"}", "{\"schema_version\": 7", "7", ""] {
            assert_eq!(of_json(text.as_bytes()), None, "{text}");
        }
    }
}
