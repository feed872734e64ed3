//! The cases of the report and the summary of the cohort.

use pdl_findings::Finding;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use pdl_cohort::attributes::{Modality, Split, Status};
use pdl_cohort::table::case_row::CaseRow;
use pdl_cohort::table::cases::Cases;
use pdl_curriculum::manifest::{Manifest, ManifestRow};
use pdl_prepare::failure::Failure;
use serde::Serialize;

use crate::findings::stage_findings;

/// Findings per code that the report quotes in full.
const SENTENCES: usize = 20;

/// One row of the report's table of cases.
#[derive(Clone, Debug, Serialize)]
pub struct ShownCase {
    /// Case id.
    pub id: String,
    /// Id of the patient.
    pub patient: String,
    /// Training, validation or test.
    pub split: Split,
    /// Imaging modality.
    pub modality: Modality,
    /// Whether later stages use the case.
    pub status: Status,
    /// Voxels of the stored image along x, y, z.
    pub shape: Vec<u32>,
    /// Voxel size along x, y, z, mm.
    pub spacing: Vec<f64>,
    /// Directions of the stored axes, such as "RAS".
    pub orientation: String,
    /// Present labels: value and volume in ml.
    pub labels: Vec<(u16, f64)>,
    /// Codes of the findings about the case.
    pub findings: Vec<String>,
    /// Values of [`CohortSummary::carried`], in the same order.
    pub carried: Vec<Option<String>>,
    /// Rank in the curriculum, 1 first.
    pub rank: Option<u32>,
    /// Score of the ranking; larger is more typical.
    pub score: Option<f64>,
    /// Stage (from 0) at which the case joins.
    pub stage: Option<u32>,
    /// Whether the case belongs to the tuning subset.
    pub tune: bool,
    /// Why the case is excluded from the curriculum.
    pub left_out: Option<String>,
}

/// Findings with the same code.
#[derive(Clone, Debug, Serialize)]
pub struct FindingGroup {
    /// Kebab-case identifier, such as "small-split".
    pub code: String,
    /// Stage that reports it: "index", "prepare", "rank" or "audit".
    pub stage: &'static str,
    /// Number of cases that it concerns; 0 when it concerns the cohort.
    pub cases: usize,
    /// Case id (empty when it concerns the cohort) and message of the first findings.
    pub examples: Vec<(String, String)>,
}

/// Patients of the cohort that are treated as one.
#[derive(Clone, Debug, Serialize)]
pub struct JoinedPatient {
    /// Patient ids in the cohort.
    pub names: Vec<String>,
    /// Ids of their cases.
    pub cases: Vec<String>,
}

/// Facts about the whole cohort, cases that are not shown included.
#[derive(Clone, Debug, Serialize)]
pub struct CohortSummary {
    /// Number of cases, rejected ones included.
    pub found: usize,
    /// Cases that cannot be used.
    pub rejected: usize,
    /// Images without a label, which are compared and not trained on.
    pub unlabelled: usize,
    /// Cases whose preparation failed.
    pub failed: usize,
    /// Patients of usable cases.
    pub patients: usize,
    /// Usable cases of each modality.
    pub modalities: BTreeMap<String, usize>,
    /// Usable cases and their patients in train, val and test.
    pub splits: Vec<(Split, usize, usize)>,
    /// Value and name of each label.
    pub labels: Vec<(u16, String)>,
    /// Extra columns of the cohort's table.
    pub carried: Vec<String>,
    /// Findings grouped by code, the most frequent first.
    pub findings: Vec<FindingGroup>,
}

/// The patients that are treated as one, ascending by their present id.
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

/// Chooses at most `limit` of the `compared` cases (ids, ascending): all of them, or first those in
/// `named`, then others evenly through the order of `manifest`. Ascending.
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
    let mut seen = BTreeSet::new();
    let order = order.into_iter().chain(compared.iter().map(String::as_str)).filter(|id| seen.insert(*id));
    let rest: Vec<&str> = order.filter(|id| known.contains(id) && !chosen.contains(id)).collect();
    let wanted = limit - chosen.len();
    chosen.extend((0..wanted.min(rest.len())).map(|k| rest[k * rest.len() / wanted]));
    chosen.into_iter().map(str::to_owned).collect()
}

/// The rows of the table: `chosen` first, in their order, then at most `limit` of the cases that
/// cannot be compared, such as rejected ones.
pub fn shown(cases: &Cases, chosen: &[String], limit: usize, manifest: Option<&Manifest>) -> Vec<ShownCase> {
    let by_id: HashMap<&str, &CaseRow> = cases.rows.iter().map(|row| (row.case_id.as_str(), row)).collect();
    let ranked: HashMap<&str, &ManifestRow> = manifest
        .map(|manifest| manifest.rows.iter().map(|row| (row.case_id.as_str(), row)).collect())
        .unwrap_or_default();
    let is_chosen = |id: &str| chosen.binary_search_by(|c| c.as_str().cmp(id)).is_ok();
    // Cases that could be shown but were not chosen are dropped.
    let others = cases.rows.iter().filter(|row| {
        let listed = ranked.contains_key(row.case_id.as_str()) || row.status == Status::Unlabelled;
        !is_chosen(&row.case_id) && (!row.is_usable() || !listed)
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
    let mut findings: Vec<String> = row.findings.iter().map(|finding| finding.code.to_string()).collect();
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

/// Summarises the cohort; `reported` are the findings of later stages about the cohort as a whole.
pub fn summary(
    cases: &Cases,
    failures: &[Failure],
    reported: &[(&'static str, &[Finding])],
) -> CohortSummary {
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
        unlabelled: usable.iter().filter(|row| row.status == Status::Unlabelled).count(),
        failed: failures.len(),
        patients: patients(&mut usable.iter()),
        modalities,
        splits: splits.to_vec(),
        labels: values.iter().map(|value| (*value, name(value))).collect(),
        carried: cases.rows.first().map(|row| row.carried.keys().cloned().collect()).unwrap_or_default(),
        findings: findings(cases, failures, reported),
    }
}

fn findings(
    cases: &Cases,
    failures: &[Failure],
    reported: &[(&'static str, &[Finding])],
) -> Vec<FindingGroup> {
    let mut groups: BTreeMap<(&'static str, String), FindingGroup> = BTreeMap::new();
    let mut counted: BTreeSet<(&'static str, String, String)> = BTreeSet::new();
    let mut add = |stage: &'static str, code: &str, case: &str, message: &str| {
        let group = groups.entry((stage, code.to_owned())).or_insert_with(|| FindingGroup {
            code: code.to_owned(),
            stage,
            cases: 0,
            examples: Vec::new(),
        });
        let first = counted.insert((stage, code.to_owned(), case.to_owned()));
        group.cases += usize::from(first && !case.is_empty());
        if group.examples.len() < SENTENCES {
            group.examples.push((case.to_owned(), message.to_owned()));
        }
    };
    for finding in stage_findings(cases, failures, reported) {
        let case = finding.case_id.as_deref().unwrap_or_default();
        add(finding.stage, finding.code, case, &finding.message);
    }
    let mut groups: Vec<FindingGroup> = groups.into_values().collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.cases)); //  stable: ties by stage and code
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
