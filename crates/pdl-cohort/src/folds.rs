//! Folds for cross-validation: patients outside the test split, dealt out evenly.

use pdl_findings::{Code, Finding};
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::CohortError;
use crate::attributes::Split;
use crate::case_row::CaseRow;
use crate::cases::Cases;
use crate::strata::{self, Strata};

/// One fold of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fold {
    /// Which, from 0.
    pub fold: u32,
    /// Of how many.
    pub folds: u32,
}

/// Gives every case of `cases` outside the test split the split that it has in `fold`: validation
/// for the fold's own patients, training for the others.
///
/// All usable cases outside the test split are divided by patient, stratified as the split is
/// ([`IndexParameters::stratify`](crate::parameters::IndexParameters::stratify)), in the order of
/// the BLAKE3 hash of the split's seed and patient id: the same cases give the same folds.
///
/// # Errors
/// [`CohortError::Option`] when there is no such fold, or fewer patients than folds.
pub fn apply(cases: &mut Cases, fold: Fold) -> Result<Vec<Finding>, CohortError> {
    let (folds, findings) = divide(cases, fold.folds)?;
    if fold.fold >= fold.folds {
        let last = fold.folds - 1;
        return Err(CohortError::Option(format!(
            "--fold {}: folds are numbered from 0 to {last}",
            fold.fold
        )));
    }
    for row in cases.rows.iter_mut().filter(|row| row.is_usable() && row.split != Split::Test) {
        let own = folds.get(&row.patient_id) == Some(&(fold.fold as usize));
        row.split = if own { Split::Val } else { Split::Train };
    }
    Ok(findings)
}

/// The fold of every patient outside the test split.
fn divide(cases: &Cases, folds: u32) -> Result<(BTreeMap<String, usize>, Vec<Finding>), CohortError> {
    let rows: Vec<&CaseRow> = cases.usable().filter(|row| row.split != Split::Test).collect();
    let of_patient = strata::of_patients(&rows, &cases.parameters.stratify)?;
    let folds = folds as usize;
    if folds < 2 || folds > of_patient.len() {
        return Err(CohortError::Option(format!(
            "--folds {folds}: there are {} patients outside the test split, and 2 folds at least",
            of_patient.len()
        )));
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
    Ok((of, findings.into_iter().collect()))
}
