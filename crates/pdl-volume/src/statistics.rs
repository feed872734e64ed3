//! Statistics of intensities, in float64.

/// Statistics of the intensities of a volume, or of a part of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Statistics {
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
    /// Arithmetic mean, in the unit of the values.
    pub mean: f64,
    /// Standard deviation of the population (divided by N).
    pub std: f64,
    /// Percentile 0.5.
    pub p00_5: f64,
    /// Percentile 99.5.
    pub p99_5: f64,
}

impl Statistics {
    /// The statistics of finite values, or `None` if there are none.
    pub fn of(values: &[f32]) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        let (mean, std) = mean_and_std(values);
        let [p00_5, p99_5] = percentiles(values, [0.5, 99.5]);
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

/// The median; reorders `values`; NaN if there are none.
pub fn median(values: &mut [f64]) -> f64 {
    if values.is_empty() {
        return f64::NAN;
    }
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

/// The quantile `share` (0 to 1) of ascending values, linear between order statistics (NumPy's
/// default); NaN when there are no values.
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let place = share * last as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(last);
    sorted[below] + (place - below as f64) * (sorted[above] - sorted[below])
}

/// The percentiles (0 to 100) with linear interpolation between order statistics, NumPy's default;
/// NaN when there are no values.
///
/// Order statistics are found by counting, which copies nothing: first how often each upper half of
/// the numbers' bits occurs, then the lower halves of those that matter.
pub fn percentiles<const N: usize>(values: &[f32], percents: [f64; N]) -> [f64; N] {
    if values.is_empty() {
        return [f64::NAN; N];
    }
    let last = values.len() - 1;
    let places = percents.map(|percent| percent / 100.0 * last as f64);
    let ranks = places.iter().flat_map(|place| [place.floor() as usize, place.ceil() as usize]).collect();
    let found = order_statistics(values, ranks);
    std::array::from_fn(|i| {
        let (low, high) = (f64::from(found[2 * i]), f64::from(found[2 * i + 1]));
        low + (high - low) * places[i].fract()
    })
}

/// The values of the given ranks, from 0, in the order of [`f32::total_cmp`].
fn order_statistics(values: &[f32], ranks: Vec<usize>) -> Vec<f32> {
    const HALF: usize = 1 << 16;
    let mut upper = vec![0_usize; HALF];
    for_runs(values, |bits, count| upper[bits as usize >> 16] += count);
    // For each rank the upper half of its bits, and its rank among the numbers that share it.
    let places: Vec<(usize, usize)> = ranks.into_iter().map(|rank| place(&upper, rank)).collect();
    let mut wanted: Vec<usize> = places.iter().map(|(half, _)| *half).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let mut slots = vec![u16::MAX; HALF];
    wanted.iter().enumerate().for_each(|(slot, half)| slots[*half] = slot as u16);
    let mut lower = vec![vec![0_usize; HALF]; wanted.len()];
    for_runs(values, |bits, count| {
        let bits = bits as usize;
        if let Some(counts) = lower.get_mut(usize::from(slots[bits >> 16])) {
            counts[bits % HALF] += count;
        }
    });
    let value = |(half, rank): (usize, usize)| {
        let (low, _) = place(&lower[usize::from(slots[half])], rank);
        unsortable((half << 16 | low) as u32)
    };
    places.into_iter().map(value).collect()
}

/// Calls `f` with the sortable bits of each run of equal values and its length: the background of a
/// volume is long runs, and incrementing one bin repeatedly is slow.
fn for_runs(values: &[f32], mut f: impl FnMut(u32, usize)) {
    let Some(first) = values.first() else { return };
    let (mut bits, mut count) = (first.to_bits(), 0);
    for v in values {
        if v.to_bits() == bits {
            count += 1;
        } else {
            f(sortable(bits), count);
            (bits, count) = (v.to_bits(), 1);
        }
    }
    f(sortable(bits), count);
}

/// The bin that holds a rank, and the rank inside it.
fn place(counts: &[usize], mut rank: usize) -> (usize, usize) {
    for (bin, count) in counts.iter().enumerate() {
        if rank < *count {
            return (bin, rank);
        }
        rank -= count;
    }
    (counts.len() - 1, 0)
}

/// From a number's bits to bits that sort as the numbers do.
fn sortable(bits: u32) -> u32 {
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

fn unsortable(bits: u32) -> f32 {
    f32::from_bits(if bits >> 31 == 1 { bits & !(1 << 31) } else { !bits })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_numpys() {
        // numpy.percentile([3, 1, 4, 1, 5, 9, 2, 6], [0.5, 50, 99.5, 100])
        let values = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0];
        let at = |percent| percentiles(&values, [percent])[0];
        assert!((at(0.5) - 1.0).abs() < 1e-12);
        assert!((at(50.0) - 3.5).abs() < 1e-12);
        assert!((at(99.5) - 8.895).abs() < 1e-6);
        assert!((at(100.0) - 9.0).abs() < 1e-12);
    }

    #[test]
    fn counting_finds_what_sorting_finds() {
        let value = |i: u32| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / 1000.0 - 8000.0;
        let mut values: Vec<f32> = (0..5000).map(value).chain([0.0; 700]).chain([-3.5; 300]).collect();
        let percents = [0.0, 0.5, 10.0, 47.3, 50.0, 99.5, 100.0];
        let counted = percentiles(&values, percents);
        values.sort_by(f32::total_cmp);
        for (percent, counted) in percents.into_iter().zip(counted) {
            let place = percent / 100.0 * 5999.0;
            let [low, high] = [place.floor(), place.ceil()].map(|i| f64::from(values[i as usize]));
            assert_eq!(low + (high - low) * place.fract(), counted, "{percent}");
        }
        assert_eq!(percentiles(&[4.0], [0.0, 70.0]), [4.0, 4.0]);
    }

    #[test]
    fn quantiles_are_numpys() {
        // numpy.quantile([1, 2, 4, 9], [0, 0.25, 0.5, 0.9, 1])
        let at = |share| quantile(&[1.0, 2.0, 4.0, 9.0], share);
        let expected = [1.0, 1.75, 3.0, 7.5, 9.0];
        for (share, expected) in [0.0, 0.25, 0.5, 0.9, 1.0].into_iter().zip(expected) {
            assert!((at(share) - expected).abs() < 1e-12, "{share}");
        }
        assert!(quantile(&[], 0.5).is_nan());
    }

    #[test]
    fn median_of_even_counts_lies_between() {
        assert!((median(&mut [4.0, 1.0, 3.0, 2.0]) - 2.5).abs() < 1e-12);
    }
}
