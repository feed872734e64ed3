//! Positions of the pixels of a segmentation's frame among the voxels of a series.

use crate::DicomError;
use crate::series::geometry::{Plane, Vector, dot, minus, norm, plus, scaled};
use crate::series::stack::Stack;

/// A frame further from a slice than this fraction of the step, or from whole pixels than this
/// fraction of one, is on another grid.
const GRID_TOLERANCE: f64 = 0.01;
/// Maximum difference of directions, and maximum relative difference of lengths.
const SAME: f64 = 1e-3;

/// A frame whose pixels lie on voxels of a series.
pub(crate) struct Placement {
    /// Columns of the frame.
    columns: usize,
    /// Columns and rows of a slice.
    size: [usize; 2],
    /// For the frame's columns and its rows: what an index adds.
    axes: [Axis; 2],
    /// Column and row of the first pixel.
    first: [i64; 2],
    /// The slice of all pixels, unless one of the axes runs across the slices.
    slice: Option<usize>,
}

/// The direction of an axis of the frame.
enum Axis {
    /// Along the columns and rows of the slices: the step of each.
    Along([i64; 2]),
    /// Across the slices: the slice of each index, or none beyond the series.
    Across(Vec<Option<usize>>),
}

/// The position of a pixel.
pub(crate) enum Placed {
    /// On this slice, at this pixel of it (columns fastest).
    Voxel { slice: usize, pixel: usize },
    /// Outside of the series.
    Beyond,
}

impl Placement {
    /// Whether a frame lies in a slice rather than across them.
    pub(crate) fn is_along(plane: &Plane, stack: &Stack) -> bool {
        dot(plane.normal(), stack.first().normal()).abs() > 0.5
    }

    /// # Errors
    /// [`DicomError::LabelGrid`] when the frame's pixels do not lie on the voxels of the series.
    pub(crate) fn new(plane: &Plane, stack: &Stack) -> Result<Self, DicomError> {
        let steps = [scaled(plane.along_row, plane.spacing[0]), scaled(plane.along_column, plane.spacing[1])];
        let (_, height) = stack.first().locate(plane.position);
        let axis = |axis: usize| Axis::new(steps[axis], plane.size[axis], height, stack);
        let axes = [axis(0)?, axis(1)?];
        let is_along = axes.iter().all(|axis| matches!(axis, Axis::Along(_)));
        let slice = if is_along { slice_at(height, stack)? } else { None };
        // Slices of a tilted gantry are shifted against each other.
        let own = slice.and_then(|slice| stack.planes().get(slice)).unwrap_or(stack.first());
        let (corner, _) = own.locate(plane.position);
        let first = corner.map(f64::round);
        let off_pixels = (corner[0] - first[0]).hypot(corner[1] - first[1]);
        let is_beyond = is_along && slice.is_none();
        if off_pixels > GRID_TOLERANCE && !is_beyond {
            let mm = off_pixels * own.spacing[0];
            return Err(DicomError::label_grid(format!(
                "its pixels are {mm:.3} mm from those of the slices"
            )));
        }
        Ok(Self {
            columns: plane.size[0],
            size: own.size,
            axes,
            first: first.map(|index| index as i64),
            slice,
        })
    }

    /// Where a pixel of the frame (columns fastest) lies.
    pub(crate) fn voxel(&self, pixel: usize) -> Placed {
        let index = [pixel % self.columns, pixel / self.columns];
        let (mut place, mut slice) = (self.first, self.slice);
        for (axis, index) in self.axes.iter().zip(index) {
            match axis {
                Axis::Along(step) => {
                    place = [0, 1].map(|side| place[side].saturating_add(step[side] * index as i64));
                }
                Axis::Across(slices) => slice = slices.get(index).copied().flatten(),
            }
        }
        let [column, row] = place.map(|index| usize::try_from(index).unwrap_or(usize::MAX));
        match slice {
            Some(slice) if column < self.size[0] && row < self.size[1] => {
                Placed::Voxel { slice, pixel: column + self.size[0] * row }
            }
            _ => Placed::Beyond,
        }
    }
}

impl Axis {
    /// From the step of an index, mm, how many there are, and the height of the first pixel.
    fn new(step: Vector, count: usize, height: f64, stack: &Stack) -> Result<Self, DicomError> {
        let slices = stack.first();
        let other = || {
            DicomError::label_grid(
                "its frames have another direction or pixel size than the slices, or are oblique to them: resample it to \
                 its image in the program that made it",
            )
        };
        let along = [dot(step, slices.along_row), dot(step, slices.along_column)];
        let across = dot(step, slices.normal());
        let length = norm(step);
        let is_whole = |side: usize| {
            let steps = along[side] / slices.spacing[side];
            let others = [along[1 - side], across].map(f64::abs);
            (steps.abs() - 1.0).abs() <= SAME && others.iter().all(|mm| *mm <= SAME * length)
        };
        for side in [0, 1] {
            if is_whole(side) {
                let mut steps = [0, 0];
                steps[side] = along[side].signum() as i64;
                return Ok(Self::Along(steps));
            }
        }
        if along.iter().any(|mm| mm.abs() > SAME * length) {
            return Err(other());
        }
        let gap = stack.median_gap().ok_or_else(other)?;
        if (across.abs() - gap).abs() > SAME * gap {
            return Err(other());
        }
        // Heights of a series may be uneven, and its planes shifted by a gantry's tilt: each is
        // looked up.
        let slice = |index: usize| slice_at(height + index as f64 * across, stack);
        if stack.planes().iter().any(|plane| {
            let above = dot(minus(plane.position, slices.position), slices.normal());
            norm(minus(plane.position, plus(slices.position, slices.normal(), above))) > SAME * gap
        }) {
            return Err(other());
        }
        Ok(Self::Across((0..count).map(slice).collect::<Result<_, _>>()?))
    }
}

/// The slice at a height above the first, mm; none beyond the first and the last.
fn slice_at(height: f64, stack: &Stack) -> Result<Option<usize>, DicomError> {
    let (slice, off) = stack.nearest(height);
    let tolerance = GRID_TOLERANCE * stack.median_gap().unwrap_or(1.0);
    let last = stack.heights().last().copied().unwrap_or(0.0);
    match off <= tolerance {
        true => Ok(Some(slice)),
        false if height < 0.0 || height > last => Ok(None),
        false => Err(DicomError::label_grid(format!("a frame is {off:.3} mm from the nearest slice"))),
    }
}
