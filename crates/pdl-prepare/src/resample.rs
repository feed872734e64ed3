//! Separable resampling on boxes: voxels are little boxes, extent and centre of the whole stay.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::F32;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use pdl_store::memory::zeros;
use pdl_volume::{Grid, LabelMap, Volume};

use crate::{MOST_GROWTH, PrepareError};

/// Voxels this many times longer along one axis than along another are resampled in two passes.
pub const ANISOTROPY: f64 = 3.0;

/// How values between voxels are found along one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interpolation {
    /// Catmull-Rom cubic, widened when shrinking (anti-aliased): images.
    Cubic,
    /// Linear, widened when shrinking (anti-aliased): proxies.
    Linear,
    /// Linear between the two nearest voxels, never widened: indicators of labels.
    LinearPoint,
    /// The nearest voxel: across the planes of thick slices.
    Nearest,
}

impl Interpolation {
    fn algorithm(self) -> ResizeAlg {
        match self {
            Self::Cubic => ResizeAlg::Convolution(FilterType::CatmullRom),
            Self::Linear => ResizeAlg::Convolution(FilterType::Bilinear),
            Self::LinearPoint => ResizeAlg::Interpolation(FilterType::Bilinear),
            Self::Nearest => ResizeAlg::Nearest,
        }
    }
}

/// The part of a source axis that a resampled axis covers, in source voxels from the outer face of
/// the first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// Start, from the outer face of the first source voxel.
    pub start: f64,
    /// How long it is.
    pub length: f64,
    /// Into how many voxels it is cut.
    pub voxels: usize,
}

/// New shape for a new spacing: round(old spacing / new spacing x shape), at least 1 (x, y, z);
/// halves go to the even number, as in nnU-Net's (Python's) rounding.
pub fn shape_at(grid: &Grid, spacing_mm: [f64; 3]) -> [usize; 3] {
    let old = grid.spacing_mm();
    std::array::from_fn(|axis| {
        let voxels = (old[axis] / spacing_mm[axis] * grid.shape[axis] as f64).round_ties_even();
        (voxels as usize).max(1)
    })
}

/// Like [`shape_at`], for a case that is to be resampled.
///
/// # Errors
/// [`PrepareError::Growth`] when it would have more than [`MOST_GROWTH`] times the voxels that it
/// has.
pub fn checked_shape_at(grid: &Grid, spacing_mm: [f64; 3]) -> Result<[usize; 3], PrepareError> {
    let shape = shape_at(grid, spacing_mm);
    let product = |shape: [usize; 3]| shape.into_iter().map(|n| n as f64).product::<f64>();
    let (before, after) = (product(grid.shape), product(shape));
    if after <= before * f64::from(MOST_GROWTH) {
        return Ok(shape);
    }
    Err(PrepareError::Growth { before: before as u64, after })
}

/// The axis across thick slices: the one whose voxels are more than [`ANISOTROPY`] times longer
/// than the shortest, before or after, and longer than those of both other axes.
pub fn thick_axis(old_mm: [f64; 3], new_mm: [f64; 3]) -> Option<usize> {
    [old_mm, new_mm].into_iter().find_map(|sides| {
        let longest = sides.into_iter().fold(0.0, f64::max);
        let shortest = sides.into_iter().fold(f64::INFINITY, f64::min);
        let mut along = (0..3).filter(|axis| sides[*axis] == longest);
        let axis = along.next()?;
        (longest > ANISOTROPY * shortest && along.next().is_none()).then_some(axis)
    })
}

/// An image on another number of voxels in the same box: cubic, but nearest across thick slices.
///
/// # Errors
/// [`PrepareError::Resample`] if the shape is invalid.
pub fn resample_image(image: Volume<f32>, shape: [usize; 3]) -> Result<Volume<f32>, PrepareError> {
    let grid = image.grid.resized(shape);
    let methods = methods(&image.grid, &grid, Interpolation::Cubic);
    let old = image.grid.shape;
    let windows =
        std::array::from_fn(|axis| Window { start: 0.0, length: old[axis] as f64, voxels: shape[axis] });
    let voxels = resample_owned(Cow::Owned(image.voxels), old, windows, methods)?;
    Ok(Volume { grid, voxels })
}

