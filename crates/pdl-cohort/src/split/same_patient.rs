//! Names of patients that seem to be one patient, and what was decided of them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use pdl_store::printable::{cell, from_cell};
use pdl_store::safe_path::SafePath;
use pdl_store::{StoreError, atomic, fault, regular_file};
use serde::{Deserialize, Serialize};

use crate::CohortError;

/// The list of such patients inside a curation folder; absent if there are none.
pub const FILE: &str = "same-patient.csv";

/// Two names of patients and what joins them: a row of the list. The first two columns suffice.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PatientPair {
    /// The first name.
    pub patient_a: String,
    /// The second name.
    pub patient_b: String,
    /// The case of the first by which they were found.
    #[serde(default)]
    pub case_a: String,
    /// The case of the second.
    #[serde(default)]
    pub case_b: String,
    /// The split that the first case had when they were found.
    #[serde(default)]
    pub split_a: String,
    /// The split that the second case had then.
    #[serde(default)]
    pub split_b: String,
    /// Why the two cases seem to be of one patient.
    #[serde(default)]
    pub reason: String,
    /// SSIM of the two cases, -1 to 1.
    #[serde(default)]
    pub ssim: String,
    /// Along which axes the second is flipped.
    #[serde(default)]
    pub flipped: String,
    /// Shift of the second image along x, y and z, mm.
    #[serde(default)]
    pub shift_mm: String,
    /// SSIM of the two images after flip and shift.
    #[serde(default)]
    pub moved_ssim: String,
    /// "no" if they are two patients; "yes" or blank if they are one.
    #[serde(default)]
    pub same: String,
    /// Action of the index for the pair, in words.
    #[serde(default)]
    pub done: String,
}

impl PatientPair {
    /// Whether they are two patients.
    pub fn is_apart(&self) -> bool {
        self.same == "no"
    }

    /// The pair with its names of patients and cases changed.
    fn with_names(mut self, change: impl Fn(&str) -> Cow<'_, str>) -> Self {
        for name in [&mut self.patient_a, &mut self.patient_b, &mut self.case_a, &mut self.case_b] {
            let changed = change(name).into_owned();
            *name = changed;
        }
        self
    }

    /// Both names, in the order of the alphabet.
    pub fn names(&self) -> (&str, &str) {
        let (a, b) = (self.patient_a.as_str(), self.patient_b.as_str());
        (a.min(b), a.max(b))
    }
}

/// Pairs of patient ids that are one patient, and pairs that are not whatever their images say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Stored>")]
pub struct SamePatient(BTreeSet<PatientPair>);

/// A pair as `cases.parquet` holds it; tables of earlier versions hold the names alone.
#[derive(Deserialize)]
#[serde(untagged)]
enum Stored {
    Names(String, String),
    Pair(Box<PatientPair>),
}

impl From<Vec<Stored>> for SamePatient {
    fn from(stored: Vec<Stored>) -> Self {
        let pair = |stored| match stored {
            Stored::Names(patient_a, patient_b) => {
                PatientPair { patient_a, patient_b, ..PatientPair::default() }
            }
            Stored::Pair(pair) => *pair,
        };
        stored.into_iter().map(pair).collect()
    }
}

impl SamePatient {
    /// Reads a CSV table with the columns `patient_a` and `patient_b`. A column `same` says "no" of
    /// pairs that are two patients; the reason of a pair is kept, other columns are ignored.
    ///
    /// # Errors
    /// [`CohortError::Table`] if it cannot be read or lacks these columns.
    pub fn read(path: &Path) -> Result<Self, CohortError> {
        let problem = |problem: String| CohortError::Table { path: path.to_owned(), problem };
        let in_table = |error: csv::Error| match fault::machine_error(&error) {
            Some(source) => StoreError::io("read the table", path)(source).into(),
            None => problem(error.to_string()),
        };
        let file = regular_file::open(path).map_err(|error| in_table(error.into()))?;
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(file);
        let mut pairs = reader.deserialize().collect::<Result<Vec<PatientPair>, _>>().map_err(in_table)?;
        for pair in &mut pairs {
            *pair = std::mem::take(pair).with_names(|name| from_cell(name).into());
            pair.same = pair.same.to_lowercase();
            pair.done.clear();
            if !["", "yes", "no"].contains(&pair.same.as_str()) {
                let PatientPair { patient_a, patient_b, same, .. } = pair;
                return Err(problem(format!(
                    "expected yes or no in the column same of {patient_a} and {patient_b}, found '{same}'"
                )));
            }
        }
        Ok(pairs.into_iter().collect())
    }

    /// Writes the pairs into a curation folder; removes an earlier list if there are none.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be written.
    pub fn write(&self, out: &Path) -> Result<(), StoreError> {
        let path = out.join(FILE);
        if self.is_empty() {
            return atomic::remove(&SafePath::from(&path));
        }
        let failed = |error: csv::Error| StoreError::io("write the table", &path)(error.into());
        let mut table = csv::Writer::from_writer(Vec::new());
        self.0.iter().try_for_each(|pair| table.serialize(pair.clone().with_names(cell))).map_err(failed)?;
        let bytes = table.into_inner().map_err(|error| failed(error.into_error().into()))?;
        atomic::write_if_changed(&path, &bytes)?;
        Ok(())
    }

    /// Whether the list is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All pairs.
    pub fn pairs(&self) -> impl Iterator<Item = &PatientPair> {
        self.0.iter()
    }

    /// These pairs and those of `later`, which takes precedence for the patients that it names.
    #[must_use]
    pub fn and(mut self, later: &Self) -> Self {
        let named: BTreeSet<(&str, &str)> = later.pairs().map(PatientPair::names).collect();
        self.0.retain(|pair| !named.contains(&pair.names()));
        self.0.extend(later.0.iter().cloned());
        self
    }

