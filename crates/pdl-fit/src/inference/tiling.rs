//! Positions and weights of the windows of sliding-window inference.

use tch::Tensor;

use crate::error::Result;
use crate::model::device::ComputeDevice;

/// Standard deviation of a window's weight along an axis, as a fraction of its side (nnU-Net).
const WINDOW_SIGMA: f64 = 0.125;
/// Minimum weight of a voxel; the centre of a window has weight 1.
const LEAST_WEIGHT: f64 = 1e-3;

/// Window positions in a volume that is padded on both sides to at least one window. All axes are
/// z, y, x.
#[derive(Debug)]
pub struct Tiling {
    /// Size of a window.
    pub window: [usize; 3],
    /// Shape of the volume.
    pub shape: [usize; 3],
    /// Shape of the padded volume.
    pub size: [usize; 3],
    /// Origin of the volume in the padded one.
    pub pad: [usize; 3],
    /// Origins of the windows in the padded volume, in C order.
    pub starts: Vec<[usize; 3]>,
}

impl Tiling {
    /// The windows that cover a volume of `shape`.
    pub fn new(shape: [usize; 3], window: [usize; 3]) -> Self {
        let size: [usize; 3] = std::array::from_fn(|axis| shape[axis].max(window[axis]));
        let pad = std::array::from_fn(|axis| (size[axis] - shape[axis]) / 2);
        let [zs, ys, xs]: [Vec<usize>; 3] = std::array::from_fn(|axis| starts(size[axis], window[axis]));
        let mut starts = Vec::with_capacity(zs.len() * ys.len() * xs.len());
        for &z in &zs {
            for &y in &ys {
                starts.extend(xs.iter().map(|&x| [z, y, x]));
            }
        }
        Self { window, shape, size, pad, starts }
    }

    /// Origin of a window relative to the volume.
    pub fn origin(&self, start: [usize; 3]) -> [isize; 3] {
        std::array::from_fn(|axis| start[axis] as isize - self.pad[axis] as isize)
    }

    /// Maximum number of voxels of the planes that `batch` consecutive windows cover.
    pub fn slab_voxels(&self, batch: usize) -> u64 {
        let planes = |starts: &[[usize; 3]]| {
            let ends = starts.first().zip(starts.last());
            ends.map_or(0, |(first, last)| last[0] + self.window[0] - first[0])
        };
        let most = self.starts.chunks(batch.max(1)).map(planes).max().unwrap_or(0);
        most as u64 * (self.size[1] * self.size[2]) as u64
    }

    /// Weight (z, y, x) of a window's voxels: a Gaussian around its centre; 1 if no windows
    /// overlap, so that a plane covered by one window has the network's probabilities to the last
    /// bit.
    ///
    /// # Errors
    /// [`crate::FitError::Torch`] if libtorch fails.
    pub fn weight(&self, device: ComputeDevice) -> Result<Tensor> {
        let overlap = (0..3).any(|axis| self.window[axis] > 1 && self.window[axis] < self.size[axis]);
        let weight = if overlap { gaussian(self.window) } else { vec![1.0; self.window.iter().product()] };
        device.upload(&Tensor::f_from_slice(&weight)?.f_view(self.window.map(|n| n as i64))?)
    }
}

/// A Gaussian (z, y, x) around the centre of a window, in C order.
fn gaussian(window: [usize; 3]) -> Vec<f32> {
    let along = |side: usize| -> Vec<f64> {
        let (middle, sigma) = ((side as f64 - 1.0) / 2.0, WINDOW_SIGMA * side as f64);
        (0..side).map(|at| (-0.5 * ((at as f64 - middle) / sigma).powi(2)).exp()).collect()
    };
    let [z, y, x] = window.map(along);
    let mut weight = Vec::with_capacity(window.iter().product());
    for z in &z {
        for y in &y {
            weight.extend(x.iter().map(|x| (z * y * x).max(LEAST_WEIGHT) as f32));
        }
    }
    weight
}

/// Window origins along an axis that cover `size` voxels; neighbours overlap by at least half.
fn starts(size: usize, window: usize) -> Vec<usize> {
    let last = size - window;
    let mut starts: Vec<usize> = (0..last).step_by((window / 2).max(1)).collect();
    starts.push(last);
    starts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_overlap_by_half_or_more() {
        assert_eq!(starts(8, 8), [0]);
        assert_eq!(starts(10, 4), [0, 2, 4, 6]);
        assert_eq!(starts(9, 4), [0, 2, 4, 5]);
        assert_eq!(starts(3, 1), [0, 1, 2]);
    }

    #[test]
    fn windows_cover_every_voxel() {
        for (shape, window) in [
            ([3, 21, 18], [1, 8, 12]),
            ([3, 5, 40], [1, 8, 8]),
            ([9, 5, 17], [4, 8, 6]),
            ([1, 1, 1], [2, 2, 2]),
        ] {
            let tiling = Tiling::new(shape, window);
            let [_, ny, nx] = tiling.size;
            let mut covered = vec![false; tiling.size.iter().product()];
            for [z, y, x] in &tiling.starts {
                for (k, j) in (0..window[0]).flat_map(|k| (0..window[1]).map(move |j| (k, j))) {
                    let first = ((z + k) * ny + y + j) * nx + x;
                    covered[first..first + window[2]].fill(true);
                }
            }
            assert!(covered.iter().all(|covered| *covered), "{shape:?} {window:?}");
        }
    }

    #[test]
    fn planes_are_weighted_as_the_middle_of_volumes() {
        let (plane, volume) = (gaussian([1, 6, 11]), gaussian([5, 6, 11]));
        assert_eq!(plane, volume[2 * 66..3 * 66]);
        assert!(plane.iter().all(|weight| (1e-3..=1.0).contains(weight)));
        assert!(plane[0] < plane[5] && plane[5] < plane[2 * 11 + 5]);
    }
}