/// A label map on another number of voxels in the same box: each label's indicator is interpolated
/// linearly (nearest across thick slices), and the label is set where that reaches one half, as
/// nnU-Net does.
///
/// # Errors
/// [`PrepareError::Resample`] if the shape is invalid.
pub fn resample_labels(labels: LabelMap, shape: [usize; 3]) -> Result<LabelMap, PrepareError> {
    if shape == labels.grid.shape {
        return Ok(labels);
    }
    let grid = labels.grid.resized(shape);
    let methods = methods(&labels.grid, &grid, Interpolation::LinearPoint);
    let mut voxels = zeros(grid.len())?;
    for (label, place) in boxes(&labels) {
        let parts: [Part; 3] =
            std::array::from_fn(|axis| Part::about(&place[axis], labels.grid.shape[axis], shape[axis]));
        let (indicator, part_shape) = indicator(&labels, label, &parts);
        let windows = parts.each_ref().map(|part| part.window);
        let share = resample_windows(&indicator, part_shape, windows, methods)?;
        let row = windows[0].voxels;
        for (i, share) in share.chunks_exact(row).enumerate() {
            let (y, z) = (parts[1].first + i % windows[1].voxels, parts[2].first + i / windows[1].voxels);
            let start = (z * shape[1] + y) * shape[0] + parts[0].first;
            for (voxel, share) in voxels[start..start + row].iter_mut().zip(share) {
                if *share >= 0.5 {
                    *voxel = label;
                }
            }
        }
    }
    Ok(LabelMap { grid, voxels })
}

/// The bounding box of each label except background, as ranges of voxels along x, y, z.
fn boxes(labels: &LabelMap) -> BTreeMap<u16, [Range<usize>; 3]> {
    let [nx, ny, _] = labels.grid.shape;
    let mut boxes: BTreeMap<u16, [Range<usize>; 3]> = BTreeMap::new();
    for (row, voxels) in labels.voxels.chunks_exact(nx).enumerate() {
        let mut x = 0;
        for run in voxels.chunk_by(|a, b| a == b) {
            if run[0] > 0 {
                let place = [(x, x + run.len()), (row % ny, row % ny + 1), (row / ny, row / ny + 1)];
                let known = boxes.entry(run[0]).or_insert(place.map(|(start, end)| start..end));
                for (known, (start, end)) in known.iter_mut().zip(place) {
                    *known = known.start.min(start)..known.end.max(end);
                }
            }
            x += run.len();
        }
    }
    boxes
}

/// The part of an axis that a label can reach when it is interpolated linearly: the new voxels, and
/// the old ones that they depend on. A label is small compared with its volume, so only this part
/// is computed.
struct Part {
    /// The first new voxel.
    first: usize,
    /// The old voxels.
    source: Range<usize>,
    /// The new voxels, as a window of the old ones.
    window: Window,
}

impl Part {
    /// The part about the old voxels `place` of an axis that goes from `old` to `new` voxels.
    fn about(place: &Range<usize>, old: usize, new: usize) -> Self {
        let scale = old as f64 / new as f64;
        let first = ((place.start as f64 - 1.0) / scale).floor().max(0.0) as usize;
        let end = (((place.end as f64 + 1.0) / scale).ceil() as usize).min(new);
        let source_start = ((first as f64 * scale).floor() as usize).saturating_sub(1);
        let source_end = ((end as f64 * scale).ceil() as usize + 1).min(old);
        let start = first as f64 * scale - source_start as f64;
        let length = ((end - first) as f64 * scale).min((source_end - source_start) as f64 - start);
        let window = Window { start, length, voxels: end - first };
        Self { first, source: source_start..source_end, window }
    }
}

/// 1 where a label is and 0 elsewhere, in a part of its map; and the part's shape (x, y, z).
fn indicator(labels: &LabelMap, label: u16, parts: &[Part; 3]) -> (Vec<f32>, [usize; 3]) {
    let [nx, ny, _] = labels.grid.shape;
    let [x, y, z] = parts.each_ref().map(|part| part.source.clone());
    let mut voxels = Vec::with_capacity(x.len() * y.len() * z.len());
    let shape = [x.len(), y.len(), z.len()];
    for z in z {
        for y in y.clone() {
            let start = (z * ny + y) * nx;
            let row = &labels.voxels[start + x.start..start + x.end];
            voxels.extend(row.iter().map(|v| if *v == label { 1.0_f32 } else { 0.0 }));
        }
    }
    (voxels, shape)
}

fn methods(old: &Grid, new: &Grid, smooth: Interpolation) -> [Interpolation; 3] {
    let thick = thick_axis(old.spacing_mm(), new.spacing_mm());
    std::array::from_fn(|axis| if thick == Some(axis) { Interpolation::Nearest } else { smooth })
}

