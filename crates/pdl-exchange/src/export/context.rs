//! The input of every target.

use std::path::Path;

use pdl_cohort::attributes::Split;
use pdl_curriculum::manifest::{Manifest, ManifestRow};
use serde::Serialize;

use crate::export::files::{CaseFiles, TransferMode};

/// A case and where the export finds its files.
pub(crate) struct ExportedCase<'a> {
    pub row: &'a ManifestRow,
    pub files: CaseFiles,
}

/// The images of a case as MONAI and TorchIO take them: a path, or a list of paths where a case has
/// several channels.
#[derive(Clone, Copy, Serialize)]
#[serde(untagged)]
pub(crate) enum ImagePaths<'a> {
    One(&'a str),
    Several(&'a [String]),
}

impl<'a> ImagePaths<'a> {
    pub(crate) fn of(files: &'a CaseFiles) -> Self {
        match files.images.as_slice() {
            [_, _, ..] => Self::Several(&files.images),
            _ => Self::One(files.image()),
        }
    }
}

/// A manifest with the files of its cases.
pub(crate) struct ExportContext<'a> {
    pub manifest: &'a Manifest,
    /// The curation folder.
    pub out: &'a Path,
    pub dest: &'a Path,
    pub transfer: TransferMode,
    /// Training cases by rank, then validation and test cases by id. Cases excluded from the
    /// curriculum are included for Croissant only, which describes the manifest as it is.
    pub cases: Vec<ExportedCase<'a>>,
}

impl ExportContext<'_> {
    /// Cases that were not searched for every label of the cohort: other programs take what they
    /// lack for background.
    pub fn partly_annotated(&self) -> usize {
        let labels = self.manifest.info.labels.len();
        self.cases.iter().filter(|case| case.row.labels_annotated.len() < labels).count()
    }

    /// Numbers and names of the channels; the modality's where cases have one image.
    pub fn channels(&self) -> impl Iterator<Item = (usize, String)> {
        let info = &self.manifest.info;
        let names = match info.channel_names.as_slice() {
            [_, _, ..] => info.channel_names.clone(),
            _ => vec![info.modality.to_string()],
        };
        names.into_iter().enumerate()
    }

    /// Whether cases have several images.
    pub fn has_channels(&self) -> bool {
        self.manifest.info.channel_names.len() > 1
    }

    /// The cases of a split, in order.
    pub fn of(&self, split: Split) -> impl Iterator<Item = &ExportedCase<'_>> {
        self.cases.iter().filter(move |case| case.row.split == split)
    }
}
