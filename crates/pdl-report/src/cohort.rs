//! Which cases are shown, and what is said of each.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use pdl_cohort::attributes::{Modality, Split, Status};
use pdl_cohort::cases::{CaseRow, Cases, Finding};
use pdl_curriculum::manifest::{Manifest, ManifestRow};
use pdl_prepare::prepare::Failure;
use serde::Serialize;

/// Findings whose whole sentences are kept for each code; the report names further cases without them.
const SENTENCES: usize = 20;

/// One case of the report's table.
#[derive(Clone, Debug, Serialize)]
pub struct ShownCase {
    /// Its id.
    pub id: String,
    /// Whose image it is.
    pub patient: String,
    /// What it is for.
    pub split: Split,
    /// How it was made.
    pub modality: Modality,
    /// Whether later stages use it.
    pub status: Status,
    /// Voxels along x, y, z of the stored image.
    pub shape: Vec<u32>,
    /// Their size, mm.
    pub spacing: Vec<f64>,
    /// The directions of the stored axes.
    pub orientation: String,
    /// The labels present: value and volume in ml.
    pub labels: Vec<(u16, f64)>,
    /// The codes of what was found, and of the stage that failed on it.
    pub findings: Vec<String>,
    /// The carried columns, in the order of [`CohortSummary::carried`].
    pub carried: Vec<Option<String>>,
    /// Place in the curriculum, from 1.
    pub rank: Option<u32>,
    /// How typical it is.
    pub score: Option<f64>,
    /// The stage at which it joins.
    pub stage: Option<u32>,
    /// Whether it belongs to the sample for tuning.
    pub tune: bool,
    /// Why it was left out of the curriculum.
    pub left_out: Option<String>,
}

/// What was found of cases or of the cohort, under one code.
#[derive(Clone, Debug, Serialize)]
pub struct FindingGroup {
    /// The code.
    pub code: String,
    /// Which stage says so: "index", "prepare", "rank" or "audit".
    pub stage: &'static str,
    /// How many cases it is about; 0 when it is about the cohort.
    pub cases: usize,
    /// Some cases and their sentences; the case is empty when it is about the cohort.
    pub examples: Vec<(String, String)>,
}

/// Patients of the cohort that were taken as one.
#[derive(Clone, Debug, Serialize)]
pub struct JoinedPatient {
    /// What the cohort calls them.
    pub names: Vec<String>,
    /// Their cases.
    pub cases: Vec<String>,
}

/// What holds for the whole cohort, also for cases that are not shown.
#[derive(Clone, Debug, Serialize)]
pub struct CohortSummary {
    /// Everything that was found.
    pub found: usize,
    /// Cases that cannot be used.
    pub rejected: usize,
    /// Cases that could not be prepared.
    pub failed: usize,
    /// Patients of usable cases.
    pub patients: usize,
    /// Usable cases of each modality.
    pub modalities: BTreeMap<String, usize>,
    /// Usable cases and their patients for each split: train, val, test.
    pub splits: Vec<(Split, usize, usize)>,
    /// The labels: value and name.
    pub labels: Vec<(u16, String)>,
    /// Columns of the cohort's own table that were carried along.
    pub carried: Vec<String>,
    /// What was found, grouped by code, the most frequent first.
    pub findings: Vec<FindingGroup>,
}

/// The patients that were joined, by the name that they have now.
pub fn joined_patients(cases: &Cases) -> Vec<JoinedPatient> {
    let mut names: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, joined) in cases.same_patient.names() {
        names.entry(joined).or_default().push(name.to_owned());
    }
    let of = |patient: &str| {
        cases.rows.iter().filter(|row| row.patient_id == patient).map(|row| row.case_id.clone()).collect()
    };
    names.into_iter().map(|(patient, names)| JoinedPatient { names, cases: of(patient) }).collect()
}

/// Chooses at most `limit` of the cases that were compared (`compared`: their ids, ascending): all of them, or
/// `named` ones first and then evenly through the order of `manifest`. Ascending.
pub fn choose(
    compared: &[String],
    manifest: Option<&Manifest>,
    named: &BTreeSet<&str>,
    limit: usize,
) -> Vec<String> {
    if compared.len() <= limit {
        return compared.to_vec();
    }
    let known: BTreeSet<&str> = compared.iter().map(String::as_str).collect();
    let mut chosen: BTreeSet<&str> =
        named.iter().copied().filter(|id| known.contains(id)).take(limit).collect();
    let order: Vec<&str> = match manifest {
        Some(manifest) => manifest.rows.iter().map(|row| row.case_id.as_str()).collect(),
        None => compared.iter().map(String::as_str).collect(),
    };
    let rest: Vec<&str> = order.into_iter().filter(|id| known.contains(id) && !chosen.contains(id)).collect();
    let wanted = limit - chosen.len();
    chosen.extend((0..wanted.min(rest.len())).map(|k| rest[k * rest.len() / wanted]));
    chosen.into_iter().map(str::to_owned).collect()
}

