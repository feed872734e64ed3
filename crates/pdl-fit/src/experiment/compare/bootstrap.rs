//! How far a median ratio might lie elsewhere, had other cases or seeds been drawn (bootstrap percentiles, Efron 1979).

use crate::data::random::{Purpose, Random};
use crate::metrics::dice::mean;
use crate::train::early_stop;
use crate::train::history::HistoryRow;

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

/// Histories of one seed: the conventional run's, and that of an arm.
pub type Pair<'a> = (&'a [HistoryRow], &'a [HistoryRow]);

/// The interval of the median over `pairs` of how many times as soon the second run reaches `target`, with `labels`
/// labels. Nothing without pairs or validation cases.
///
/// The target is a share of what conventional runs reach. Where cases are drawn, it moves with what those of the pairs
/// reach on them: easier cases would otherwise let every run arrive early, and harder ones none.
pub fn interval(pairs: &[Pair<'_>], target: f64, labels: usize) -> Option<Interval> {
    let mut random = Random::new(0, Purpose::Resampling, 0);
    let cases = pairs.first()?.0.first()?.case_dice.len() / labels.max(1);
    if cases == 0 {
        return None;
    }
    let ordinary = conventional(pairs, None, labels);
    let ratios: Vec<f64> = pairs.iter().map(|pair| ratio(pair, target, None, labels)).collect();
    let mut draws = Vec::with_capacity(DRAWS);
    for _ in 0..DRAWS {
        let mut drawn: Vec<f64> = if pairs.len() >= SEEDS_ENOUGH {
            (0..ratios.len()).map(|_| ratios[random.below(ratios.len())]).collect()
        } else {
            let cases: Vec<usize> = (0..cases).map(|_| random.below(cases)).collect();
            let target = target * conventional(pairs, Some(&cases), labels) / ordinary;
            pairs.iter().map(|pair| ratio(pair, target, Some(&cases), labels)).collect()
        };
        drawn.sort_by(f64::total_cmp);
        draws.extend(drawn.get(drawn.len().saturating_sub(1) / 2));
    }
    draws.sort_by(f64::total_cmp);
    let at = |share: f64| draws.get(((draws.len() as f64 - 1.0) * share).round() as usize).copied();
    Some(Interval { low: at(TAIL)?, high: at(1.0 - TAIL)? })
}

/// What the conventional runs reach on these cases, or on all: the mean of their highest running medians.
fn conventional(pairs: &[Pair<'_>], cases: Option<&[usize]>, labels: usize) -> f64 {
    let highest = |pair: &Pair<'_>| early_stop::highest(&dice(pair.0, cases, labels));
    mean(pairs.iter().filter_map(highest)).unwrap_or(f64::NAN)
}

/// How many times as soon the second run reaches the target: 0 when it does not, infinity when only it does.
fn ratio(pair: &Pair<'_>, target: f64, cases: Option<&[usize]>, labels: usize) -> f64 {
    let seconds = |run: &[HistoryRow]| {
        early_stop::reached(run, &dice(run, cases, labels), target).map(|reached| reached.seconds)
    };
    match (seconds(pair.0), seconds(pair.1)) {
        (Some(first), Some(second)) => first / second,
        (None, Some(_)) => f64::INFINITY,
        (_, None) => 0.0,
    }
}

/// The mean Dice of every evaluation, over these cases or as it was.
fn dice(run: &[HistoryRow], cases: Option<&[usize]>, labels: usize) -> Vec<f64> {
    let of_row = |row: &HistoryRow| cases.map_or(row.dice_mean, |cases| dice_of(row, cases, labels));
    run.iter().map(of_row).collect()
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
    use crate::train::early_stop::tests::rows;

    #[test]
    fn means_are_over_cases_then_labels() {
        let mut row = rows(&[0.0]).remove(0);
        row.case_dice = vec![Some(1.0), Some(0.5), Some(0.0), None, Some(0.5), None];
        assert_eq!(dice_of(&row, &[0, 1, 2], 2), 0.5); // labels: (1 + 0 + 0.5) / 3 and 0.5
        assert_eq!(dice_of(&row, &[1, 1], 2), 0.0); // the second label counts nowhere
        assert!(dice_of(&row, &[], 2).is_nan());
    }

    /// A run whose Dice on an easy and a hard case rises evenly for so many evaluations.
    fn risen_after(evaluations: f64) -> Vec<HistoryRow> {
        let share = |n: u32| (f64::from(n) / evaluations).min(1.0);
        let mut run = rows(&(1..=24).map(|n| 0.7 * share(n)).collect::<Vec<_>>());
        for (row, n) in run.iter_mut().zip(1..) {
            row.case_dice = vec![Some(0.9 * share(n)), Some(0.5 * share(n))];
        }
        run
    }

    #[test]
    fn a_speed_up_that_all_cases_share_does_not_hang_on_which_are_drawn() {
        let (slow, fast) = (risen_after(20.0), risen_after(10.0));
        let Interval { low, high } = interval(&[(&slow, &fast)], 0.63, 1).unwrap();
        // 0.9 of the height after 18 and 9 evaluations, the median of three one later.
        assert!((low - 1.9).abs() < 1e-9 && (high - 1.9).abs() < 1e-9, "{low} to {high}");
    }
}
