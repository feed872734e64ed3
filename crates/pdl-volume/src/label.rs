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

/// Labels from voxels read as numbers, piece by piece.
#[derive(Clone, Debug, Default)]
pub struct LabelReader {
    labels: Vec<u16>,
    wrong: Option<f32>,
    count: usize,
}

impl LabelReader {
    /// Room for this many more labels, exactly.
    pub fn reserve(&mut self, labels: usize) {
        self.labels.reserve_exact(labels);
    }

    /// Takes the next voxels.
    pub fn push(&mut self, voxels: &[f32]) {
        let is_label = |v: f32| (0.0..=65535.0).contains(&v) && v.fract() == 0.0;
        for voxel in voxels.iter().filter(|v| !is_label(**v)) {
            self.wrong.get_or_insert(*voxel);
            self.count += 1;
        }
        self.labels.extend(voxels.iter().map(|v| *v as u16));
    }

    /// All labels.
    ///
    /// # Errors
    /// [`LabelError::NotALabel`] when a voxel was negative, fractional, too large or not finite.
    pub fn finish(self) -> Result<Vec<u16>, LabelError> {
        match self.wrong {
            None => Ok(self.labels),
            Some(value) => Err(LabelError::NotALabel { value, count: self.count }),
        }
    }
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
