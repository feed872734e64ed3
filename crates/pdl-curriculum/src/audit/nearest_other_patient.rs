//! The nearest cases of other patients for each case, and which pairs stand out from them.

/// With fewer patients no pair is said to stand out.
const FEWEST_TO_STAND_OUT: usize = 20;

/// Nearest neighbours that are kept of a case.
const NEAREST: usize = 10;

/// The nearest neighbours that may be images of the same person under other names: what a case has
/// with others begins after them.
const OF_ONE_PERSON: usize = 5;

/// A pair stands out when it is this many times as close to 1 as what is usual between others.
const CLOSER: f64 = 2.0;

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

    /// Pairs that seem to be of one person under two names, of which there may be more than two:
    ///
    /// - mutual nearest neighbours whose similarity exceeds that of either's runner-up by at least
    ///   `margin`;
    /// - pairs whose similarity exceeds what is usual between either and other persons by at least
    ///   `margin`, and is twice as close to 1. What is usual of a case is the median similarity to
    ///   its nearest neighbours beyond the first five, which may be itself.
    ///
    /// Empty with few `patients`.
    pub(crate) fn standing_out(&self, patients: usize, margin: f64) -> Vec<CasePair> {
        if patients < FEWEST_TO_STAND_OUT {
            return Vec::new();
        }
        let usual: Vec<Option<f64>> = (0..self.nearest.len()).map(|case| self.usual(case)).collect();
        let mut found = Vec::new();
        for (a, nearest) in self.nearest.iter().enumerate() {
            found.extend(self.mutual(a, margin));
            for (b, value) in nearest {
                let value = f64::from(*value);
                let others = usual[a].zip(usual[*b]).map(|(a, b)| a.max(b));
                let stands_out =
                    |others: f64| value - others >= margin && CLOSER * (1.0 - value) <= 1.0 - others;
                if others.is_some_and(stands_out) {
                    found.push((a.min(*b), a.max(*b)));
                }
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Case `a` and its nearest neighbour, if that is mutual and exceeds the runner-up of both.
    fn mutual(&self, a: usize, margin: f64) -> Option<CasePair> {
        let &(b, value) = self.nearest[a].first()?;
        let mutual = a < b && self.nearest[b].first().is_some_and(|(other, _)| *other == a);
        let second = |case: usize| self.nearest[case].get(1).map(|(_, value)| *value);
        let next = second(a).into_iter().chain(second(b)).max_by(f32::total_cmp)?;
        (mutual && f64::from(value) - f64::from(next) >= margin).then_some((a, b))
    }

    /// The median similarity of a case to its nearest neighbours that are other persons.
    fn usual(&self, case: usize) -> Option<f64> {
        let others = self.nearest[case].get(OF_ONE_PERSON..).filter(|others| !others.is_empty())?;
        Some(f64::from(others[others.len() / 2].1))
    }

    /// A similarity that is unusual: four times as close to 1 as the similarity to the nearest
    /// neighbour that three quarters of the cases reach; pairs of `joined` do not count, which may
    /// be of one person.
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
        assert_eq!(nearest_others.standing_out(20, 0.05), [(0, 1), (2, 3)]);
        assert_eq!(nearest_others.standing_out(20, 0.2), [(0, 1)], "0.9 to 0.6; 0.7 to 0.6 is too near");
        assert!(nearest_others.standing_out(19, 0.05).is_empty());
        assert_eq!(nearest_others.unusual(&[]), 1.0 - (1.0 - 0.7) / 4.0);
        assert_eq!(nearest_others.unusual(&[(0, 1), (2, 3)]), 1.0 - (1.0 - 0.5) / 4.0);
        assert!(NearestOtherPatient::new(3).standing_out(20, 0.0).is_empty());
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
        let found = nearest_others.standing_out(cases, 0.07);
        assert!(found.iter().all(|(a, b)| a / 3 == b / 3), "{found:?}");
        assert_eq!(found.len(), cases, "all three pairs of each of them");
        // A usual cohort has none.
        let mut usual = NearestOtherPatient::new(20);
        for (a, b) in (0..20).flat_map(|a| (a + 1..20).map(move |b| (a, b))) {
            usual.see(a, b, 0.8 + 0.007 * ((a * 7 + b * 13) % 11) as f32);
        }
        assert!(usual.standing_out(20, 0.05).is_empty());
    }
}
