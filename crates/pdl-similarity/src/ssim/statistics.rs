//! Local statistics of one volume: mean and spread of every window that lies wholly inside it,
//! computed in float64 and stored in float32.
//!
//! The units spare the pair kernel multiplications. Voxels are scaled by the kernel's scale; a mean
//! is stored times the square root of the kernel's mass, and a spread is the population variance of
//! the window times that mass. The squared difference of two means and the windowed sum of d^2 then
//! have the unit of a spread.

use pulp::{Simd, WithSimd};

use crate::ssim::setup::Kernel;

/// Smallest spread of a window that is not constant, so that 0 means constant.
const LEAST_SPREAD: f32 = 1e-18;
/// Mean of a window of zeros: the common formula gives 1 for two of them, and 0 up to rounding
/// against any other window.
const LEAST_MEAN: f32 = 1e-8;
/// Variance relative to the mean square below which a window may be constant: far above float64's
/// rounding.
const MAYBE_CONSTANT: f64 = 1e-12;
/// Relative variance below which the rounding of a pair's float32 sums may exceed the variance.
const NEARLY_CONSTANT: f64 = 1e-9;

/// Local statistics of one volume; windows in (z, y, x) order.
#[derive(Default)]
pub(crate) struct LocalStatistics {
    pub mean: Vec<f32>,
    /// 0 only where the window is constant and not 0.
    pub spread: Vec<f32>,
    /// Whether a window that is not zero is constant or nearly so: UQI has special cases for it.
    pub flat: Vec<bool>,
}

/// Computes the [`LocalStatistics`] of a C array (z, y, x); run with an instruction set.
pub(crate) struct ComputeStatistics<'a> {
    pub kernel: &'a Kernel,
    pub voxels: &'a [f32],
    /// Reused for every volume.
    pub to: &'a mut LocalStatistics,
}

impl WithSimd for ComputeStatistics<'_> {
    type Output = ();

    // Plain loops: the compiler vectorises them for the instruction set that runs them.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let kernel = self.kernel;
        let LocalStatistics { mean, spread, flat } = self.to;
        mean.clear();
        spread.clear();
        flat.clear();
        let scale = f64::from(kernel.scale);
        let (of_mean, of_spread) = (kernel.mass.sqrt() * scale, kernel.mass * scale * scale);
        filter(kernel, self.voxels, |means, squares| {
            mean.extend(means.iter().map(|m| {
                let m = (m * of_mean) as f32;
                if m.abs() < LEAST_MEAN { LEAST_MEAN } else { m }
            }));
            spread.extend(means.iter().zip(squares).map(|(m, s)| {
                let spread = ((s - m * m) * of_spread) as f32;
                if spread < LEAST_SPREAD { LEAST_SPREAD } else { spread }
            }));
            let before = flat.len();
            let variances = means.iter().zip(squares).map(|(m, s)| (s - m * m, *s));
            flat.extend(variances.clone().map(|(variance, s)| s > 0.0 && variance < NEARLY_CONSTANT * s));
            if flat[before..].contains(&true) {
                for (i, (variance, s)) in (before..).zip(variances) {
                    if flat[i] && variance < MAYBE_CONSTANT * s && is_constant(kernel, self.voxels, i) {
                        spread[i] = 0.0;
                    }
                }
            }
        });
    }
}

/// Whether all voxels of a window are equal.
fn is_constant(kernel: &Kernel, voxels: &[f32], window: usize) -> bool {
    let [_, inner_y, inner_x] = kernel.inner;
    let [_, ny, nx] = kernel.shape;
    let sides = kernel.weights.each_ref().map(Vec::len);
    let [z, y, x] = [window / (inner_y * inner_x), window / inner_x % inner_y, window % inner_x];
    let first = voxels[(z * ny + y) * nx + x];
    (0..sides[0]).all(|k| {
        (0..sides[1]).all(|j| {
            let row = ((z + k) * ny + y + j) * nx + x;
            voxels[row..row + sides[2]].iter().all(|voxel| *voxel == first)
        })
    })
}

/// Means of the values and of their squares over every window, plane by plane in z order.
///
/// Planes filtered along x and y are held in a ring as long as the window spans them along z, so
/// that the working set stays in the cache.
#[inline(always)]
fn filter(kernel: &Kernel, voxels: &[f32], mut planes: impl FnMut(&[f64], &[f64])) {
    let [nz, ny, nx] = kernel.shape;
    let [_, inner_y, inner_x] = kernel.inner;
    let side_z = kernel.weights[0].len();
    // Values and squares share a line: one pass filters both.
    let line = 2 * inner_x;
    let mut input = vec![0.0; 2 * nx];
    let mut rows = vec![0.0; ny * line];
    let mut ring = vec![vec![0.0; inner_y * line]; side_z];
    let mut result = vec![0.0; inner_y * line];
    let mut means = vec![0.0; inner_y * inner_x];
    let mut squares = means.clone();
    for z in 0..nz {
        for y in 0..ny {
            let (values, squares) = input.split_at_mut(nx);
            let voxels = &voxels[(z * ny + y) * nx..][..nx];
            for ((value, square), voxel) in values.iter_mut().zip(squares).zip(voxels) {
                *value = f64::from(*voxel);
                *square = *value * *value;
            }
            let (of_values, of_squares) = rows[y * line..][..line].split_at_mut(inner_x);
            weighted_sum(of_values, &kernel.weights[2], |k| &input[k..k + inner_x]);
            weighted_sum(of_squares, &kernel.weights[2], |k| &input[nx + k..nx + k + inner_x]);
        }
        let newest = z % side_z;
        for (y, place) in ring[newest].chunks_exact_mut(line).enumerate() {
            weighted_sum(place, &kernel.weights[1], |k| &rows[(y + k) * line..][..line]);
        }
        if z + 1 >= side_z {
            let first = z + 1 - side_z;
            weighted_sum(&mut result, &kernel.weights[0], |k| &ring[(first + k) % side_z]);
            for ((line, means), squares) in result
                .chunks_exact(line)
                .zip(means.chunks_exact_mut(inner_x))
                .zip(squares.chunks_exact_mut(inner_x))
            {
                means.copy_from_slice(&line[..inner_x]);
                squares.copy_from_slice(&line[inner_x..]);
            }
            planes(&means, &squares);
        }
    }
}

/// Length of the longest window.
const LONGEST: usize = 11;

/// result = sum over k of weights\[k\] * row(k), element by element, in pieces that stay in
/// registers.
#[inline(always)]
fn weighted_sum<'a>(result: &mut [f64], weights: &[f64], row: impl Fn(usize) -> &'a [f64]) {
    const PIECE: usize = 16;
    let len = result.len();
    let mut rows: [&[f64]; LONGEST] = [&[]; LONGEST];
    rows.iter_mut().take(weights.len()).enumerate().for_each(|(k, place)| *place = &row(k)[..len]);
    let rows = &rows[..weights.len()];
    if len < PIECE {
        for (i, sum) in result.iter_mut().enumerate() {
            *sum = rows.iter().zip(weights).fold(0.0, |sum, (row, weight)| sum + weight * row[i]);
        }
        return;
    }
    for start in (0..len).step_by(PIECE) {
        // The last piece is whole, too: it repeats some elements.
        let start = start.min(len - PIECE);
        let mut sums = [0.0; PIECE];
        for (row, weight) in rows.iter().zip(weights) {
            if let Some(values) = row[start..].first_chunk::<PIECE>() {
                sums.iter_mut().zip(values).for_each(|(sum, v)| *sum += weight * v);
            }
        }
        result[start..start + PIECE].copy_from_slice(&sums);
    }
}
