//! What every target writes its lists from.

use std::path::Path;

use pdl_cohort::attributes::Split;
use pdl_curriculum::manifest::{Manifest, ManifestRow};

use crate::export::files::{CaseFiles, Holding};

/// A case of the export.
pub(crate) struct ExportedCase<'a> {
    pub row: &'a ManifestRow,
    pub files: CaseFiles,
}

/// Everything that a target writes its lists from.
pub(crate) struct ExportContext<'a> {
    pub manifest: &'a Manifest,
    /// The curation folder.
    pub out: &'a Path,
    pub dest: &'a Path,
    pub holding: Holding,
    /// By rank, then validation and test cases by id; what was left out of the curriculum is there for Croissant only,
    /// which describes the manifest as it is.
    pub cases: Vec<ExportedCase<'a>>,
}

impl ExportContext<'_> {
    /// The cases of a split, in order.
    pub fn of(&self, split: Split) -> impl Iterator<Item = &ExportedCase<'_>> {
        self.cases.iter().filter(move |case| case.row.split == split)
    }
}
