//! The nearest cases of other patients for each case, and which pairs stand out from them.

use std::collections::BTreeSet;

/// Minimum number of patients for pairs to be reported as standing out.
pub(super) const FEWEST_TO_STAND_OUT: usize = 20;

/// Maximum number of further images of the same person.
const MOST_OF_ONE_PERSON: usize = 5;

/// Number of nearest neighbours stored for a case: those that may be of one person, and the next.
const NEAREST: usize = MOST_OF_ONE_PERSON + 1;

/// Two case numbers, the smaller first.
pub(crate) type CasePair = (usize, usize);

/// Each case's nearest neighbours of other patients, the most similar first; of equals the first
/// that was seen.
pub(crate) struct NearestOtherPatient {
    nearest: Vec<Vec<(usize, f32)>>,
}

impl NearestOtherPatient {
    /// For cases numbered from 0.
    pub(crate) fn new(cases: usize) -> Self {
        Self { nearest: vec![Vec::with_capacity(NEAREST + 1); cases] }
    }

    /// Adds the similarity of a pair of two patients.
    pub(crate) fn see(&mut self, a: usize, b: usize, value: f32) {
        for (case, other) in [(a, b), (b, a)] {
            let nearest = &mut self.nearest[case];
            let place = nearest.partition_point(|(_, known)| *known >= value);
            if place < NEAREST {
                nearest.insert(place, (other, value));
                nearest.truncate(NEAREST);
            }
        }
    }

    /// Pairs that seem to be of one person under two or more names: the pairs of every group of at
    /// most six cases in which each is more similar to all the others than to any case outside. For
    /// each case the mean similarity to the group must exceed that to the nearest case outside by
    /// at least `margin`, and the smallest one by half of it. Of nested groups the smallest counts,
    /// so that two similar persons stay two.
    ///
    /// Of few patients the pairs are too uncertain to be reported: see [`FEWEST_TO_STAND_OUT`].
    pub(crate) fn standing_out(&self, margin: f64) -> Vec<CasePair> {
        let smallest = |case| {
            let groups = (1..=MOST_OF_ONE_PERSON).map_while(|others| self.group(case, others));
            let stands_out =
                |group: &BTreeSet<usize>| group.iter().all(|member| self.belongs(*member, group, margin));
            groups.into_iter().find(stands_out)
        };
        let groups: Vec<Option<BTreeSet<usize>>> = (0..self.nearest.len()).map(smallest).collect();
        let mut found = Vec::new();
        for (case, group) in groups.iter().enumerate() {
            let Some(members) = group else { continue };
            if members.iter().all(|member| groups[*member] == *group) {
                found.extend(members.iter().filter(|other| **other > case).map(|other| (case, *other)));
            }
        }
        found
    }

    /// A case and its nearest neighbours; `None` if it has no further neighbour.
    fn group(&self, case: usize, others: usize) -> Option<BTreeSet<usize>> {
        let nearest = &self.nearest[case];
        let members = nearest.iter().take(others).map(|(other, _)| *other);
        (nearest.len() > others).then(|| members.chain([case]).collect())
    }

    /// Whether a case stands out with its group from all others.
    fn belongs(&self, case: usize, group: &BTreeSet<usize>, margin: f64) -> bool {
        let others = group.len() - 1;
        if self.group(case, others).as_ref() != Some(group) {
            return false;
        }
        let values: Vec<f64> = self.nearest[case].iter().map(|(_, value)| f64::from(*value)).collect();
        let (own, next) = (&values[..others], values[others]);
        let mean = own.iter().sum::<f64>() / others as f64;
        mean - next >= margin && own[others - 1] - next >= margin / 2.0
    }

    /// An unusually high similarity: four times as close to 1 as the lower quartile of the
    /// similarities to the nearest neighbour; pairs of `joined` are excluded, as they may be of one
    /// person.
    pub(crate) fn unusual(&self, joined: &[CasePair]) -> f32 {
        let is_other =
            |case: usize, other: usize| joined.binary_search(&(case.min(other), case.max(other))).is_err();
        let best = |(case, nearest): (usize, &Vec<(usize, f32)>)| {
            nearest.iter().find(|(other, _)| is_other(case, *other)).map(|(_, value)| *value)
        };
        let mut values: Vec<f32> = self.nearest.iter().enumerate().filter_map(best).collect();
        values.sort_unstable_by(f32::total_cmp);
        values.get(values.len() / 4).map_or(0.0, |usual| 1.0 - (1.0 - usual) / 4.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_stands_out_from_what_either_has_with_others() {
        let mut nearest_others = NearestOtherPatient::new(4);
        for (a, b, value) in [(0, 1, 0.9), (0, 2, 0.5), (1, 2, 0.6), (0, 3, 0.4), (1, 3, 0.4), (2, 3, 0.7)] {
            nearest_others.see(a, b, value);
        }
        assert_eq!(nearest_others.standing_out(0.05), [(0, 1), (2, 3)]);
        assert_eq!(nearest_others.standing_out(0.2), [(0, 1)], "0.9 to 0.6; 0.7 to 0.6 is too near");
        assert_eq!(nearest_others.unusual(&[]), 1.0 - (1.0 - 0.7) / 4.0);
        assert_eq!(nearest_others.unusual(&[(0, 1), (2, 3)]), 1.0 - (1.0 - 0.5) / 4.0);
        assert!(NearestOtherPatient::new(3).standing_out(0.0).is_empty());
    }

    #[test]
    fn several_images_of_one_person_stand_out_together() {
        // Twenty persons with three images each, unnamed.
        let cases = 60;
        let similarity = |a: usize, b: usize| {
            let apart = (a * 7 + b * 13) % 11;
            if a / 3 == b / 3 { 0.95 + 0.004 * apart as f32 } else { 0.8 + 0.007 * apart as f32 }
        };
        let mut nearest_others = NearestOtherPatient::new(cases);
        for (a, b) in (0..cases).flat_map(|a| (a + 1..cases).map(move |b| (a, b))) {
            nearest_others.see(a, b, similarity(a, b));
        }
        let found = nearest_others.standing_out(0.07);
        assert!(found.iter().all(|(a, b)| a / 3 == b / 3), "{found:?}");
        assert_eq!(found.len(), cases, "all three pairs of each of them");
        // A usual cohort has none.
        let mut usual = NearestOtherPatient::new(20);
        for (a, b) in (0..20).flat_map(|a| (a + 1..20).map(move |b| (a, b))) {
            usual.see(a, b, 0.8 + 0.007 * ((a * 7 + b * 13) % 11) as f32);
        }
        assert!(usual.standing_out(0.05).is_empty());
        // Two persons who resemble each other, with a duplicate each, are two.
        let mut duplicates = NearestOtherPatient::new(22);
        let value = |a: usize, b: usize| match (a / 2 == b / 2, a < 4 && b < 4) {
            (true, _) => 1.0,
            (false, true) => 0.87,
            (false, false) => 0.8,
        };
        for (a, b) in (0..22_usize).flat_map(|a| (a + 1..22).map(move |b| (a, b))) {
            duplicates.see(a, b, value(a, b));
        }
        assert!(duplicates.standing_out(0.07).iter().all(|(a, b)| a / 2 == b / 2));
        // Nor has one in which each case is most like those before and after it.
        let mut line = NearestOtherPatient::new(20);
        for (a, b) in (0..20_usize).flat_map(|a| (a + 1..20).map(move |b| (a, b))) {
            line.see(a, b, 1.0 - 0.2 * (b - a) as f32);
        }
        assert!(line.standing_out(0.05).is_empty());
    }
}
