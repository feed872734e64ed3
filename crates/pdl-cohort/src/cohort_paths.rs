//! The location of a curation folder, and paths from there to the cohort's files.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use pdl_store::{StoreError, fault, paths};

use crate::identity::pseudonyms::Naming;

/// The absolute path of the curation folder, without links, and the form in which its files name
/// the cohort's.
pub(crate) struct Place {
    pub cohort: String,
    pub out: PathBuf,
    /// Folders as they were asked for, and without links: files of a cohort lie in few, and a
    /// folder has one name for the whole of a run.
    folders: Mutex<HashMap<PathBuf, Option<PathBuf>>>,
}

impl Place {
    pub(crate) fn new(cohort: &Path, out: &Path, naming: Option<&Naming>) -> Result<Self, StoreError> {
        let real = |path: &Path| path.canonicalize().map_err(StoreError::io("find the folder", path));
        let out = real(out)?;
        let cohort = paths::relative(&out, &real(cohort)?);
        let cohort = naming.map_or(cohort.clone(), |naming| naming.cohort(cohort));
        Ok(Self::at(cohort, out))
    }

    /// A curation folder `out`, absolute and without links, in which the cohort has this name.
    pub(crate) fn at(cohort: String, out: PathBuf) -> Self {
        Self { cohort, out, folders: Mutex::default() }
    }

    /// A path of the cohort as seen from the curation folder. Links inside the cohort stay as they
    /// are named.
    ///
    /// # Errors
    /// [`StoreError::Io`] if an error of the machine prevents the path from being inspected.
    pub(crate) fn text(&self, path: &Path) -> Result<String, StoreError> {
        Ok(paths::relative(&self.out, &self.absolute(path)?))
    }

    /// Like [`Place::text`], with all links followed.
    ///
    /// # Errors
    /// As [`Place::text`].
    pub(crate) fn real_text(&self, path: &Path) -> Result<String, StoreError> {
        let real = fault::canonical(path).map_err(StoreError::io("find the file", path))?;
        Ok(paths::relative(&self.out, &real.unwrap_or_else(|| path.to_owned())))
    }

    /// Whether [`Place::text`] can represent the path; a path that is not UTF-8 cannot.
    ///
    /// # Errors
    /// As [`Place::text`].
    pub(crate) fn is_text(&self, path: &Path) -> Result<bool, StoreError> {
        Ok(paths::relative_text(&self.out, &self.absolute(path)?).is_some())
    }

    fn absolute(&self, path: &Path) -> Result<PathBuf, StoreError> {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let folder = absolute.parent().map(|folder| self.folder(folder)).transpose()?.flatten();
        Ok(match (folder, absolute.file_name()) {
            (Some(folder), Some(name)) => folder.join(name),
            _ => absolute,
        })
    }

    /// A folder without links; nothing where it is missing or forbidden.
    fn folder(&self, folder: &Path) -> Result<Option<PathBuf>, StoreError> {
        let known = || self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(real) = known().get(folder) {
            return Ok(real.clone());
        }
        let real = fault::canonical(folder).map_err(StoreError::io("find the folder", folder))?;
        known().insert(folder.to_owned(), real.clone());
        Ok(real)
    }
}
