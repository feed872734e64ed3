//! The location of a curation folder, and paths from there to the cohort's files.

use std::path::{Path, PathBuf};

use pdl_store::{StoreError, fault, paths};

use crate::pseudonyms::Naming;

/// The absolute path of the curation folder, without links, and the form in which its files name
/// the cohort's.
pub(crate) struct Place {
    pub cohort: String,
    pub out: PathBuf,
}

impl Place {
    pub(crate) fn new(cohort: &Path, out: &Path, naming: Option<&Naming>) -> Result<Self, StoreError> {
        let real = |path: &Path| path.canonicalize().map_err(StoreError::io("find the folder", path));
        let out = real(out)?;
        let cohort = paths::relative(&out, &real(cohort)?);
        Ok(Self { cohort: naming.map_or(cohort.clone(), |naming| naming.cohort(cohort)), out })
    }

    /// A path of the cohort as seen from the curation folder. Links inside the cohort stay as they
    /// are named.
    ///
    /// # Errors
    /// [`StoreError::Io`] if an error of the machine prevents the path from being inspected.
    pub(crate) fn text(&self, path: &Path) -> Result<String, StoreError> {
        Ok(paths::relative(&self.out, &Self::absolute(path)?))
    }

    /// As [`Place::text`], with all links followed.
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
        Ok(paths::relative_text(&self.out, &Self::absolute(path)?).is_some())
    }

    fn absolute(path: &Path) -> Result<PathBuf, StoreError> {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let folder = absolute.parent().map(fault::canonical).transpose();
        let folder = folder.map_err(StoreError::io("find the folder of the file", &absolute))?.flatten();
        Ok(match (folder, absolute.file_name()) {
            (Some(folder), Some(name)) => folder.join(name),
            _ => absolute,
        })
    }
}