/// Cuts a window out of each axis and resamples it; `voxels` has x fastest, and so has the result.
///
/// # Errors
/// [`PrepareError::Resample`] when a window does not lie inside the volume or is empty.
pub fn resample_windows(
    voxels: &[f32],
    shape: [usize; 3],
    windows: [Window; 3],
    methods: [Interpolation; 3],
) -> Result<Vec<f32>, PrepareError> {
    resample_owned(Cow::Borrowed(voxels), shape, windows, methods)
}

/// Lets go of the voxels, where they are its own, after the first axis.
fn resample_owned(
    mut current: Cow<'_, [f32]>,
    shape: [usize; 3],
    windows: [Window; 3],
    methods: [Interpolation; 3],
) -> Result<Vec<f32>, PrepareError> {
    let mut shape = shape;
    // Axes that shrink go first, so that the later passes have less to do.
    let mut order = [0, 1, 2];
    order.sort_by(|a, b| growth(shape, windows, *a).total_cmp(&growth(shape, windows, *b)));
    for axis in order {
        let window = windows[axis];
        let whole = window.start == 0.0 && window.length == shape[axis] as f64;
        if whole && window.voxels == shape[axis] {
            continue;
        }
        let made = resample_axis(&current, shape, axis, window, methods[axis]);
        current = Cow::Owned(made.map_err(|problem| PrepareError::Resample {
            shape: windows.map(|window| window.voxels),
            problem,
        })?);
        shape[axis] = window.voxels;
    }
    Ok(current.into_owned())
}

fn growth(shape: [usize; 3], windows: [Window; 3], axis: usize) -> f64 {
    windows[axis].voxels as f64 / shape[axis] as f64
}

