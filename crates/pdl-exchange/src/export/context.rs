//! The input of every target.

use std::path::Path;

use pdl_cohort::attributes::Split;
use pdl_curriculum::manifest::{Manifest, ManifestRow};

use crate::export::files::{CaseFiles, TransferMode};

/// A case and where the export finds its files.
pub(crate) struct ExportedCase<'a> {
    pub row: &'a ManifestRow,
    pub files: CaseFiles,
}

/// A manifest with the files of its cases.
pub(crate) struct ExportContext<'a> {
    pub manifest: &'a Manifest,
    /// The curation folder.
    pub out: &'a Path,
    pub dest: &'a Path,
    pub transfer: TransferMode,
    /// By rank, then validation and test cases by id. Cases excluded from the curriculum are
    /// included for Croissant only, which describes the manifest as it is.
    pub cases: Vec<ExportedCase<'a>>,
}

impl ExportContext<'_> {
    /// Cases that were not searched for every label of the cohort: other programs take what they
    /// lack for background.
    pub fn partly_annotated(&self) -> usize {
        let labels = self.manifest.info.labels.len();
        self.cases.iter().filter(|case| case.row.labels_annotated.len() < labels).count()
    }

    /// The cases of a split, in order.
    pub fn of(&self, split: Split) -> impl Iterator<Item = &ExportedCase<'_>> {
        self.cases.iter().filter(move |case| case.row.split == split)
    }
}
