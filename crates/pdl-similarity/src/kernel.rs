//! MSE, PSNR, SSIM and UQI of two arrays, in float64.
//!
//! What belongs to one volume (local means and variances) is computed once, in [`LocalStatistics`]; a pair
//! costs one pass over the product ([`Kernel::compare`]). Arrays are C arrays (z, y, x); a single plane (z = 1) uses
//! the two-dimensional window.

use crate::SimilarityError;
use crate::window::Window;

/// K1 of SSIM.
pub const K1: f64 = 0.01;
/// K2 of SSIM.
pub const K2: f64 = 0.03;

/// Window, grid and data range that all volumes of a comparison share.
#[derive(Clone, Debug)]
pub struct Kernel {
    shape: [usize; 3],
    inner: [usize; 3],
    /// Weights along z, y, x; the single weight 1 along z for a plane.
    weights: [Vec<f64>; 3],
    factor: f64,
    c1: f64,
    c2: f64,
    range: f64,
}

/// Local statistics of one volume at every window that lies wholly inside it.
#[derive(Clone, Debug)]
pub struct LocalStatistics {
    mean: Vec<f64>,
    variance: Vec<f64>,
    constant: Vec<bool>,
}

/// How alike two volumes are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Similarity {
    /// Mean of squared differences.
    pub mse: f64,
    /// 10 log10(R^2 / MSE) in dB, infinite for identical volumes.
    pub psnr: f64,
    /// Structural similarity (Wang et al. 2004).
    pub ssim: f64,
    /// Universal quality index (Wang and Bovik 2002).
    pub uqi: f64,
}

impl Kernel {
    /// For arrays of `shape` (z, y, x) with data range `range`.
    ///
    /// # Errors
    /// [`SimilarityError::WindowTooLarge`] when a side is shorter than the window.
    pub fn new(window: Window, shape: [usize; 3], range: f64) -> Result<Self, SimilarityError> {
        let weights = window.weights();
        let along_z = if shape[0] == 1 { vec![1.0] } else { weights.clone() };
        let weights = [along_z, weights.clone(), weights];
        let sides = [0, 1, 2].map(|axis| weights[axis].len());
        if (0..3).any(|axis| shape[axis] < sides[axis]) {
            return Err(SimilarityError::WindowTooLarge { window, side: window.side(), shape });
        }
        Ok(Self {
            shape,
            inner: [0, 1, 2].map(|axis| shape[axis] + 1 - sides[axis]),
            factor: window.covariance_factor(sides.iter().product()),
            weights,
            c1: (K1 * range).powi(2),
            c2: (K2 * range).powi(2),
            range,
        })
    }

    /// Local means, variances and constancy of one volume.
    pub fn statistics(&self, voxels: &[f32]) -> LocalStatistics {
        let len = self.inner.iter().product();
        let mut mean = Vec::with_capacity(len);
        self.filter(|i| f64::from(voxels[i]), |plane| mean.extend_from_slice(plane));
        let mut variance = Vec::with_capacity(len);
        self.filter(|i| f64::from(voxels[i]).powi(2), |plane| variance.extend_from_slice(plane));
        for (variance, mean) in variance.iter_mut().zip(&mean) {
            *variance = (*variance - mean * mean).max(0.0) * self.factor;
        }
        LocalStatistics { mean, variance, constant: self.constant_windows(voxels) }
    }

    /// Compares two volumes with their statistics.
    pub fn compare(&self, a: (&[f32], &LocalStatistics), b: (&[f32], &LocalStatistics)) -> Similarity {
        let ((a, of_a), (b, of_b)) = (a, b);
        let squares: f64 = a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
        let mse = squares / a.len() as f64;
        let psnr = if mse > 0.0 { 10.0 * (self.range.powi(2) / mse).log10() } else { f64::INFINITY };
        let (mut ssim, mut uqi, mut place) = (0.0, 0.0, 0);
        self.filter(
            |i| f64::from(a[i]) * f64::from(b[i]),
            |plane| {
                let (s, u) = self.plane(plane, of_a, of_b, place);
                ssim += s;
                uqi += u;
                place += plane.len();
            },
        );
        Similarity { mse, psnr, ssim: ssim / place as f64, uqi: uqi / place as f64 }
    }

