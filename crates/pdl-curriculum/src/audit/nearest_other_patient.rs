//! The nearest case of another patient for each case, and how far the pair stands out.

/// With fewer patients no pair is said to stand out.
const FEWEST_TO_STAND_OUT: usize = 20;

/// Two case numbers, the smaller first.
pub(crate) type CasePair = (usize, usize);

/// Each case's nearest neighbour of another patient, and the runner-up's similarity.
pub(crate) struct NearestOtherPatient {
    best: Vec<Option<(usize, f32)>>,
    second: Vec<f32>,
}

impl NearestOtherPatient {
    /// For cases numbered from 0.
    pub(crate) fn new(cases: usize) -> Self {
        Self { best: vec![None; cases], second: vec![f32::NEG_INFINITY; cases] }
    }

    /// Adds the similarity of a pair of two patients; of equals the first stays.
    pub(crate) fn see(&mut self, a: usize, b: usize, value: f32) {
        for (case, other) in [(a, b), (b, a)] {
            match self.best[case] {
                Some((_, best)) if value <= best => self.second[case] = self.second[case].max(value),
                earlier => {
                    self.second[case] = earlier.map_or(f32::NEG_INFINITY, |(_, best)| best);
                    self.best[case] = Some((other, value));
                }
            }
        }
    }

    /// Mutual nearest neighbours whose similarity exceeds that of either's runner-up by at least
    /// `margin`. Empty with few `patients`.
    pub(crate) fn standing_out(&self, patients: usize, margin: f64) -> Vec<CasePair> {
        let stands_out = |a: usize| -> Option<CasePair> {
            let (b, value) = self.best[a]?;
            let mutual = a < b && self.best[b].is_some_and(|(other, _)| other == a);
            let next = self.second[a].max(self.second[b]);
            (mutual && next.is_finite() && f64::from(value) - f64::from(next) >= margin).then_some((a, b))
        };
        let enough = patients >= FEWEST_TO_STAND_OUT;
        (0..self.best.len()).filter(|_| enough).filter_map(stands_out).collect()
    }

    /// A similarity that is unusual: four times as close to 1 as the similarity to the nearest
    /// neighbour that three quarters of the cases reach.
    pub(crate) fn unusual(&self) -> f32 {
        let mut values: Vec<f32> = self.best.iter().flatten().map(|(_, value)| *value).collect();
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
        assert_eq!(nearest_others.unusual(), 1.0 - (1.0 - 0.7) / 4.0);
        assert!(NearestOtherPatient::new(3).standing_out(20, 0.0).is_empty());
    }
}
