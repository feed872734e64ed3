//! Cells of the common grid that a volume covers.

use pdl_volume::Grid;

use crate::PrepareError;
use crate::plan::ProxyPlan;
use crate::resample::Window;
/// Cells of the common grid that a volume on `grid` covers, along x, y, z.
pub(crate) fn spans(grid: &Grid, plan: &ProxyPlan) -> Result<[Span; 3], PrepareError> {
    let spans: [Span; 3] = std::array::from_fn(|axis| match plan.fov_mm {
        None => Span::whole(grid.shape[axis], plan.shape[axis]),
        Some(fov) => {
            let side = grid.spacing_mm()[axis];
            Span::in_field_of_view(grid.shape[axis], fov[axis] / side, plan.shape[axis])
        }
    });
    if let Some(axis) = (0..3).find(|axis| spans[*axis].window.voxels == 0) {
        return Err(PrepareError::OutsideFieldOfView { axis: ["x", "y", "z"][axis] });
    }
    Ok(spans)
}

/// Cells of a proxy's axis that an image covers, and the part of the image in them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub first: usize,
    pub window: Window,
}

impl Span {
    fn whole(voxels: usize, cells: usize) -> Self {
        Self { first: 0, window: Window { start: 0.0, length: voxels as f64, voxels: cells } }
    }

    /// `field` is the field of view in source voxels, centred on the image. Cells that the image
    /// covers only in part are padding.
    fn in_field_of_view(voxels: usize, field: f64, cells: usize) -> Self {
        let cell = field / cells as f64;
        // from the field's start to the image's, in source voxels
        let before = (field - voxels as f64) / 2.0;
        let first = (before / cell - 1e-9).ceil().max(0.0) as usize;
        let last = (((before + voxels as f64) / cell + 1e-9).floor() as usize).min(cells);
        let start = (first as f64 * cell - before).max(0.0);
        let filled = last.saturating_sub(first);
        let length = (filled as f64 * cell).min(voxels as f64 - start);
        Self { first, window: Window { start, length, voxels: filled } }
    }
}

/// The whole grid, 0 where the spans do not reach.
pub(crate) fn padded<T: Copy + Default>(part: Vec<T>, spans: [Span; 3], shape: [usize; 3]) -> Vec<T> {
    let filled = spans.map(|span| span.window.voxels);
    if filled == shape {
        return part;
    }
    let mut voxels = vec![T::default(); shape.iter().product()];
    for (row, values) in part.chunks(filled[0].max(1)).enumerate() {
        let y = row % filled[1] + spans[1].first;
        let z = row / filled[1] + spans[2].first;
        let start = (z * shape[1] + y) * shape[0] + spans[0].first;
        voxels[start..start + filled[0]].copy_from_slice(values);
    }
    voxels
}
