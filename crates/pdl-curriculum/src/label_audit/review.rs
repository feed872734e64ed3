//! What a reviewer decided about flagged labels: `label-review.csv` in the curation folder.

use std::collections::BTreeMap;
use std::path::Path;

use pdl_store::printable::{cell, from_cell};
use pdl_store::safe_path::SafePath;
use pdl_store::{StoreError, atomic, fault, regular_file};
use serde::{Deserialize, Serialize};

use crate::CurriculumError;
use crate::label_audit::agreement::{LabelAgreement, LabelDecision};

/// The list's name inside a curation folder; absent when no label is flagged or decided.
pub const FILE: &str = "label-review.csv";

/// A flagged label, or one that a reviewer decided about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct ReviewRow {
    case_id: String,
    label: u16,
    /// "yes" says that the label is right, "no" that it is wrong; nothing is decided without.
    #[serde(default)]
    right: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    score: String,
    #[serde(default)]
    reason: String,
    /// BLAKE3 of the label file that was judged.
    #[serde(default)]
    label_blake3: String,
}

/// The decisions, each of one label of one label file.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Reviews(BTreeMap<(String, u16), (LabelDecision, String)>);

impl Reviews {
    /// Reads the list of a curation folder; there is no decision where it is absent.
    ///
    /// # Errors
    /// [`CurriculumError::Reviews`] when it cannot be read, says neither yes nor no, or decides
    /// without the hash of the label file.
    pub(super) fn read(out: &Path) -> Result<Self, CurriculumError> {
        let path = out.join(FILE);
        let problem = |problem: String| CurriculumError::Reviews { path: path.clone(), problem };
        if !regular_file::is_there(&path)? {
            return Ok(Self::default());
        }
        let in_table = |error: csv::Error| match fault::machine_error(&error) {
            Some(source) => StoreError::io("read the table", &path)(source).into(),
            None => problem(error.to_string()),
        };
        let file = regular_file::open(&path).map_err(|error| in_table(error.into()))?;
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(file);
        let mut decided = BTreeMap::new();
        for row in reader.deserialize() {
            let row: ReviewRow = row.map_err(in_table)?;
            let case = from_cell(&row.case_id).to_owned();
            let decision = match row.right.to_lowercase().as_str() {
                "" => continue,
                "yes" => LabelDecision::Right,
                "no" => LabelDecision::Wrong,
                other => {
                    let label = row.label;
                    return Err(problem(format!(
                        "label {label} of case {case}: expected yes or no in the column right, found '{other}'"
                    )));
                }
            };
            // Without it the decision would hold for whatever the file has become since.
            if row.label_blake3.is_empty() {
                return Err(problem(format!(
                    "label {} of case {case}: its label_blake3 is empty, so it is unknown which label file was judged: \
                     copy it from cases.parquet",
                    row.label
                )));
            }
            decided.insert((case.to_string(), row.label), (decision, row.label_blake3));
        }
        Ok(Self(decided))
    }

    /// The decision about a label, unless its file has changed since.
    pub(super) fn of(&self, case: &str, label: u16, label_blake3: &str) -> Option<LabelDecision> {
        let (decision, judged) = self.0.get(&(case.to_owned(), label))?;
        (judged == label_blake3).then_some(*decision)
    }
}

/// Writes the labels that are flagged or decided, worst first; `hash` gives the BLAKE3 of a case's
/// label file. Removes an earlier list where there are none.
///
/// # Errors
/// [`StoreError`] when it cannot be written.
pub(super) fn write<'a>(
    out: &Path,
    labels: &[LabelAgreement],
    hash: impl Fn(&str) -> Option<&'a str>,
) -> Result<(), StoreError> {
    let path = out.join(FILE);
    let listed: Vec<&LabelAgreement> =
        labels.iter().filter(|own| own.flagged || own.decision.is_some()).collect();
    if listed.is_empty() {
        return atomic::remove(&SafePath::from(&path));
    }
    let failed = |error: csv::Error| StoreError::io("write the table", &path)(error.into());
    let mut table = csv::Writer::from_writer(Vec::new());
    for own in listed {
        let row = ReviewRow {
            case_id: cell(&own.case_id).into_owned(),
            label: own.label,
            right: own.decision.map_or("", LabelDecision::as_str).to_owned(),
            name: cell(own.name.as_deref().unwrap_or_default()).into_owned(),
            score: own.score.map_or(String::new(), |score| format!("{score:.2}")),
            reason: own.reason.map_or("", |reason| reason.as_str()).to_owned(),
            label_blake3: hash(&own.case_id).unwrap_or_default().to_owned(),
        };
        table.serialize(row).map_err(failed)?;
    }
    let bytes = table.into_inner().map_err(|error| failed(error.into_error().into()))?;
    atomic::write_if_changed(&path, &bytes)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_holds_until_the_label_file_changes() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Reviews::read(folder.path()).unwrap(), Reviews::default());
        let path = folder.path().join(FILE);
        std::fs::write(&path, "case_id,label,right,label_blake3\na,1,yes,x\na,2,No,y\nb,1,,x\n").unwrap();
        let reviews = Reviews::read(folder.path()).unwrap();
        assert_eq!(reviews.of("a", 1, "x"), Some(LabelDecision::Right));
        assert_eq!(reviews.of("a", 1, "y"), None);
        assert_eq!(reviews.of("a", 2, "y"), Some(LabelDecision::Wrong));
        assert_eq!(reviews.of("b", 1, "x"), None);
        for text in ["case_id,label,right\na,1,yes\n", "case_id,label,right,label_blake3\na,1,yes,\n"] {
            std::fs::write(&path, text).unwrap();
            let error = Reviews::read(folder.path()).unwrap_err().to_string();
            assert!(error.contains("label 1 of case a: its label_blake3 is empty"), "{error}");
        }
        std::fs::write(&path, "case_id,label,right\na,1,maybe\n").unwrap();
        let error = Reviews::read(folder.path()).unwrap_err().to_string();
        assert!(error.contains("label 1 of case a") && error.contains("'maybe'"), "{error}");
    }
}
