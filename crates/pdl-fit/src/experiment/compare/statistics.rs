//! Geometric means of ratios, their intervals, and the power of a comparison.
//!
//! Seeds of one fold share its cases, so that they are not independent: the bootstrap draws folds,
//! and then seeds within each drawn fold (hierarchical; Davison and Hinkley 1997, section 3.8).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::random::{Purpose, Random};

/// Number of bootstrap samples.
const DRAWS: usize = 10_000;
/// Fraction of samples outside the interval on either side.
const TAIL: f64 = 0.025;
/// Two-sided 5% quantile of the standard normal distribution.
const Z_95: f64 = 1.959_963_984_540_054;

/// A mean with its 95% interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Estimate {
    /// The mean: geometric for ratios, arithmetic for differences.
    pub mean: f64,
    /// 2.5th percentile of the bootstrap.
    pub low: f64,
    /// 97.5th percentile of the bootstrap.
    pub high: f64,
}

/// A value of one seed, with its fold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SeedValue {
    /// Fold of the seed.
    pub fold: u32,
    /// A ratio, a logarithm of one, or a difference.
    pub value: f64,
}

/// The geometric mean of ratios above 0, with its interval; `None` without ratios.
pub fn geometric_mean(ratios: &[SeedValue]) -> Option<Estimate> {
    let logs: Vec<SeedValue> =
        ratios.iter().map(|ratio| SeedValue { value: ratio.value.ln(), ..*ratio }).collect();
    let Estimate { mean, low, high } = arithmetic_mean(&logs)?;
    Some(Estimate { mean: mean.exp(), low: low.exp(), high: high.exp() })
}

/// The mean over seeds with its hierarchical bootstrap interval; `None` without values. The draws
/// are the same for the same seeds and folds.
pub fn arithmetic_mean(values: &[SeedValue]) -> Option<Estimate> {
    let mean = mean_of(values.iter().map(|own| own.value))?;
    let mut folds: Vec<u32> = values.iter().map(|own| own.fold).collect();
    folds.sort_unstable();
    folds.dedup();
    let of_fold = |fold: &u32| -> Vec<f64> {
        values.iter().filter(|own| own.fold == *fold).map(|own| own.value).collect()
    };
    let groups: Vec<Vec<f64>> = folds.iter().map(of_fold).collect();
    let mut random = Random::new(0, Purpose::Resampling, 0);
    let mut draws: Vec<f64> = (0..DRAWS).filter_map(|_| draw(&groups, &mut random)).collect();
    draws.sort_by(f64::total_cmp);
    let at = |share: f64| draws.get(((draws.len() as f64 - 1.0) * share).round() as usize).copied();
    Some(Estimate { mean, low: at(TAIL)?, high: at(1.0 - TAIL)? })
}

/// The mean of seeds drawn within folds that are drawn.
fn draw(groups: &[Vec<f64>], random: &mut Random) -> Option<f64> {
    let mut drawn = Vec::new();
    for _ in groups {
        let group = &groups[random.below(groups.len())];
        drawn.extend(group.iter().map(|_| group[random.below(group.len())]));
    }
    mean_of(drawn.into_iter())
}

fn mean_of(values: impl Iterator<Item = f64>) -> Option<f64> {
    pdl_metrics::dice::mean(values)
}

/// Sample standard deviation of the logarithms of ratios; `None` with fewer than two.
pub fn log_deviation(ratios: &[SeedValue]) -> Option<f64> {
    let logs: Vec<f64> = ratios.iter().map(|ratio| ratio.value.ln()).collect();
    let mean = mean_of(logs.iter().copied())?;
    let squares: f64 = logs.iter().map(|log| (log - mean).powi(2)).sum();
    (logs.len() > 1).then(|| (squares / (logs.len() - 1) as f64).sqrt())
}

/// Probability that a two-sided 5% test of the mean log ratio of `seeds` seeds finds a true factor,
/// by the normal approximation, where single log ratios have this standard deviation.
pub fn power(factor: f64, deviation: f64, seeds: usize) -> f64 {
    let error = deviation / (seeds.max(1) as f64).sqrt();
    if error == 0.0 {
        return 1.0;
    }
    let shift = factor.ln() / error;
    normal_below(shift - Z_95) + normal_below(-shift - Z_95)
}

