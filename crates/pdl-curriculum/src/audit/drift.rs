//! Domain shift between training and test cases: the nearest-neighbour two-sample statistic
//! (Schilling 1986; Henze 1988).

use pdl_findings::{Code, Finding};
use std::collections::{BTreeMap, BTreeSet};

use pdl_cohort::attributes::Split;
use pdl_cohort::table::case_row::CaseRow;
use pdl_store::hash::Key;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Nearest neighbours per case.
const NEIGHBOURS: usize = 5;

/// Random divisions of the patients for the permutation test.
const DIVISIONS: usize = 999;

/// Largest p-value that is reported as a finding.
const UNLIKELY: f64 = 0.01;

/// The two-sample test between training and test cases.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Drift {
    /// Number of training cases.
    pub train: usize,
    /// Number of test cases.
    pub test: usize,
    /// Nearest neighbours (by SSIM, of other patients) per case.
    pub neighbours: usize,
    /// Fraction of these neighbours that are in the case's own split.
    pub own_split_share: f64,
    /// Mean of this fraction over random divisions of the same patients.
    pub expected_share: f64,
    /// Fraction of the divisions, the actual one included, with a value at least as large.
    pub p_value: f64,
}

impl Drift {
    /// A finding when the p-value is small.
    pub(crate) fn finding(&self) -> Option<Finding> {
        (self.p_value < UNLIKELY).then(|| {
            let message = format!(
                "domain shift between training and test cases: {:.0}% of nearest neighbours are in a case's own \
                 split, against {:.0}% for random divisions of the patients (p = {:.3})",
                100.0 * self.own_split_share,
                100.0 * self.expected_share,
                self.p_value
            );
            Finding::new(Code::Drift, message)
        })
    }
}

/// The nearest neighbours of other patients of each training and test case.
pub(crate) struct NearestNeighbours<'a> {
    rows: &'a [&'a CaseRow],
    /// Most similar first, ties by case number.
    lists: Vec<Vec<(usize, f32)>>,
}

impl<'a> NearestNeighbours<'a> {
    pub(crate) fn new(rows: &'a [&'a CaseRow]) -> Self {
        Self { rows, lists: vec![Vec::with_capacity(NEIGHBOURS + 1); rows.len()] }
    }

    /// Adds the similarity of a pair of two patients.
    pub(crate) fn see(&mut self, a: usize, b: usize, value: f32) {
        if self.rows[a].split == Split::Val || self.rows[b].split == Split::Val {
            return;
        }
        for (case, other) in [(a, b), (b, a)] {
            let list = &mut self.lists[case];
            if list.len() == NEIGHBOURS && list.last().is_some_and(|(_, last)| value < *last) {
                continue;
            }
            let place = list.partition_point(|(id, known)| (-*known, *id) < (-value, other));
            list.insert(place, (other, value));
            list.truncate(NEIGHBOURS);
        }
    }

    /// The test; `None` where a split is empty or there are no neighbours.
    pub(crate) fn drift(&self) -> Option<Drift> {
        let rows = self.rows;
        let is_test: Vec<bool> = rows.iter().map(|row| row.split == Split::Test).collect();
        let train = rows.iter().filter(|row| row.split == Split::Train).count();
        let test = is_test.iter().filter(|is| **is).count();
        let lists = self.lists.iter().enumerate();
        let edges: Vec<(usize, usize)> =
            lists.flat_map(|(case, list)| list.iter().map(move |(other, _)| (case, *other))).collect();
        if train == 0 || test == 0 || edges.is_empty() {
            return None;
        }
        let own_share = |is_test: &[bool]| {
            edges.iter().filter(|(a, b)| is_test[*a] == is_test[*b]).count() as f64 / edges.len() as f64
        };
        let own_split_share = own_share(&is_test);
        let (mut sum, mut as_large) = (0.0, 0);
        let patients = Patients::new(rows);
        for division in 0..DIVISIONS {
            let share = own_share(&patients.divided(division, rows.len()));
            sum += share;
            as_large += usize::from(share >= own_split_share);
        }
        Some(Drift {
            train,
            test,
            neighbours: NEIGHBOURS,
            own_split_share,
            expected_share: sum / DIVISIONS as f64,
            p_value: (as_large + 1) as f64 / (DIVISIONS + 1) as f64,
        })
    }
}

/// Case numbers of the training and test patients.
struct Patients<'a> {
    cases: BTreeMap<&'a str, Vec<usize>>,
    in_test: usize,
}

impl<'a> Patients<'a> {
    fn new(rows: &[&'a CaseRow]) -> Self {
        let mut cases: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        let mut in_test = BTreeSet::new();
        for (number, row) in rows.iter().enumerate().filter(|(_, row)| row.split != Split::Val) {
            cases.entry(&row.patient_id).or_default().push(number);
            if row.split == Split::Test {
                in_test.insert(row.patient_id.as_str());
            }
        }
        Self { cases, in_test: in_test.len() }
    }

    /// A random division with as many test patients.
    fn divided(&self, division: usize, cases: usize) -> Vec<bool> {
        let mut patients: Vec<&Vec<usize>> = self.cases.values().collect();
        let mut numbers = Numbers::new(division);
        // The first steps of a Fisher-Yates shuffle.
        for place in 0..self.in_test.min(patients.len()) {
            let other = place + numbers.below(patients.len() - place);
            patients.swap(place, other);
        }
        let mut is_test = vec![false; cases];
        patients.iter().take(self.in_test).flat_map(|own| own.iter()).for_each(|case| is_test[*case] = true);
        is_test
    }
}

/// Pseudo-random numbers, the same on every machine: SplitMix64 from a hashed seed.
struct Numbers(u64);

impl Numbers {
    fn new(seed: usize) -> Self {
        let hash = Key::new("division 1").part("number", &seed).finish();
        Self(u64::from_str_radix(&hash[..16], 16).unwrap_or(seed as u64))
    }

    /// A number below `end`, which is positive.
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (((z ^ (z >> 31)) as u128 * end as u128) >> 64) as usize
    }
}
