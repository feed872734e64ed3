//! Statistics of intensities, in float64.

/// What the intensities of a volume, or a part of it, look like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Statistics {
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
    /// Mean.
    pub mean: f64,
    /// Standard deviation of the population (divided by N).
    pub std: f64,
    /// Percentile 0.5.
    pub p00_5: f64,
    /// Percentile 99.5.
    pub p99_5: f64,
}

impl Statistics {
    /// The statistics of finite values, or nothing when there are none. Reorders `values`.
    pub fn of(values: &mut [f32]) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        let (mean, std) = mean_and_std(values);
        let p00_5 = percentile(values, 0.5);
        let p99_5 = percentile(values, 99.5);
        let (mut min, mut max) = (f32::INFINITY, f32::NEG_INFINITY);
        for value in values.iter() {
            min = min.min(*value);
            max = max.max(*value);
        }
        Some(Self { min: f64::from(min), max: f64::from(max), mean, std, p00_5, p99_5 })
    }
}

/// Mean and population standard deviation, in two passes.
pub fn mean_and_std(values: &[f32]) -> (f64, f64) {
    let n = values.len().max(1) as f64;
    let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
    let squares = values.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>();
    (mean, (squares / n).sqrt())
}

/// The percentile (0 to 100) with linear interpolation between order statistics, NumPy's default.
/// Reorders `values`; NaN when there are none.
pub fn percentile(values: &mut [f32], percent: f64) -> f64 {
    if values.is_empty() {
        return f64::NAN;
    }
    let place = percent / 100.0 * (values.len() - 1) as f64;
    let below = place.floor() as usize;
    let (_, low, above) = values.select_nth_unstable_by(below, f32::total_cmp);
    let low = f64::from(*low);
    match above.iter().copied().min_by(f32::total_cmp) {
        Some(high) => low + (f64::from(high) - low) * place.fract(),
        None => low,
    }
}

/// The median; reorders `values`; NaN when there are none.
pub fn median(values: &mut [f64]) -> f64 {
    if values.is_empty() {
        return f64::NAN;
    }
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_numpys() {
        // numpy.percentile([3, 1, 4, 1, 5, 9, 2, 6], [0.5, 50, 99.5, 100])
        let values = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0];
        let at = |percent| percentile(&mut values.to_vec(), percent);
        assert!((at(0.5) - 1.0).abs() < 1e-12);
        assert!((at(50.0) - 3.5).abs() < 1e-12);
        assert!((at(99.5) - 8.895).abs() < 1e-6);
        assert!((at(100.0) - 9.0).abs() < 1e-12);
    }

    #[test]
    fn median_of_even_counts_lies_between() {
        assert!((median(&mut [4.0, 1.0, 3.0, 2.0]) - 2.5).abs() < 1e-12);
    }
}
