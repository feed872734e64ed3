//! What has changed from one manifest to another.

use std::collections::{BTreeMap, BTreeSet};

use pdl_cohort::attributes::Split;
use serde::Serialize;

use crate::manifest::{Manifest, ManifestRow};

/// A case that is in both manifests, in another split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MovedCase {
    /// Which case.
    pub case_id: String,
    /// Its split in the old manifest.
    pub from: Split,
    /// Its split in the new one.
    pub to: Split,
}

/// A patient none of whose cases is in both manifests, or whose id has changed, and who is in another split now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MovedPatient {
    /// Who.
    pub patient_id: String,
    /// The splits that the patient's cases were in.
    pub from: BTreeSet<Split>,
    /// The splits that they are in now.
    pub to: BTreeSet<Split>,
}

/// A case with another place in the curriculum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reranked {
    /// Which case.
    pub case_id: String,
    /// Its rank before, 1 first; none where it had none.
    pub from: Option<u32>,
    /// Its rank now.
    pub to: Option<u32>,
}

impl Reranked {
    /// By how many places it moved; the most where it came into or went out of the curriculum.
    pub fn places(&self) -> u32 {
        self.from.zip(self.to).map_or(u32::MAX, |(from, to)| from.abs_diff(to))
    }
}

/// What has changed; cases by their ids.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// Cases in both.
    pub common: usize,
    /// Cases in another split than before.
    pub moved: Vec<MovedCase>,
    /// Patients who are in another split by other cases.
    pub moved_patients: Vec<MovedPatient>,
    /// Cases that are in the new manifest only.
    pub added: Vec<String>,
    /// Cases that are in the old manifest only.
    pub removed: Vec<String>,
    /// Cases whose prepared image or label is another.
    pub prepared_anew: Vec<String>,
    /// Cases of training in both that have another rank, the furthest moved first.
    pub reranked: Vec<Reranked>,
}

impl Changes {
    /// From `old` to `new`.
    pub fn between(old: &Manifest, new: &Manifest) -> Self {
        let [before, after] = [old, new].map(|manifest| by_id(&manifest.rows));
        let only = |these: &BTreeMap<&str, &ManifestRow>, others: &BTreeMap<&str, &ManifestRow>| {
            these.keys().filter(|id| !others.contains_key(*id)).map(|id| (*id).to_owned()).collect()
        };
        let mut changes =
            Self { added: only(&after, &before), removed: only(&before, &after), ..Self::default() };
        for (id, was, is) in before.iter().filter_map(|(id, was)| Some((*id, *was, *after.get(id)?))) {
            let case_id = id.to_owned();
            changes.common += 1;
            if (&was.image_blake3, &was.label_blake3) != (&is.image_blake3, &is.label_blake3) {
                changes.prepared_anew.push(case_id.clone());
            }
            if was.split != is.split {
                changes.moved.push(MovedCase { case_id, from: was.split, to: is.split });
            } else if was.rank != is.rank {
                changes.reranked.push(Reranked { case_id, from: was.rank, to: is.rank });
            }
        }
        changes.reranked.sort_by_key(|case| std::cmp::Reverse(case.places())); // stable: equals by case id
        changes.moved_patients = moved_patients(old, new, &changes.moved);
        changes
    }

    /// Whether a case or a patient is in another split than before.
    pub fn splits_moved(&self) -> bool {
        !self.moved.is_empty() || !self.moved_patients.is_empty()
    }
}

fn by_id(rows: &[ManifestRow]) -> BTreeMap<&str, &ManifestRow> {
    rows.iter().map(|row| (row.case_id.as_str(), row)).collect()
}

fn moved_patients(old: &Manifest, new: &Manifest, moved: &[MovedCase]) -> Vec<MovedPatient> {
    let [before, after] = [old, new].map(|manifest| {
        let mut splits: BTreeMap<&str, BTreeSet<Split>> = BTreeMap::new();
        for row in &manifest.rows {
            splits.entry(&row.patient_id).or_default().insert(row.split);
        }
        splits
    });
    let told: BTreeSet<&str> = moved.iter().map(|case| case.case_id.as_str()).collect();
    let told: BTreeSet<&str> = new
        .rows
        .iter()
        .filter(|row| told.contains(row.case_id.as_str()))
        .map(|row| row.patient_id.as_str())
        .collect();
    before
        .into_iter()
        .filter_map(|(patient, from)| {
            let to = after.get(patient)?.clone();
            let other = from != to && !told.contains(patient);
            other.then(|| MovedPatient { patient_id: patient.to_owned(), from, to })
        })
        .collect()
}
