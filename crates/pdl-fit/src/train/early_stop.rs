//! Time to a target Dice and early stopping, from running medians of the validation Dice.

use pdl_volume::statistics::median;

/// Evaluations of the median that is compared with the target.
const REACHING: usize = 3;
/// Evaluations of the median that measures the best Dice of a long run.
const SETTLED: usize = 5;

/// Step at which the running median of three evaluations first reaches `target`, interpolated
/// linearly between this evaluation and the one before. `steps` and `dice` are those of every
/// evaluation. `None` if the target is not reached.
pub fn steps_to(steps: &[u64], dice: &[f64], target: f64) -> Option<f64> {
    let medians = running_medians(dice, REACHING);
    let first = medians.iter().position(|median| *median >= target)?;
    // A median is assigned to the last of its evaluations.
    let at = |median: usize| steps[median + REACHING - 1] as f64;
    let Some(before) = first.checked_sub(1) else { return Some(at(first)) };
    let share = (target - medians[before]) / (medians[first] - medians[before]);
    Some(at(before) + share * (at(first) - at(before)))
}

/// Highest running median of five evaluations, or of all if there are fewer; `None` without
/// evaluations.
pub fn highest(dice: &[f64]) -> Option<f64> {
    running_medians(dice, SETTLED.min(dice.len())).into_iter().max_by(f64::total_cmp)
}

/// Whether the running median of three evaluations has not exceeded its highest value in the last
/// `patience` evaluations. `dice` is the mean Dice of every row.
pub fn has_stalled(dice: &[f64], patience: u32) -> bool {
    let medians = running_medians(dice, REACHING);
    let mut best: Option<(usize, f64)> = None;
    for (place, &median) in medians.iter().enumerate() {
        if best.is_none_or(|(_, highest)| median > highest) {
            best = Some((place, median));
        }
    }
    best.is_some_and(|(place, _)| medians.len() - 1 - place >= patience as usize)
}

/// Medians of `width` consecutive values. NaN, the Dice without a case that counts, is treated as
/// 0.
fn running_medians(values: &[f64], width: usize) -> Vec<f64> {
    if width == 0 {
        return Vec::new();
    }
    let median = |window: &[f64]| {
        let mut window: Vec<f64> = window.iter().map(|v| if v.is_nan() { 0.0 } else { *v }).collect();
        median(&mut window)
    };
    values.windows(width).map(median).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Evaluations every 10 steps.
    fn reached(dice: &[f64], target: f64) -> Option<f64> {
        let steps: Vec<u64> = (1..=dice.len() as u64).map(|number| 10 * number).collect();
        steps_to(&steps, dice, target)
    }

    #[test]
    fn one_good_evaluation_is_not_enough() {
        let dice = [0.1, 0.9, 0.2, 0.3, 0.8, 0.8, 0.9];
        // Medians of three end at evaluations 3 to 7: 0.2, 0.3, 0.3, 0.8, 0.8.
        // Halfway from evaluation 5 (step 50) to 6 (step 60).
        assert!((reached(&dice, 0.55).unwrap() - 55.0).abs() < 1e-9);
        assert_eq!(reached(&dice, 0.81), None);
        assert_eq!(reached(&dice[..2], 0.1), None);
    }

    #[test]
    fn a_run_that_begins_at_the_target_reached_it_with_its_third_evaluation() {
        assert_eq!(reached(&[0.9; 4], 0.5), Some(30.0));
    }

    #[test]
    fn a_run_has_stalled_when_its_median_has_not_risen_for_the_patience() {
        let dice = [0.1, 0.2, 0.9, 0.3, 0.3, 0.2, 0.9];
        let medians = [0.2, 0.3, 0.3, 0.3, 0.3];
        assert_eq!(running_medians(&dice, 3), medians);
        let stalled = |n: usize, patience| has_stalled(&dice[..n], patience);
        assert!(!stalled(4, 1) && stalled(5, 1) && !stalled(5, 2) && stalled(6, 2) && stalled(7, 3));
        assert!(!has_stalled(&[], 1) && !has_stalled(&[0.5, 0.4], 1));
        assert!(!has_stalled(&[0.1, 0.2, 0.3, 0.4, 0.5], 1));
    }

    #[test]
    fn how_good_a_run_becomes_is_a_median_of_five() {
        assert_eq!(highest(&[0.1, 0.99, 0.5, 0.6, 0.7, 0.2]), Some(0.6));
        assert_eq!(highest(&[0.3, 0.5]), Some(0.4));
        assert_eq!(highest(&[]), None);
    }
}