/// The rows of the table: `chosen` first, in their order, then those of the other cases (rejected ones, say), at most
/// `limit` of these.
pub fn shown(cases: &Cases, chosen: &[String], limit: usize, manifest: Option<&Manifest>) -> Vec<ShownCase> {
    let by_id: HashMap<&str, &CaseRow> = cases.rows.iter().map(|row| (row.case_id.as_str(), row)).collect();
    let ranked: HashMap<&str, &ManifestRow> = manifest
        .map(|manifest| manifest.rows.iter().map(|row| (row.case_id.as_str(), row)).collect())
        .unwrap_or_default();
    let is_chosen = |id: &str| chosen.binary_search_by(|c| c.as_str().cmp(id)).is_ok();
    // Cases that could be shown but were not chosen stay out; those that cannot be compared are listed.
    let others = cases.rows.iter().filter(|row| {
        !is_chosen(&row.case_id) && (!row.is_usable() || !ranked.contains_key(row.case_id.as_str()))
    });
    let chosen = chosen.iter().filter_map(|id| by_id.get(id.as_str()).copied());
    chosen
        .chain(others.take(limit))
        .map(|row| of_row(row, ranked.get(row.case_id.as_str()).copied()))
        .collect()
}

fn of_row(row: &CaseRow, ranked: Option<&ManifestRow>) -> ShownCase {
    let voxel_ml = row.spacing_mm.iter().product::<f64>() / 1000.0;
    let rounded = |value: f64| (value * 1000.0).round() / 1000.0;
    let mut findings: Vec<String> = row.findings.iter().map(|finding| finding.code.clone()).collect();
    findings.dedup();
    ShownCase {
        id: row.case_id.clone(),
        patient: row.patient_id.clone(),
        split: row.split,
        modality: row.modality,
        status: row.status,
        shape: row.shape.clone(),
        spacing: row.spacing_mm.iter().map(|mm| rounded(*mm)).collect(),
        orientation: row.orientation.clone(),
        labels: row.labels.iter().map(|l| (l.value, rounded(l.voxels as f64 * voxel_ml))).collect(),
        findings,
        carried: row.carried.values().cloned().collect(),
        rank: ranked.and_then(|row| row.rank),
        score: ranked.and_then(|row| row.score),
        stage: ranked.and_then(|row| row.stage),
        tune: ranked.is_some_and(|row| row.tune),
        left_out: ranked.and_then(|row| row.left_out.clone()),
    }
}

/// What holds for the whole cohort. `said` are the findings of later stages about the cohort as a whole.
pub fn summary(cases: &Cases, failures: &[Failure], said: &[(&'static str, &[Finding])]) -> CohortSummary {
    let usable: Vec<&CaseRow> = cases.usable().collect();
    let patients = |rows: &mut dyn Iterator<Item = &&CaseRow>| {
        rows.map(|row| row.patient_id.as_str()).collect::<BTreeSet<_>>().len()
    };
    let mut modalities = BTreeMap::new();
    usable.iter().for_each(|row| *modalities.entry(row.modality.to_string()).or_insert(0) += 1);
    let splits = [Split::Train, Split::Val, Split::Test].map(|split| {
        let own = || usable.iter().filter(move |row| row.split == split);
        (split, own().count(), patients(&mut own()))
    });
    let values: BTreeSet<u16> = usable
        .iter()
        .flat_map(|row| {
            row.labels.iter().map(|label| label.value).chain(row.labels_annotated.iter().copied())
        })
        .collect();
    let name = |value: &u16| cases.label_names.get(value).cloned().unwrap_or(format!("label {value}"));
    CohortSummary {
        found: cases.rows.len(),
        rejected: cases.rows.len() - usable.len(),
        failed: failures.len(),
        patients: patients(&mut usable.iter()),
        modalities,
        splits: splits.to_vec(),
        labels: values.iter().map(|value| (*value, name(value))).collect(),
        carried: cases.rows.first().map(|row| row.carried.keys().cloned().collect()).unwrap_or_default(),
        findings: findings(cases, failures, said),
    }
}

fn findings(cases: &Cases, failures: &[Failure], said: &[(&'static str, &[Finding])]) -> Vec<FindingGroup> {
    let mut groups: BTreeMap<(&'static str, String), FindingGroup> = BTreeMap::new();
    let mut add = |stage: &'static str, code: &str, case: &str, message: &str| {
        let group = groups.entry((stage, code.to_owned())).or_insert_with(|| FindingGroup {
            code: code.to_owned(),
            stage,
            cases: 0,
            examples: Vec::new(),
        });
        group.cases += usize::from(!case.is_empty());
        if group.examples.len() < SENTENCES {
            group.examples.push((case.to_owned(), message.to_owned()));
        }
    };
    cases.findings.iter().for_each(|finding| add("index", &finding.code, "", &finding.message));
    for row in &cases.rows {
        row.findings.iter().for_each(|finding| add("index", &finding.code, &row.case_id, &finding.message));
    }
    failures.iter().for_each(|failure| add("prepare", "failed", &failure.case_id, &failure.message));
    for (stage, findings) in said {
        findings.iter().for_each(|finding| add(stage, &finding.code, "", &finding.message));
    }
    let mut groups: Vec<FindingGroup> = groups.into_values().collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.cases)); // stable: of equals by stage and code
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_cohort_is_thinned_evenly_and_keeps_the_named() {
        let all: Vec<String> = (0..1000).map(|i| format!("case_{i:04}")).collect();
        let chosen = choose(&all, None, &BTreeSet::from(["case_0999", "none"]), 10);
        assert_eq!(chosen.len(), 10);
        assert!(chosen.is_sorted() && chosen.contains(&"case_0999".to_owned()));
        assert_eq!(chosen[..3], ["case_0000", "case_0111", "case_0222"]);
        assert_eq!(choose(&all, None, &BTreeSet::new(), 1000), all);
    }
}
