//! Strata of patients, and the stratified assignment of patients to bins.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use pdl_store::hash::Key;
use pdl_store::shorten::MOST_LISTED;

use crate::CohortError;
use crate::invalid_option::InvalidOption;
use crate::table::case_row::CaseRow;

/// The name for the presence of each label, in place of a column.
const LABELS: &str = "labels";

/// The strata of a patient, such as "site A" or "label 3".
pub type Strata = BTreeSet<String>;

/// The strata of every patient of `rows`, by `columns`.
///
/// A column puts a patient into one stratum: the value that most of its cases have, of equals the
/// smallest text. `labels` puts it into one for every label that is present in any of its cases.
///
/// # Errors
/// [`CohortError::InvalidOption`] if there is no such column.
pub fn of_patients<'a>(
    rows: &[&'a CaseRow],
    columns: &[String],
) -> Result<BTreeMap<&'a str, Strata>, CohortError> {
    let mut cases: BTreeMap<&str, Vec<&CaseRow>> = BTreeMap::new();
    for row in rows {
        cases.entry(&row.patient_id).or_default().push(row);
    }
    let strata = |cases: &[&CaseRow]| -> Result<Strata, CohortError> {
        let mut strata = Strata::new();
        for column in columns {
            if column == LABELS {
                let labels = cases.iter().flat_map(|case| &case.labels);
                strata.extend(labels.map(|label| format!("label {}", label.value)));
            } else {
                strata.insert(format!("{column} {}", usual_value(cases, column)?));
            }
        }
        Ok(strata)
    };
    cases.iter().map(|(patient, cases)| Ok((*patient, strata(cases)?))).collect()
}

fn usual_value(cases: &[&CaseRow], column: &str) -> Result<String, CohortError> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for case in cases {
        let value = case.value(column).ok_or_else(|| {
            InvalidOption::with_value(
                "stratify",
                column,
                "neither the cohort's table nor cases.parquet has it",
            )
        })?;
        *counts.entry(value).or_default() += 1;
    }
    let most = counts.values().copied().max().unwrap_or_default();
    Ok(counts.into_iter().find(|(_, count)| *count == most).map(|(value, _)| value).unwrap_or_default())
}

/// Patients in the order of the BLAKE3 hash of seed and id, in which they are dealt out.
pub(crate) fn in_turn<'a>(
    purpose: &str,
    seed: u64,
    patients: impl IntoIterator<Item = &'a str>,
) -> Vec<&'a str> {
    let mut patients: Vec<&str> = patients.into_iter().collect();
    patients.sort_by_cached_key(|p| Key::new(purpose).part("seed", &seed).part("patient", p).finish());
    patients
}

/// Assigns patients to bins: `room[b]` of them to bin b, in all as many as there are. `given` are
/// those that have a bin already. Returns the bin of each.
///
/// This is iterative stratification (Sechidis, Tsoumakas and Vlahavas 2011, "On the stratification
/// of multi-label data"), with bins that do not overflow: the stratum with the fewest patients left
/// goes first (of equals by name); each of its patients, in turn, goes to the bin that lacks most
/// of that stratum, of equals to the one with the most room for its size, then to the first.
/// Patients without a stratum come last.
pub(crate) fn deal(patients: &[&Strata], given: &[(usize, &Strata)], room: &[usize]) -> Vec<usize> {
    let mut bins = Bins::new(patients, given, room);
    let mut left: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
    for (patient, strata) in patients.iter().enumerate() {
        for stratum in *strata {
            left.entry(stratum).or_default().insert(patient);
        }
    }
    let mut dealt: Vec<Option<usize>> = vec![None; patients.len()];
    while let Some(stratum) =
        left.iter().min_by_key(|(name, rest)| (rest.len(), **name)).map(|(name, _)| *name)
    {
        for patient in left.remove(stratum).unwrap_or_default() {
            let bin = bins.lacking_most(Some(stratum));
            bins.put(bin, patients[patient]);
            dealt[patient] = Some(bin);
            for other in patients[patient] {
                if let Some(rest) = left.get_mut(other.as_str()) {
                    rest.remove(&patient);
                }
            }
        }
        left.retain(|_, rest| !rest.is_empty());
    }
    let mut last = |patient: usize| {
        let bin = bins.lacking_most(None);
        bins.put(bin, patients[patient]);
        bin
    };
    dealt.iter().enumerate().map(|(patient, bin)| bin.unwrap_or_else(|| last(patient))).collect()
}

/// Remaining room and needs of the bins during the assignment.
struct Bins<'a> {
    size: Vec<usize>,
    room: Vec<usize>,
    /// For each stratum how many of its patients each bin lacks.
    lacks: HashMap<&'a str, Vec<f64>>,
}

