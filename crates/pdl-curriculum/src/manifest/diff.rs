//! Differences between two manifests.

use std::collections::{BTreeMap, BTreeSet};

use pdl_cohort::attributes::Split;
use serde::Serialize;

use crate::manifest::{Manifest, ManifestRow};

/// A case of both manifests whose split differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SplitChange {
    /// The case, present in both manifests.
    pub case_id: String,
    /// Split in the old manifest.
    pub from: Split,
    /// Split in the new manifest.
    pub to: Split,
}

/// A patient whose split differs, although no case of theirs does: other cases, or other case ids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PatientSplitChange {
    /// The patient, present in both manifests.
    pub patient_id: String,
    /// Splits of the patient's cases in the old manifest.
    pub from: BTreeSet<Split>,
    /// Splits of the patient's cases in the new manifest.
    pub to: BTreeSet<Split>,
}

/// A case whose rank differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RankChange {
    /// The case, in training in both manifests.
    pub case_id: String,
    /// Rank in the old manifest, 1 first; null if it had none.
    pub from: Option<u32>,
    /// Rank in the new manifest.
    pub to: Option<u32>,
}

impl RankChange {
    /// Distance between the ranks; the largest number where one is missing.
    pub fn places(&self) -> u32 {
        self.from.zip(self.to).map_or(u32::MAX, |(from, to)| from.abs_diff(to))
    }
}

/// The differences; case ids ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ManifestDiff {
    /// Number of cases in both manifests.
    pub common: usize,
    /// Cases whose split differs.
    pub moved: Vec<SplitChange>,
    /// Patients whose split differs by other cases.
    pub moved_patients: Vec<PatientSplitChange>,
    /// Cases of the new manifest only.
    pub added: Vec<String>,
    /// Cases of the old manifest only.
    pub removed: Vec<String>,
    /// Cases whose prepared image or label map differs.
    pub prepared_anew: Vec<String>,
    /// Cases of both whose rank differs, largest distance first.
    pub reranked: Vec<RankChange>,
}

impl ManifestDiff {
    /// Compares `old` with `new`.
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
            if (&was.images_blake3, &was.label_blake3) != (&is.images_blake3, &is.label_blake3) {
                changes.prepared_anew.push(case_id.clone());
            }
            if was.split != is.split {
                changes.moved.push(SplitChange { case_id, from: was.split, to: is.split });
            } else if was.rank != is.rank {
                changes.reranked.push(RankChange { case_id, from: was.rank, to: is.rank });
            }
        }
        // stable: ties by case id
        changes.reranked.sort_by_key(|case| std::cmp::Reverse(case.places()));
        changes.moved_patients = moved_patients(old, new, &changes.moved);
        changes
    }

    /// Whether the split of a case or a patient differs.
    pub fn splits_moved(&self) -> bool {
        !self.moved.is_empty() || !self.moved_patients.is_empty()
    }
}

fn by_id(rows: &[ManifestRow]) -> BTreeMap<&str, &ManifestRow> {
    rows.iter().map(|row| (row.case_id.as_str(), row)).collect()
}

fn moved_patients(old: &Manifest, new: &Manifest, moved: &[SplitChange]) -> Vec<PatientSplitChange> {
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
            other.then(|| PatientSplitChange { patient_id: patient.to_owned(), from, to })
        })
        .collect()
}
