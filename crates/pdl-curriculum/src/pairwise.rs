//! The similarity of every pair of selected cases: pair by pair, or as a matrix in memory.

use pdl_similarity::metrics::{Metric, PairColumn};
use pdl_similarity::pairs::Pairs;
use pdl_store::StoreError;

use crate::metrics::{as_similarity, identical, unit};

/// Every unordered pair of the selected cases. Cases are numbered from 0 in the order of their ids,
/// so "ties by case id" means "smaller number first".
pub trait PairwiseSimilarity {
    /// Number of selected cases.
    fn cases(&self) -> usize;

    /// Calls `visit` with the numbers of every pair and its similarity (larger is more similar), in
    /// the same order every time.
    ///
    /// # Errors
    /// [`StoreError`] when the pairs cannot be read.
    fn for_each(&self, metric: Metric, visit: impl FnMut(usize, usize, f32)) -> Result<(), StoreError>;
}

/// Some of the cases of a curation folder, with their pairs.
#[derive(Debug)]
pub struct SelectedPairs<'a> {
    pairs: Option<&'a Pairs>,
    /// The case's number for each proxy row; `None` for rows that are not selected.
    number: Vec<Option<u32>>,
    cases: usize,
    /// The channel whose values count; the mean over all if there is none.
    channel: Option<String>,
}

impl<'a> SelectedPairs<'a> {
    /// Selects the cases `ids`, ascending; `proxy_ids` are the case ids of the proxies' rows. A
    /// folder with a single case has no pairs.
    pub fn new(pairs: Option<&'a Pairs>, proxy_ids: &[String], ids: &[&str]) -> Self {
        let number = |id: &String| ids.binary_search(&id.as_str()).ok().map(|number| number as u32);
        Self { pairs, number: proxy_ids.iter().map(number).collect(), cases: ids.len(), channel: None }
    }

    /// The same cases by the values of one channel, or of all if there is none.
    pub(crate) fn of_channel(&self, channel: Option<&str>) -> Self {
        let channel = channel.map(str::to_owned);
        Self { pairs: self.pairs, number: self.number.clone(), cases: self.cases, channel }
    }
}

impl PairwiseSimilarity for SelectedPairs<'_> {
    fn cases(&self) -> usize {
        self.cases
    }

    fn for_each(&self, metric: Metric, mut visit: impl FnMut(usize, usize, f32)) -> Result<(), StoreError> {
        let Some(pairs) = self.pairs else { return Ok(()) };
        let column = PairColumn { metric, channel: self.channel.clone() };
        pairs.for_each(column, |a, b, value| {
            if let (Some(a), Some(b)) = (self.number[a as usize], self.number[b as usize]) {
                visit(a as usize, b as usize, as_similarity(metric, value));
            }
        })
    }
}

/// The similarities of all pairs in memory: 4 bytes for each of cases x cases.
#[derive(Clone, Debug, PartialEq)]
pub struct SimilarityMatrix {
    cases: usize,
    values: Vec<f32>,
}

impl SimilarityMatrix {
    /// Reads all pairs; the diagonal holds the similarity of identical cases.
    ///
    /// # Errors
    /// [`StoreError`] when the pairs cannot be read.
    pub fn read(pairwise: &impl PairwiseSimilarity, metric: Metric) -> Result<Self, StoreError> {
        let cases = pairwise.cases();
        let mut values = vec![0.0; cases * cases];
        for case in 0..cases {
            values[case * cases + case] = identical(metric);
        }
        pairwise.for_each(metric, |a, b, value| {
            values[a * cases + b] = value;
            values[b * cases + a] = value;
        })?;
        Ok(Self { cases, values })
    }

    /// Maps all similarities to [0, 1] ([`unit()`]).
    #[must_use]
    pub fn into_unit(mut self, metric: Metric) -> Self {
        self.values.iter_mut().for_each(|value| *value = unit(metric, *value));
        self
    }

    /// Number of rows and columns.
    pub fn cases(&self) -> usize {
        self.cases
    }

    /// The similarities of a case to every case, itself included.
    pub fn row(&self, case: usize) -> &[f32] {
        &self.values[case * self.cases..(case + 1) * self.cases]
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Cases on a line; similarity falls with distance.
    pub(crate) struct CasesOnALine(pub(crate) Vec<f32>);

    impl PairwiseSimilarity for CasesOnALine {
        fn cases(&self) -> usize {
            self.0.len()
        }

        fn for_each(
            &self,
            _metric: Metric,
            mut visit: impl FnMut(usize, usize, f32),
        ) -> Result<(), StoreError> {
            for b in 1..self.0.len() {
                for a in 0..b {
                    visit(a, b, 1.0 - (self.0[a] - self.0[b]).abs());
                }
            }
            Ok(())
        }
    }

    #[test]
    fn a_matrix_is_symmetric_with_the_identical_on_its_diagonal() {
        let matrix = SimilarityMatrix::read(&CasesOnALine(vec![0.0, 0.25, 2.0]), Metric::Ssim).unwrap();
        assert_eq!(matrix.row(0), [1.0, 0.75, -1.0]);
        assert_eq!(matrix.row(2), [-1.0, -0.75, 1.0]);
        assert_eq!(matrix.into_unit(Metric::Ssim).row(2), [0.0, 0.0, 1.0]);
    }
}
