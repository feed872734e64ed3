//! Whether a score of the ranking means difficulty: the rank correlation of the scores of cases
//! with their Dice by networks that have not seen them.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use pdl_cohort::table::cases::Cases;
use pdl_curriculum::CurriculumError;
use pdl_curriculum::order::score;
use pdl_curriculum::pairwise::SelectedPairs;
use pdl_curriculum::results;
use pdl_prepare::proxies::Proxies;
use pdl_similarity::metrics::Metric;
use pdl_similarity::pairs::Pairs;

use crate::data::random::{Purpose, Random};
use crate::error::Result;

/// Neighbours of the score by the nearest, the default of `pdl rank`.
const NEIGHBOURS: usize = 5;
/// Number of bootstrap samples.
const DRAWS: usize = 2000;
/// Fraction of samples outside the interval on either side.
const TAIL: f64 = 0.025;
/// Fewest cases for a correlation.
const LEAST_CASES: usize = 5;

/// Correlation of a score with held-out Dice.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoreCorrelation {
    /// Metric of the similarities.
    pub metric: Metric,
    /// How they become a score: over all other cases, or over the nearest.
    pub score: &'static str,
    /// Number of cases.
    pub cases: usize,
    /// Spearman's rank correlation; positive where typical cases are easier.
    pub rho: f64,
    /// 95% interval when patients are resampled.
    pub interval: [f64; 2],
}

/// Correlations of every metric's scores with the figures `column` of `results.parquet`, the
/// largest first; none if there are too few figures or no pairs.
///
/// # Errors
/// [`crate::FitError::Curriculum`] if the pairs or figures cannot be read.
pub fn correlations(out: &Path, column: &str) -> Result<Vec<ScoreCorrelation>> {
    let cases = Cases::read(out)?;
    let proxies = Proxies::open(out).map_err(CurriculumError::from)?;
    let mut figures: BTreeMap<String, f64> = BTreeMap::new();
    for row in results::read(out)?.into_iter().filter(|row| row.column == column) {
        if proxies.case_ids.contains(&row.case_id) {
            figures.insert(row.case_id, row.value);
        }
    }
    if figures.len() < LEAST_CASES {
        return Ok(Vec::new());
    }
    let pairs = Pairs::open(out, &proxies).map_err(CurriculumError::from)?;
    let ids: Vec<&str> = figures.keys().map(String::as_str).collect();
    let patients: HashMap<&str, &str> =
        cases.rows.iter().map(|row| (row.case_id.as_str(), row.patient_id.as_str())).collect();
    let patients: Vec<&str> = ids.iter().map(|id| patients.get(id).copied().unwrap_or(id)).collect();
    let dice: Vec<f64> = figures.values().copied().collect();
    let pairwise = SelectedPairs::new(Some(&pairs), &proxies.case_ids, &ids);
    let mut found = Vec::new();
    // PSNR orders as MSE does.
    for metric in pairs.parameters.metrics.iter().copied().filter(|metric| *metric != Metric::Psnr) {
        let scores = [
            ("all others", score::mean(&pairwise, metric)?),
            ("5 nearest", score::nearest(&pairwise, metric, NEIGHBOURS)?),
        ];
        for (name, scores) in scores {
            let correlation = correlation(&scores, &dice, &patients);
            found.extend(correlation.map(|(rho, interval)| ScoreCorrelation {
                metric,
                score: name,
                cases: ids.len(),
                rho,
                interval,
            }));
        }
    }
    found.sort_by(|a, b| b.rho.total_cmp(&a.rho));
    Ok(found)
}

/// Spearman's correlation with its interval; `None` if one of the two is constant.
fn correlation(scores: &[f64], dice: &[f64], patients: &[&str]) -> Option<(f64, [f64; 2])> {
    let rho = spearman(scores, dice)?;
    let mut groups: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (case, patient) in patients.iter().enumerate() {
        groups.entry(patient).or_default().push(case);
    }
    let groups: Vec<Vec<usize>> = groups.into_values().collect();
    let mut random = Random::new(0, Purpose::Resampling, 0);
    let mut draw = || {
        let drawn: Vec<usize> =
            groups.iter().flat_map(|_| groups[random.below(groups.len())].iter().copied()).collect();
        let of = |values: &[f64]| -> Vec<f64> { drawn.iter().map(|case| values[*case]).collect() };
        spearman(&of(scores), &of(dice))
    };
    let mut draws: Vec<f64> = (0..DRAWS).filter_map(|_| draw()).collect();
    draws.sort_by(f64::total_cmp);
    let at = |share: f64| draws.get(((draws.len() as f64 - 1.0) * share).round() as usize).copied();
    Some((rho, [at(TAIL)?, at(1.0 - TAIL)?]))
}

/// Spearman's rank correlation: Pearson's of the ranks, ties with their mean rank.
fn spearman(a: &[f64], b: &[f64]) -> Option<f64> {
    let (a, b) = (ranks(a), ranks(b));
    let middle = (a.len() as f64 - 1.0) / 2.0;
    let product =
        |x: &[f64], y: &[f64]| -> f64 { x.iter().zip(y).map(|(x, y)| (x - middle) * (y - middle)).sum() };
    let spread = (product(&a, &a) * product(&b, &b)).sqrt();
    (spread > 0.0).then(|| product(&a, &b) / spread)
}

/// Rank of each value from 0; equal values share their mean rank.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    for group in order.chunk_by(|a, b| values[*a] == values[*b]) {
        let mean = first as f64 + (group.len() as f64 - 1.0) / 2.0;
        group.iter().for_each(|case| ranks[*case] = mean);
        first += group.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `scipy.stats.spearmanr`.
    #[test]
    fn rank_correlations_equal_those_of_scipy() {
        let rho = |a: &[f64], b: &[f64]| spearman(a, b).unwrap();
        assert!((rho(&[1.0, 2.0, 3.0, 4.0], &[1.0, 3.0, 2.0, 9.0]) - 0.8).abs() < 1e-12);
        assert!((rho(&[1.0, 2.0, 2.0, 4.0, 0.5], &[3.0, 1.0, 2.0, 2.0, 5.0]) + 0.763_157_894_7).abs() < 1e-9);
        assert_eq!(spearman(&[1.0, 1.0], &[1.0, 2.0]), None);
    }

    #[test]
    fn cases_of_one_patient_are_drawn_together() {
        let (scores, dice) = ([1.0, 1.0, 2.0, 2.0, 3.0, 3.0], [0.1, 0.1, 0.2, 0.2, 0.3, 0.3]);
        let (rho, [low, high]) = correlation(&scores, &dice, &["a", "a", "b", "b", "c", "c"]).unwrap();
        assert!((rho - 1.0).abs() < 1e-12 && (low - 1.0).abs() < 1e-12 && (high - 1.0).abs() < 1e-12);
    }
}
