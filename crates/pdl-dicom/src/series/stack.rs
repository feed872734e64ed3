//! The stored slices of a volume: parallel planes, sorted along their normal.

use crate::DicomError;
use crate::series::geometry::{Plane, dot, minus};

/// Parallel slices with the same pixels, sorted along their normal.
#[derive(Clone, Debug)]
pub struct Stack {
    planes: Vec<Plane>,
    /// Height of each above the first along the normal, mm.
    heights: Vec<f64>,
    /// Thickness of its slices as the header states it, mm.
    thickness: Option<f64>,
    /// FrameOfReferenceUID, empty if unknown; never shown.
    frame_of_reference: String,
}

impl Stack {
    /// From planes that lie in the order of their normal.
    pub(crate) fn new(planes: Vec<Plane>) -> Result<Self, DicomError> {
        let Some(first) = planes.first().copied() else {
            return Err(DicomError::geometry("it has no slices"));
        };
        let heights =
            planes.iter().map(|plane| dot(minus(plane.position, first.position), first.normal())).collect();
        Ok(Self { planes, heights, thickness: None, frame_of_reference: String::new() })
    }

    /// Sets the slices' thickness, mm, and the frame of reference, from the header of its series.
    pub(crate) fn with_header(self, thickness: Option<f64>, frame_of_reference: &str) -> Self {
        let thickness = thickness.filter(|t| t.is_finite() && *t > 0.0);
        Self { thickness, frame_of_reference: frame_of_reference.to_owned(), ..self }
    }

    pub(crate) fn frame_of_reference(&self) -> &str {
        &self.frame_of_reference
    }

    /// How far a slice reaches along the normal, mm: to its neighbours, and of a single slice its
    /// thickness; `None` if that is unknown.
    pub(crate) fn step(&self) -> Option<f64> {
        self.median_gap().or(self.thickness)
    }

    /// Voxels along column index, row index and slices.
    pub fn shape(&self) -> [usize; 3] {
        let [columns, rows] = self.planes[0].size;
        [columns, rows, self.planes.len()]
    }

    /// Bytes of a mask that reaches this many of the slices, or all.
    pub(crate) fn mask_bytes(&self, slices: usize) -> u64 {
        self.slices_bytes(slices.min(self.planes.len()))
    }

    /// Bytes of the flags of this many slices.
    pub(crate) fn slices_bytes(&self, slices: usize) -> u64 {
        let [columns, rows, _] = self.shape().map(|n| n as u64);
        columns.saturating_mul(rows).saturating_mul(slices as u64)
    }

    pub(crate) fn planes(&self) -> &[Plane] {
        &self.planes
    }

    pub(crate) fn heights(&self) -> &[f64] {
        &self.heights
    }

    pub(crate) fn first(&self) -> &Plane {
        &self.planes[0]
    }

    /// The slice whose plane lies nearest to this height, and how far off, mm.
    pub(crate) fn nearest(&self, height: f64) -> (usize, f64) {
        let after = self.heights.partition_point(|h| *h < height);
        let candidates = [after.saturating_sub(1), after.min(self.heights.len() - 1)];
        let off = |slice: usize| (self.heights[slice] - height).abs();
        let slice = if off(candidates[0]) <= off(candidates[1]) { candidates[0] } else { candidates[1] };
        (slice, off(slice))
    }

    /// The median distance between neighbours; `None` for a single slice.
    pub(crate) fn median_gap(&self) -> Option<f64> {
        let mut gaps = self.gaps();
        gaps.sort_by(f64::total_cmp);
        gaps.get(gaps.len() / 2).copied()
    }

    /// Distances between neighbours, mm.
    pub(crate) fn gaps(&self) -> Vec<f64> {
        self.heights.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }
}
