//! Counts of labels and column values in each split.

use std::collections::{BTreeMap, BTreeSet};

use pdl_cohort::attributes::Split;
use pdl_cohort::table::case_row::CaseRow;
use pdl_findings::{Code, Finding};
use pdl_store::plural::counted;
use pdl_store::shorten::MOST_LISTED;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Presence of a label in a split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Balance {
    /// Training, validation or test.
    pub split: Split,
    /// Value in the label maps.
    pub label: u16,
    /// Cases of the split in which the label was annotated, present or not.
    pub annotated: usize,
    /// Cases of the split in which the label is present.
    pub present: usize,
}

/// Number of cases of a split with a value of a stratified column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Group")]
pub struct ColumnValueCount {
    /// Training, validation or test.
    pub split: Split,
    /// Name of the column.
    pub column: String,
    /// Value in the column; "null" if it is blank.
    pub value: String,
    /// Cases of the split with this value.
    pub cases: usize,
    /// Patients of these cases.
    pub patients: usize,
}

pub(super) fn balance(rows: &[&CaseRow]) -> Vec<Balance> {
    let labels: BTreeSet<u16> =
        rows.iter().flat_map(|row| row.labels.iter().map(|label| label.value)).collect();
    let mut balance = Vec::new();
    for split in [Split::Train, Split::Val, Split::Test] {
        let of_split = || rows.iter().filter(move |row| row.split == split);
        for label in &labels {
            let present = |row: &&&CaseRow| row.labels.iter().any(|found| found.value == *label);
            let annotated =
                of_split().filter(|row| present(row) || row.labels_annotated.contains(label)).count();
            balance.push(Balance {
                split,
                label: *label,
                annotated,
                present: of_split().filter(present).count(),
            });
        }
    }
    balance
}

/// Small splits, and labels that are rare in the other splits.
pub(super) fn small_splits(rows: &[&CaseRow], balance: &[Balance], smallest: usize) -> Vec<Finding> {
    let mut findings = Vec::new();
    for split in [Split::Train, Split::Val, Split::Test] {
        let of_split = || rows.iter().filter(|row| row.split == split);
        let patients: BTreeSet<&str> = of_split().map(|row| row.patient_id.as_str()).collect();
        let cases = of_split().count();
        if cases < smallest {
            let message = format!(
                "the {split} split has only {} of {}",
                counted(cases, "case"),
                counted(patients.len(), "patient")
            );
            findings.push(Finding::new(Code::SmallSplit, message));
            continue;
        }
        for rare in balance.iter().filter(|entry| entry.split == split && entry.present < smallest) {
            let Balance { label, present, .. } = rare;
            let message =
                format!("label {label} is present in only {present} of {cases} cases of the {split} split");
            findings.push(Finding::new(Code::RareLabel, message));
        }
    }
    findings
}

pub(super) fn groups(rows: &[&CaseRow], columns: &[String]) -> Vec<ColumnValueCount> {
    let mut groups = Vec::new();
    for column in columns.iter().filter(|column| *column != "labels") {
        let mut cases: BTreeMap<String, Vec<&CaseRow>> = BTreeMap::new();
        for row in rows {
            cases.entry(row.value(column).unwrap_or_default()).or_default().push(row);
        }
        for split in [Split::Train, Split::Val, Split::Test] {
            for (value, cases) in &cases {
                let own = || cases.iter().filter(|row| row.split == split);
                let patients: BTreeSet<&str> = own().map(|row| row.patient_id.as_str()).collect();
                let (column, value) = (column.clone(), value.clone());
                groups.push(ColumnValueCount {
                    split,
                    column,
                    value,
                    cases: own().count(),
                    patients: patients.len(),
                });
            }
        }
    }
    groups
}

/// Rare values, for every column and every split that is not small.
pub(super) fn small_groups(groups: &[ColumnValueCount], smallest: usize) -> Vec<Finding> {
    let by_split = |a: &ColumnValueCount, b: &ColumnValueCount| (a.split, &a.column) == (b.split, &b.column);
    let small = |of_split: &[ColumnValueCount]| {
        let small: Vec<&ColumnValueCount> = of_split.iter().filter(|group| group.cases < smallest).collect();
        let ColumnValueCount { split, column, .. } = small.first()?;
        let all: usize = of_split.iter().map(|group| group.cases).sum();
        let value = |group: &ColumnValueCount| match group.value.as_str() {
            "null" => "none".to_owned(),
            value => value.to_owned(),
        };
        let named: Vec<String> = small
            .iter()
            .take(MOST_LISTED)
            .map(|group| format!("{} ({})", value(group), group.cases))
            .collect();
        let further = match small.len().saturating_sub(MOST_LISTED) {
            0 => String::new(),
            further => format!(" and {further} more"),
        };
        let message = format!(
            "column {column}: few cases of the {split} split have these values: {}{further}",
            named.join(", ")
        );
        (all >= smallest).then(|| Finding::new(Code::SmallGroup, message))
    };
    groups.chunk_by(by_split).filter_map(small).collect()
}
