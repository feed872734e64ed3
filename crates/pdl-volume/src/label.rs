//! Label maps: a small whole number for every voxel, 0 for background.

use std::collections::BTreeMap;

use crate::Volume;

/// A label for every voxel; 0 is background.
pub type LabelMap = Volume<u16>;

/// How many voxels carry a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LabelCount {
    /// The label.
    pub value: u16,
    /// Voxels that carry it.
    pub voxels: u64,
}

/// Voxels that are no labels.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum LabelError {
    /// A voxel that is not a whole number between 0 and 65535.
    #[error("label voxels must be whole numbers from 0 to 65535, but one is {value} ({count} such voxels)")]
    NotALabel {
        /// The first such voxel.
        value: f32,
        /// How many there are.
        count: usize,
    },
}

/// Labels from voxels read as numbers.
///
/// # Errors
/// [`LabelError::NotALabel`] when a voxel is negative, fractional, too large or not finite.
pub fn labels_from_f32(volume: &Volume<f32>) -> Result<LabelMap, LabelError> {
    let is_label = |v: f32| (0.0..=65535.0).contains(&v) && v.fract() == 0.0;
    let mut wrong = volume.voxels.iter().copied().filter(|v| !is_label(*v));
    if let Some(value) = wrong.next() {
        return Err(LabelError::NotALabel { value, count: 1 + wrong.count() });
    }
    Ok(volume.map(|v| *v as u16))
}

/// The labels present, background left out, in ascending order.
pub fn count_labels(map: &LabelMap) -> Vec<LabelCount> {
    let mut counts = BTreeMap::new();
    for run in map.voxels.chunk_by(|a, b| a == b) {
        *counts.entry(run[0]).or_insert(0) += run.len() as u64;
    }
    counts.remove(&0);
    counts.into_iter().map(|(value, voxels)| LabelCount { value, voxels }).collect()
}
