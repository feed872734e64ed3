//! nnU-Net v2's resampling: prefiltered cubic B-splines, as scikit-image's `resize` with order 3,
//! mode "edge" and no anti-aliasing computes them through `scipy.ndimage.zoom`.
//!
//! Thick slices (see [`thick_axis`]) are resampled plane by plane, then to the nearest plane.
//! Results are clipped to the range of their volume, or of their plane, so that they do not
//! overshoot.

use std::borrow::Cow;

use pdl_volume::{LabelMap, Volume, count_labels};
use rayon::prelude::*;

use crate::resample::thick_axis;

/// Pole of the cubic B-spline's recursive filter: sqrt(3) - 2 (Unser 1999).
const POLE: f64 = -0.267_949_192_431_122_7;

/// Copies of the outermost voxel on each side before filtering (`scipy.ndimage`'s padding for mode
/// "nearest").
const PADDING: usize = 12;

/// How values between voxels of one axis are found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kernel {
    Cubic,
    Linear,
    Nearest,
}

/// An image on another number of voxels (x, y, z) in the same box.
pub fn resample_image(image: &Volume<f32>, shape: [usize; 3]) -> Volume<f32> {
    let grid = image.grid.resized(shape);
    if shape == image.grid.shape {
        return Volume { grid, voxels: image.voxels.clone() };
    }
    let thick = thick_axis(image.grid.spacing_mm(), grid.spacing_mm());
    let mut voxels = Cow::Borrowed(&image.voxels);
    let mut now = image.grid.shape;
    for axis in (0..3).filter(|axis| Some(*axis) != thick && shape[*axis] != image.grid.shape[*axis]) {
        voxels = Cow::Owned(along(|i| f64::from(voxels[i]), now, axis, shape[axis], Kernel::Cubic));
        now[axis] = shape[axis];
    }
    let mut voxels = voxels.into_owned();
    clip(&mut voxels, now, &image.voxels, image.grid.shape, thick);
    if let Some(axis) = thick.filter(|axis| shape[*axis] != now[*axis]) {
        voxels = along(|i| f64::from(voxels[i]), now, axis, shape[axis], Kernel::Nearest);
    }
    Volume { grid, voxels }
}

/// A label map on another number of voxels (x, y, z) in the same box: every label's indicator, the
/// background's too, is interpolated linearly (nearest across thick slices), and the largest wins;
/// of equal ones the label of the nearest voxel, as in batchgenerators' `resize_segmentation`.
pub fn resample_labels(labels: &LabelMap, shape: [usize; 3]) -> LabelMap {
    let grid = labels.grid.resized(shape);
    let old = labels.grid.shape;
    if shape == old {
        return LabelMap { grid, voxels: labels.voxels.clone() };
    }
    let thick = thick_axis(labels.grid.spacing_mm(), grid.spacing_mm());
    // Labels, and 65,535 is the largest, are exact in float32. The first axis reads the map itself,
    // not a copy.
    let resampled = |value: &(dyn Fn(u16) -> f64 + Sync), kernel: Kernel| {
        let mut now = old;
        let mut made: Option<Vec<f32>> = None;
        for axis in (0..3).filter(|axis| shape[*axis] != old[*axis]) {
            let kernel = if thick == Some(axis) { Kernel::Nearest } else { kernel };
            made = Some(match &made {
                None => along(|i| value(labels.voxels[i]), now, axis, shape[axis], kernel),
                Some(voxels) => along(|i| f64::from(voxels[i]), now, axis, shape[axis], kernel),
            });
            now[axis] = shape[axis];
        }
        made.unwrap_or_default()
    };
    let nearest: Vec<u16> =
        resampled(&|label| f64::from(label), Kernel::Nearest).into_iter().map(|v| v as u16).collect();
    let values =
        std::iter::once(0).chain(count_labels(labels).into_iter().map(|c| c.value).filter(|v| *v > 0));
    let mut best = vec![f32::NEG_INFINITY; grid.len()];
    let mut voxels = vec![0_u16; grid.len()];
    for value in values {
        let share = resampled(&|label| if label == value { 1.0 } else { 0.0 }, Kernel::Linear);
        for (i, share) in share.into_iter().enumerate() {
            let tied = (share - best[i]).abs() <= 1e-6;
            if (tied && nearest[i] == value) || (!tied && share > best[i]) {
                voxels[i] = value;
            }
            best[i] = best[i].max(share);
        }
    }
    LabelMap { grid, voxels }
}

