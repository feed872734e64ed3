//! Coarser copies of a volume.

use std::borrow::Cow;
use std::ops::Range;

/// The mean of a C array (z, y, x) over each of the `to` cells that its box is divided into; the
/// border of a cell may cut voxels. An axis that has no more voxels than cells is to stay as it
/// is.
pub(super) fn shrunk(voxels: &[f32], shape: [usize; 3], to: [usize; 3]) -> Vec<f32> {
    let mut sides = shape;
    let mut coarse = Cow::Borrowed(voxels);
    for axis in 0..3 {
        if to[axis] < sides[axis] {
            coarse = Cow::Owned(along(&coarse, sides, axis, to[axis]));
            sides[axis] = to[axis];
        }
    }
    coarse.into_owned()
}

/// `shrunk` along one axis.
fn along(voxels: &[f32], shape: [usize; 3], axis: usize, cells: usize) -> Vec<f32> {
    let inner: usize = shape[axis + 1..].iter().product();
    let outer: usize = shape[..axis].iter().product();
    let mut coarse = vec![0.0; outer * cells * inner];
    let shares: Vec<Vec<(usize, f32)>> = (0..cells).map(|cell| shares(cell, cells, shape[axis])).collect();
    for (slab, to) in voxels.chunks_exact(shape[axis] * inner).zip(coarse.chunks_exact_mut(cells * inner)) {
        for (cell, of_cell) in to.chunks_exact_mut(inner).zip(&shares) {
            for &(voxel, share) in of_cell {
                let row = &slab[voxel * inner..(voxel + 1) * inner];
                cell.iter_mut().zip(row).for_each(|(sum, value)| *sum += share * value);
            }
        }
    }
    coarse
}

/// The voxels of an axis of `n` that one of its cells covers, with the fraction of the cell that
/// each makes up.
fn shares(cell: usize, cells: usize, n: usize) -> Vec<(usize, f32)> {
    let side = n as f64 / cells as f64;
    let [start, end] = [cell as f64 * side, (cell + 1) as f64 * side];
    let voxels: Range<usize> = start as usize..(end.ceil() as usize).min(n);
    let share = |voxel: usize| (end.min((voxel + 1) as f64) - start.max(voxel as f64)) / side;
    voxels.map(|voxel| (voxel, share(voxel) as f32)).filter(|(_, share)| *share > 0.0).collect()
}

/// A C array (z, y, x) blurred `times` times by (1 2 1) / 4 along each axis; beyond the border as
/// at the border.
pub(super) fn blurred(mut voxels: Vec<f32>, shape: [usize; 3], times: usize) -> Vec<f32> {
    for axis in 0..3 {
        let inner: usize = shape[axis + 1..].iter().product();
        for slab in voxels.chunks_exact_mut(shape[axis] * inner) {
            (0..times).for_each(|_| blur_along(slab, inner));
        }
    }
    voxels
}

/// Blurs once between rows of `inner` values.
fn blur_along(slab: &mut [f32], inner: usize) {
    let mut before = slab[..inner].to_vec();
    for start in (0..slab.len()).step_by(inner) {
        let next = if start + inner < slab.len() { start + inner } else { start };
        for (column, before) in before.iter_mut().enumerate() {
            let own = slab[start + column];
            slab[start + column] = 0.25 * *before + 0.5 * own + 0.25 * slab[next + column];
            *before = own;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_hold_the_mean_of_what_they_cover() {
        let row: Vec<f32> = vec![1.0, 2.0, 4.0];
        let found = shrunk(&row, [1, 1, 3], [1, 1, 2]);
        // Each cell covers a voxel and a half.
        assert!((found[0] - (1.0 + 1.0) / 1.5).abs() < 1e-6 && (found[1] - (1.0 + 4.0) / 1.5).abs() < 1e-6);
        let cube: Vec<f32> = (0..8).map(|v| v as f32).collect();
        assert_eq!(shrunk(&cube, [2, 2, 2], [1, 1, 1]), [3.5]);
        assert_eq!(shrunk(&cube, [2, 2, 2], [4, 2, 1]), [0.5, 2.5, 4.5, 6.5]);
    }

    #[test]
    fn a_blur_keeps_the_sum_and_spreads_by_binomials() {
        let mut line = vec![0.0; 9];
        line[4] = 16.0;
        assert_eq!(blurred(line, [1, 9, 1], 2), [0.0, 0.0, 1.0, 4.0, 6.0, 4.0, 1.0, 0.0, 0.0]);
        let edge = blurred(vec![4.0, 0.0, 0.0], [3, 1, 1], 1);
        assert_eq!(edge, [3.0, 1.0, 0.0], "beyond the border as at the border");
    }
}
