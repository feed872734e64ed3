//! What belongs to one volume: the mean and the spread of every window that lies wholly inside it.

use pulp::{Simd, WithSimd};

use crate::kernel::Kernel;

/// Local statistics of volumes, one behind the other, computed in float64 and kept in float32. Windows are ordered (y, x, z), z
/// fastest: the order in which the pair kernel takes them.
#[derive(Clone, Debug, Default)]
pub struct LocalStatistics {
    /// Mean of each window, times [`MEAN_SCALE`].
    pub(crate) mean: Vec<f32>,
    /// Mean squared deviation of each window, times the kernel's mass; 0 only where the window is constant.
    pub(crate) spread: Vec<f32>,
    /// For each chunk of the kernel, in the order of [`Kernel::chunk_index`], whether it has a constant window.
    pub(crate) flat: Vec<bool>,
}

/// Means are kept times this power of two: products of means and spreads then stay far from the smallest float32.
pub(crate) const MEAN_SCALE: f32 = 32_768.0;

/// The least spread of a window that is not constant, so that no spread that matters is called constant.
const LEAST_SPREAD: f32 = 1e-18;

/// Local statistics that lie elsewhere.
#[derive(Clone, Copy, Debug, Default)]
pub struct StatisticsView<'a> {
    pub(crate) mean: &'a [f32],
    pub(crate) spread: &'a [f32],
    pub(crate) flat: &'a [bool],
}

impl LocalStatistics {
    /// Room for the statistics of `volumes` volumes, one behind the other.
    pub(crate) fn new(kernel: &Kernel, volumes: usize) -> Self {
        let windows = volumes * kernel.inner.iter().product::<usize>();
        Self {
            mean: vec![0.0; windows],
            spread: vec![0.0; windows],
            flat: vec![false; volumes * kernel.chunks()],
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.mean.is_empty()
    }

    /// The statistics of volume number `volume`.
    pub fn view(&self, kernel: &Kernel, volume: usize) -> StatisticsView<'_> {
        let windows = kernel.inner.iter().product::<usize>();
        let chunks = kernel.chunks();
        StatisticsView {
            mean: &self.mean[volume * windows..][..windows],
            spread: &self.spread[volume * windows..][..windows],
            flat: &self.flat[volume * chunks..][..chunks],
        }
    }

    /// Bytes that the statistics of one volume take.
    pub(crate) fn bytes(kernel: &Kernel) -> u64 {
        2 * size_of::<f32>() as u64 * kernel.inner.iter().product::<usize>() as u64
    }
}

/// Local statistics of a C array (z, y, x), to be run with an instruction set.
pub(crate) struct Statistics<'a> {
    pub kernel: &'a Kernel,
    pub voxels: &'a [f32],
    pub mean: &'a mut [f32],
    pub spread: &'a mut [f32],
    pub flat: &'a mut [bool],
}

impl WithSimd for Statistics<'_> {
    type Output = ();

    // Plain loops: compiled for the instruction set that runs them, they are vectorised by the compiler.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { kernel, mean, spread, flat, .. } = self;
        let [nz, ny, nx] = kernel.inner;
        let constant = constant_windows(kernel, self.voxels);
        filter(kernel, self.voxels, |z, means, squares| {
            let constant = &constant[z * ny * nx..][..ny * nx];
            for (i, ((m, s), constant)) in means.iter().zip(squares).zip(constant).enumerate() {
                let variance = ((s - m * m) * kernel.mass) as f32;
                mean[i * nz + z] = *m as f32 * MEAN_SCALE;
                spread[i * nz + z] = if *constant { 0.0 } else { variance.max(LEAST_SPREAD) };
            }
        });
        let mut flat = flat.iter_mut();
        for ((y, oy), (x, ox)) in pairs(&kernel.runs(1), &kernel.runs(2)) {
            for ((z, oz), flat) in kernel.runs(0).into_iter().zip(&mut flat) {
                let run = |y: usize, x: usize| &spread[(y * nx + x) * nz + z..][..oz];
                *flat = (y..y + oy).any(|y| (x..x + ox).any(|x| run(y, x).contains(&0.0)));
            }
        }
    }
}

fn pairs<'a, T: Copy>(first: &'a [T], second: &'a [T]) -> impl Iterator<Item = (T, T)> + 'a {
    first.iter().flat_map(move |a| second.iter().map(move |b| (*a, *b)))
}

/// Means of the values and of their squares over every window, plane by plane in z order.
///
/// Planes filtered along x and y wait in a ring until all that a window spans along z are there, so that the
/// working set stays in the cache.
#[inline(always)]
fn filter(kernel: &Kernel, voxels: &[f32], mut planes: impl FnMut(usize, &[f64], &[f64])) {
    let [nz, ny, nx] = kernel.shape;
    let [_, inner_y, inner_x] = kernel.inner;
    let side_z = kernel.weights[0].len();
    // Values and squares lie behind each other in a line: one pass filters both.
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
            planes(first, &means, &squares);
        }
    }
}

/// result = sum over k of weights\[k\] * row(k), element by element; a piece at a time, that stays in registers.
#[inline(always)]
fn weighted_sum<'a>(result: &mut [f64], weights: &[f64], row: impl Fn(usize) -> &'a [f64]) {
    const PIECE: usize = 8;
    let whole = result.len() / PIECE * PIECE;
    let (pieces, rest) = result.split_at_mut(whole);
    for (i, piece) in pieces.chunks_exact_mut(PIECE).enumerate() {
        let mut sums = [0.0; PIECE];
        for (k, weight) in weights.iter().enumerate() {
            let values = &row(k)[i * PIECE..][..PIECE];
            sums.iter_mut().zip(values).for_each(|(sum, v)| *sum += weight * v);
        }
        piece.copy_from_slice(&sums);
    }
    for (i, sum) in rest.iter_mut().enumerate() {
        *sum = weights.iter().enumerate().fold(0.0, |sum, (k, weight)| sum + weight * row(k)[whole + i]);
    }
}

/// Whether the largest and the smallest voxel of each window are equal; windows in (z, y, x) order.
#[inline(always)]
fn constant_windows(kernel: &Kernel, voxels: &[f32]) -> Vec<bool> {
    let largest = extremes(kernel, voxels, |a, b| if a > b { a } else { b });
    let smallest = extremes(kernel, voxels, |a, b| if a < b { a } else { b });
    largest.into_iter().zip(smallest).map(|(high, low)| high == low).collect()
}

#[inline(always)]
fn extremes(kernel: &Kernel, voxels: &[f32], pick: impl Fn(f32, f32) -> f32) -> Vec<f32> {
    let mut current = voxels.to_vec();
    let mut shape = kernel.shape;
    for axis in [2, 1, 0] {
        let stride: usize = shape[axis + 1..].iter().product();
        let (long, short) = (shape[axis] * stride, kernel.inner[axis] * stride);
        let mut next = Vec::with_capacity(current.len() / long * short);
        for block in current.chunks(long) {
            let start = next.len();
            next.extend_from_slice(&block[..short]);
            for k in 1..kernel.weights[axis].len() {
                let shifted = &block[k * stride..][..short];
                next[start..].iter_mut().zip(shifted).for_each(|(best, v)| *best = pick(*best, *v));
            }
        }
        current = next;
        shape[axis] = kernel.inner[axis];
    }
    current
}
