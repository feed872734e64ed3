//! Folds for cross-validation: patients outside the test split, dealt out evenly.

use pdl_findings::{Code, Finding};
use std::collections::{BTreeMap, BTreeSet};

use pdl_store::plural::counted;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::CohortError;
use crate::attributes::Split;
use crate::case_row::CaseRow;
use crate::cases::Cases;
use crate::invalid_option::InvalidOption;
use crate::patient_groups::{self, PatientGroup};
use crate::strata::{self, Strata};

/// One fold of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fold {
    /// Which, from 0.
    pub fold: u32,
    /// Of how many.
    pub folds: u32,
}

/// A fold, and the column by which groups are kept whole in it, if any. Without it the folds follow
/// the splits ([`IndexParameters`](crate::parameters::IndexParameters)): their groups, or their
/// strata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoldDivision<'a> {
    /// The number of the fold, and the number of folds.
    pub fold: Fold,
    /// The column of `cases.parquet` whose groups are kept whole.
    pub group_by: Option<&'a str>,
}

impl From<Fold> for FoldDivision<'static> {
    fn from(fold: Fold) -> Self {
        Self { fold, group_by: None }
    }
}

/// The groups that a fold holds out for validation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeldOutGroups {
    /// The column of `cases.parquet` whose values are groups.
    pub column: String,
    /// Its values that are held out, ascending; empty text for a patient without a value.
    pub values: Vec<String>,
}

/// The result of a division into folds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppliedFold {
    /// The groups that are held out, if folds are of groups.
    pub held_out: Option<HeldOutGroups>,
    /// Findings about the folds.
    pub findings: Vec<Finding>,
}

/// Gives every case of `cases` outside the test split the split that it has in a fold: validation
/// for the fold's own patients, training for the others.
///
/// All labelled cases outside the test split are divided by patient, stratified as the split is
/// ([`IndexParameters::stratify`](crate::parameters::IndexParameters::stratify)), in the order of
/// the BLAKE3 hash of the split's seed and patient id: the same cases give the same folds. Where
/// groups are kept whole, folds have about as many patients each; with as many folds as groups each
/// is one group, in the order of their names.
///
/// # Errors
/// [`CohortError::InvalidOption`] if there is no such fold or column, or fewer patients or groups
/// than folds.
pub fn apply<'a>(
    cases: &mut Cases,
    division: impl Into<FoldDivision<'a>>,
) -> Result<AppliedFold, CohortError> {
    let FoldDivision { fold, group_by } = division.into();
    let (folds, applied) = match group_by.or(cases.parameters.group_by.as_deref()) {
        Some(column) => divide_groups(cases, fold, column)?,
        None => divide(cases, fold.folds)?,
    };
    if fold.fold >= fold.folds {
        let problem = format!("folds are numbered from 0 to {}", fold.folds - 1);
        return Err(InvalidOption::with_value("fold", fold.fold, problem).into());
    }
    for row in cases.rows.iter_mut().filter(|row| row.is_usable() && row.split != Split::Test) {
        let own = folds.get(&row.patient_id) == Some(&(fold.fold as usize));
        row.split = if own { Split::Val } else { Split::Train };
    }
    Ok(applied)
}

/// The number of groups by a column among the cases that folds divide.
///
/// # Errors
/// [`CohortError::InvalidOption`] if there is no such column.
pub fn group_count(cases: &Cases, column: &str) -> Result<u32, CohortError> {
    Ok(patient_groups::groups(&divided(cases), column)?.len() as u32)
}

/// The cases that folds divide.
fn divided(cases: &Cases) -> Vec<&CaseRow> {
    cases.labelled().filter(|row| row.split != Split::Test).collect()
}

/// The fold of every patient outside the test split, with groups kept whole.
fn divide_groups(
    cases: &Cases,
    fold: Fold,
    column: &str,
) -> Result<(BTreeMap<String, usize>, AppliedFold), CohortError> {
    let groups = patient_groups::groups(&divided(cases), column)?;
    let folds = fold.folds as usize;
    if folds < 2 || folds > groups.len() {
        let problem = format!(
            "there are {} groups by {column} outside the test split, and 2 folds at least",
            groups.len()
        );
        return Err(InvalidOption::with_value("folds", folds, problem).into());
    }
    let dealt = patient_groups::deal(&groups, folds, cases.parameters.split_seed);
    let mut of_patient = BTreeMap::new();
    for (number, groups) in dealt.iter().enumerate() {
        let patients = groups.iter().flat_map(|group| &group.patients);
        of_patient.extend(patients.map(|patient| (patient.clone(), number)));
    }
    let own = dealt.get(fold.fold as usize).into_iter().flatten();
    let values = own.map(|group| group.name.clone()).collect();
    let held_out = Some(HeldOutGroups { column: column.to_owned(), values });
    let findings = in_test(cases, &groups, column)?.into_iter().collect();
    Ok((of_patient, AppliedFold { held_out, findings }))
}

/// Finding about groups with patients in the test split, too: those patients are in no fold.
fn in_test(cases: &Cases, groups: &[PatientGroup], column: &str) -> Result<Option<Finding>, CohortError> {
    let test: Vec<&CaseRow> = cases.labelled().filter(|row| row.split == Split::Test).collect();
    let of_test = patient_groups::groups(&test, column)?;
    let names: BTreeSet<&str> =
        groups.iter().map(|group| group.name.as_str()).filter(|name| !name.is_empty()).collect();
    let shared: Vec<&PatientGroup> =
        of_test.iter().filter(|group| names.contains(group.name.as_str())).collect();
    let patients: usize = shared.iter().map(|group| group.patients.len()).sum();
    let message = format!(
        "{} by {column} have {} in the test split, which is in no fold: `pdl index --group-by {column}` keeps groups whole \
         in the splits, and --test-share 0 holds none out, each in a new OUT",
        counted(shared.len(), "group"),
        counted(patients, "patient")
    );
    Ok((!shared.is_empty()).then(|| Finding::new(Code::GroupDivided, message)))
}

/// The fold of every patient outside the test split.
fn divide(cases: &Cases, folds: u32) -> Result<(BTreeMap<String, usize>, AppliedFold), CohortError> {
    let rows = divided(cases);
    let of_patient = strata::of_patients(&rows, &cases.parameters.stratify)?;
    let folds = folds as usize;
    if folds < 2 || folds > of_patient.len() {
        let problem =
            format!("there are {} patients outside the test split, and 2 folds at least", of_patient.len());
        return Err(InvalidOption::with_value("folds", folds, problem).into());
    }
    let patients = strata::in_turn("fold 1", cases.parameters.split_seed, of_patient.keys().copied());
    let strata: Vec<&Strata> = patients.iter().map(|patient| &of_patient[patient]).collect();
    let n = patients.len();
    let room: Vec<usize> = (0..folds).map(|fold| n / folds + usize::from(fold < n % folds)).collect();
    let dealt = strata::deal(&strata, &[], &room);
    let names: Vec<String> = (0..folds).map(|fold| format!("fold {fold}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let placed: Vec<(usize, &Strata)> = dealt.iter().copied().zip(strata).collect();
    let findings = strata::missing(&placed, &names)
        .map(|text| Finding::new(Code::SmallStratum, format!("too few patients for every fold: {text}")));
    let of = patients.into_iter().map(str::to_owned).zip(dealt).collect();
    Ok((of, AppliedFold { held_out: None, findings: findings.into_iter().collect() }))
}
