//! Duplicates, which are excluded from the curriculum, and outliers, which are listed.

use std::collections::HashMap;

use pdl_similarity::metrics::Metric;
use pdl_store::StoreError;
use pdl_volume::statistics::quantile;

use crate::metrics::identical;
use crate::order::score;
use crate::pairwise::PairwiseSimilarity;

/// The facts that decide which of two duplicates stays.
#[derive(Clone, Debug)]
pub struct DuplicateCandidate<'a> {
    /// BLAKE3 of the image file, of each channel.
    pub images_blake3: Vec<&'a str>,
    /// Number of annotated labels.
    pub labels_annotated: usize,
}

/// For each case the duplicate that stays in its place, or `None` for those that stay. Two cases
/// are duplicates when their image files are identical or, with `ssim`, when their similarity is at
/// least that.
///
/// Cases are visited from those with the most annotated labels, ties by case id; each stays unless
/// it is a duplicate of one that stays. So a chain of pairwise duplicates is not reduced to its
/// first case.
///
/// # Errors
/// [`StoreError`] when the pairs cannot be read.
pub fn duplicates(
    pairwise: &impl PairwiseSimilarity,
    cases: &[DuplicateCandidate<'_>],
    ssim: Option<f32>,
) -> Result<Vec<Option<usize>>, StoreError> {
    let mut like: Vec<Vec<usize>> = vec![Vec::new(); cases.len()];
    if let Some(ssim) = ssim {
        pairwise.for_each(Metric::Ssim, |a, b, value| {
            if value >= ssim {
                like[a].push(b);
                like[b].push(a);
            }
        })?;
    }
    let mut by_file: HashMap<&[&str], Vec<usize>> = HashMap::new();
    for (case, candidate) in cases.iter().enumerate() {
        by_file.entry(&candidate.images_blake3).or_default().push(case);
    }
    let mut order: Vec<usize> = (0..cases.len()).collect();
    order.sort_by_key(|case| std::cmp::Reverse(cases[*case].labels_annotated));
    let mut place = vec![0; cases.len()];
    order.iter().enumerate().for_each(|(at, case)| place[*case] = at);
    let mut stands_for: Vec<Option<usize>> = vec![None; cases.len()];
    for case in order {
        let twins = by_file.get(cases[case].images_blake3.as_slice()).into_iter().flatten();
        let others = twins.chain(&like[case]).copied();
        let earlier = others.filter(|other| place[*other] < place[case] && stands_for[*other].is_none());
        stands_for[case] = earlier.min_by_key(|other| place[*other]);
    }
    Ok(stands_for)
}

/// Distances of the cases from their nearest neighbours, and the limit for outliers.
#[derive(Clone, Debug, PartialEq)]
pub struct Distances {
    /// For each case the similarity of identical cases minus its mean similarity to its nearest
    /// neighbours.
    pub of_cases: Vec<f64>,
    /// Tukey's fence: cases beyond it are outliers.
    pub limit: f64,
}

/// Distances to the `neighbours` nearest, with a limit of `fence` interquartile ranges above the
/// third quartile. `None` with fewer than four cases, too few for quartiles.
///
/// # Errors
/// [`StoreError`] when the pairs cannot be read.
pub fn distances(
    pairwise: &impl PairwiseSimilarity,
    metric: Metric,
    neighbours: usize,
    fence: f64,
) -> Result<Option<Distances>, StoreError> {
    if pairwise.cases() < 4 {
        return Ok(None);
    }
    let nearest = score::nearest(pairwise, metric, neighbours)?;
    let of_cases: Vec<f64> = nearest.iter().map(|mean| f64::from(identical(metric)) - mean).collect();
    let mut sorted = of_cases.clone();
    sorted.sort_unstable_by(f64::total_cmp);
    let [first, third] = [0.25, 0.75].map(|share| quantile(&sorted, share));
    Ok(Some(Distances { limit: third + fence * (third - first), of_cases }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pairwise::tests::CasesOnALine;

    fn candidates<'a>(cases: &[(&'a str, usize)]) -> Vec<DuplicateCandidate<'a>> {
        let candidate = |&(image_blake3, labels_annotated)| DuplicateCandidate {
            images_blake3: vec![image_blake3],
            labels_annotated,
        };
        cases.iter().map(candidate).collect()
    }

    #[test]
    fn of_duplicates_the_best_annotated_stays_and_chains_do_not_collapse() {
        let line = CasesOnALine(vec![0.0, 0.05, 0.1, 3.0, 5.0]);
        let cases = candidates(&[("a", 1), ("b", 1), ("c", 1), ("d", 1), ("d", 2)]);
        // 0 and 1, 1 and 2 are duplicates, but 0 and 2 are not: 1 goes, 2 stays. 3 and 4 are one
        // file.
        assert_eq!(duplicates(&line, &cases, Some(0.94)).unwrap(), [None, Some(0), None, Some(4), None]);
        assert_eq!(duplicates(&line, &cases, None).unwrap(), [None, None, None, Some(4), None]);
    }

    #[test]
    fn a_case_far_from_all_lies_beyond_the_fence() {
        let line = CasesOnALine(vec![0.0, 0.1, 0.2, 0.3, 0.4, 9.0]);
        let found = distances(&line, Metric::Ssim, 2, 1.5).unwrap().unwrap();
        let beyond: Vec<bool> = found.of_cases.iter().map(|distance| *distance > found.limit).collect();
        assert_eq!(beyond, [false, false, false, false, false, true]);
        assert!(distances(&CasesOnALine(vec![0.0, 1.0, 9.0]), Metric::Ssim, 2, 1.5).unwrap().is_none());
    }
}
