//! Texts of a cohort of files whose patients have pseudonyms: extra columns and names of labels,
//! with identifying words masked.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;

use pdl_dicom::{Identifier, Identifiers, NameMask};

use crate::discover::{DiscoveredCase, ExtraColumns, Layout};

/// A number with fewer characters is a measurement, not an identifier.
const LONG_NUMBER: usize = 5;

/// Masks patients, ids of cases and the names of their files in the extra columns, and those of all
/// cases in the names of labels, and removes all names of the cohort from findings about it.
/// Returns the masks for the names in each label file, by the file's path.
pub(crate) fn hide(layout: &mut Layout) -> HashMap<PathBuf, NameMask> {
    layout.hide_names();
    let shared = shared_words(&layout.cases);
    let mut all = Identifiers::default();
    let mut of_labels: HashMap<PathBuf, Identifiers> = HashMap::new();
    for found in &mut layout.cases {
        let own = identifiers(found, &shared);
        hide_values(&mut found.carried, &NameMask::of(&own));
        if let Some(label) = &found.label {
            of_labels.entry(label.clone()).or_default().extend(own.clone());
        }
        all.extend(own);
    }
    let mask = NameMask::of(&all);
    for name in layout.label_names.values_mut().chain(layout.channel_names.values_mut()) {
        *name = mask.without(name).text;
    }
    of_labels.into_iter().map(|(label, own)| (label, NameMask::of(&own))).collect()
}

/// Masks people's names in extra columns; short numbers stay.
pub(crate) fn hide_values(carried: &mut ExtraColumns, mask: &NameMask) {
    for value in carried.values_mut().flatten().filter(|value| !is_measurement(value)) {
        *value = mask.without(value).text;
    }
}

/// Whether a value is a number too short to be an id.
pub(crate) fn is_measurement(value: &str) -> bool {
    let digits = value.chars().filter(char::is_ascii_digit).count();
    value.parse::<f64>().is_ok() && (digits < LONG_NUMBER || value.contains('.'))
}

fn has_digit(text: &str) -> bool {
    text.chars().any(char::is_numeric)
}

/// The identifiers of a case of a table: its patient, its id, and the words of its files' paths
/// that no other patient has.
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
