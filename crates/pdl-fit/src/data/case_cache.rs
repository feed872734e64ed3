//! Voxels of prepared cases and original label maps as raw files in the curation folder, so that
//! patches are read without decoding whole volumes.
//!
//! A file is written once from the files that the manifest lists, is complete or absent, and is
//! valid until these change: a journal records the hash of its inputs. The folder may be deleted
//! while no training runs; the next training creates it again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use pdl_curriculum::manifest::ManifestRow;
use pdl_store::journal::{HashCheck, Journal, Stamp};
use pdl_store::lock::FolderLock;
use pdl_store::safe_path::SafePath;
use pdl_store::{StoreError, atomic, fault, hash};
use pdl_volume::{Affine, Grid};
use serde::{Deserialize, Serialize};

use crate::data::case::{Case, LabelPlane};
use crate::data::case_reader::{self, ReadFailure};
use crate::data::voxel_file::VoxelFile;
use crate::error::Result;

/// Name of the folder in a curation folder.
pub const FOLDER: &str = "training-cache";
/// Name of the journal.
const JOURNAL: &str = "cases";
/// Digits of a hash in a file's name.
const DIGITS: usize = 20;
/// Interval between attempts to take the folder while another process fills it.
const RETRY: Duration = Duration::from_millis(500);

/// The files of one curation folder; other processes wait while this exists.
pub struct CaseCache {
    folder: PathBuf,
    journal: Journal<CachedCase>,
    _lock: FolderLock,
}

/// Facts about a file besides its voxels.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct CachedCase {
    file: String,
    /// Voxels along x, y, z.
    shape_xyz: [usize; 3],
    /// Affine of the grid, row by row.
    affine: Vec<f64>,
    annotated: Vec<bool>,
    /// For each channel from 1 on: index along z and number of voxels of the planes that hold it.
    planes: Vec<Vec<[usize; 2]>>,
    padding: Vec<f32>,
}

impl CaseCache {
    /// Opens the folder in the curation folder `curation`, and makes it if it is missing.
    ///
    /// # Errors
    /// [`crate::FitError::Store`] if it cannot be written.
    pub fn open(curation: &Path) -> Result<Self> {
        let folder = SafePath::new(curation, FOLDER)?.create()?;
        let lock = loop {
            match FolderLock::take(&folder) {
                Err(StoreError::Locked { .. }) => std::thread::sleep(RETRY),
                taken => break taken?,
            }
        };
        atomic::sweep(&SafePath::root(&folder))?;
        let journal = Journal::open(&folder, JOURNAL, HashCheck::Stamps)?;
        Ok(Self { folder, journal, _lock: lock })
    }

    /// The case of `row` with its voxels in a file; `read` reads it if there is none for `key`.
    ///
    /// # Errors
    /// The errors of `read`, or [`crate::FitError::Store`] if the file cannot be written.
    pub fn case(
        &self,
        key: &str,
        row: &ManifestRow,
        read: impl FnOnce() -> std::result::Result<Case, ReadFailure>,
    ) -> std::result::Result<Case, ReadFailure> {
        let inputs = case_reader::images_of(row).len();
        let known = self.journal.find(&row.case_id, key).and_then(|cached| self.known(row, cached));
        if let Some(case) = known.filter(|case| case.inputs() == inputs) {
            return Ok(case);
        }
        let case = read()?;
        let whole = case.whole()?;
        let file = self.write(&row.case_id, key, &whole.image, &whole.target)?;
        let plane = |plane: &LabelPlane| [plane.z, plane.voxels];
        let cached = CachedCase {
            file: file.clone(),
            shape_xyz: case.grid.shape,
            affine: case.grid.affine.to_row_major(),
            annotated: case.annotated.clone(),
            planes: case.planes.iter().map(|planes| planes.iter().map(plane).collect()).collect(),
            padding: case.padding.clone(),
        };
        self.record(&row.case_id, key, &cached)?;
        let voxels = VoxelFile::new(self.folder.join(file), case.shape, inputs);
        drop(whole);
        Ok(case.in_file(voxels))
    }

    /// File of the channels (z, y, x) of the original label map of `row`, of `shape`; `read` reads
    /// them if there is none for `key`.
    ///
    /// # Errors
    /// As [`CaseCache::case`].
    pub fn truth(
        &self,
        key: &str,
        row: &ManifestRow,
        shape: [usize; 3],
        read: impl FnOnce() -> std::result::Result<Vec<u8>, ReadFailure>,
    ) -> std::result::Result<VoxelFile, ReadFailure> {
        // A case's name has no slash.
        let unit = format!("{}/truth", row.case_id);
        let file = match self.journal.find(&unit, key) {
            Some(cached) => cached.file.clone(),
            None => {
                let file = self.write(&unit, key, &[], &read()?)?;
                let [z, y, x] = shape;
                let cached = CachedCase {
                    file: file.clone(),
                    shape_xyz: [x, y, z],
                    affine: Vec::new(),
                    annotated: Vec::new(),
                    planes: Vec::new(),
                    padding: Vec::new(),
                };
                self.record(&unit, key, &cached)?;
                file
            }
        };
        Ok(VoxelFile::new(self.folder.join(file), shape, 0))
    }

    /// A case as the journal describes it; `None` if that is no case.
    fn known(&self, row: &ManifestRow, cached: &CachedCase) -> Option<Case> {
        let CachedCase { file, shape_xyz, affine, annotated, planes, padding } = cached;
        let grid = Grid::new(*shape_xyz, Affine::from_row_major(affine)?);
        let [nx, ny, nz] = grid.shape;
        let of_label = |planes: &Vec<[usize; 2]>| {
            let mut before = 0;
            let plane = |&[z, voxels]: &[usize; 2]| {
                let plane = LabelPlane { z, before, voxels };
                before += voxels;
                plane
            };
            planes.iter().map(plane).collect()
        };
        let planes = planes.iter().map(of_label).collect();
        let voxels = VoxelFile::new(self.folder.join(file), [nz, ny, nx], padding.len());
        Some(Case::from_file(&row.case_id, grid, annotated.clone(), planes, padding.clone(), voxels))
    }

    /// Writes the file of a unit, and removes those that it had with other keys; returns its name.
    fn write(&self, unit: &str, key: &str, images: &[f32], channels: &[u8]) -> Result<String> {
        let own = format!("{}-", &hash::of_bytes(unit.as_bytes())[..DIGITS]);
        let name = format!("{own}{}.voxels", &key[..DIGITS]);
        VoxelFile::write(&self.folder.join(&name), images, channels)?;
        let listed = fault::list(&self.folder).map_err(StoreError::io("list the folder", &self.folder))?;
        for entry in listed {
            let other = entry.file_name();
            if other.to_string_lossy().starts_with(&own) && other != *name {
                atomic::remove(&SafePath::new(&self.folder, Path::new(&other))?)?;
            }
        }
        Ok(name)
    }

    fn record(&self, unit: &str, key: &str, cached: &CachedCase) -> Result<()> {
        let stamp = Stamp::hash(&self.folder, &cached.file)?;
        Ok(self.journal.record(unit, key, vec![stamp], cached)?)
    }
}
