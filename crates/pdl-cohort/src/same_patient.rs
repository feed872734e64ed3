//! Patients that are one, although the cohort gives them two names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::CohortError;

/// Pairs of patient ids that are one patient.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SamePatient(BTreeSet<(String, String)>);

impl SamePatient {
    /// Reads a CSV table with the columns `patient_a` and `patient_b`; others are passed over.
    ///
    /// # Errors
    /// [`CohortError::Table`] when it cannot be read or has not these columns.
    pub fn read(path: &Path) -> Result<Self, CohortError> {
        #[derive(Deserialize)]
        struct Row {
            patient_a: String,
            patient_b: String,
        }
        let problem =
            |error: csv::Error| CohortError::Table { path: path.to_owned(), problem: error.to_string() };
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(path).map_err(problem)?;
        let rows = reader.deserialize().collect::<Result<Vec<Row>, _>>().map_err(problem)?;
        Ok(rows.into_iter().map(|row| (row.patient_a, row.patient_b)).collect())
    }

    /// Whether it joins nobody.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// These pairs and those of `other`.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        self.0.extend(other.0.iter().cloned());
        self
    }

    /// For every patient that is joined to another: the smallest name of all that it is joined to, directly or
    /// through others, its own included.
    pub fn names(&self) -> BTreeMap<&str, &str> {
        let mut names: BTreeMap<&str, &str> = BTreeMap::new();
        for (a, b) in &self.0 {
            let [name_a, name_b] = [a.as_str(), b.as_str()].map(|id| names.get(id).copied().unwrap_or(id));
            let (name, other) = (name_a.min(name_b), name_a.max(name_b));
            names.values_mut().filter(|known| **known == other).for_each(|known| *known = name);
            names.insert(a, name);
            names.insert(b, name);
        }
        names
    }
}

impl FromIterator<(String, String)> for SamePatient {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(pairs: T) -> Self {
        Self(pairs.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn joined(pairs: &[(u8, u8)]) -> SamePatient {
        pairs.iter().map(|(a, b)| (format!("p{a}"), format!("p{b}"))).collect()
    }

    #[test]
    fn patients_are_joined_through_others() {
        let same = joined(&[(3, 4), (1, 2), (2, 3), (7, 8)]);
        let names = same.names();
        assert!(["p1", "p2", "p3", "p4"].iter().all(|id| names[id] == "p1"), "{names:?}");
        assert_eq!((names["p7"], names["p8"]), ("p7", "p7"));
        assert!(!names.contains_key("p5"));
    }

    proptest! {
        #[test]
        fn both_ends_of_every_pair_have_one_name(pairs in prop::collection::vec((0_u8..30, 0_u8..30), 0..40)) {
            let same = joined(&pairs);
            let names = same.names();
            for (a, b) in &pairs {
                prop_assert_eq!(names[format!("p{a}").as_str()], names[format!("p{b}").as_str()]);
            }
            for (id, name) in &names {
                prop_assert!(name <= id && names[name] == *name);
            }
        }
    }
}
