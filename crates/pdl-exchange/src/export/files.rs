//! The prepared volumes of an export: referenced, copied or linked.

use std::fs;
use std::path::{Path, PathBuf};

use pdl_curriculum::manifest::{ManifestInfo, ManifestRow};
use pdl_store::safe_path::SafePath;
use pdl_store::{StoreError, atomic, hash, paths};
use serde::Serialize;

use crate::ExchangeError;

/// How an export contains the volumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum TransferMode {
    /// Relative paths to the prepared files, which must stay in place.
    Reference,
    /// Copies of the files.
    Copy,
    /// Hard links: no additional space; same file system only.
    Link,
}

/// Paths of a case's files, relative to the export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseFiles {
    /// Paths of the images, one for each channel; at least one.
    pub images: Vec<String>,
    /// Path of the label map.
    pub label: String,
}

impl CaseFiles {
    /// Path of the first image.
    pub fn image(&self) -> &str {
        self.images.first().map_or("", String::as_str)
    }
}

/// Source and destination of the volumes.
#[derive(Clone, Debug)]
pub struct ExportVolumes {
    out: PathBuf,
    /// The curation folder, without links.
    curation: PathBuf,
    /// The folder of the manifest inside it, where its paths begin.
    start: PathBuf,
    dest: PathBuf,
    transfer: TransferMode,
}

impl ExportVolumes {
    /// Volumes of the manifest in the folder `out` for the export `dest`, which is created if
    /// missing.
    ///
    /// # Errors
    /// [`ExchangeError`] when `dest` cannot be created, or is or contains the curation folder.
    pub fn new(
        out: &Path,
        info: &ManifestInfo,
        dest: &Path,
        transfer: TransferMode,
    ) -> Result<Self, ExchangeError> {
        fs::create_dir_all(dest).map_err(StoreError::io("create the folder", dest))?;
        let real = |path: &Path| path.canonicalize().map_err(StoreError::io("resolve the folder", path));
        let (out, dest) = (real(out)?, real(dest)?);
        if out.starts_with(&dest) {
            return Err(ExchangeError::SameFolder { dest });
        }
        let curation = real(&info.curation_folder(&out))?;
        Ok(Self { out, curation, start: info.folder_inside(), dest, transfer })
    }

    /// The folder of the export, absolute.
    pub fn dest(&self) -> &Path {
        &self.dest
    }

    /// The folder of the manifest, absolute.
    pub fn out(&self) -> &Path {
        &self.out
    }

    /// Checks the case's files against their hashes, copies or links them to `names` inside the
    /// export unless they are referenced, and returns the paths by which the export finds them.
    ///
    /// # Errors
    /// [`ExchangeError`] if a file is missing, has changed, or cannot be written.
    pub fn place(&self, row: &ManifestRow, names: &CaseFiles) -> Result<CaseFiles, ExchangeError> {
        let images = row.images.iter().zip(&row.images_blake3).zip(&names.images);
        let images = images.map(|((path, blake3), name)| self.place_file(row, path, blake3, name));
        Ok(CaseFiles {
            images: images.collect::<Result<_, _>>()?,
            label: self.place_file(row, &row.label, &row.label_blake3, &names.label)?,
        })
    }

    fn place_file(
        &self,
        row: &ManifestRow,
        from: &str,
        blake3: &str,
        name: &str,
    ) -> Result<String, ExchangeError> {
        let source = SafePath::new(&self.curation, self.start.join(from))?.file()?;
        if hash::of_file(&source)? != blake3 {
            return Err(ExchangeError::Changed { case: row.case_id.clone(), path: source });
        }
        if self.transfer == TransferMode::Reference {
            return Ok(paths::relative(&self.dest, &source));
        }
        let target = SafePath::new(&self.dest, name)?;
        if self.transfer == TransferMode::Link {
            atomic::link(&source, &target)?;
        } else {
            let copy = |temporary: &Path| fs::copy(&source, temporary).map(drop);
            atomic::write_with(&target, |temporary| {
                copy(temporary).map_err(StoreError::io("copy the volume", &target.full()))
            })?;
        }
        Ok(name.to_owned())
    }
}

/// `images/CASE.nii.gz`, for channels after the first with the names of their prepared files, and
/// `labels/CASE.nii.gz`.
pub fn plain_names(row: &ManifestRow) -> CaseFiles {
    let case = &row.case_id;
    let further = row.images.iter().skip(1).map(|path| {
        let name = Path::new(path).file_name().unwrap_or_default().to_string_lossy();
        format!("images/{name}")
    });
    CaseFiles {
        images: std::iter::once(format!("images/{case}.nii.gz")).chain(further).collect(),
        label: format!("labels/{case}.nii.gz"),
    }
}

/// The manifest's own paths, which so hold in the export, too.
pub fn manifest_names(row: &ManifestRow) -> CaseFiles {
    CaseFiles { images: row.images.clone(), label: row.label.clone() }
}
