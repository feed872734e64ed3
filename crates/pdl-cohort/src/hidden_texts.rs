//! Texts of a cohort of files whose patients go by pseudonyms: carried columns and names of labels,
//! without what tells whose the cases are.

use std::collections::{BTreeMap, BTreeSet};

use pdl_dicom::{Identifier, Identifiers, NameMask};

use crate::discover::{Carried, DiscoveredCase, Layout};

/// A number of fewer characters is a measurement, not somebody's.
const LONG_NUMBER: usize = 5;

/// Hides patients, ids of cases and the names of their files in the values that are carried, and
/// those of all cases in the names of labels.
pub(crate) fn hide(layout: &mut Layout) {
    let shared = shared_words(&layout.cases);
    let mut all = Identifiers::default();
    for found in &mut layout.cases {
        let own = identifiers(found, &shared);
        hide_values(&mut found.carried, &NameMask::of(&own));
        all.extend(own);
    }
    let mask = NameMask::of(&all);
    for name in layout.label_names.values_mut().chain(layout.channel_names.values_mut()) {
        *name = mask.without(name).text;
    }
}

/// Hides people in carried values; short numbers stay.
pub(crate) fn hide_values(carried: &mut Carried, mask: &NameMask) {
    for value in carried.values_mut().flatten().filter(|value| !is_measurement(value)) {
        *value = mask.without(value).text;
    }
}

/// Whether a value is a number that can be no id.
pub(crate) fn is_measurement(value: &str) -> bool {
    let digits = value.chars().filter(char::is_ascii_digit).count();
    value.parse::<f64>().is_ok() && (digits < LONG_NUMBER || value.contains('.'))
}

fn has_digit(text: &str) -> bool {
    text.chars().any(char::is_numeric)
}

/// What a case of a table is called by: its patient, its id, and the words of its files' paths that
/// are no other patient's.
fn identifiers(found: &DiscoveredCase, shared: &BTreeSet<String>) -> Identifiers {
    let mut own = Identifiers::default();
    if let Some(patient) = &found.patient {
        own.insert(match has_digit(patient) {
            true => Identifier::Id(patient.clone()),
            false => Identifier::Patient(patient.clone()),
        });
    }
    if let Some(stated) = &found.name.stated {
        own.insert(Identifier::Id(stated.clone()));
    }
    for word in path_words(found).into_iter().filter(|word| !shared.contains(word)) {
        own.insert(match has_digit(&word) {
            true => Identifier::Id(word),
            false => Identifier::Person(word),
        });
    }
    own
}

/// Words of paths that files of several patients have, such as the name of a folder.
fn shared_words(cases: &[DiscoveredCase]) -> BTreeSet<String> {
    let mut whose: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for found in cases {
        for word in path_words(found) {
            let name = found.name.path.to_str().unwrap_or_default();
            whose.entry(word).or_default().insert(found.patient.as_deref().unwrap_or(name));
        }
    }
    whose.into_iter().filter(|(_, patients)| patients.len() > 1).map(|(word, _)| word).collect()
}

fn path_words(found: &DiscoveredCase) -> BTreeSet<String> {
    let path = found.name.path.to_string_lossy().into_owned();
    let words = path.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_owned).collect()
}