    /// Sums of SSIM and UQI over one plane of windows, whose mean products are given.
    fn plane(&self, products: &[f64], a: &LocalStatistics, b: &LocalStatistics, start: usize) -> (f64, f64) {
        let (mut ssim, mut uqi) = (0.0, 0.0);
        for (offset, product) in products.iter().enumerate() {
            let i = start + offset;
            let (mean_a, mean_b) = (a.mean[i], b.mean[i]);
            let cross = mean_a * mean_b;
            let squares = mean_a * mean_a + mean_b * mean_b;
            let covariance = (product - cross) * self.factor;
            let variances = a.variance[i] + b.variance[i];
            ssim += (2.0 * cross + self.c1) * (2.0 * covariance + self.c2)
                / ((squares + self.c1) * (variances + self.c2));
            let luminance = if squares > 0.0 { 2.0 * cross / squares } else { 1.0 };
            uqi += match (a.constant[i], b.constant[i]) {
                (true, true) => luminance,
                (false, false) if variances > 0.0 => luminance * 2.0 * covariance / variances,
                _ => 0.0,
            };
        }
        (ssim, uqi)
    }

    /// Filters the array that `value` gives by index, and hands over each plane of full windows, in z order.
    ///
    /// Planes filtered along x and y wait in a ring until all that a window spans along z are there, so that the
    /// working set stays in the cache.
    fn filter(&self, value: impl Fn(usize) -> f64, mut planes: impl FnMut(&[f64])) {
        let [nz, ny, nx] = self.shape;
        let [_, inner_y, inner_x] = self.inner;
        let side_z = self.weights[0].len();
        let mut rows = vec![0.0; ny * inner_x];
        let mut input = vec![0.0; nx];
        let mut ring = vec![vec![0.0; inner_y * inner_x]; side_z];
        let mut result = vec![0.0; inner_y * inner_x];
        for z in 0..nz {
            for y in 0..ny {
                let start = (z * ny + y) * nx;
                input.iter_mut().enumerate().for_each(|(x, v)| *v = value(start + x));
                let row = &mut rows[y * inner_x..(y + 1) * inner_x];
                weighted_sum(row, &self.weights[2], |k| &input[k..k + inner_x]);
            }
            let plane = &mut ring[z % side_z];
            for y in 0..inner_y {
                let row = &mut plane[y * inner_x..(y + 1) * inner_x];
                weighted_sum(row, &self.weights[1], |k| &rows[(y + k) * inner_x..(y + k + 1) * inner_x]);
            }
            if z + 1 >= side_z {
                let first = z + 1 - side_z;
                weighted_sum(&mut result, &self.weights[0], |k| &ring[(first + k) % side_z]);
                planes(&result);
            }
        }
    }

    /// Whether the largest and the smallest voxel of each window are equal.
    fn constant_windows(&self, voxels: &[f32]) -> Vec<bool> {
        let largest = self.extremes(voxels, f32::max);
        let smallest = self.extremes(voxels, f32::min);
        largest.into_iter().zip(smallest).map(|(high, low)| high == low).collect()
    }

    fn extremes(&self, voxels: &[f32], pick: fn(f32, f32) -> f32) -> Vec<f32> {
        let mut current = voxels.to_vec();
        let mut shape = self.shape;
        for axis in [2, 1, 0] {
            let stride: usize = shape[axis + 1..].iter().product();
            let mut reduced = shape;
            reduced[axis] = self.inner[axis];
            let outer: usize = shape[..axis].iter().product();
            let mut next = Vec::with_capacity(outer * reduced[axis] * stride);
            for block in current.chunks(shape[axis] * stride) {
                for i in 0..reduced[axis] * stride {
                    let window = (0..self.weights[axis].len()).map(|k| block[i + k * stride]);
                    next.extend(window.reduce(pick));
                }
            }
            current = next;
            shape = reduced;
        }
        current
    }
}

