//! Names from files that become parts of paths, such as case ids.

use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// Maximum length of a name: with prefixes and endings it still fits into a file's name of 255
/// bytes.
pub const LONGEST: usize = 180;

/// Whether a text can be a part of any path: 1 to 180 of the ASCII letters, digits, `-` and `_`, so
/// that it leads into no other folder and every file system takes it.
pub fn is_safe(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=LONGEST).contains(&text.len()) && text.bytes().all(plain)
}

/// Reads a name, for `#[serde(deserialize_with)]`: whoever reads a row of a file knows that the
/// name in it is safe.
///
/// # Errors
/// If the text is not such a name.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    if is_safe(&name) {
        return Ok(name);
    }
    let problem = format!("expected a name of 1 to {LONGEST} letters, digits, - and _, found {name:?}");
    Err(D::Error::custom(problem))
}

/// Like [`deserialize`], of a name that may be absent.
///
/// # Errors
/// As [`deserialize`].
pub fn deserialize_option<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    struct Safe(#[serde(deserialize_with = "deserialize")] String);
    Ok(Option::<Safe>::deserialize(deserializer)?.map(|Safe(name)| name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_part_of_a_path_and_nothing_else() {
        for name in ["ct_05", "A-1", "c-0123456789abcdef", &"a".repeat(LONGEST)] {
            assert!(is_safe(name), "{name}");
        }
        let long = "a".repeat(LONGEST + 1);
        for name in ["", ".", "..", "a/b", "../x", "/etc", "a\\b", "a\0", "a\nb", "a b", "ü", "a.b", &long] {
            assert!(!is_safe(name), "{name:?}");
        }
    }

    #[test]
    fn a_row_with_another_name_is_not_read() {
        #[derive(Debug, Deserialize)]
        struct Row {
            #[serde(deserialize_with = "deserialize")]
            id: String,
        }
        let read = |text: &str| serde_json::from_str::<Row>(text);
        assert_eq!(read(r#"{"id": "ct_05"}"#).unwrap().id, "ct_05");
        let error = read(r#"{"id": "../../x"}"#).unwrap_err().to_string();
        assert!(error.contains(r#"found "../../x""#), "{error}");
    }
}
