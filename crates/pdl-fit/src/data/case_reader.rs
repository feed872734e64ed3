//! Reads prepared cases and original label maps of a curation folder, and validates them.

use std::path::{Path, PathBuf};

use pdl_cohort::table::case_row::CaseRow;
use pdl_curriculum::manifest::ManifestRow;
use pdl_store::StoreError;
use pdl_store::file_state::FileState;
use pdl_store::hash::Key;
use pdl_store::memory::{MemoryError, MemoryShare};
use pdl_volume::{Grid, LabelMap, Volume};

use crate::data::case::{Case, Channels};
use crate::error::{FitError, Result};

/// Why a case was not read.
pub enum ReadFailure {
    /// There is not enough memory, perhaps only while others are read.
    Memory(MemoryError),
    /// The case is invalid, or the machine failed.
    Case(FitError),
}

impl From<FitError> for ReadFailure {
    fn from(error: FitError) -> Self {
        Self::Case(error)
    }
}

impl From<MemoryError> for ReadFailure {
    fn from(error: MemoryError) -> Self {
        Self::Memory(error)
    }
}

/// Paths and recorded hashes of a case's prepared images, one for each input in their order.
pub fn images_of(row: &ManifestRow) -> Vec<(&str, &str)> {
    row.images.iter().map(String::as_str).zip(row.images_blake3.iter().map(String::as_str)).collect()
}

/// Reads cases of one curation folder.
#[derive(Debug)]
pub struct CaseReader<'a> {
    /// Folder of the manifest, the base of prepared files.
    pub out: &'a Path,
    /// Curation folder, the base of the cohort's original files.
    pub curation: &'a Path,
    /// Label values and their channels.
    pub channels: &'a Channels,
    /// Whether files are used without a comparison with their recorded hashes.
    pub trust_files: bool,
}