    /// The pairs of patients whose names after joining are not in `names`.
    #[must_use]
    pub fn without(&self, names: &BTreeSet<String>) -> Self {
        let joined = self.names();
        let named = |pair: &PatientPair| {
            joined.get(pair.patient_a.as_str()).is_some_and(|name| names.contains(*name))
        };
        Self(self.0.iter().filter(|pair| !named(pair)).cloned().collect())
    }

    /// For every patient that is joined to another: the smallest name of all that it is joined to,
    /// directly or through others, its own included.
    pub fn names(&self) -> BTreeMap<&str, &str> {
        let mut names: BTreeMap<&str, &str> = BTreeMap::new();
        for (a, b) in self.pairs().filter(|pair| !pair.is_apart()).map(PatientPair::names) {
            let [name_a, name_b] = [a, b].map(|id| names.get(id).copied().unwrap_or(id));
            let (name, other) = (name_a.min(name_b), name_a.max(name_b));
            names.values_mut().filter(|known| **known == other).for_each(|known| *known = name);
            names.insert(a, name);
            names.insert(b, name);
        }
        names
    }

    /// Every two patients that are to be kept apart, under the names that they have after joining,
    /// and as given.
    pub fn apart(&self) -> BTreeMap<(&str, &str), &PatientPair> {
        let names = self.names();
        let mut apart = BTreeMap::new();
        for pair in self.pairs().filter(|pair| pair.is_apart()) {
            let (a, b) = pair.names();
            let [a, b] = [a, b].map(|id| names.get(id).copied().unwrap_or(id));
            apart.insert((a.min(b), a.max(b)), pair);
        }
        apart
    }
}

impl FromIterator<PatientPair> for SamePatient {
    /// Collects the pairs; where a pair occurs more than once, a single "no" decides.
    fn from_iter<T: IntoIterator<Item = PatientPair>>(pairs: T) -> Self {
        let mut pairs: Vec<PatientPair> = pairs.into_iter().collect();
        let apart: BTreeSet<(String, String)> = pairs
            .iter()
            .filter(|pair| pair.is_apart())
            .map(|pair| (pair.names().0.to_owned(), pair.names().1.to_owned()))
            .collect();
        for pair in &mut pairs {
            let (a, b) = pair.names();
            if apart.contains(&(a.to_owned(), b.to_owned())) {
                "no".clone_into(&mut pair.same);
            }
        }
        Self(pairs.into_iter().collect())
    }
}

impl FromIterator<(String, String)> for SamePatient {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(pairs: T) -> Self {
        let pair = |(patient_a, patient_b)| PatientPair { patient_a, patient_b, ..PatientPair::default() };
        pairs.into_iter().map(pair).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn joined(pairs: &[(u8, u8)]) -> SamePatient {
        pairs.iter().map(|(a, b)| (format!("p{a}"), format!("p{b}"))).collect()
    }

    fn read(text: &str) -> Result<SamePatient, CohortError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list.csv");
        std::fs::write(&path, text).unwrap();
        SamePatient::read(&path)
    }

    #[test]
    fn patients_are_joined_through_others() {
        let same = joined(&[(3, 4), (1, 2), (2, 3), (7, 8)]);
        let names = same.names();
        assert!(["p1", "p2", "p3", "p4"].iter().all(|id| names[id] == "p1"), "{names:?}");
        assert_eq!((names["p7"], names["p8"]), ("p7", "p7"));
        assert!(!names.contains_key("p5"));
    }

    #[test]
    fn the_later_word_on_two_patients_counts_and_a_no_joins_nobody() {
        let refused = read("patient_a,patient_b,same,note\np2,p1,No,x\np3,p4,,y\n").unwrap();
        let same = joined(&[(1, 2), (5, 6)]).and(&refused);
        let names = same.names();
        assert_eq!(names.keys().copied().collect::<Vec<_>>(), ["p3", "p4", "p5", "p6"]);
        assert_eq!(same.apart().keys().copied().collect::<Vec<_>>(), [("p1", "p2")]);
        assert!(same.clone().and(&joined(&[(1, 2)])).apart().is_empty(), "a yes takes it back");
        // One that goes by another name is kept apart under that.
        let through = same.and(&joined(&[(0, 1)]));
        assert_eq!(through.apart().keys().copied().collect::<Vec<_>>(), [("p0", "p2")]);
        let error = read("patient_a,patient_b,same\np1,p2,perhaps\n").unwrap_err().to_string();
        assert!(error.contains("in the column same of p1 and p2, found 'perhaps'"), "{error}");
    }

    #[test]
    fn a_list_is_read_as_it_was_written_and_earlier_tables_hold_names_alone() {
        let folder = tempfile::tempdir().unwrap();
        let pair = PatientPair {
            patient_a: "a,\"b".into(),
            patient_b: "c".into(),
            ssim: "0.9".into(),
            ..PatientPair::default()
        };
        let same: SamePatient = [pair].into_iter().collect();
        same.write(folder.path()).unwrap();
        assert_eq!(SamePatient::read(&folder.path().join(FILE)).unwrap(), same);
        SamePatient::default().write(folder.path()).unwrap();
        assert!(!folder.path().join(FILE).exists());
        let text = serde_json::to_string(&same).unwrap();
        assert_eq!(serde_json::from_str::<SamePatient>(&text).unwrap(), same);
        assert_eq!(serde_json::from_str::<SamePatient>(r#"[["p1","p2"]]"#).unwrap(), joined(&[(1, 2)]));
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
