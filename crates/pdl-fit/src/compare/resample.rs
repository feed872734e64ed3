//! How far a median ratio might lie elsewhere, had other cases or seeds been drawn (bootstrap percentiles, Efron 1979).

use crate::dice::mean;
use crate::history::HistoryRow;
use crate::random::{Purpose, Random};
use crate::runs::Finished;
use crate::target;

/// From so many seeds on, seeds are resampled; with fewer, validation cases are.
pub const SEEDS_ENOUGH: usize = 5;
/// Draws.
const DRAWS: usize = 1000;
/// The share of draws outside the interval on either side.
const TAIL: f64 = 0.025;

/// A range that holds 95% of the draws; 0 and infinity where runs of these draws miss the target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

/// Runs of one seed: the conventional one, and that of an arm.
pub type Pair<'a> = (&'a Finished, &'a Finished);

/// The interval of the median over `pairs` of how many times as soon the second run reaches `target`, with `labels`
/// labels. Nothing without pairs or validation cases.
pub fn interval(pairs: &[Pair<'_>], target: f64, labels: usize) -> Option<Interval> {
    let mut random = Random::new(0, Purpose::Resampling, 0);
    let cases = pairs.first()?.0.history.first()?.case_dice.len() / labels.max(1);
    if cases == 0 {
        return None;
    }
    let ratios: Vec<f64> = pairs.iter().map(|pair| ratio(pair, target, None, labels)).collect();
    let mut draws = Vec::with_capacity(DRAWS);
    for _ in 0..DRAWS {
        let mut drawn: Vec<f64> = if pairs.len() >= SEEDS_ENOUGH {
            (0..ratios.len()).map(|_| ratios[random.below(ratios.len())]).collect()
        } else {
            let cases: Vec<usize> = (0..cases).map(|_| random.below(cases)).collect();
            pairs.iter().map(|pair| ratio(pair, target, Some(&cases), labels)).collect()
        };
        drawn.sort_by(f64::total_cmp);
        draws.extend(drawn.get(drawn.len().saturating_sub(1) / 2));
    }
    draws.sort_by(f64::total_cmp);
    let at = |share: f64| draws.get(((draws.len() as f64 - 1.0) * share).round() as usize).copied();
    Some(Interval { low: at(TAIL)?, high: at(1.0 - TAIL)? })
}

/// How many times as soon the second run reaches the target: 0 when it does not, infinity when only it does.
fn ratio(pair: &Pair<'_>, target: f64, cases: Option<&[usize]>, labels: usize) -> f64 {
    let seconds = |run: &Finished| {
        let dice: Vec<f64> = match cases {
            Some(cases) => run.history.iter().map(|row| dice_of(row, cases, labels)).collect(),
            None => run.dice(),
        };
        target::reached(&run.history, &dice, target).map(|reached| reached.seconds)
    };
    match (seconds(pair.0), seconds(pair.1)) {
        (Some(first), Some(second)) => first / second,
        (None, Some(_)) => f64::INFINITY,
        (_, None) => 0.0,
    }
}

/// The mean over the labels of the mean over these cases.
fn dice_of(row: &HistoryRow, cases: &[usize], labels: usize) -> f64 {
    let of_label = |label: usize| {
        let value = |case: &usize| row.case_dice.get(case * labels + label).copied().flatten();
        mean(cases.iter().filter_map(value))
    };
    mean((0..labels).filter_map(of_label)).unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::tests::rows;

    #[test]
    fn means_are_over_cases_then_labels() {
        let mut row = rows(&[0.0]).remove(0);
        row.case_dice = vec![Some(1.0), Some(0.5), Some(0.0), None, Some(0.5), None];
        assert_eq!(dice_of(&row, &[0, 1, 2], 2), 0.5); // labels: (1 + 0 + 0.5) / 3 and 0.5
        assert_eq!(dice_of(&row, &[1, 1], 2), 0.0); // the second label counts nowhere
        assert!(dice_of(&row, &[], 2).is_nan());
    }
}