impl<'a> Bins<'a> {
    fn new(patients: &[&'a Strata], given: &[(usize, &'a Strata)], room: &[usize]) -> Self {
        let mut size = room.to_vec();
        given.iter().for_each(|(bin, _)| size[*bin] += 1);
        let all = size.iter().sum::<usize>().max(1) as f64;
        let mut lacks: HashMap<&str, Vec<f64>> = HashMap::new();
        for strata in patients.iter().copied().chain(given.iter().map(|(_, strata)| *strata)) {
            for stratum in strata {
                let lacks = lacks.entry(stratum).or_insert_with(|| vec![0.0; room.len()]);
                lacks.iter_mut().zip(&size).for_each(|(lacks, size)| *lacks += *size as f64 / all);
            }
        }
        let mut bins = Self { size, room: room.to_vec(), lacks };
        given.iter().for_each(|(bin, strata)| bins.count(*bin, strata));
        bins
    }

    fn lacking_most(&self, stratum: Option<&str>) -> usize {
        let lacks = stratum.and_then(|stratum| self.lacks.get(stratum));
        let key = |bin: usize| {
            let free = self.room[bin] as f64 / self.size[bin].max(1) as f64;
            (lacks.map_or(0.0, |lacks| lacks[bin]), free)
        };
        let with_room = (0..self.room.len()).filter(|bin| self.room[*bin] > 0);
        // Sums of fractions are compared after rounding to a billionth of a patient.
        let more = |a: f64, b: f64| a > b + 1e-9;
        let better = |a: (f64, f64), b: (f64, f64)| more(a.0, b.0) || (!more(b.0, a.0) && more(a.1, b.1));
        with_room.reduce(|best, bin| if better(key(bin), key(best)) { bin } else { best }).unwrap_or_default()
    }

    fn put(&mut self, bin: usize, strata: &Strata) {
        self.room[bin] = self.room[bin].saturating_sub(1);
        self.count(bin, strata);
    }

    fn count(&mut self, bin: usize, strata: &Strata) {
        for stratum in strata {
            if let Some(lacks) = self.lacks.get_mut(stratum.as_str()) {
                lacks[bin] -= 1.0;
            }
        }
    }
}

/// A message that lists the strata without a patient in some of the bins `bins` (those that have
/// patients); `None` if each has one in each.
pub(crate) fn missing(of: &[(usize, &Strata)], bins: &[&str]) -> Option<String> {
    let mut counts: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    let mut filled = vec![false; bins.len()];
    for (bin, strata) in of {
        filled[*bin] = true;
        for stratum in *strata {
            counts.entry(stratum).or_insert_with(|| vec![0; bins.len()])[*bin] += 1;
        }
    }
    let lacking: Vec<String> = counts
        .iter()
        .filter_map(|(stratum, counts)| {
            let without: Vec<&str> =
                (0..bins.len()).filter(|b| filled[*b] && counts[*b] == 0).map(|b| bins[b]).collect();
            let patients: usize = counts.iter().sum();
            let s = if patients == 1 { "" } else { "s" };
            (!without.is_empty())
                .then(|| format!("{stratum} ({patients} patient{s}): none in {}", without.join(", ")))
        })
        .collect();
    let further = lacking.len().saturating_sub(MOST_LISTED);
    let named = lacking.iter().take(MOST_LISTED).cloned().collect::<Vec<_>>().join("; ");
    match further {
        _ if lacking.is_empty() => None,
        0 => Some(named),
        _ => Some(format!("{named}; and {further} more")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn strata(texts: &[&str]) -> Strata {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn every_bin_gets_its_share_of_every_stratum() {
        let (a, b) = (strata(&["site a"]), strata(&["site b"]));
        let patients: Vec<&Strata> = (0..100).map(|n| if n < 60 { &a } else { &b }).collect();
        let bins = deal(&patients, &[], &[70, 15, 15]);
        let count = |range: std::ops::Range<usize>, bin| bins[range].iter().filter(|b| **b == bin).count();
        assert_eq!([0, 1, 2].map(|bin| count(0..60, bin)), [42, 9, 9]);
        assert_eq!([0, 1, 2].map(|bin| count(60..100, bin)), [28, 6, 6]);
    }

    #[test]
    fn what_is_given_counts_and_a_rare_label_is_spread_first() {
        let (rare, usual) = (strata(&["label 1", "label 2"]), strata(&["label 1"]));
        let patients: Vec<&Strata> = (0..9).map(|n| if n % 3 == 2 { &rare } else { &usual }).collect();
        let bins = deal(&patients, &[], &[3, 3, 3]);
        let of_rare: BTreeSet<usize> = (0..9).filter(|n| n % 3 == 2).map(|n| bins[n]).collect();
        assert_eq!(of_rare.len(), 3, "{bins:?}");
        // Bin 0 has the rare label already, so the one that waits goes elsewhere.
        assert_ne!(deal(&[&rare, &usual], &[(0, &rare), (1, &usual)], &[1, 1])[0], 0);
    }

    #[test]
    fn a_stratum_that_a_bin_lacks_is_named() {
        let (a, b) = (strata(&["site a"]), strata(&["site b"]));
        let text = missing(&[(0, &a), (1, &a), (0, &b)], &["train", "val", "test"]).unwrap();
        assert_eq!(text, "site b (1 patient): none in val");
        assert_eq!(missing(&[(0, &a), (1, &a)], &["train", "val", "test"]), None);
    }

    proptest! {
        #[test]
        fn bins_are_filled_and_a_single_column_is_shared_out_fairly(
            values in prop::collection::vec(0_u8..4, 4..80),
            bins in 2_usize..6,
        ) {
            let all: Vec<Strata> = values.iter().map(|v| strata(&[&format!("site {v}")])).collect();
            let patients: Vec<&Strata> = all.iter().collect();
            let n = patients.len();
            let room: Vec<usize> = (0..bins).map(|b| n / bins + usize::from(b < n % bins)).collect();
            let dealt = deal(&patients, &[], &room);
            for (bin, room) in room.iter().enumerate() {
                prop_assert_eq!(dealt.iter().filter(|b| **b == bin).count(), *room);
            }
            // The rarest stratum is dealt first, so nothing stands in its way.
            let count = |v: u8| values.iter().filter(|other| **other == v).count();
            let rarest = (0..4_u8).filter(|v| count(*v) > 0).min_by_key(|v| (count(*v), *v)).unwrap();
            for bin in 0..bins {
                let here = (0..n).filter(|p| values[*p] == rarest && dealt[*p] == bin).count();
                prop_assert!(here <= count(rarest).div_ceil(bins) + 1);
            }
        }
    }
}
