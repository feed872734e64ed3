//! A second look at the columns that a user chose to keep: do they tell patients apart?

use pdl_findings::{Code, Finding};
use std::collections::{BTreeMap, BTreeSet};

use crate::case_row::CaseRow;

/// With fewer patients than this it means little that each has a value of its own.
const FEWEST_PATIENTS: usize = 10;

/// A finding for every carried column in which more than half of the patients have a value that no
/// other has: it may be a name, a date or a number of theirs.
pub(crate) fn findings(rows: &[CaseRow]) -> Vec<Finding> {
    let columns = rows.first().into_iter().flat_map(|row| row.carried.keys());
    let patients: BTreeSet<&str> = rows.iter().map(|row| row.patient_id.as_str()).collect();
    let tells_apart = |column: &String| {
        let mut of_value: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for row in rows {
            if let Some(value) = row.carried.get(column).and_then(Option::as_deref) {
                of_value.entry(value).or_default().insert(&row.patient_id);
            }
        }
        let alone = of_value.values().filter(|patients| patients.len() == 1).count();
        (patients.len() >= FEWEST_PATIENTS && 2 * alone > patients.len()).then(|| {
            let message = format!(
                "column {column} is kept in cases.parquet as asked, and {alone} of {} patients have a value there that no \
                 other has: leave it out if it can tell who they are",
                patients.len()
            );
            Finding::new(Code::CarriedColumn, message)
        })
    };
    columns.filter_map(tells_apart).collect()
}
