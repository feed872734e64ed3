//! Which cases show one person, by how well their images agree after rigid alignment.
//!
//! The similarity of two persons depends on the cohort, and within it on the case: some are similar
//! to many others. So an agreement is compared with those that the same two cases have with others,
//! in units of the mean spacing of the best agreements in this cohort. Images of one person agree
//! with each other more than with any other. Two images can do so by chance, so their margin must
//! be large; three or more mutual nearest neighbours hardly ever occur by chance.

use std::collections::BTreeSet;

use pdl_volume::statistics::quantile;

use crate::audit::nearest_other_patient::CasePair;

/// Number of most similar cases, without the best one, whose mean agreement is taken as usual for a
/// case.
const COMPARED: usize = 10;

/// Maximum number of images of one person that are linked by agreement.
const MOST_OF_ONE_PERSON: usize = 4;

/// Ranks of a case's agreements, from 0, whose mean spacing is the unit of margins; lower ranks may
/// be images of the same person.
const RANKS: std::ops::Range<usize> = 5..15;

/// Minimum margin of a pair, in mean spacings: the sum of its margins over the next case of each
/// and over the usual agreement of either.
const PAIR_APART: f64 = 6.5;

/// Minimum margin of a group of three or more over the next case, in mean spacings, summed over its
/// images.
const GROUP_APART: f64 = 6.0;

/// Minimum margin, in mean spacings, where groups of that size contain most cases of the cohort, so
/// that several images of each person are expected.
const USUAL_GROUP_APART: f64 = 0.5;

/// Minimum fraction of the cases in groups of a size at which this size is expected. It is larger
/// for pairs, as mutual nearest neighbours are frequent by chance.
const USUAL_SHARE: f64 = 0.5;
const USUAL_SHARE_OF_PAIRS: f64 = 0.75;

/// The agreements of every case with those that it was aligned to, largest first; ties by case
/// number.
pub(crate) struct Agreements {
    of_case: Vec<Vec<(f64, usize)>>,
}

impl Agreements {
    /// For cases numbered from 0, from pairs of them.
    pub(crate) fn new(cases: usize, pairs: impl IntoIterator<Item = (CasePair, f64)>) -> Self {
        let mut of_case = vec![Vec::new(); cases];
        for ((a, b), agreement) in pairs {
            of_case[a].push((agreement, b));
            of_case[b].push((agreement, a));
        }
        for own in &mut of_case {
            own.sort_by(|(x, i): &(f64, usize), (y, j)| y.total_cmp(x).then(i.cmp(j)));
        }
        Self { of_case }
    }

    /// Pairs of cases that seem to show one person, ascending. With `lone_pairs` they may be the
    /// only ones of the cohort: then two persons who resemble each other closely can be among them.
    pub(crate) fn one_person(&self, lone_pairs: bool) -> BTreeSet<CasePair> {
        let groups = self.groups(lone_pairs);
        let pairs = |group: &BTreeSet<usize>| -> Vec<CasePair> {
            group.iter().flat_map(|a| group.range(a + 1..).map(move |b| (*a, *b))).collect()
        };
        groups.iter().flat_map(pairs).collect()
    }

    /// The mean agreement of a case with those that it is compared with.
    fn usual(&self, case: usize) -> Option<f64> {
        let others = self.of_case[case].get(1..)?;
        let others = &others[..others.len().min(COMPARED)];
        (others.len() >= COMPARED / 2)
            .then(|| others.iter().map(|(value, _)| value).sum::<f64>() / others.len() as f64)
    }

    /// Excess of the agreement of two cases over the usual agreement of either with others.
    fn excess(&self, group: &BTreeSet<usize>) -> Option<f64> {
        let usual = group.iter().map(|case| self.usual(*case)).collect::<Option<Vec<f64>>>()?;
        let agreement = self.of_case[*group.first()?].first()?.0;
        Some(agreement - usual.into_iter().fold(f64::NEG_INFINITY, f64::max))
    }

    /// The mean spacing of agreements near the top, as if they fell exponentially: the largest of
    /// many random ones exceeds the second by so much on average (Renyi 1953).
    fn spacing(&self) -> Option<f64> {
        let of_case = |own: &Vec<(f64, usize)>| {
            let end = RANKS.end.min(own.len().checked_sub(1)?);
            let ranks = RANKS.start..end;
            let last = own.get(end)?.0;
            // Above rank k, counted from 1, rank j lies by the sum of 1/i over i = j ... k-1.
            let expected = |rank: usize| (rank + 1..=end).map(|i| 1.0 / i as f64).sum::<f64>();
            let sums = ranks.map(|rank| [own[rank].0 - last, expected(rank)]);
            let [excess, expected] = sums.fold([0.0, 0.0], |[a, b], [c, d]| [a + c, b + d]);
            (expected > 0.0).then_some(excess / expected)
        };
        let mut spacings: Vec<f64> = self.of_case.iter().filter_map(of_case).collect();
        spacings.sort_by(f64::total_cmp);
        Some(quantile(&spacings, 0.5)).filter(|spacing| *spacing > 0.0)
    }

