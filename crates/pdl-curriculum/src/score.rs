//! From pairs to a score for each training case, and from scores to an order.

use pdl_similarity::pairs::{Metric, Pairs};
use pdl_store::StoreError;

/// What identical cases count as in a mean of PSNR, in dB; their true value is infinite.
pub const PSNR_CAP_DB: f64 = 100.0;

/// Mean similarity of each training case to all other training cases; larger is more alike (MSE counts
/// negative). `training[row]` says whether the proxy row is a training case; the others have no score. A
/// single training case has none either.
///
/// # Errors
/// [`StoreError`] when the pairs cannot be read.
pub fn mean_similarity(
    pairs: &Pairs,
    metric: Metric,
    training: &[bool],
) -> Result<Vec<Option<f64>>, StoreError> {
    let mut sums = vec![0.0; training.len()];
    pairs.for_each(metric, |a, b, value| {
        let (a, b) = (a as usize, b as usize);
        if training[a] && training[b] {
            let value = alike(metric, f64::from(value));
            sums[a] += value;
            sums[b] += value;
        }
    })?;
    let others = training.iter().filter(|is| **is).count().saturating_sub(1);
    let score = |(sum, is): (f64, &bool)| (*is && others > 0).then(|| sum / others as f64);
    Ok(sums.into_iter().zip(training).map(score).collect())
}

/// A pair's value so that larger is more alike and every value is finite.
fn alike(metric: Metric, value: f64) -> f64 {
    match metric {
        // Bodies that share no voxel have no value: they are as unlike as can be.
        Metric::BodyMse if value.is_nan() => -1.0,
        Metric::BodySsim if value.is_nan() => -1.0,
        Metric::Mse | Metric::BodyMse => -value,
        Metric::Psnr => value.min(PSNR_CAP_DB),
        Metric::Ssim | Metric::Uqi | Metric::BodySsim => value,
    }
}

/// Ranks from 1, largest score first, ties by case id; cases without a score come last.
pub fn rank(cases: &[(&str, Option<f64>)]) -> Vec<u32> {
    let mut order: Vec<usize> = (0..cases.len()).collect();
    let score = |i: usize| cases[i].1.unwrap_or(f64::NEG_INFINITY);
    order.sort_by(|&i, &j| score(j).total_cmp(&score(i)).then_with(|| cases[i].0.cmp(cases[j].0)));
    let mut ranks = vec![0; cases.len()];
    for (place, case) in order.into_iter().enumerate() {
        ranks[case] = place as u32 + 1;
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_by_score_then_id() {
        let cases = [("c", Some(0.5)), ("a", Some(0.5)), ("b", Some(0.9)), ("d", None)];
        assert_eq!(rank(&cases), [3, 2, 1, 4]);
    }

    #[test]
    fn every_metric_grows_with_likeness() {
        assert!(alike(Metric::Mse, 0.1) > alike(Metric::Mse, 0.2));
        assert_eq!(alike(Metric::Psnr, f64::INFINITY), PSNR_CAP_DB);
        assert!(alike(Metric::Ssim, 0.9) > alike(Metric::Ssim, 0.8));
    }
}
