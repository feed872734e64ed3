//! The volumes of a case as they come out of its files, and how many of them are in memory at a
//! time.

use std::path::{Path, PathBuf};

use pdl_cohort::case_row::CaseRow;
use pdl_store::memory::MemoryShare;
use pdl_volume::{Grid, LabelMap, Volume, VoxelBox};

use crate::PrepareError;
use crate::crop::{Crop, Cropped};

/// Memory that a case takes while it is prepared, for each of its voxels before or after, whichever
/// are more: four copies of float32.
pub(crate) const BYTES_A_VOXEL: u64 = 16;

/// Most cases in work together.
const CASES_AT_A_TIME: usize = 32;

/// A case's volumes, RAS+.
pub(crate) struct Source {
    pub image: Volume<f32>,
    /// None of a case without a label.
    pub labels: Option<LabelMap>,
    /// What they were cropped to.
    pub cropped: Cropped,
}

impl Source {
    /// Reads the files of a case and puts them on the grid that its row states.
    pub(crate) fn read(out: &Path, row: &CaseRow, memory: &MemoryShare<'_>) -> Result<Self, PrepareError> {
        let image_path = out.join(&row.image);
        let image = pdl_io::read_image_within(&image_path, memory)?;
        if image.blake3 != row.image_blake3 {
            return Err(PrepareError::SourceChanged { path: image_path });
        }
        // The row's affine counts, not the file's: --orientation may have overridden it.
        let grid = row.grid().filter(|grid| grid.shape == image.volume.grid.shape);
        let Some(grid) = grid else { return Err(PrepareError::SourceChanged { path: image_path }) };
        let image = Volume { grid, voxels: image.volume.voxels }.into_ras();
        let label_path = row.label.as_deref().map(|label| out.join(label));
        let labels = label_path.map(|path| read_labels(path, row, grid, memory)).transpose()?;
        let cropped = Cropped { part: VoxelBox::whole(image.grid.shape), labelled_outside: 0 };
        Ok(Self { image, labels, cropped })
    }

    /// The part of it that `crop` keeps.
    pub(crate) fn crop(self, crop: Crop) -> Self {
        let cropped = Cropped::of(crop, &self.image, self.labels.as_ref());
        let part = cropped.part;
        let labels = self.labels.map(|labels| part.of_volume(labels));
        Self { image: part.of_volume(self.image), labels, cropped }
    }
}

/// The label map of a case, RAS+, whose image lies on `grid`.
fn read_labels(
    path: PathBuf,
    row: &CaseRow,
    grid: Grid,
    memory: &MemoryShare<'_>,
) -> Result<LabelMap, PrepareError> {
    let labels = pdl_io::read_labels_within(&path, memory)?;
    if Some(&labels.blake3) != row.label_blake3.as_ref() || labels.map.grid.shape != grid.shape {
        return Err(PrepareError::SourceChanged { path });
    }
    Ok(LabelMap { grid, voxels: labels.map.voxels }.into_ras())
}

/// Memory that a case takes whose volume lies on `grid` and has `resampled` voxels afterwards.
pub(crate) fn bytes(grid: &Grid, resampled: u64) -> u64 {
    voxels(grid.shape).max(resampled).saturating_mul(BYTES_A_VOXEL)
}

/// Voxels of a shape out of a table, which may be any.
pub(crate) fn voxels(shape: [usize; 3]) -> u64 {
    shape.iter().fold(1, |all, n| all.saturating_mul(*n as u64))
}

/// Cuts cases into runs that may be worked on together: all of one run fit into `memory` bytes, or
/// it is a single case. `resampled` gives a case's voxels after resampling.
pub(crate) fn batches<'a, 'b>(
    mut rows: &'a [&'b CaseRow],
    memory: u64,
    resampled: impl Fn(&Grid) -> u64,
) -> Vec<&'a [&'b CaseRow]> {
    let bytes = |row: &CaseRow| row.grid().map_or(0, |grid| bytes(&grid, resampled(&grid)));
    let mut batches = Vec::new();
    while !rows.is_empty() {
        let mut left = memory;
        let fit = rows.iter().take(CASES_AT_A_TIME).take_while(|row| {
            let spare = left.checked_sub(bytes(row));
            left = spare.unwrap_or(0);
            spare.is_some()
        });
        let (batch, rest) = rows.split_at(fit.count().max(1));
        batches.push(batch);
        rows = rest;
    }
    batches
}
