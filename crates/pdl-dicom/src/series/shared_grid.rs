//! Series whose voxels coincide.

use crate::scan::Series;
use crate::series::geometry::{minus, norm};

/// Maximum distance of two planes that are one, mm: positions are stored with few digits.
const NEAR_MM: f64 = 0.05;

impl Series {
    /// Whether every slice of this series lies on a slice of another series of the same study,
    /// pixel on pixel. A file that states no frame of reference is compared by its coordinates
    /// alone.
    pub fn lies_on(&self, other: &Self) -> bool {
        let same_study = !self.study_uid.is_empty()
            && (&self.patient_id, &self.study_uid) == (&other.patient_id, &other.study_uid);
        let frames = [&self.frame_of_reference, &other.frame_of_reference];
        let same_space = frames[0] == frames[1] || frames.iter().any(|frame| frame.is_empty());
        // Both are sorted along the normal.
        let mut others = other.frames.iter();
        let lies_there = |plane: &crate::series::geometry::Plane| {
            others.any(|frame| {
                frame.plane.stacks_with(plane) && norm(minus(frame.plane.position, plane.position)) < NEAR_MM
            })
        };
        same_study
            && same_space
            && !self.frames.is_empty()
            && self.frames.iter().map(|frame| &frame.plane).all(lies_there)
    }
}