/// Resamples one axis: the volume is treated as a stack of images whose rows or columns run along
/// it.
fn resample_axis(
    voxels: &[f32],
    [nx, ny, nz]: [usize; 3],
    axis: usize,
    window: Window,
    method: Interpolation,
) -> Result<Vec<f32>, String> {
    let (pictures, width, height) = match axis {
        0 => (1, nx, ny * nz),
        1 => (nz, nx, ny),
        _ => (1, nx * ny, nz),
    };
    let options = ResizeOptions::new().resize_alg(method.algorithm());
    let (options, new_width, new_height) = if axis == 0 {
        (options.crop(window.start, 0.0, window.length, height as f64), window.voxels, height)
    } else {
        (options.crop(0.0, window.start, width as f64, window.length), width, window.voxels)
    };
    let mut resizer = Resizer::new();
    let wanted = pictures * new_width * new_height;
    let mut result = zeros::<f32>(wanted).map_err(|error| error.to_string())?;
    for (from, to) in voxels.chunks(width * height).zip(result.chunks_mut(new_width * new_height)) {
        let from = bytemuck::cast_slice(from);
        let from = TypedImageRef::<F32>::from_buffer(width as u32, height as u32, from)
            .map_err(|e| e.to_string())?;
        let to = bytemuck::cast_slice_mut(to);
        let mut to = TypedImage::<F32>::from_buffer(new_width as u32, new_height as u32, to)
            .map_err(|e| e.to_string())?;
        resizer.resize_typed(&from, &mut to, &options).map_err(|e| e.to_string())?;
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pdl_volume::{Affine, Orientation};

    fn grid(shape: [usize; 3], spacing: [f64; 3]) -> Grid {
        Grid::new(shape, Affine::from_orientation(Orientation::RAS, spacing, shape))
    }

    #[test]
    fn a_ramp_stays_a_ramp_along_every_axis() {
        let old = grid([12, 10, 8], [1.0, 1.2, 1.5]);
        for axis in 0..3 {
            let stride = [1, 12, 120][axis];
            let value = |i: usize| (i / stride % old.shape[axis]) as f32;
            let image = Volume::new(old, (0..960).map(value).collect()).unwrap();
            let mut shape = old.shape;
            shape[axis] *= 2;
            let new = resample_image(image, shape).unwrap();
            // Index j of the new axis lies at (j + 0.5) / 2 - 0.5 of the old one.
            let stride = shape[..axis].iter().product::<usize>();
            for (i, v) in new.voxels.iter().enumerate() {
                let j = i / stride % shape[axis];
                let expected = (j as f32 + 0.5) / 2.0 - 0.5;
                if j >= 4 && j + 4 < shape[axis] {
                    assert!((v - expected).abs() < 1e-4, "axis {axis}, {j}: {v} against {expected}");
                }
            }
        }
    }

    #[test]
    fn extent_and_centre_stay() {
        let old = grid([33, 47, 21], [0.9, 1.1, 2.5]);
        let new = old.resized(shape_at(&old, [1.0, 1.0, 3.0]));
        assert_eq!(new.shape, [30, 52, 18]);
        for axis in 0..3 {
            let extent = |g: &Grid| g.shape[axis] as f64 * g.spacing_mm()[axis];
            assert!((extent(&old) - extent(&new)).abs() < 1e-9);
        }
        let centre = |g: &Grid| g.affine.apply(g.shape.map(|n| (n as f64 - 1.0) / 2.0));
        assert!(centre(&old).iter().zip(centre(&new)).all(|(a, b)| (a - b).abs() < 1e-9));
    }

    #[test]
    fn thick_slices_keep_their_values_across_planes() {
        assert_eq!(thick_axis([1.0, 1.0, 5.0], [1.0, 1.0, 2.5]), Some(2));
        assert_eq!(thick_axis([1.0, 1.0, 2.9], [1.0, 1.0, 1.0]), None);
        let old = grid([4, 4, 2], [1.0, 1.0, 5.0]);
        let image = Volume::new(old, (0..32).map(|i| if i < 16 { 0.0 } else { 1.0 }).collect()).unwrap();
        let new = resample_image(image, [4, 4, 6]).unwrap();
        assert!(new.voxels.iter().all(|v| *v == 0.0 || *v == 1.0));
    }

    #[test]
    fn labels_of_a_box_scale_with_it() {
        let old = grid([16, 16, 16], [1.0; 3]);
        let inside = |i: usize| [i % 16, i / 16 % 16, i / 256].iter().all(|c| (4..12).contains(c));
        let labels = LabelMap::new(old, (0..4096).map(|i| if inside(i) { 7 } else { 0 }).collect()).unwrap();
        let new = resample_labels(labels, [32, 32, 32]).unwrap();
        // All but the eight corners, where the linear weights 0.75^3 stay below one half.
        assert_eq!(new.voxels.iter().filter(|v| **v == 7).count(), 16 * 16 * 16 - 8);
    }

    #[test]
    fn labels_at_the_faces_are_as_if_the_whole_volume_were_looked_at() {
        let old = grid([9, 7, 5], [1.0, 1.3, 2.0]);
        let voxels = (0..315_usize).map(|i| [0, 3, 0, 9, 9][i * i % 11 % 5]).collect();
        let labels = LabelMap::new(old, voxels).unwrap();
        for shape in [[13, 4, 5], [5, 11, 9], [20, 20, 3]] {
            let new = resample_labels(labels.clone(), shape).unwrap();
            let mut whole = vec![0; new.voxels.len()];
            for label in [3, 9] {
                let indicator: Vec<f32> =
                    labels.voxels.iter().map(|v| if *v == label { 1.0 } else { 0.0 }).collect();
                let windows = std::array::from_fn(|axis| {
                    let length = old.shape[axis] as f64;
                    Window { start: 0.0, length, voxels: shape[axis] }
                });
                let methods = methods(&old, &old.resized(shape), Interpolation::LinearPoint);
                let share = resample_windows(&indicator, old.shape, windows, methods).unwrap();
                whole.iter_mut().zip(share).filter(|(_, share)| *share >= 0.5).for_each(|(v, _)| *v = label);
            }
            assert_eq!(new.voxels, whole);
        }
    }

    #[test]
    fn a_window_is_cut_at_its_exact_place() {
        let voxels: Vec<f32> = (0..20).map(|i| i as f32).collect();
        let line = |start, length, voxels| Window { start, length, voxels };
        let windows = [line(2.5, 16.0, 8), line(0.0, 1.0, 1), line(0.0, 1.0, 1)];
        let cut = resample_windows(&voxels, [20, 1, 1], windows, [Interpolation::Linear; 3]).unwrap();
        // Cell j covers 2.5 + 2 j to 4.5 + 2 j, so its centre is voxel index 3 + 2 j.
        for (j, v) in cut.iter().enumerate().skip(1).take(6) {
            assert!((v - (3.0 + 2.0 * j as f32)).abs() < 1e-4, "{j}: {v}");
        }
    }
}
