//! Splits by patient that never change once given.

pub(crate) mod assign_splits;
pub mod folds;
pub(crate) mod patient_groups;
pub mod same_patient;
pub mod strata;

use std::collections::{BTreeMap, BTreeSet};

use crate::CohortError;
use crate::attributes::Split;
use crate::invalid_option::InvalidOption;
use crate::split::strata::Strata;

/// Minimum number of patients from which splits can be held out.
pub const FEWEST_PATIENTS: usize = 3;

/// Sizes of validation and test set, as fractions of the patients.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shares {
    /// Fraction of the patients in the validation split.
    pub val: f64,
    /// Fraction of the patients in the test split.
    pub test: f64,
}

impl Shares {
    pub(crate) fn check(self) -> Result<(), CohortError> {
        let valid = |share: f64| (0.0..1.0).contains(&share);
        if !valid(self.val) || !valid(self.test) || self.val + self.test >= 1.0 {
            let problem = format!(
                "together with --test-share {}, both must be at least 0 and leave something to train on",
                self.test
            );
            return Err(InvalidOption::with_value("val-share", &self.val, problem).into());
        }
        Ok(())
    }
}

/// Gives each patient a split.
///
/// Patients in `given` (an earlier run's, or the cohort's own table) keep theirs. The others are
/// taken in the order of the BLAKE3 hash of seed and patient id and fill train, then val, then test
/// up to their shares of all patients; with at least three patients and shares above zero, no split
/// stays empty.
///
/// # Errors
/// [`CohortError::InvalidOption`] when the shares leave no training patients.
pub fn assign(
    patients: &BTreeSet<String>,
    given: &BTreeMap<String, Split>,
    shares: Shares,
    seed: u64,
) -> Result<BTreeMap<String, Split>, CohortError> {
    shares.check()?;
    let mut result: BTreeMap<String, Split> =
        patients.iter().filter_map(|p| Some((p.clone(), *given.get(p)?))).collect();
    let targets = targets(patients.len(), shares);
    let waiting = patients.iter().filter(|p| !given.contains_key(*p)).map(String::as_str);
    let mut waiting = strata::in_turn("split 1", seed, waiting).into_iter();
    // The remainder of rounding goes to training, so train comes last here.
    let mut filled = BTreeMap::new();
    for split in result.values() {
        *filled.entry(*split).or_insert(0_usize) += 1;
    }
    let missing =
        |split: Split, target: usize| target.saturating_sub(filled.get(&split).copied().unwrap_or(0));
    let held_out = missing(Split::Val, targets.0) + missing(Split::Test, targets.1);
    let train_first = waiting.len().saturating_sub(held_out);
    result.extend(waiting.by_ref().take(train_first).map(|p| (p.to_owned(), Split::Train)));
    result.extend(waiting.by_ref().take(missing(Split::Val, targets.0)).map(|p| (p.to_owned(), Split::Val)));
    result.extend(waiting.map(|p| (p.to_owned(), Split::Test)));
    Ok(result)
}

/// Gives each patient a split, as [`assign`] does and as many to each, so that the splits share
/// every stratum as they share the patients, as nearly as whole patients allow (see
/// [`crate::split::strata`]).
///
/// # Errors
/// As [`assign`].
pub fn assign_stratified(
    strata: &BTreeMap<&str, Strata>,
    given: &BTreeMap<String, Split>,
    shares: Shares,
    seed: u64,
) -> Result<BTreeMap<String, Split>, CohortError> {
    const SPLITS: [Split; 3] = [Split::Train, Split::Val, Split::Test]; // by their numbers
    shares.check()?;
    let kept = |patient: &str| given.get(patient).map(|split| *split as usize);
    let given: Vec<(usize, &Strata)> = strata.iter().filter_map(|(p, own)| Some((kept(p)?, own))).collect();
    let waiting = strata::in_turn("split 1", seed, strata.keys().copied().filter(|p| kept(p).is_none()));
    let targets = targets(strata.len(), shares);
    let missing = |split: Split, target: usize| {
        target.saturating_sub(given.iter().filter(|(own, _)| *own == split as usize).count())
    };
    let val = missing(Split::Val, targets.0);
    let test = missing(Split::Test, targets.1);
    let train = waiting.len().saturating_sub(val + test);
    let val = val.min(waiting.len() - train);
    let room = [train, val, waiting.len() - train - val];
    let of_waiting: Vec<&Strata> = waiting.iter().map(|patient| &strata[patient]).collect();
    let dealt = strata::deal(&of_waiting, &given, &room);
    let new = waiting.into_iter().zip(dealt);
    let old = strata.keys().filter_map(|patient| Some((*patient, kept(patient)?)));
    Ok(new.chain(old).map(|(patient, split)| (patient.to_owned(), SPLITS[split])).collect())
}

/// Target numbers of patients of val and test.
pub(crate) fn targets(patients: usize, shares: Shares) -> (usize, usize) {
    if patients < FEWEST_PATIENTS {
        return (0, 0);
    }
    let count = |share: f64| {
        if share == 0.0 { 0 } else { ((share * patients as f64).round() as usize).max(1) }
    };
    (count(shares.val), count(shares.test))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SHARES: Shares = Shares { val: 0.15, test: 0.15 };

    fn patients(n: usize) -> BTreeSet<String> {
        (0..n).map(|i| format!("p{i}")).collect()
    }

    fn count(splits: &BTreeMap<String, Split>, split: Split) -> usize {
        splits.values().filter(|s| **s == split).count()
    }

    #[test]
    fn a_hundred_patients_split_70_15_15() {
        let splits = assign(&patients(100), &BTreeMap::new(), SHARES, 0).unwrap();
        assert_eq!([Split::Train, Split::Val, Split::Test].map(|s| count(&splits, s)), [70, 15, 15]);
        assert_ne!(splits, assign(&patients(100), &BTreeMap::new(), SHARES, 1).unwrap());
    }

    #[test]
    fn two_patients_are_all_train_and_three_fill_every_split() {
        let splits = assign(&patients(2), &BTreeMap::new(), SHARES, 0).unwrap();
        assert_eq!(count(&splits, Split::Train), 2);
        let splits = assign(&patients(3), &BTreeMap::new(), SHARES, 0).unwrap();
        assert_eq!([Split::Train, Split::Val, Split::Test].map(|s| count(&splits, s)), [1, 1, 1]);
    }

    #[test]
    fn shares_that_leave_nothing_to_train_on_are_refused() {
        assert!(assign(&patients(9), &BTreeMap::new(), Shares { val: 0.5, test: 0.5 }, 0).is_err());
    }

    proptest! {
        #[test]
        fn a_patient_keeps_its_split_as_the_cohort_grows(first in 0_usize..60, more in 0_usize..60, seed: u64) {
            let before = assign(&patients(first), &BTreeMap::new(), SHARES, seed).unwrap();
            let after = assign(&patients(first + more), &before, SHARES, seed).unwrap();
            prop_assert_eq!(after.len(), first + more);
            for (patient, split) in &before {
                prop_assert_eq!(after[patient], *split);
            }
            if first >= FEWEST_PATIENTS {
                let expected = targets(first + more, SHARES);
                prop_assert_eq!(count(&after, Split::Val), expected.0.max(count(&before, Split::Val)));
            }
        }
    }
}
