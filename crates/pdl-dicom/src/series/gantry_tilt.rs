//! Puts tilted or unevenly spaced slices on a straight grid with an even step.

use pdl_volume::{Grid, LabelMap, Volume};
use rayon::prelude::*;

use crate::series::geometry::{Plane, affine, dot, minus, plus, scaled};
use crate::series::stack::Stack;

/// The grid to go to: the slices' own pixels, wide enough for all of them, and one step along their
/// normal.
#[derive(Clone, Debug)]
pub(crate) struct Straightening {
    /// Columns and rows by which the first slice's corner lies inside the grid.
    inset: [f64; 2],
    shape: [usize; 3],
    step: f64,
    /// Position of each stored slice's first pixel on the grid, in columns and rows.
    corners: Vec<[f64; 2]>,
}

/// A straight grid of more voxels than this times those stored is no use: most of it would be made
/// up.
const MOST_GROWTH: f64 = 4.0;

impl Straightening {
    /// The step is the smallest gap that is at least half the median. `None` if the grid would be
    /// far larger than the stored slices.
    pub(crate) fn of(stack: &Stack, gaps: &[f64], median: f64) -> Option<Self> {
        let step = gaps.iter().copied().filter(|gap| *gap >= 0.5 * median).fold(median, f64::min);
        let first = stack.first();
        let shift = |plane: &Plane| {
            let from = minus(plane.position, first.position);
            [dot(from, first.along_row) / first.spacing[0], dot(from, first.along_column) / first.spacing[1]]
        };
        let shifts: Vec<[f64; 2]> = stack.planes().iter().map(shift).collect();
        // A hundredth of a pixel is rounding and does not enlarge the grid.
        let low = |axis: usize| shifts.iter().map(|s| (s[axis] + 0.01).floor()).fold(0.0, f64::min);
        let high = |axis: usize| shifts.iter().map(|s| (s[axis] - 0.01).ceil()).fold(0.0, f64::max);
        let inset = [-low(0), -low(1)];
        let wide = |axis: usize| first.size[axis] as f64 + high(axis) - low(axis);
        let total = stack.heights().last().copied().unwrap_or(0.0);
        let slices = (total / step + 1e-3).floor() + 1.0;
        let stored: f64 = stack.shape().iter().map(|n| *n as f64).product();
        if wide(0) * wide(1) * slices > MOST_GROWTH * stored {
            return None;
        }
        let corners = shifts.iter().map(|s| [s[0] + inset[0], s[1] + inset[1]]).collect();
        Some(Self { inset, shape: [wide(0), wide(1), slices].map(|n| n as usize), step, corners })
    }

    pub(crate) fn grid(&self, stack: &Stack) -> Grid {
        let first = stack.first();
        let corner = plus(first.position, first.along_row, -self.inset[0] * first.spacing[0]);
        let corner = plus(corner, first.along_column, -self.inset[1] * first.spacing[1]);
        let normal = first.normal();
        let plane = Plane { position: corner, size: [self.shape[0], self.shape[1]], ..*first };
        Grid::new(self.shape, affine(&plane, scaled(normal, self.step)))
    }

    /// Linear between pixels and between slices; voxels outside of all slices get the lowest value.
    pub(crate) fn image(&self, stack: &Stack, stored: &[f32]) -> Volume<f32> {
        let [nx, ny, _] = stack.shape();
        let outside = stored.iter().copied().fold(f32::INFINITY, f32::min);
        let at = |slice: usize, x: f64, y: f64| -> Option<f64> {
            let inside = |v: f64, n: usize| (-1e-6..=n as f64 - 1.0 + 1e-6).contains(&v);
            if !inside(x, nx) || !inside(y, ny) {
                return None;
            }
            let (x, y) = (x.clamp(0.0, nx as f64 - 1.0), y.clamp(0.0, ny as f64 - 1.0));
            let (x0, y0) = (x.floor() as usize, y.floor() as usize);
            let (x1, y1) = ((x0 + 1).min(nx - 1), (y0 + 1).min(ny - 1));
            let (wx, wy) = (x - x0 as f64, y - y0 as f64);
            let voxel = |x: usize, y: usize| f64::from(stored[x + nx * (y + ny * slice)]);
            let row = |y: usize| voxel(x0, y) + wx * (voxel(x1, y) - voxel(x0, y));
            Some(row(y0) + wy * (row(y1) - row(y0)))
        };
        let voxels = self.filled(stack, |column, row, height| {
            let below = self.below(stack, height);
            let above = (below + 1).min(self.corners.len() - 1);
            let gap = stack.heights()[above] - stack.heights()[below];
            let weight = if gap > 0.0 { (height - stack.heights()[below]) / gap } else { 0.0 };
            let of = |slice: usize| {
                at(slice, column - self.corners[slice][0], row - self.corners[slice][1])
                    .unwrap_or_else(|| f64::from(outside))
            };
            (of(below) + weight.clamp(0.0, 1.0) * (of(above) - of(below))) as f32
        });
        Volume { grid: self.grid(stack), voxels }
    }

    /// The nearest pixel of the nearest slice; background outside.
    pub(crate) fn labels(&self, stack: &Stack, stored: &[u16]) -> LabelMap {
        let [nx, ny, _] = stack.shape();
        let voxels = self.filled(stack, |column, row, height| {
            let (slice, _) = stack.nearest(height);
            let x = (column - self.corners[slice][0]).round();
            let y = (row - self.corners[slice][1]).round();
            let inside = x >= 0.0 && y >= 0.0 && x < nx as f64 && y < ny as f64;
            if inside { stored[x as usize + nx * (y as usize + ny * slice)] } else { 0 }
        });
        LabelMap { grid: self.grid(stack), voxels }
    }

    fn below(&self, stack: &Stack, height: f64) -> usize {
        stack.heights().partition_point(|h| *h <= height).saturating_sub(1)
    }

    /// Calls `value` for every voxel with its column, its row and its height above the first slice,
    /// mm.
    fn filled<T: Copy + Default + Send>(
        &self,
        stack: &Stack,
        value: impl Fn(f64, f64, f64) -> T + Sync,
    ) -> Vec<T> {
        let [nx, ny, nz] = self.shape;
        let top = stack.heights().last().copied().unwrap_or(0.0);
        let mut voxels = vec![T::default(); nx * ny * nz];
        voxels.par_chunks_mut(nx * ny).enumerate().for_each(|(z, slice)| {
            let height = (z as f64 * self.step).min(top);
            for (pixel, voxel) in slice.iter_mut().enumerate() {
                *voxel = value((pixel % nx) as f64, (pixel / nx) as f64, height);
            }
        });
        voxels
    }
}