/// result = sum over k of weights[k] * row(k), element by element.
fn weighted_sum<'a>(result: &mut [f64], weights: &[f64], row: impl Fn(usize) -> &'a [f64]) {
    let first = row(0);
    result.iter_mut().zip(first).for_each(|(sum, v)| *sum = weights[0] * v);
    for (k, weight) in weights.iter().enumerate().skip(1) {
        result.iter_mut().zip(row(k)).for_each(|(sum, v)| *sum += weight * v);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn compare(window: Window, shape: [usize; 3], a: &[f32], b: &[f32]) -> Similarity {
        let kernel = Kernel::new(window, shape, 1.0).unwrap();
        kernel.compare((a, &kernel.statistics(a)), (b, &kernel.statistics(b)))
    }

    /// The definition, window by window and in two passes.
    fn by_definition(a: &[f32], b: &[f32], shape: [usize; 3]) -> (f64, f64) {
        let [nz, ny, nx] = shape;
        let (mut ssim, mut uqi, mut windows) = (0.0, 0.0, 0.0);
        for (z, y, x) in
            (0..=nz - 7).flat_map(|z| (0..=ny - 7).flat_map(move |y| (0..=nx - 7).map(move |x| (z, y, x))))
        {
            let cells = || (0..343).map(move |i| ((z + i / 49) * ny + y + i / 7 % 7) * nx + x + i % 7);
            let mean = |v: &[f32]| cells().map(|i| f64::from(v[i])).sum::<f64>() / 343.0;
            let (ma, mb) = (mean(a), mean(b));
            let co = |p: &[f32], mp: f64, q: &[f32], mq: f64| {
                cells().map(|i| (f64::from(p[i]) - mp) * (f64::from(q[i]) - mq)).sum::<f64>() / 342.0
            };
            let (va, vb, cov) = (co(a, ma, a, ma), co(b, mb, b, mb), co(a, ma, b, mb));
            ssim +=
                (2.0 * ma * mb + 1e-4) * (2.0 * cov + 9e-4) / ((ma * ma + mb * mb + 1e-4) * (va + vb + 9e-4));
            uqi += 4.0 * cov * ma * mb / ((ma * ma + mb * mb) * (va + vb));
            windows += 1.0;
        }
        (ssim / windows, uqi / windows)
    }

    fn noise(seed: u64, n: usize) -> Vec<f32> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
        (0..n)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 40) as f32 / (1 << 24) as f32
            })
            .collect()
    }

    #[test]
    fn equals_the_definition() {
        let shape = [9, 8, 10];
        let (a, b) = (noise(1, 720), noise(2, 720));
        let result = compare(Window::Uniform, shape, &a, &b);
        let (ssim, uqi) = by_definition(&a, &b, shape);
        assert!((result.ssim - ssim).abs() < 1e-10, "{} against {ssim}", result.ssim);
        assert!((result.uqi - uqi).abs() < 1e-10, "{} against {uqi}", result.uqi);
    }

    #[test]
    fn constant_windows_follow_their_own_rule() {
        let shape = [7, 7, 7];
        let uqi = |a: &[f32], b: &[f32]| compare(Window::Uniform, shape, a, b).uqi;
        let (flat, half) = (vec![0.5; 343], vec![0.25; 343]);
        assert!((uqi(&flat, &half) - 2.0 * 0.5 * 0.25 / (0.25 + 0.0625)).abs() < 1e-12);
        assert_eq!(uqi(&vec![0.0; 343], &vec![0.0; 343]), 1.0);
        assert_eq!(uqi(&flat, &noise(3, 343)), 0.0);
    }

    #[test]
    fn a_side_shorter_than_the_window_is_refused() {
        let error = Kernel::new(Window::Gaussian, [64, 64, 10], 1.0).unwrap_err();
        assert!(error.to_string().contains("--proxy-size of at least 11"), "{error}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn symmetric_and_one_with_itself(seed: u64, gaussian: bool, flat: bool) {
            let window = if gaussian { Window::Gaussian } else { Window::Uniform };
            let shape = if flat { [1, 13, 12] } else { [12, 13, 11] };
            let n = shape.iter().product();
            let (a, b) = (noise(seed, n), noise(!seed, n));
            prop_assert_eq!(compare(window, shape, &a, &b), compare(window, shape, &b, &a));
            let same = compare(window, shape, &a, &a);
            prop_assert!((same.ssim - 1.0).abs() < 1e-12);
            prop_assert!((same.uqi - 1.0).abs() < 1e-12);
            prop_assert_eq!(same.mse, 0.0);
            prop_assert_eq!(same.psnr, f64::INFINITY);
        }
    }
}
