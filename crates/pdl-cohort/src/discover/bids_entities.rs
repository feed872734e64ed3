//! Entities in the names of BIDS files.

use std::collections::BTreeMap;

use crate::discover::volume_names::is_label_word;

/// Suffixes of volumes that are neither images to segment nor label maps.
const OTHERS: [&str; 8] =
    ["probseg", "bold", "sbref", "epi", "fieldmap", "magnitude1", "magnitude2", "phasediff"];

/// The entities of a name such as `sub-01_ses-02_space-T1w_label-lesion_mask`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entities {
    pub subject: String,
    pub session: Option<String>,
    /// All others by their keys.
    pub others: BTreeMap<String, String>,
    pub suffix: String,
}

impl Entities {
    /// Parses a file's name without its ending; `None` if it begins with no `sub-`.
    pub fn of(stem: &str) -> Option<Self> {
        let mut parts = stem.split('_');
        let subject = parts.next()?.strip_prefix("sub-").filter(|subject| !subject.is_empty())?;
        let mut suffix = Vec::new();
        let mut others = BTreeMap::new();
        for part in parts {
            match part.split_once('-').filter(|(key, value)| !key.is_empty() && !value.is_empty()) {
                Some((key, value)) => _ = others.insert(key.to_owned(), value.to_owned()),
                None => suffix.push(part),
            }
        }
        let session = others.remove("ses");
        let suffix = suffix.join("_");
        (!suffix.is_empty()).then(|| Self { subject: subject.to_owned(), session, others, suffix })
    }

    /// Whether the suffix is that of a label map: `dseg`, `mask`, and `seg`, `msk` and the like,
    /// which the specification does not have and data sets use.
    pub fn is_label_map(&self) -> bool {
        let last = self.suffix.rsplit('_').next().unwrap_or_default().to_lowercase();
        last == "dseg" || is_label_word(&last)
    }

    /// Whether it is an image to segment.
    pub fn is_image(&self) -> bool {
        !self.is_label_map() && !OTHERS.contains(&self.suffix.as_str())
    }

    /// Whether it is a mask of the whole brain.
    pub fn is_brain_mask(&self) -> bool {
        let is_brain =
            |key: &str| self.others.get(key).is_some_and(|value| value.eq_ignore_ascii_case("brain"));
        self.suffix == "mask" && (is_brain("desc") || is_brain("label"))
    }

    /// The structure of a mask.
    pub fn label(&self) -> Option<&String> {
        self.others.get("label").filter(|_| self.suffix == "mask" || self.suffix == "roi")
    }

    /// Suffix and all entities but subject and session.
    pub fn kind(&self) -> String {
        let mut kind: String = self.others.iter().map(|(key, value)| format!("{key}-{value}_")).collect();
        kind += &self.suffix;
        kind
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_entities_and_a_suffix() {
        let mask = Entities::of("sub-01_ses-02_space-T1w_label-lesion_mask").unwrap();
        assert_eq!((mask.subject.as_str(), mask.session.as_deref()), ("01", Some("02")));
        assert!(mask.is_label_map() && !mask.is_brain_mask());
        assert_eq!(
            (mask.label().map(String::as_str), mask.kind().as_str()),
            (Some("lesion"), "label-lesion_space-T1w_mask")
        );
        let image = Entities::of("sub-strokecase0001_ses-0001_dwi").unwrap();
        assert!(image.is_image() && image.others.is_empty());
        assert!(Entities::of("sub-01_desc-brain_mask").unwrap().is_brain_mask());
        assert!(!Entities::of("sub-01_label-GM_probseg").unwrap().is_image());
        assert_eq!((Entities::of("subject1_T1w"), Entities::of("sub-01")), (None, None));
    }
}
