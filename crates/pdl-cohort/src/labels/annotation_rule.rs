//! The rule that decides whether a label without a voxel is absent or not annotated.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Prefix of a column's name in the text of a rule.
const BY: &str = "by-";

/// Which labels of the cohort are annotated in a case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum AnnotationRule {
    /// The labels present in its label map.
    Present,
    /// All of them.
    All,
    /// The labels that its structure sets or segmentations (DICOM) name; all labels if it has a
    /// label map.
    Named,
    /// The labels present in any case with the same value in this column.
    By(String),
}

impl AnnotationRule {
    /// The rule where the user states none.
    pub(crate) fn default_of(labels_are_named: bool) -> Self {
        if labels_are_named { Self::Named } else { Self::All }
    }

    /// The column by whose values cases are grouped.
    pub(crate) fn column(&self) -> Option<&str> {
        match self {
            Self::By(column) => Some(column),
            _ => None,
        }
    }
}

impl fmt::Display for AnnotationRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Present => f.write_str("present"),
            Self::All => f.write_str("all"),
            Self::Named => f.write_str("named"),
            Self::By(column) => write!(f, "{BY}{column}"),
        }
    }
}

impl FromStr for AnnotationRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "present" => Ok(Self::Present),
            "all" => Ok(Self::All),
            "named" => Ok(Self::Named),
            _ => match text.strip_prefix(BY).filter(|column| !column.is_empty()) {
                Some(column) => Ok(Self::By(column.to_owned())),
                None => {
                    Err(format!("expected present, all, named or by-COLUMN, as in by-site, found \"{text}\""))
                }
            },
        }
    }
}

impl TryFrom<String> for AnnotationRule {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<AnnotationRule> for String {
    fn from(rule: AnnotationRule) -> Self {
        rule.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_texts_and_wrong_ones_name_the_right_ones() {
        for text in ["present", "all", "named", "by-site", "by-a-b"] {
            let rule: AnnotationRule = text.parse().unwrap();
            assert_eq!(rule.to_string(), text);
            assert_eq!(serde_json::from_value::<AnnotationRule>(serde_json::json!(text)).unwrap(), rule);
        }
        assert_eq!("by-site".parse::<AnnotationRule>().unwrap().column(), Some("site"));
        for text in ["", "by-", "some"] {
            assert!(text.parse::<AnnotationRule>().unwrap_err().contains("by-COLUMN"), "{text}");
        }
    }
}
