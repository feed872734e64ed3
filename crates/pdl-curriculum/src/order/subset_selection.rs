//! Orders in which each case depends on those before: k-centre, facility location, maximal marginal
//! relevance. All hold the whole matrix in memory; ties go to the smaller case id.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::pairwise::SimilarityMatrix;

/// K-centre greedy (Gonzalez 1985): after `first`, always the case with the smallest similarity to
/// its nearest selected one.
pub fn k_centre(matrix: &SimilarityMatrix, first: usize) -> Vec<usize> {
    if first >= matrix.cases() {
        return Vec::new();
    }
    let others: Vec<usize> = (0..matrix.cases()).filter(|case| *case != first).collect();
    let mut order = vec![first];
    order.extend(k_centre_after(matrix, &[first], &others, others.len(), |_, nearest| -f64::from(nearest)));
    order
}

/// K-centre greedy after the cases `taken`: up to `count` of the `candidates`, always the one of
/// the largest `worth`, which falls with the similarity to its nearest case that is taken or
/// selected.
pub fn k_centre_after(
    matrix: &SimilarityMatrix,
    taken: &[usize],
    candidates: &[usize],
    count: usize,
    worth: impl Fn(usize, f32) -> f64,
) -> Vec<usize> {
    let mut nearest = vec![f32::NEG_INFINITY; matrix.cases()];
    taken.iter().for_each(|case| take_in(&mut nearest, matrix.row(*case)));
    let mut waiting = vec![false; matrix.cases()];
    candidates.iter().for_each(|case| waiting[*case] = true);
    let mut order = Vec::with_capacity(count.min(candidates.len()));
    while order.len() < count
        && let Some(case) = best(&waiting, |other| worth(other, nearest[other]))
    {
        order.push(case);
        waiting[case] = false;
        take_in(&mut nearest, matrix.row(case));
    }
    order
}

/// 1 in the fixed-point numbers in which gains are summed: exact for every float from 1/64 to 1.
const ONE: f32 = (1 << 30) as f32;

/// Facility location: always the case that most raises the sum, over all cases, of the similarity
/// to the nearest selected case. `similarity` holds values in [0, 1]
/// ([`SimilarityMatrix::into_unit`]).
///
/// Lazy greedy (Minoux 1978): gains only fall as cases are selected, so an old gain is an upper
/// bound, and a case is selected once its gain is exact and no bound is larger. The order equals
/// that of the plain greedy algorithm. Gains are integers: late in the order two cases often gain
/// exactly the same, and rounding must not decide.
pub fn facility_location(similarity: &SimilarityMatrix) -> Vec<usize> {
    let all: Vec<usize> = (0..similarity.cases()).collect();
    facility_location_after(similarity, &[], &all, all.len(), |_| 1)
}

/// [`facility_location`] after the cases `taken`: up to `count` of the `candidates`, each gain
/// times the `weight` of its case.
pub fn facility_location_after(
    similarity: &SimilarityMatrix,
    taken: &[usize],
    candidates: &[usize],
    count: usize,
    weight: impl Fn(usize) -> i64,
) -> Vec<usize> {
    let mut covered = vec![0.0_f32; similarity.cases()];
    taken.iter().for_each(|case| take_in(&mut covered, similarity.row(*case)));
    let gain = |case: usize, covered: &[f32]| -> i64 {
        let more = |(value, covered): (&f32, &f32)| ((value * ONE) as i32 - (covered * ONE) as i32).max(0);
        let gain: i64 = similarity.row(case).iter().zip(covered).map(more).map(i64::from).sum();
        gain.saturating_mul(weight(case))
    };
    let mut heap: BinaryHeap<Bound> = candidates
        .iter()
        .map(|case| Bound { gain: gain(*case, &covered), case: *case, taken_then: 0 })
        .collect();
    let mut order = Vec::with_capacity(count.min(candidates.len()));
    while order.len() < count
        && let Some(top) = heap.pop()
    {
        if top.taken_then == order.len() {
            order.push(top.case);
            take_in(&mut covered, similarity.row(top.case));
        } else {
            heap.push(Bound { gain: gain(top.case, &covered), case: top.case, taken_then: order.len() });
        }
    }
    order
}

/// A gain that was exact when `taken_then` cases had been selected; an upper bound since.
#[derive(PartialEq, Eq)]
struct Bound {
    gain: i64,
    case: usize,
    taken_then: usize,
}

impl Ord for Bound {
    fn cmp(&self, other: &Self) -> Ordering {
        self.gain.cmp(&other.gain).then(other.case.cmp(&self.case))
    }
}

