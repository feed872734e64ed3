//! Bootstrap interval of a median ratio over cases or seeds (percentiles, Efron 1979).

use crate::data::random::{Purpose, Random};
use crate::train::early_stop;
use crate::train::history::HistoryRow;
use pdl_metrics::dice::mean;

/// Minimum number of seeds for resampling seeds; with fewer, validation cases are resampled.
pub const SEEDS_ENOUGH: usize = 5;
/// Number of bootstrap samples.
const DRAWS: usize = 1000;
/// Fraction of samples outside the interval on either side.
const TAIL: f64 = 0.025;

/// 95% interval; an end is 0 or infinity if runs miss the target in those samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// 2.5th percentile.
    pub low: f64,
    /// 97.5th percentile.
    pub high: f64,
}

/// Histories of one seed: that of the conventional run, and that of an arm.
pub type SeedPair<'a> = (&'a [HistoryRow], &'a [HistoryRow]);

/// Interval of the median over `pairs` of the speed-up to `target`, for `labels` labels. `None`
/// without pairs or validation cases.
///
/// If cases are resampled, the target scales with the Dice of the conventional runs on the drawn
/// cases, as it is a fraction of their Dice; otherwise easy cases would let every run arrive early,
/// and hard ones none.
pub fn interval(pairs: &[SeedPair<'_>], target: f64, labels: usize) -> Option<Interval> {
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

/// Best Dice of the conventional runs on these cases (`None`: on all): the mean of their highest
/// running medians.
fn conventional(pairs: &[SeedPair<'_>], cases: Option<&[usize]>, labels: usize) -> f64 {
    let highest = |pair: &SeedPair<'_>| early_stop::highest(&dice(pair.0, cases, labels));
    mean(pairs.iter().filter_map(highest)).unwrap_or(f64::NAN)
}

/// Speed-up of the second run to the target: 0 if it misses the target, infinity if only the first
/// run misses it.
fn ratio(pair: &SeedPair<'_>, target: f64, cases: Option<&[usize]>, labels: usize) -> f64 {
    let seconds = |run: &[HistoryRow]| {
        early_stop::reached(run, &dice(run, cases, labels), target).map(|reached| reached.seconds)
    };
    match (seconds(pair.0), seconds(pair.1)) {
        (Some(first), Some(second)) => first / second,
        (None, Some(_)) => f64::INFINITY,
        (_, None) => 0.0,
    }
}

/// Mean Dice of every evaluation over these cases (`None`: as recorded).
fn dice(run: &[HistoryRow], cases: Option<&[usize]>, labels: usize) -> Vec<f64> {
    let of_row = |row: &HistoryRow| cases.map_or(row.dice_mean, |cases| dice_of(row, cases, labels));
    run.iter().map(of_row).collect()
}

/// Mean over the labels of the mean over these cases.
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

    /// A run whose Dice on an easy and a hard case rises linearly for this many evaluations.
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
