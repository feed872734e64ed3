//! From pairs to a score for each case; larger is more typical.

use pdl_similarity::metrics::Metric;
use pdl_store::StoreError;
use pdl_volume::statistics;

use crate::metrics::identical;
use crate::pairwise::{PairwiseSimilarity, SimilarityMatrix};

/// The mean similarity of each case to all others.
///
/// # Errors
/// [`StoreError`] when the pairs cannot be read.
pub fn mean(pairwise: &impl PairwiseSimilarity, metric: Metric) -> Result<Vec<f64>, StoreError> {
    let mut sums = vec![0.0; pairwise.cases()];
    pairwise.for_each(metric, |a, b, value| {
        sums[a] += f64::from(value);
        sums[b] += f64::from(value);
    })?;
    let others = pairwise.cases().saturating_sub(1).max(1) as f64;
    Ok(sums.into_iter().map(|sum: f64| sum / others).collect())
}

/// The median similarity of each case to all others. Holds the whole matrix in memory.
///
/// # Errors
/// [`StoreError`] when the pairs cannot be read.
pub fn median(pairwise: &impl PairwiseSimilarity, metric: Metric) -> Result<Vec<f64>, StoreError> {
    let matrix = SimilarityMatrix::read(pairwise, metric)?;
    let of_case = |case: usize| {
        let row = matrix.row(case);
        let others = row[..case].iter().chain(&row[case + 1..]).copied();
        statistics::median(&mut others.map(f64::from).collect::<Vec<_>>())
    };
    Ok((0..matrix.cases()).map(of_case).collect())
}

/// The case with the largest mean similarity to all others; the first of equals.
///
/// # Errors
/// [`StoreError`] when the pairs cannot be read.
pub fn medoid(pairwise: &impl PairwiseSimilarity, metric: Metric) -> Result<usize, StoreError> {
    let scores = mean(pairwise, metric)?;
    Ok((0..scores.len()).rev().max_by(|a, b| scores[*a].total_cmp(&scores[*b])).unwrap_or(0))
}

/// The mean similarity of each case to the cases of `references`; a reference is identical to
/// itself.
///
/// # Errors
/// [`StoreError`] when the pairs cannot be read.
pub fn reference(
    pairwise: &impl PairwiseSimilarity,
    metric: Metric,
    references: &[usize],
) -> Result<Vec<f64>, StoreError> {
    let mut is_reference = vec![false; pairwise.cases()];
    let mut sums = vec![0.0; pairwise.cases()];
    for case in references {
        is_reference[*case] = true;
        sums[*case] = f64::from(identical(metric));
    }
    pairwise.for_each(metric, |a, b, value| {
        if is_reference[b] {
            sums[a] += f64::from(value);
        }
        if is_reference[a] {
            sums[b] += f64::from(value);
        }
    })?;
    let count = is_reference.iter().filter(|is| **is).count().max(1) as f64;
    Ok(sums.into_iter().map(|sum| sum / count).collect())
}

/// The mean similarity of each case to its `neighbours` nearest (to all when there are fewer).
///
/// # Errors
/// [`StoreError`] when the pairs cannot be read.
pub fn nearest(
    pairwise: &impl PairwiseSimilarity,
    metric: Metric,
    neighbours: usize,
) -> Result<Vec<f64>, StoreError> {
    let keep = neighbours.clamp(1, pairwise.cases().saturating_sub(1).max(1));
    // The largest similarities of each case so far, descending.
    let mut best: Vec<Vec<f32>> = vec![Vec::with_capacity(keep + 1); pairwise.cases()];
    pairwise.for_each(metric, |a, b, value| {
        for case in [a, b] {
            let list = &mut best[case];
            if list.len() < keep || list.last().is_some_and(|last| value > *last) {
                let place = list.partition_point(|other| *other >= value);
                list.insert(place, value);
                list.truncate(keep);
            }
        }
    })?;
    let of_list =
        |list: &Vec<f32>| list.iter().map(|value| f64::from(*value)).sum::<f64>() / list.len().max(1) as f64;
    Ok(best.iter().map(of_list).collect())
}

/// Combines the scores of several metrics: for each case the fraction of the others that rank
/// behind it, averaged over the metrics; ties share their mean rank. 1 is first by all metrics, 0
/// last by all.
pub fn mean_rank(scores: &[Vec<f64>]) -> Vec<f64> {
    let cases = scores.first().map_or(0, Vec::len);
    let others = cases.saturating_sub(1).max(1) as f64;
    let mut sums = vec![0.0; cases];
    for of_metric in scores {
        for (sum, rank) in sums.iter_mut().zip(ranks(of_metric)) {
            *sum += (cases as f64 - rank) / others;
        }
    }
    sums.into_iter().map(|sum| sum / scores.len() as f64).collect()
}

/// Ranks from 1, the largest score first; ties share their mean rank.
fn ranks(scores: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    let mut ranks = vec![0.0; scores.len()];
    let mut start = 0;
    for equals in order.chunk_by(|a, b| scores[*a] == scores[*b]) {
        let rank = start as f64 + (equals.len() as f64 + 1.0) / 2.0;
        equals.iter().for_each(|case| ranks[*case] = rank);
        start += equals.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pairwise::tests::CasesOnALine;

    const METRIC: Metric = Metric::Ssim;

    #[test]
    fn scores_of_four_cases_on_a_line() {
        let line = CasesOnALine(vec![0.0, 0.25, 0.5, 1.5]);
        assert_eq!(mean(&line, METRIC).unwrap()[1], (0.75 + 0.75 - 0.25) / 3.0);
        assert_eq!(median(&line, METRIC).unwrap(), [0.5, 0.75, 0.5, -0.25]);
        assert_eq!(medoid(&line, METRIC).unwrap(), 1, "cases 1 and 2 are equals: the first wins");
        assert_eq!(reference(&line, METRIC, &[1]).unwrap(), [0.75, 1.0, 0.75, -0.25]);
        assert_eq!(reference(&line, METRIC, &[0, 3]).unwrap()[0], 0.25);
        assert_eq!(nearest(&line, METRIC, 2).unwrap(), [0.625, 0.75, 0.625, -0.125]);
        assert_eq!(nearest(&line, METRIC, 99).unwrap()[0], mean(&line, METRIC).unwrap()[0]);
    }

    #[test]
    fn several_metrics_meet_in_the_mean_of_their_ranks() {
        let combined = mean_rank(&[vec![0.9, 0.5, 0.5, 0.1], vec![4.0, 3.0, 2.0, 1.0]]);
        assert_eq!(combined, [1.0, (0.5 + 2.0 / 3.0) / 2.0, (0.5 + 1.0 / 3.0) / 2.0, 0.0]);
    }
}
