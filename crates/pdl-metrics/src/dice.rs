//! Dice coefficient of label maps, per case and label, and over a cohort.

use crate::structure::ChannelUnion;

/// The channel of voxels to ignore.
pub const IGNORED: u8 = u8::MAX;

/// Dice `2 |A and B| / (|A| + |B|)` of each label (channels 1, 2, ...) of one case.
///
/// `prediction` and `truth` are the channels of the same voxels. `None` if the label is absent from
/// both or not annotated; 0 if it is absent from one. Voxels whose truth is [`IGNORED`] do not
/// count.
pub fn per_label(prediction: &[u8], truth: &[u8], annotated: &[bool]) -> Vec<Option<f64>> {
    let mut both = vec![0_u64; annotated.len()];
    let mut sizes = vec![0_u64; annotated.len()];
    for (&p, &t) in prediction.iter().zip(truth).filter(|(_, t)| **t != IGNORED) {
        sizes[usize::from(p)] += 1;
        sizes[usize::from(t)] += 1;
        both[usize::from(t)] += u64::from(p == t);
    }
    let dice = |label: usize| {
        let counts = annotated[label] && sizes[label] > 0;
        counts.then(|| 2.0 * both[label] as f64 / sizes[label] as f64)
    };
    (1..annotated.len()).map(dice).collect()
}

/// Like [`per_label`], of each region: a voxel belongs to it whose channel it contains.
pub fn per_region(
    prediction: &[u8],
    truth: &[u8],
    annotated: &[bool],
    regions: &[ChannelUnion],
) -> Vec<Option<f64>> {
    let known = || prediction.iter().zip(truth).filter(|(_, t)| **t != IGNORED);
    let dice = |region: &ChannelUnion| {
        let (mut both, mut sizes) = (0_u64, 0_u64);
        for (&p, &t) in known() {
            let (p, t) = (region.contains(p), region.contains(t));
            both += u64::from(p && t);
            sizes += u64::from(p) + u64::from(t);
        }
        let counts = region.is_annotated(annotated) && sizes > 0;
        counts.then(|| 2.0 * both as f64 / sizes as f64)
    };
    regions.iter().map(dice).collect()
}

/// Dice of two masks of the same voxels; `None` if both are empty.
pub fn of_masks(a: &[bool], b: &[bool]) -> Option<f64> {
    let count = |mask: &[bool]| mask.iter().filter(|inside| **inside).count();
    let both = a.iter().zip(b).filter(|(a, b)| **a && **b).count();
    let sizes = count(a) + count(b);
    (sizes > 0).then(|| 2.0 * both as f64 / sizes as f64)
}

/// Mean Dice over a cohort.
#[derive(Clone, Debug, PartialEq)]
pub struct CohortDice {
    /// Mean over the cases for each label, in label order; NaN if no case counts.
    pub labels: Vec<f64>,
    /// Mean over the labels that count; NaN if none does.
    pub mean: f64,
    /// Dice of each case and label, in the order of the cases.
    pub cases: Vec<Vec<Option<f64>>>,
}

impl CohortDice {
    /// Means of the results of [`per_label`] or [`per_region`] for all cases.
    pub fn of(cases: Vec<Vec<Option<f64>>>, labels: usize) -> Self {
        let of_label = |label: usize| mean(cases.iter().filter_map(|case| case[label])).unwrap_or(f64::NAN);
        let labels: Vec<f64> = (0..labels).map(of_label).collect();
        let mean = mean(labels.iter().copied().filter(|dice| !dice.is_nan())).unwrap_or(f64::NAN);
        Self { labels, mean, cases }
    }
}

/// The arithmetic mean; `None` without values.
pub fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0_u32), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_counting_by_hand() {
        let truth = [0, 1, 1, 1, 2, 2, 0, 0];
        let prediction = [0, 1, 1, 2, 2, 0, 0, 1];
        // label 1: 2 common, 3 + 3; label 2: 1 common, 2 + 2; label 3: absent from both.
        let dice = per_label(&prediction, &truth, &[true; 4]);
        assert_eq!(dice, [Some(2.0 / 3.0), Some(0.5), None]);
    }

    #[test]
    fn regions_that_overlap_count_each_by_itself() {
        let region =
            |channels: &[u8]| ChannelUnion { channels: channels.to_vec(), annotated_by: channels.to_vec() };
        let truth = [0, 1, 1, 2, 2, IGNORED, 0, 0];
        let prediction = [0, 1, 2, 2, 1, 2, 2, 0];
        // Both labels: 4 common, 5 + 4; label 2 alone: 1 common, 3 + 2.
        let regions = [region(&[1, 2]), region(&[2]), region(&[3])];
        let dice = per_region(&prediction, &truth, &[true; 4], &regions);
        assert_eq!(dice, [Some(8.0 / 9.0), Some(0.4), None]);
        assert_eq!(
            per_region(&prediction, &truth, &[true, false, true, true], &regions)[..2],
            [None, Some(0.4)]
        );
    }

    #[test]
    fn voxels_that_say_nothing_do_not_count() {
        assert_eq!(per_label(&[1, 1, 1, 0], &[1, IGNORED, IGNORED, 0], &[true, true]), [Some(1.0)]);
    }

    #[test]
    fn absent_from_one_is_zero_and_unannotated_is_left_out() {
        let dice = per_label(&[1, 1, 2], &[0, 0, 0], &[true, true, false]);
        assert_eq!(dice, [Some(0.0), None]);
    }

    #[test]
    fn the_cohort_averages_over_cases_then_labels() {
        let cases = vec![vec![Some(1.0), None, None], vec![Some(0.5), Some(0.25), None]];
        let cohort = CohortDice::of(cases, 3);
        assert_eq!(cohort.labels[..2], [0.75, 0.25]);
        assert!(cohort.labels[2].is_nan());
        assert_eq!(cohort.mean, 0.5);
    }
}