impl PartialOrd for Bound {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Maximal marginal relevance (Carbonell and Goldstein 1998): always the case with the largest
/// `weight` x relevance - (1 - `weight`) x similarity to the nearest selected case.
pub fn maximal_marginal_relevance(
    similarity: &SimilarityMatrix,
    relevance: &[f64],
    weight: f64,
) -> Vec<usize> {
    let mut nearest = vec![0.0_f32; similarity.cases()];
    let mut waiting = vec![true; similarity.cases()];
    let mut order = Vec::with_capacity(similarity.cases());
    let worth =
        |case: usize, nearest: &[f32]| weight * relevance[case] - (1.0 - weight) * f64::from(nearest[case]);
    while let Some(case) = best(&waiting, |case| worth(case, &nearest)) {
        order.push(case);
        waiting[case] = false;
        take_in(&mut nearest, similarity.row(case));
    }
    order
}

fn take_in(nearest: &mut [f32], row: &[f32]) {
    nearest.iter_mut().zip(row).for_each(|(nearest, value)| *nearest = nearest.max(*value));
}

/// The waiting case of the largest value; the first of equals.
fn best(waiting: &[bool], worth: impl Fn(usize) -> f64) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    for case in (0..waiting.len()).filter(|case| waiting[*case]) {
        let worth = worth(case);
        if best.is_none_or(|(_, most)| worth > most) {
            best = Some((case, worth));
        }
    }
    best.map(|(case, _)| case)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pairwise::tests::CasesOnALine;
    use pdl_similarity::metrics::Metric;
    use proptest::prelude::*;

    fn matrix(places: &[f32]) -> SimilarityMatrix {
        SimilarityMatrix::read(&CasesOnALine(places.to_vec()), Metric::Ssim).unwrap()
    }

    #[test]
    fn k_centre_goes_to_the_far_end_first() {
        assert_eq!(k_centre(&matrix(&[0.0, 0.1, 0.5, 1.0]), 1), [1, 3, 2, 0]);
        assert_eq!(k_centre(&matrix(&[]), 0), Vec::<usize>::new());
    }

    #[test]
    fn relevance_alone_is_the_typical_order() {
        let similarity = matrix(&[0.0, 0.1, 0.5, 1.0]).into_unit(Metric::Ssim);
        assert_eq!(maximal_marginal_relevance(&similarity, &[0.3, 0.9, 0.9, 0.1], 1.0), [1, 2, 0, 3]);
        // After 1 and 2, case 0 gives (0.3 - 0.9) / 2, and case 3, less relevant but farther, (0.1
        // - 0.5) / 2.
        assert_eq!(maximal_marginal_relevance(&similarity, &[0.3, 0.9, 0.9, 0.1], 0.5), [1, 2, 3, 0]);
    }

    #[test]
    fn cases_that_are_taken_count_as_selected_and_are_no_candidates() {
        let line = matrix(&[0.0, 0.1, 0.5, 1.0]);
        let far = |_, nearest: f32| -f64::from(nearest);
        assert_eq!(k_centre_after(&line, &[0], &[1, 2, 3], 2, far), [3, 2]);
        assert_eq!(k_centre_after(&line, &[0, 3], &[1, 2], 9, far), [2, 1]);
        assert_eq!(k_centre_after(&line, &[0, 3], &[1], 1, far), [1], "2 is no candidate");
        let unit = line.into_unit(Metric::Ssim);
        // With 0 taken, 2 raises the similarities 0.9, 0.5, 0 of the others by 0, 0.5 and 0.5.
        assert_eq!(facility_location_after(&unit, &[0], &[1, 2, 3], 1, |_| 1), [2]);
        let whole = facility_location(&unit);
        assert_eq!(facility_location_after(&unit, &whole[..2], &whole[2..], 2, |_| 1), whole[2..]);
    }

    #[test]
    fn weights_decide_between_cases_of_like_worth_and_equal_ones_nothing() {
        let line = matrix(&[0.0, 0.1, 0.5, 1.0]);
        let weights = [1.0, 1.0, 3.0, 1.0];
        let weighted = |case: usize, nearest: f32| weights[case] * f64::from(1.0 - nearest);
        // Distances from 0 are 0.1, 0.5 and 1, with weights 0.1, 1.5 and 1.
        assert_eq!(k_centre_after(&line, &[0], &[1, 2, 3], 3, weighted), [2, 3, 1]);
        let unit = line.into_unit(Metric::Ssim);
        let all = |weight: [i64; 4]| facility_location_after(&unit, &[0], &[1, 2, 3], 3, |case| weight[case]);
        assert_eq!(all([1; 4]), all([1 << 16; 4]));
        assert_eq!(all([1, 90, 1, 1])[0], 1);
    }

    /// The plain greedy algorithm: every gain anew for every selection.
    fn plain_greedy(similarity: &SimilarityMatrix) -> Vec<usize> {
        let cases = similarity.cases();
        let mut covered = vec![0.0_f32; cases];
        let mut waiting = vec![true; cases];
        let mut order = Vec::new();
        // The values are sixteenths, whose sums are exact.
        let gain = |case: usize, covered: &[f32]| -> f64 {
            (0..cases).map(|i| f64::from((similarity.row(case)[i] - covered[i]).max(0.0))).sum()
        };
        while let Some(case) = best(&waiting, |case| gain(case, &covered)) {
            order.push(case);
            waiting[case] = false;
            (0..cases).for_each(|i| covered[i] = covered[i].max(similarity.row(case)[i]));
        }
        order
    }

    proptest! {
        #[test]
        fn lazy_greedy_is_plain_greedy(places in prop::collection::vec(0_u8..20, 1..40)) {
            let places: Vec<f32> = places.into_iter().map(|place| f32::from(place) / 16.0).collect();
            let similarity = matrix(&places).into_unit(Metric::Ssim);
            prop_assert_eq!(facility_location(&similarity), plain_greedy(&similarity));
        }
    }
}
