//! The volumes of a case as they come out of its files, and how many of them are in memory at a
//! time.

use std::path::{Path, PathBuf};

use pdl_cohort::table::case_row::{CaseChannel, CaseRow};
use pdl_findings::Code;
use pdl_store::memory::MemoryShare;
use pdl_volume::{Grid, LabelMap, Volume, VoxelBox, image_on};

use crate::PrepareError;
use crate::crop::{Crop, Cropped};

/// Memory that a case takes while it is prepared, for each of its voxels before or after, whichever
/// are more: four copies of float32.
pub(crate) const BYTES_A_VOXEL: u64 = 16;

/// Maximum number of cases processed together.
const CASES_AT_A_TIME: usize = 32;

/// Memory that each further channel takes for each voxel while one is worked on: its float32.
const CHANNEL_BYTES_A_VOXEL: u64 = 4;

/// A case's volumes, RAS+.
pub(crate) struct Source {
    pub image: Volume<f32>,
    /// The channels after the first, on its grid.
    pub channels: Vec<Volume<f32>>,
    /// `None` for a case without a label.
    pub labels: Option<LabelMap>,
    /// Crop of the images.
    pub cropped: Cropped,
}

impl Source {
    /// Reads the files of a case and puts them on the grid that its row states.
    pub(crate) fn read(out: &Path, row: &CaseRow, memory: &MemoryShare<'_>) -> Result<Self, PrepareError> {
        let image_path = out.join(&row.image);
        let mut channels = Vec::with_capacity(row.channels.len().saturating_sub(1));
        let image = pdl_io::read_image_within(&image_path, memory)?;
        if image.blake3 != row.image_blake3 {
            return Err(PrepareError::SourceChanged { path: image_path });
        }
        // The row's affine counts, not the file's: --orientation may have overridden it.
        let grid = row.grid().filter(|grid| grid.shape == image.volume.grid.shape);
        let Some(grid) = grid else { return Err(PrepareError::SourceChanged { path: image_path }) };
        let reference = Reference {
            grid: image.volume.grid,
            overridden: row.findings.iter().any(|finding| finding.code == Code::OrientationOverridden),
        };
        let image = Volume { grid, voxels: image.volume.voxels }.into_ras();
        for channel in row.channels.iter().skip(1) {
            let voxels = reference.read(out, channel, memory)?;
            channels.push(Volume { grid, voxels }.into_ras());
        }
        let label_path = row.label.as_deref().map(|label| out.join(label));
        let labels = label_path.map(|path| read_labels(path, row, grid, memory)).transpose()?;
        let cropped = Cropped { part: VoxelBox::whole(image.grid.shape), labelled_outside: 0 };
        Ok(Self { image, channels, labels, cropped })
    }

    /// The part of it that `crop` keeps.
    pub(crate) fn crop(self, crop: Crop) -> Self {
        let cropped = Cropped::of(crop, &self.image, &self.channels, self.labels.as_ref());
        let part = cropped.part;
        Self {
            image: part.of_volume(self.image),
            channels: self.channels.into_iter().map(|channel| part.of_volume(channel)).collect(),
            labels: self.labels.map(|labels| part.of_volume(labels)),
            cropped,
        }
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

/// The grid of the first channel, for the others.
struct Reference {
    /// Grid as the first channel's file states it.
    grid: Grid,
    /// Whether the user's orientation overrides those of all files.
    overridden: bool,
}

impl Reference {
    /// The voxels of a channel on the grid of the first, to which it is resampled where it lies on
    /// another: the index has rejected what may not be resampled.
    fn read(
        &self,
        out: &Path,
        channel: &CaseChannel,
        memory: &MemoryShare<'_>,
    ) -> Result<Vec<f32>, PrepareError> {
        let path = out.join(&channel.image);
        let image = pdl_io::read_image_within(&path, memory)?;
        if image.blake3 != channel.image_blake3 {
            return Err(PrepareError::SourceChanged { path });
        }
        let volume = image.volume;
        if self.grid.coincides(&volume.grid) || self.overridden && self.grid.shape == volume.grid.shape {
            return Ok(volume.voxels);
        }
        memory.take_each(self.grid.len() as u64, CHANNEL_BYTES_A_VOXEL)?;
        Ok(image_on(&volume, self.grid).0.voxels)
    }
}

/// Memory that a case takes whose volumes lie on `grid` and have `resampled` voxels afterwards.
pub(crate) fn bytes(grid: &Grid, resampled: u64, channels: usize) -> u64 {
    let further = CHANNEL_BYTES_A_VOXEL.saturating_mul(channels.saturating_sub(1) as u64);
    voxels(grid.shape).max(resampled).saturating_mul(BYTES_A_VOXEL + further)
}

/// Number of images of a case.
pub(crate) fn channels(row: &CaseRow) -> usize {
    row.channels.len().max(1)
}

/// Number of voxels of a shape read from a table, without overflow.
pub(crate) fn voxels(shape: [usize; 3]) -> u64 {
    shape.iter().fold(1, |all, n| all.saturating_mul(*n as u64))
}

/// Divides cases into batches: each fits into `memory` bytes, or is a single case. `resampled`
/// gives a case's voxels after resampling.
pub(crate) fn batches<'a, 'b>(
    mut rows: &'a [&'b CaseRow],
    memory: u64,
    resampled: impl Fn(&Grid) -> u64,
) -> Vec<&'a [&'b CaseRow]> {
    let bytes = |row: &CaseRow| row.grid().map_or(0, |grid| bytes(&grid, resampled(&grid), channels(row)));
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
