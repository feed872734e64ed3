//! Objects that are stored in several files, as a concatenation (DICOM PS3.3, C.7.6.16.1.3).

use std::collections::{BTreeMap, BTreeSet};

use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use pdl_findings::{Code, Finding};
use pdl_store::plural::counted;

use crate::file::{number, text};

/// The place of a file in a concatenation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConcatenationPart {
    uid: String,
    /// From 1.
    number: u32,
    /// Number of all parts, if stated.
    total: Option<u32>,
}

impl ConcatenationPart {
    /// `None` for an object in one file.
    pub(crate) fn of(object: &InMemDicomObject) -> Option<Self> {
        let uid = text(object, tags::CONCATENATION_UID);
        let count = |tag| number(object, tag).filter(|count| *count >= 1.0).map(|count| count as u32);
        let own = count(tags::IN_CONCATENATION_NUMBER)?;
        let total = count(tags::IN_CONCATENATION_TOTAL_NUMBER);
        (!uid.is_empty()).then_some(Self { uid, number: own, total })
    }

    /// Whether there are other parts. The number of all parts may be omitted: then the first can be
    /// the only one.
    pub(crate) fn has_others(&self) -> bool {
        self.number > 1 || self.total.is_some_and(|total| total > 1)
    }
}

/// Finding about concatenations some of whose parts are missing.
pub(crate) fn incomplete<'a>(parts: impl Iterator<Item = &'a ConcatenationPart>) -> Option<Finding> {
    let mut objects: BTreeMap<&str, (BTreeSet<u32>, u32)> = BTreeMap::new();
    for part in parts {
        let (numbers, total) = objects.entry(&part.uid).or_default();
        numbers.insert(part.number);
        *total = (*total).max(part.total.unwrap_or(0)).max(part.number);
    }
    let all: u64 = objects.values().map(|(_, total)| u64::from(*total)).sum();
    let missing: u64 =
        objects.values().map(|(numbers, total)| u64::from(*total).saturating_sub(numbers.len() as u64)).sum();
    let message = format!(
        "its object is stored in several files (a concatenation), and {missing} of the {} are not there: its first or \
         last slices may be missing",
        counted(usize::try_from(all).unwrap_or(usize::MAX), "file")
    );
    (missing > 0).then(|| Finding::new(Code::MissingParts, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_are_not_there_are_counted() {
        let part = |uid: &str, number, total| ConcatenationPart { uid: uid.to_owned(), number, total };
        let told = |parts: &[ConcatenationPart]| incomplete(parts.iter()).map(|finding| finding.message);
        assert_eq!(told(&[part("a", 1, Some(2)), part("a", 2, Some(2))]), None);
        assert_eq!(told(&[part("a", 1, None), part("a", 2, None)]), None);
        let last = told(&[part("a", 1, Some(3)), part("a", 2, Some(3)), part("b", 1, Some(1))]).unwrap();
        assert!(last.contains("1 of the 4 files are not there"), "{last}");
        let first = told(&[part("a", 2, None)]).unwrap();
        assert!(first.contains("1 of the 2 files"), "{first}");
    }
}