    /// Groups of cases each of which agrees with all the others of the group more than with any
    /// case outside, by enough. A group that holds two disjoint smaller ones is left out: two
    /// similar persons stay two.
    fn groups(&self, lone_pairs: bool) -> Vec<BTreeSet<usize>> {
        let Some(spacing) = self.spacing() else { return Vec::new() };
        let mut groups: Vec<BTreeSet<usize>> = Vec::new();
        for size in 2..=MOST_OF_ONE_PERSON {
            let apart: Vec<(BTreeSet<usize>, f64)> = (0..self.of_case.len())
                .filter_map(|case| self.nearest(case, size).filter(|group| group.first() == Some(&case)))
                .filter_map(|group| self.apart(&group).map(|apart| (group, apart / spacing)))
                .collect();
            let share = (size * apart.len()) as f64 / self.of_case.len() as f64;
            let is_usual = share > if size == 2 { USUAL_SHARE_OF_PAIRS } else { USUAL_SHARE };
            let stands_out = |group: &BTreeSet<usize>, apart: f64| match (size, is_usual) {
                (2, false) if !lone_pairs => false,
                (2, _) => self.excess(group).is_some_and(|own| own / spacing + apart >= PAIR_APART),
                (_, true) => apart >= USUAL_GROUP_APART,
                (_, false) => apart >= GROUP_APART,
            };
            let found = apart.into_iter().filter(|(group, apart)| stands_out(group, *apart));
            for (group, _) in found {
                let within: Vec<&BTreeSet<usize>> =
                    groups.iter().filter(|own| own.is_subset(&group)).collect();
                let holds_two = within.iter().any(|one| within.iter().any(|other| one.is_disjoint(other)));
                if !holds_two {
                    groups.push(group);
                }
            }
        }
        groups
    }

    /// A case and those that it agrees with most, `size` in all.
    fn nearest(&self, case: usize, size: usize) -> Option<BTreeSet<usize>> {
        let others = self.of_case[case].get(..size - 1)?;
        Some(others.iter().map(|(_, other)| *other).chain([case]).collect())
    }

    /// Separation of a group: how much more its members agree with its last member than with the
    /// next case outside, summed over the members; `None` where it is not the nearest of one of
    /// them.
    fn apart(&self, group: &BTreeSet<usize>) -> Option<f64> {
        let gap = |member: &usize| {
            let size = group.len();
            let is_nearest = self.nearest(*member, size).as_ref() == Some(group);
            let own = &self.of_case[*member];
            is_nearest.then_some(own[size - 2].0 - own.get(size - 1)?.0)
        };
        group.iter().map(gap).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A cohort of `cases` in which strangers agree by values from 1 to 2 that look random, and
    /// `own` says what the images of one person agree by.
    fn cohort(cases: usize, own: impl Fn(usize, usize) -> Option<f64>) -> Agreements {
        let chance = |a: usize, b: usize| {
            let state = ((a * 1000 + b) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let mixed = (state ^ (state >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            1.0 + (mixed >> 40) as f64 / (1_u64 << 24) as f64
        };
        let pairs = (0..cases).flat_map(|a| (a + 1..cases).map(move |b| (a, b)));
        Agreements::new(cases, pairs.map(|(a, b)| ((a, b), own(a, b).unwrap_or_else(|| chance(a, b)))))
    }

    #[test]
    fn strangers_are_not_linked() {
        for cases in [20, 40, 100, 200] {
            assert!(cohort(cases, |_, _| None).one_person(true).is_empty(), "{cases}");
        }
        assert!(cohort(0, |_, _| None).one_person(true).is_empty());
        assert!(cohort(3, |_, _| Some(1.0)).one_person(true).is_empty());
        assert!(cohort(60, |_, _| Some(1.0)).one_person(true).is_empty(), "all are alike");
    }

    #[test]
    fn two_images_of_few_persons_stand_out() {
        let few = cohort(80, |a, b| (a / 2 == b / 2 && a < 20).then_some(4.5));
        let linked = few.one_person(true);
        let expected: BTreeSet<CasePair> = (0..10).map(|person| (2 * person, 2 * person + 1)).collect();
        assert_eq!(linked, expected);
        assert!(few.one_person(false).is_empty(), "they may be persons who resemble each other");
        let all = cohort(80, |a, b| (a / 2 == b / 2).then_some(4.5)).one_person(false);
        assert_eq!(all.len(), 40, "where two images are the rule they are joined");
    }

    #[test]
    fn three_images_of_every_person_form_groups() {
        // Too little for two images, and what all have in common.
        let value = |a: usize, b: usize| (a / 3 == b / 3).then_some(3.0 + 0.01 * (a % 5) as f64);
        let linked = cohort(60, value).one_person(true);
        let expected: BTreeSet<CasePair> = (0..20)
            .flat_map(|person| [(0, 1), (0, 2), (1, 2)].map(|(a, b)| (3 * person + a, 3 * person + b)))
            .collect();
        assert_eq!(linked, expected);
    }

    #[test]
    fn two_similar_persons_stay_two() {
        let value = |a: usize, b: usize| match (a / 2 == b / 2, a < 4 && b < 4) {
            (true, _) => Some(6.0),
            (false, true) => Some(4.0),
            (false, false) => None,
        };
        let linked = cohort(60, value).one_person(true);
        assert_eq!(linked, (0..30).map(|person| (2 * person, 2 * person + 1)).collect());
    }

    proptest! {
        /// The order in which pairs come changes nothing.
        #[test]
        fn the_order_of_pairs_does_not_count(values in prop::collection::vec(0.0_f64..3.0, 190), turn in 0_usize..190) {
            let mut pairs: Vec<(CasePair, f64)> =
                (0..20).flat_map(|a| (a + 1..20).map(move |b| (a, b))).zip(values).collect();
            let linked = Agreements::new(20, pairs.clone()).one_person(true);
            pairs.rotate_left(turn);
            prop_assert_eq!(linked, Agreements::new(20, pairs).one_person(true));
        }
    }
}
