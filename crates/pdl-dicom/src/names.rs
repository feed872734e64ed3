//! Masks identifying words in the names of structures and segments, which people type.
//!
//! In: identifiers of people from the headers of a study ([`Identifiers`]). Out: a [`NameMask`],
//! which replaces names, ids and dates in a text, however they are spelled there: upper or lower
//! case, with and without accents, `ue` for `ü`, in one word or several.

pub(crate) mod people;

use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use pdl_findings::{Code, Finding};
use pdl_store::printable::one_line;

use crate::file::charset::CharacterSet;
use crate::file::text;

mod fold;
mod identifiers;
mod mask;
mod terms;
mod vocabulary;

pub use identifiers::{Identifier, Identifiers};
pub use mask::{MaskedName, NameMask};

pub(crate) use identifiers::Source;

/// Whether an object declares its character set beyond ASCII.
pub(crate) fn declares_characters(object: &InMemDicomObject) -> bool {
    CharacterSet::declared(&text(object, tags::SPECIFIC_CHARACTER_SET)).is_known()
}

/// Whether characters of a name are removed, invalid, or guessed since the file does not declare
/// their set.
pub(crate) fn has_odd_characters(name: &str, declared: bool) -> bool {
    let shown = one_line(name);
    shown != name.trim() || shown.contains(char::REPLACEMENT_CHARACTER) || !declared && !shown.is_ascii()
}

/// Findings about a name that is not shown as stored in the file.
pub(crate) fn name_findings(name: &str, masked: bool, odd_characters: bool) -> Vec<Finding> {
    let mut found = Vec::new();
    if masked {
        let message =
            format!("{name}: its name contained a name, an id or a date from the headers, which is masked");
        found.push(Finding::new(Code::NameMasked, message));
    }
    if odd_characters {
        let message = format!(
            "{name}: the character set of this name is not declared or invalid; characters were guessed, replaced or \
             removed"
        );
        found.push(Finding::new(Code::NameCharacters, message));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_were_guessed_or_removed_are_told() {
        for (name, declared, odd) in [
            ("liver", false, false),
            ("H\u{fc}ftkopf", false, true),
            ("H\u{fc}ftkopf", true, false),
            ("left\nlung", true, true),
            ("liver\u{202e}\u{7}", true, true),
            ("li\u{fffd}ver", true, true),
        ] {
            assert_eq!(has_odd_characters(name, declared), odd, "{name}");
        }
    }
}