/// Distribution function of the standard normal (Abramowitz and Stegun 1964, 7.1.26; to 2e-7).
fn normal_below(z: f64) -> f64 {
    let x = z.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let terms = [0.254_829_592, -0.284_496_736, 1.421_413_741, -1.453_152_027, 1.061_405_429];
    let series = terms.iter().rev().fold(0.0, |sum, term| (sum + term) * t);
    let above = 0.5 * series * (-x * x).exp();
    if z > 0.0 { 1.0 - above } else { above }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seeds(values: &[(u32, f64)]) -> Vec<SeedValue> {
        values.iter().map(|&(fold, value)| SeedValue { fold, value }).collect()
    }

    #[test]
    fn ratios_have_a_geometric_mean() {
        let Estimate { mean, low, high } = geometric_mean(&seeds(&[(0, 2.0), (1, 8.0)])).unwrap();
        assert!((mean - 4.0).abs() < 1e-12 && (low - 2.0).abs() < 1e-12 && (high - 8.0).abs() < 1e-12);
        let same = geometric_mean(&seeds(&[(0, 1.5), (1, 1.5), (2, 1.5)])).unwrap();
        assert!([same.mean, same.low, same.high].iter().all(|value| (value - 1.5).abs() < 1e-12));
        assert_eq!(geometric_mean(&[]), None);
    }

    /// With all spread between folds the interval is that of the folds alone: the mean of three
    /// draws from 0, 3 and 6 is 0 or 6 in 1 of 27 each, beyond 2.5%, however many seeds a fold has.
    #[test]
    fn seeds_of_one_fold_do_not_narrow_the_interval() {
        let few = arithmetic_mean(&seeds(&[(0, 0.0), (1, 3.0), (2, 6.0)])).unwrap();
        let all: Vec<(u32, f64)> = (0..3).flat_map(|fold| vec![(fold, f64::from(fold) * 3.0); 20]).collect();
        let many = arithmetic_mean(&seeds(&all)).unwrap();
        assert_eq!((few.mean, few.low, few.high), (3.0, 0.0, 6.0));
        assert_eq!((many.mean, many.low, many.high), (3.0, 0.0, 6.0));
    }

    /// Within one fold it is the plain bootstrap: the mean of n values of variance v has the
    /// standard error sqrt(v / n).
    #[test]
    fn within_a_fold_the_interval_is_that_of_the_plain_bootstrap() {
        let values: Vec<(u32, f64)> = (0..100).map(|n| (0, f64::from(n % 10))).collect();
        let Estimate { low, high, .. } = arithmetic_mean(&seeds(&values)).unwrap();
        let half = Z_95 * (8.25_f64 / 100.0).sqrt();
        assert!((low - (4.5 - half)).abs() < 0.05 && (high - (4.5 + half)).abs() < 0.05, "{low} {high}");
    }

    /// `scipy.stats.norm`: norm.cdf(z - 1.96) + norm.cdf(-z - 1.96) with z = log(1.2) / (sd /
    /// sqrt(n)).
    #[test]
    fn power_equals_that_of_scipy() {
        for (deviation, seeds, expected) in
            [(0.2, 3, 0.351_798), (0.2, 12, 0.884_530), (0.3, 8, 0.404_887), (0.1, 12, 0.999_993)]
        {
            let found = power(1.2, deviation, seeds);
            assert!((found - expected).abs() < 2e-6, "{deviation} {seeds}: {found}");
        }
        assert!((power(1.0, 0.2, 5) - 0.05).abs() < 1e-6);
    }

    /// `numpy.log([1, 2, 4]).std(ddof=1)` is log 2.
    #[test]
    fn the_deviation_is_that_of_the_sample() {
        let found = log_deviation(&seeds(&[(0, 1.0), (1, 2.0), (2, 4.0)])).unwrap();
        assert!((found - 2.0_f64.ln()).abs() < 1e-12);
        assert_eq!(log_deviation(&seeds(&[(0, 1.0)])), None);
    }
}
