//! Folds for cross-validation: patients outside the test split, dealt out evenly.

use std::collections::{BTreeMap, BTreeSet};

use pdl_findings::{Code, Finding};
use pdl_store::plural::counted;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::CohortError;
use crate::attributes::Split;
use crate::invalid_option::InvalidOption;
use crate::split::patient_groups::{self, PatientGroup};
use crate::split::strata::{self, Strata};
use crate::table::case_row::CaseRow;
use crate::table::cases::Cases;

/// One fold of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fold {
    /// Which, from 0.
    pub fold: u32,
    /// Total number of folds.
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
    /// Values that are held out, ascending; empty text for a patient without a value.
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
        return Err(InvalidOption::with_value("fold", &fold.fold, problem).into());
    }
    for row in cases.rows.iter_mut().filter(|row| row.is_usable() && row.split != Split::Test) {
        let own = folds.get(&row.patient_id) == Some(&(fold.fold as usize));
        row.split = if own { Split::Val } else { Split::Train };
    }
    Ok(applied)
}

/// Fewest parts of [`rotate`]: one to test, one to validate, and one to train.
const FEWEST_PARTS: u32 = 3;

/// Divides all labelled cases, whatever their splits, into as many parts as there are folds, by
/// patient and stratified as folds are, and gives each the split that it has in one of them: test
/// for the fold's own part, validation for the next one, training for the others. Over all folds
/// every case is in the test split once.
///
/// # Errors
/// [`CohortError::InvalidOption`] if there is no such fold, or fewer patients or groups than parts.
pub fn rotate(cases: &mut Cases, fold: Fold) -> Result<Vec<Finding>, CohortError> {
    let Fold { fold, folds } = fold;
    let rows: Vec<&CaseRow> = cases.labelled().collect();
    if folds < FEWEST_PARTS || fold >= folds {
        let problem = format!(
            "expected at least {FEWEST_PARTS} parts to train, to validate and to test, numbered from 0; found part {fold} of {folds}"
        );
        return Err(InvalidOption::with_value("folds", &folds, problem).into());
    }
    let too_few = |count: usize, what: &str| {
        let problem = format!("the cohort has {count} labelled {what}, fewer than parts");
        CohortError::from(InvalidOption::with_value("folds", &folds, problem))
    };
    let (parts, findings) = match cases.parameters.group_by.as_deref() {
        Some(column) => {
            let groups = patient_groups::groups(&rows, column)?;
            if groups.len() < folds as usize {
                return Err(too_few(groups.len(), &format!("groups by {column}")));
            }
            let dealt = patient_groups::deal(&groups, folds as usize, cases.parameters.split_seed);
            (parts_of_groups(&dealt), Vec::new())
        }
        None => {
            let strata = strata::of_patients(&rows, &cases.parameters.stratify)?;
            if strata.len() < folds as usize {
                return Err(too_few(strata.len(), "patients"));
            }
            deal_patients(&strata, folds as usize, "part 1", cases.parameters.split_seed)
        }
    };
    let next = (fold + 1) % folds;
    for row in cases.rows.iter_mut().filter(|row| row.is_usable()) {
        row.split = match parts.get(&row.patient_id) {
            Some(part) if *part == fold as usize => Split::Test,
            Some(part) if *part == next as usize => Split::Val,
            _ => Split::Train,
        };
    }
    Ok(findings)
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
        return Err(InvalidOption::with_value("folds", &folds, problem).into());
    }
    let dealt = patient_groups::deal(&groups, folds, cases.parameters.split_seed);
    let of_patient = parts_of_groups(&dealt);
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
        return Err(InvalidOption::with_value("folds", &folds, problem).into());
    }
    let (of, findings) = deal_patients(&of_patient, folds, "fold 1", cases.parameters.split_seed);
    Ok((of, AppliedFold { held_out: None, findings }))
}

/// The part of every patient of groups that were dealt to parts.
fn parts_of_groups(dealt: &[Vec<&PatientGroup>]) -> BTreeMap<String, usize> {
    let mut of_patient = BTreeMap::new();
    for (number, groups) in dealt.iter().enumerate() {
        let patients = groups.iter().flat_map(|group| &group.patients);
        of_patient.extend(patients.map(|patient| (patient.clone(), number)));
    }
    of_patient
}

/// Deals patients with their strata to `folds` parts of equal size, within one, in the order of the
/// hash of `purpose`, seed and patient.
fn deal_patients(
    of_patient: &BTreeMap<&str, Strata>,
    folds: usize,
    purpose: &str,
    seed: u64,
) -> (BTreeMap<String, usize>, Vec<Finding>) {
    let patients = strata::in_turn(purpose, seed, of_patient.keys().copied());
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
    (of, findings.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two cases of each of these patients, in all splits.
    fn cases(patients: usize) -> Cases {
        let splits = ["train", "train", "val", "test"];
        let row = |case: usize| -> CaseRow {
            let patient = format!("p{}", case / 2);
            serde_json::from_value(serde_json::json!({
                "case_id": format!("c{case}"), "patient_id": patient, "modality": "MR",
                "split": splits[case / 2 % 4], "image": "", "label": "l", "shape": [], "spacing_mm": [],
                "affine": [], "orientation": "", "voxel_type": "", "labels": [], "labels_annotated": [1],
                "intensity_min": 0.0, "intensity_max": 0.0, "intensity_mean": 0.0, "intensity_std": 0.0,
                "intensity_p00_5": 0.0, "intensity_p99_5": 0.0, "image_blake3": "", "label_blake3": "b",
                "status": "ok", "findings": [],
            }))
            .unwrap()
        };
        Cases {
            rows: (0..2 * patients).map(row).collect(),
            cohort: String::new(),
            label_names: BTreeMap::new(),
            regions: Vec::new(),
            findings: Vec::new(),
            parameters: crate::parameters::IndexParameters::default(),
            same_patient: crate::split::same_patient::SamePatient::default(),
            pet_units: None,
        }
    }

    #[test]
    fn every_case_is_tested_once_and_no_patient_is_in_two_parts() {
        let folds = 5;
        let mut tested = Vec::new();
        for fold in 0..folds {
            let mut cases = cases(11);
            rotate(&mut cases, Fold { fold, folds }).unwrap();
            let mut of_patient: BTreeMap<&str, Split> = BTreeMap::new();
            for row in &cases.rows {
                assert_eq!(*of_patient.entry(&row.patient_id).or_insert(row.split), row.split);
            }
            let count = |split| of_patient.values().filter(|own| **own == split).count();
            assert!((2..=3).contains(&count(Split::Test)) && (2..=3).contains(&count(Split::Val)));
            let test = cases.rows.iter().filter(|row| row.split == Split::Test);
            tested.extend(test.map(|row| row.case_id.clone()));
        }
        let all: BTreeSet<String> = tested.iter().cloned().collect();
        assert_eq!((tested.len(), all.len()), (22, 22));
    }

    #[test]
    fn too_few_parts_or_patients_are_refused() {
        let refusal = |fold, folds, patients| {
            rotate(&mut cases(patients), Fold { fold, folds }).unwrap_err().to_string()
        };
        assert!(refusal(0, 2, 9).contains("expected at least 3 parts"));
        assert!(refusal(5, 5, 9).contains("found part 5 of 5"));
        assert!(refusal(0, 5, 4).contains("4 labelled patients, fewer than parts"));
    }
}
