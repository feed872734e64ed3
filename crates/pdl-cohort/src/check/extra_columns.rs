//! Checks whether the columns that a user chose to store identify patients.

use std::collections::{BTreeMap, BTreeSet};

use pdl_findings::{Code, Finding};

use crate::identity::masked_texts::is_measurement;
use crate::table::case_row::CaseRow;

/// Minimum number of patients for this check: with fewer, distinct values mean little.
const FEWEST_PATIENTS: usize = 10;

/// A finding for every stored column in which more than half of the patients have a value that no
/// other has: it may be a name, a date or a number of theirs.
pub(crate) fn findings(rows: &[CaseRow]) -> Vec<Finding> {
    let tells_apart = |column: &String| {
        let Apart { alone, patients } = Apart::of(rows, column);
        (patients >= FEWEST_PATIENTS && 2 * alone > patients).then(|| {
            let message = format!(
                "column {column} is stored in cases.parquet as requested, and {alone} of {patients} patients have a \
                 value there that no other has: omit it if it can identify them"
            );
            Finding::new(Code::CarriedColumn, message)
        })
    };
    columns(rows).iter().filter_map(tells_apart).collect()
}

/// Like [`findings`], if patients have pseudonyms: the values of such a column are not stored,
/// however few patients there are, unless they are measurements.
pub(crate) fn withhold(rows: &mut [CaseRow]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for column in columns(rows) {
        let Apart { alone, patients } = Apart::of(rows, &column);
        let values = |rows: &[CaseRow]| -> Vec<String> {
            rows.iter().filter_map(|row| row.carried.get(&column).cloned().flatten()).collect()
        };
        if 2 * alone <= patients || values(rows).iter().all(|value| is_measurement(value)) {
            continue;
        }
        rows.iter_mut().filter_map(|row| row.carried.get_mut(&column)).for_each(|value| *value = None);
        let message = format!(
            "column {column} is not stored: {alone} of {patients} patients have a value there that no other has, which \
             could identify them in spite of their pseudonyms"
        );
        findings.push(Finding::new(Code::CarriedColumn, message));
    }
    findings
}

fn columns(rows: &[CaseRow]) -> Vec<String> {
    rows.first().into_iter().flat_map(|row| row.carried.keys().cloned()).collect()
}

/// Number of patients that a column identifies.
struct Apart {
    /// Patients with a value that no other has.
    alone: usize,
    patients: usize,
}

impl Apart {
    fn of(rows: &[CaseRow], column: &str) -> Self {
        let patients: BTreeSet<&str> = rows.iter().map(|row| row.patient_id.as_str()).collect();
        let mut of_value: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for row in rows {
            if let Some(value) = row.carried.get(column).and_then(Option::as_deref) {
                of_value.entry(value).or_default().insert(&row.patient_id);
            }
        }
        let alone = of_value.values().filter(|patients| patients.len() == 1).count();
        Self { alone, patients: patients.len() }
    }
}
