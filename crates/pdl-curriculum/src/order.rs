//! Orders of the training cases: by score, at random, and interleaved groups. Cases are numbered in
//! the order of their ids, so a stable sort breaks ties by case id.

pub mod community;
pub mod prune;
pub(crate) mod ranker;
pub mod score;
pub mod subset_selection;

use std::cmp::Ordering;
use std::collections::HashMap;

use pdl_store::hash::Key;

/// Descending scores.
pub fn typical_first(scores: &[f64]) -> Vec<usize> {
    sorted(scores, |a, b| b.total_cmp(&a))
}

/// Ascending scores.
pub fn atypical_first(scores: &[f64]) -> Vec<usize> {
    sorted(scores, |a, b| a.total_cmp(&b))
}

fn sorted(scores: &[f64], compare: impl Fn(f64, f64) -> Ordering) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| compare(scores[*a], scores[*b]));
    order
}

/// The order of the BLAKE3 hashes of seed and case id: the relative order of two cases does not
/// depend on the others.
pub fn random(case_ids: &[&str], seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..case_ids.len()).collect();
    order.sort_by_cached_key(|case| {
        Key::new("random order 1").part("seed", &seed).part("case", &case_ids[*case]).finish()
    });
    order
}

/// Interleaves groups so that every prefix holds each group in proportion, as nearly as whole cases
/// allow; within a group the cases keep their order.
///
/// The r-th case (from 0) of a group of m is placed at (r + 1/2) / m; ties by case id.
pub fn interleave<G: Eq + std::hash::Hash>(order: &[usize], group: impl Fn(usize) -> G) -> Vec<usize> {
    let mut sizes: HashMap<G, u64> = HashMap::new();
    let places: Vec<(usize, u64)> = order
        .iter()
        .map(|case| {
            let size = sizes.entry(group(*case)).or_insert(0);
            *size += 1;
            (*case, *size - 1)
        })
        .collect();
    let mut placed: Vec<(usize, u64, u64)> =
        places.into_iter().map(|(case, place)| (case, 2 * place + 1, 2 * sizes[&group(case)])).collect();
    // Fractions compare exactly by cross-multiplying.
    placed.sort_by(|(a, p, m), (b, q, n)| (p * n).cmp(&(q * m)).then(a.cmp(b)));
    placed.into_iter().map(|(case, _, _)| case).collect()
}

/// Takes groups in turn: the first case of every group, then the second of each, and so on; within
/// a turn cases keep their order.
pub fn in_turn<G: Eq + std::hash::Hash>(order: &[usize], group: impl Fn(usize) -> G) -> Vec<usize> {
    let mut taken: HashMap<G, usize> = HashMap::new();
    let mut turns: Vec<(usize, usize)> = Vec::with_capacity(order.len());
    for case in order {
        let turn = taken.entry(group(*case)).or_insert(0);
        turns.push((*turn, *case));
        *turn += 1;
    }
    turns.sort_by_key(|(turn, _)| *turn); // stable
    turns.into_iter().map(|(_, case)| case).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn equals_keep_the_order_of_their_ids() {
        let scores = [0.5, 0.9, 0.5, 0.1];
        assert_eq!(typical_first(&scores), [1, 0, 2, 3]);
        assert_eq!(atypical_first(&scores), [3, 0, 2, 1]);
    }

    #[test]
    fn a_seed_gives_one_order_whoever_else_is_there() {
        let ids = ["a", "b", "c", "d", "e", "f"];
        let order: Vec<&str> = random(&ids, 7).into_iter().map(|case| ids[case]).collect();
        assert_ne!(random(&ids, 7), random(&ids, 8));
        let fewer = ["a", "c", "e"];
        let kept: Vec<&str> = order.into_iter().filter(|id| fewer.contains(id)).collect();
        assert_eq!(random(&fewer, 7).into_iter().map(|case| fewer[case]).collect::<Vec<_>>(), kept);
    }

    #[test]
    fn patients_come_in_turn_and_keep_their_order() {
        let patient = [0, 0, 1, 0, 1, 2];
        assert_eq!(in_turn(&[3, 1, 0, 4, 5, 2], |case| patient[case]), [3, 4, 5, 1, 2, 0]);
    }

    proptest! {
        #[test]
        fn every_beginning_holds_each_groups_share(groups in prop::collection::vec(0_usize..4, 1..80)) {
            let order: Vec<usize> = (0..groups.len()).collect();
            let mixed = interleave(&order, |case| groups[case]);
            let mut sorted = mixed.clone();
            sorted.sort_unstable();
            prop_assert_eq!(&sorted, &order);
            for taken in 1..=mixed.len() {
                for group in 0..4 {
                    let size = groups.iter().filter(|g| **g == group).count() as f64;
                    let have = mixed[..taken].iter().filter(|case| groups[**case] == group).count() as f64;
                    let share = size * taken as f64 / groups.len() as f64;
                    prop_assert!((have - share).abs() < 4.0, "{} of {} at {}", have, share, taken);
                }
            }
        }
    }
}