/// Clips to the range of the volume, or of each plane across `thick` to that plane's.
fn clip(voxels: &mut [f32], shape: [usize; 3], source: &[f32], old: [usize; 3], thick: Option<usize>) {
    let planes = thick.map_or(1, |axis| old[axis]);
    let plane = |i: usize, shape: [usize; 3]| match thick {
        None => 0,
        Some(axis) => i / shape[..axis].iter().product::<usize>() % shape[axis],
    };
    let mut ranges = vec![(f32::INFINITY, f32::NEG_INFINITY); planes];
    for (i, v) in source.iter().enumerate() {
        let (low, high) = &mut ranges[plane(i, old)];
        (*low, *high) = (low.min(*v), high.max(*v));
    }
    for (i, v) in voxels.iter_mut().enumerate() {
        let (low, high) = ranges[plane(i, shape)];
        *v = v.max(low).min(high);
    }
}

/// Resamples one axis of a volume with x fastest, whose voxels `value` returns, to `voxels_new`
/// voxels.
fn along(
    value: impl Fn(usize) -> f64 + Sync,
    shape: [usize; 3],
    axis: usize,
    voxels_new: usize,
    kernel: Kernel,
) -> Vec<f32> {
    let stride: usize = shape[..axis].iter().product();
    let n = shape[axis];
    let taps = Taps::new(n, voxels_new, kernel);
    let mut result = vec![0.0; shape.iter().product::<usize>() / n * voxels_new];
    result.par_chunks_mut(stride * voxels_new).enumerate().for_each(|(chunk, to)| {
        let first = chunk * stride * n;
        let mut line = Vec::with_capacity(n + 2 * PADDING);
        for column in 0..stride {
            line.clear();
            line.extend((0..n).map(|i| value(first + column + i * stride)));
            if kernel == Kernel::Cubic {
                pad(&mut line);
                filter(&mut line);
            }
            for j in 0..voxels_new {
                to[column + j * stride] = taps.value(&line, j) as f32;
            }
        }
    });
    result
}

/// Source voxels of each new voxel of a line, with their weights.
struct Taps(Vec<[(usize, f64); 4]>);

impl Taps {
    fn new(old: usize, new: usize, kernel: Kernel) -> Self {
        let scale = old as f64 / new as f64;
        let tap = |j: usize| {
            // Voxels are little boxes: the outer faces of the first and the last stay where they
            // are.
            let place = scale * (j as f64 + 0.5) - 0.5;
            let (shift, length) =
                if kernel == Kernel::Cubic { (PADDING, old + 2 * PADDING) } else { (0, old) };
            let place = place + shift as f64;
            let floor = place.floor();
            let t = place - floor;
            let at = |offset: f64| (floor + offset).clamp(0.0, length as f64 - 1.0) as usize;
            match kernel {
                Kernel::Cubic => {
                    let weights = [
                        (1.0 - t).powi(3) / 6.0,
                        2.0 / 3.0 - t * t * (2.0 - t) / 2.0,
                        2.0 / 3.0 - (1.0 - t).powi(2) * (1.0 + t) / 2.0,
                        t.powi(3) / 6.0,
                    ];
                    std::array::from_fn(|i| (at(i as f64 - 1.0), weights[i]))
                }
                Kernel::Linear => [(at(0.0), 1.0 - t), (at(1.0), t), (0, 0.0), (0, 0.0)],
                Kernel::Nearest => [(at(if t < 0.5 { 0.0 } else { 1.0 }), 1.0), (0, 0.0), (0, 0.0), (0, 0.0)],
            }
        };
        Self((0..new).map(tap).collect())
    }

    fn value(&self, line: &[f64], j: usize) -> f64 {
        self.0[j].iter().map(|(i, weight)| line[*i] * weight).sum()
    }
}

/// Copies of the outermost values on both sides.
fn pad(line: &mut Vec<f64>) {
    let (Some(first), Some(last)) = (line.first().copied(), line.last().copied()) else { return };
    line.splice(0..0, [first; PADDING]);
    line.extend([last; PADDING]);
}

/// From values to the coefficients of the cubic B-spline through them, the line being mirrored at
/// its outer faces.
fn filter(line: &mut [f64]) {
    let n = line.len();
    line.iter_mut().for_each(|v| *v *= 6.0);
    // The mirrored line is 2 n periodic; its powers beyond the line's end are too small to matter
    // (0.27^24).
    let mut power = POLE;
    let mut sum = line[0];
    for v in &line[..n] {
        sum += power * v;
        power *= POLE;
    }
    line[0] = sum;
    for i in 1..n {
        line[i] += POLE * line[i - 1];
    }
    line[n - 1] *= POLE / (POLE - 1.0);
    for i in (0..n - 1).rev() {
        line[i] = POLE * (line[i + 1] - line[i]);
    }
}
