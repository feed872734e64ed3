//! The prepared volumes of an export: referenced, copied or linked.

use std::fs;
use std::path::{Path, PathBuf};

use pdl_curriculum::manifest::ManifestRow;
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
    /// Path of the image.
    pub image: String,
    /// Path of the label map.
    pub label: String,
}

/// Source and destination of the volumes.
#[derive(Clone, Debug)]
pub struct ExportVolumes {
    out: PathBuf,
    dest: PathBuf,
    transfer: TransferMode,
}

impl ExportVolumes {
    /// Volumes of the curation folder `out` for the export `dest`, which is created if missing.
    ///
    /// # Errors
    /// [`ExchangeError`] when `dest` cannot be created, or is or contains the curation folder.
    pub fn new(out: &Path, dest: &Path, transfer: TransferMode) -> Result<Self, ExchangeError> {
        fs::create_dir_all(dest).map_err(StoreError::io("create the folder", dest))?;
        let real = |path: &Path| path.canonicalize().map_err(StoreError::io("resolve the folder", path));
        let (out, dest) = (real(out)?, real(dest)?);
        if out.starts_with(&dest) {
            return Err(ExchangeError::SameFolder { dest });
        }
        Ok(Self { out, dest, transfer })
    }

    /// The folder of the export, absolute.
    pub fn dest(&self) -> &Path {
        &self.dest
    }

    /// The curation folder, absolute.
    pub fn out(&self) -> &Path {
        &self.out
    }

    /// Checks the case's files against their hashes, copies or links them to `names` inside the
    /// export unless they are referenced, and returns the paths by which the export finds them.
    ///
    /// # Errors
    /// [`ExchangeError`] when a file is missing, has changed, or cannot be written.
    pub fn place(&self, row: &ManifestRow, names: &CaseFiles) -> Result<CaseFiles, ExchangeError> {
        Ok(CaseFiles {
            image: self.place_file(row, &row.image, &row.image_blake3, &names.image)?,
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
        let source = paths::resolve(&self.out, from);
        if hash::of_file(&source)? != blake3 {
            return Err(ExchangeError::Changed { case: row.case_id.clone(), path: source });
        }
        let target = self.dest.join(name);
        match self.transfer {
            TransferMode::Reference => return Ok(paths::relative(&self.dest, &source)),
            TransferMode::Copy => atomic::write_with(&target, |temporary| {
                fs::copy(&source, temporary).map(drop).map_err(StoreError::io("copy the volume", &target))
            })?,
            TransferMode::Link => link(&source, &target)?,
        }
        Ok(name.to_owned())
    }
}

fn link(source: &Path, target: &Path) -> Result<(), StoreError> {
    let folder = target.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(StoreError::io("create the folder", folder))?;
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let temporary = folder.join(format!(".tmp-link-{name}"));
    let _ = fs::remove_file(&temporary); //  left by an interrupted run
    let linked = fs::hard_link(source, &temporary).and_then(|()| fs::rename(&temporary, target));
    linked.map_err(StoreError::io("link the volume (copies work across file systems)", target))?;
    let _ = fs::remove_file(&temporary); //  renaming onto a link to the same file leaves both
    Ok(())
}

/// `images/CASE.nii.gz` and `labels/CASE.nii.gz`.
pub fn plain_names(row: &ManifestRow) -> CaseFiles {
    let case = &row.case_id;
    CaseFiles { image: format!("images/{case}.nii.gz"), label: format!("labels/{case}.nii.gz") }
}

/// The manifest's own paths, which so hold in the export, too.
pub fn manifest_names(row: &ManifestRow) -> CaseFiles {
    CaseFiles { image: row.image.clone(), label: row.label.clone() }
}