impl CaseReader<'_> {
    /// A prepared case in memory.
    pub fn prepared(
        &self,
        row: &ManifestRow,
        share: &MemoryShare<'_>,
    ) -> std::result::Result<Case, ReadFailure> {
        let mut images = Vec::new();
        for (path, hash) in images_of(row) {
            images.push(self.image(&self.file(row, path), hash, share)?);
        }
        let label_file = self.file(row, &row.label);
        let labels = self.labels(&label_file, &row.label_blake3, share)?;
        if images.is_empty() {
            return Err(label_file.problem("its case has no image in the manifest").into());
        }
        let first = images.remove(0);
        same_shape(&label_file, &labels.grid, &first.grid)?;
        for (image, (path, _)) in images.iter().zip(images_of(row).into_iter().skip(1)) {
            same_shape(&self.file(row, path), &image.grid, &first.grid)?;
        }
        let annotated = self.channels.annotated(&row.labels_annotated);
        share.take(labels.voxels.len() as u64)?;
        let target = self.encode(&label_file, &labels, &annotated)?;
        share.take_each(images.len() as u64, 4 * labels.voxels.len() as u64)?;
        Ok(Case::with_inputs(&row.case_id, first, &images, target, annotated))
    }

    /// The hash of all inputs of a prepared case.
    pub fn key(&self, row: &ManifestRow) -> Result<String> {
        let images = images_of(row);
        let mut paths: Vec<PathBuf> = images.iter().map(|(path, _)| self.out.join(path)).collect();
        paths.push(self.out.join(&row.label));
        let hashes: Vec<&str> = images.iter().map(|(_, hash)| *hash).collect();
        Ok(self
            .channels_key("prepared case 1")
            .part("images", &hashes)
            .part("label", &row.label_blake3)
            .part("annotated", &row.labels_annotated)
            .part("files", &self.trusted(&paths)?)
            .finish())
    }

    /// Channel of every voxel (z, y, x) of the original label map of a case in RAS+ orientation.
    pub fn truth(
        &self,
        row: &ManifestRow,
        original: &CaseRow,
        annotated: &[bool],
        share: &MemoryShare<'_>,
    ) -> std::result::Result<Vec<u8>, ReadFailure> {
        let file = self.original(row, original);
        let hash = original.label_blake3.as_deref().unwrap_or_default();
        let labels = self.labels(&file, hash, share)?;
        let labels = on_stored_grid(original, labels).ok_or_else(|| file.other_shape())?;
        share.take_each(labels.voxels.len() as u64, 3)?;
        Ok(self.encode(&file, &labels.into_ras(), annotated)?)
    }

    /// The hash of all inputs of the channels of an original label map.
    pub fn truth_key(&self, row: &ManifestRow, original: &CaseRow) -> Result<String> {
        let path = self.original(row, original).path;
        Ok(self
            .channels_key("truth 1")
            .part("label", &original.label_blake3)
            .part("affine", &original.affine)
            .part("annotated", &row.labels_annotated)
            .part("files", &self.trusted(&[path])?)
            .finish())
    }

    /// Grid of the original image in its stored orientation. The grid in `cases.parquet` is used,
    /// not that of the label file: the user may have corrected the orientation.
    pub fn stored_grid(&self, row: &ManifestRow, original: &CaseRow) -> Result<Grid> {
        original.grid().ok_or_else(|| self.original(row, original).other_shape())
    }

    fn channels_key(&self, purpose: &str) -> Key {
        let little = cfg!(target_endian = "little");
        Key::new(purpose).part("channels", self.channels).part("little-endian", &little)
    }

    /// Sizes and modification times of trusted files, by which changes are detected.
    fn trusted(&self, paths: &[PathBuf]) -> Result<Vec<(u64, u64)>> {
        if !self.trust_files {
            return Ok(Vec::new());
        }
        let state = |path: &PathBuf| {
            let state = FileState::of(path).map_err(StoreError::io("look at the file", path))?;
            Ok((state.size, state.mtime_ns))
        };
        paths.iter().map(state).collect()
    }

    fn file<'b>(&self, row: &'b ManifestRow, path: &str) -> File<'b> {
        File { case_id: &row.case_id, path: self.out.join(path) }
    }

    fn original<'b>(&self, row: &'b ManifestRow, original: &CaseRow) -> File<'b> {
        let label = original.label.as_deref().unwrap_or_default();
        File { case_id: &row.case_id, path: self.curation.join(label) }
    }

    fn image(
        &self,
        file: &File<'_>,
        hash: &str,
        share: &MemoryShare<'_>,
    ) -> std::result::Result<Volume<f32>, ReadFailure> {
        let image = pdl_io::read_image_within(&file.path, share).map_err(|error| file.unread(&error))?;
        self.check_hash(file, &image.blake3, hash)?;
        if image.volume.voxels.iter().any(|v| !v.is_finite()) {
            return Err(file.problem("it has voxels that are not numbers").into());
        }
        Ok(image.volume)
    }

    fn labels(
        &self,
        file: &File<'_>,
        hash: &str,
        share: &MemoryShare<'_>,
    ) -> std::result::Result<LabelMap, ReadFailure> {
        let labels = pdl_io::read_labels_within(&file.path, share).map_err(|error| file.unread(&error))?;
        self.check_hash(file, &labels.blake3, hash)?;
        Ok(labels.map)
    }

    fn encode(&self, file: &File<'_>, map: &LabelMap, annotated: &[bool]) -> Result<Vec<u8>> {
        let known = self.channels.labels();
        self.channels.encode(map, annotated).map_err(|value| {
            file.problem(format!("it has the label {value}, but the manifest only {known:?}"))
        })
    }

    fn check_hash(&self, file: &File<'_>, found: &str, recorded: &str) -> Result<()> {
        if self.trust_files || found == recorded {
            return Ok(());
        }
        Err(file.problem("it has changed since the manifest was made (--trust-files uses it unchanged)"))
    }
}

/// A volume of a case on the grid that `cases.parquet` states, which counts and not that of the
/// file: the user may have corrected the orientation. `None` where the shapes differ.
pub fn on_stored_grid<T>(row: &CaseRow, volume: Volume<T>) -> Option<Volume<T>> {
    let grid = row.grid().filter(|grid| grid.shape == volume.grid.shape)?;
    Some(Volume { grid, voxels: volume.voxels })
}

fn same_shape(file: &File<'_>, grid: &Grid, image: &Grid) -> Result<()> {
    if grid.shape == image.shape {
        return Ok(());
    }
    let (a, b) = (grid.shape, image.shape);
    Err(file.problem(format!("its shape {a:?} is not that of the prepared image {b:?}")))
}

/// A file of a case, for error messages.
struct File<'a> {
    case_id: &'a str,
    path: PathBuf,
}

impl File<'_> {
    fn problem(&self, problem: impl std::fmt::Display) -> FitError {
        let problem = format!("{problem}; `pdl curate` makes the folder whole again");
        FitError::Case { case_id: self.case_id.to_owned(), problem, path: self.path.clone() }
    }

    fn other_shape(&self) -> FitError {
        self.problem("its shape is not that of the image in cases.parquet")
    }

    fn unread(&self, error: &pdl_io::ReadError) -> ReadFailure {
        match (error.machine(&format!("case {}", self.case_id)), error.memory()) {
            (Some(error), _) => ReadFailure::Case(error.into()),
            (None, Some(memory)) => ReadFailure::Memory(memory),
            (None, None) if !self.path.exists() => self.problem("the file is missing").into(),
            (None, None) => self.problem(error.reason()).into(),
        }
    }
}
