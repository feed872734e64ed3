//! Names of structures and segments, which people type, without what they say of the patient.

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use pdl_findings::{Code, Finding};
use pdl_store::line::one_line;

use crate::charset::CharacterSet;
use crate::file::text;

/// Other patient ids: retired, and still in archives.
const OTHER_PATIENT_IDS: Tag = Tag(0x0010, 0x1000);
/// What stands in the place of a part of the patient's name.
const MASK: &str = "PATIENT";
/// A shorter part of a name is no name.
const SHORTEST: usize = 3;
/// A part of at least this length is found inside a word, too.
const INSIDE_WORDS: usize = 5;

/// What an object says of its patient, in lower case.
pub(crate) struct Identity {
    parts: Vec<Vec<char>>,
    /// Whether it declares what characters beyond ASCII are.
    characters_known: bool,
}

/// A name that may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    pub text: String,
    /// Whether something was masked.
    pub masked: bool,
    /// Whether characters were guessed, are none, or steer a terminal and were removed.
    pub odd_characters: bool,
}

impl Identity {
    /// Name, ids, date of birth and accession number.
    pub(crate) fn of(object: &InMemDicomObject) -> Self {
        let names = text(object, tags::PATIENT_NAME);
        let others = [tags::PATIENT_ID, OTHER_PATIENT_IDS, tags::PATIENT_BIRTH_DATE, tags::ACCESSION_NUMBER];
        let others: Vec<String> = others.map(|tag| text(object, tag)).to_vec();
        let parts =
            names.split(['^', '=', ' ', ',', '\\']).chain(others.iter().flat_map(|text| text.split('\\')));
        let mut parts: Vec<Vec<char>> = parts.map(lower).filter(|part| part.len() >= SHORTEST).collect();
        parts.sort_by_key(|part| std::cmp::Reverse(part.len()));
        let declared = CharacterSet::declared(&text(object, tags::SPECIFIC_CHARACTER_SET));
        Self { parts, characters_known: declared.is_known() }
    }

    /// The name, trimmed and in one line, with each part of the patient's masked.
    pub(crate) fn without(&self, name: &str) -> Name {
        let shown = one_line(name);
        let odd_characters = shown != name.trim()
            || shown.contains(char::REPLACEMENT_CHARACTER)
            || !self.characters_known && !shown.is_ascii();
        let name = shown.as_str();
        let (mut shown, small): (Vec<char>, Vec<char>) = (name.chars().collect(), lower(name));
        let mut hidden = vec![false; shown.len()];
        for part in &self.parts {
            for at in (0..=small.len().saturating_sub(part.len())).filter(|at| small[*at..].starts_with(part))
            {
                let end = at + part.len();
                let is_word = |place: Option<&char>| place.is_none_or(|c| !c.is_alphanumeric());
                let alone = is_word(at.checked_sub(1).and_then(|before| small.get(before)))
                    && is_word(small.get(end));
                if alone || part.len() >= INSIDE_WORDS {
                    hidden[at..end].fill(true);
                }
            }
        }
        let masked = hidden.contains(&true);
        let mut text = String::new();
        for (place, c) in shown.drain(..).enumerate() {
            if !hidden[place] {
                text.push(c);
            } else if place == 0 || !hidden[place - 1] {
                text.push_str(MASK);
            }
        }
        Name { text, masked, odd_characters }
    }
}

/// What is said of a name that is not shown as it stands in the file.
pub(crate) fn name_findings(name: &str, masked: bool, odd_characters: bool) -> Vec<Finding> {
    let mut found = Vec::new();
    if masked {
        let message = format!("{name}: its name held a part of the patient's name or ids, which is masked");
        found.push(Finding::new(Code::NameMasked, message));
    }
    if odd_characters {
        let message = format!(
            "{name}: the file does not say what all characters of this name are; they were guessed, replaced or removed"
        );
        found.push(Finding::new(Code::NameCharacters, message));
    }
    found
}

/// Letter by letter, so that places stay.
fn lower(text: &str) -> Vec<char> {
    text.trim().chars().map(|c| c.to_lowercase().next().unwrap_or(c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use dicom_core::VR;

    #[test]
    fn parts_of_the_patients_name_and_ids_are_masked() {
        let mut object = InMemDicomObject::new_empty();
        object.put_str(tags::PATIENT_NAME, VR::PN, "Muster^Eva^M=MUSTER");
        object.put_str(tags::PATIENT_ID, VR::LO, "4711");
        let identity = Identity::of(&object);
        for (name, shown) in [
            ("GTV muster", "GTV PATIENT"),
            ("GTVMuster2", "GTVPATIENT2"),
            ("Eva_lung", "PATIENT_lung"),
            ("EVALUATION", "EVALUATION"),
            ("lung 4711", "lung PATIENT"),
            ("lung 47110", "lung 47110"),
            (" heart ", "heart"),
            ("", ""),
        ] {
            let (text, masked) = (shown.to_owned(), shown.contains(MASK));
            assert_eq!(identity.without(name), Name { text, masked, odd_characters: false });
        }
    }

    #[test]
    fn characters_that_were_guessed_or_removed_are_told() {
        let mut object = InMemDicomObject::new_empty();
        let seen = |object: &InMemDicomObject, name: &str| {
            let name = Identity::of(object).without(name);
            (name.text, name.odd_characters)
        };
        for (name, shown, odd) in [
            ("liver", "liver", false),
            ("H\u{fc}ftkopf", "H\u{fc}ftkopf", true),
            ("left\nlung", "left lung", true),
            ("liver\u{202e}\u{7}", "liver", true),
            ("li\u{fffd}ver", "li\u{fffd}ver", true),
        ] {
            assert_eq!(seen(&object, name), (shown.to_owned(), odd));
        }
        object.put_str(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 100");
        assert_eq!(seen(&object, "H\u{fc}ftkopf"), ("H\u{fc}ftkopf".to_owned(), false));
    }
}
