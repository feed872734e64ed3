//! Exports manifests to other frameworks, and imports their datasets as cohorts.
//!
//! In: a curation folder with a manifest. Out: a folder with a list of the cases for MONAI, nnU-Net
//! v2, Hugging Face datasets, TorchIO, WebDataset or Croissant, or as a plain table ([`export`]),
//! and optionally the prepared volumes ([`files`]). In the other direction a dataset of MONAI or
//! nnU-Net becomes a cohort ([`import`]). Volumes are never changed, and no case moves from one
//! split to another. Case ids consist of letters, digits, - and _, so every target takes them as
//! they are.

pub mod export;
pub mod import;

pub use export::files;

use std::path::PathBuf;

use pdl_curriculum::CurriculumError;
use pdl_store::StoreError;

/// The text of `pdl help frameworks`: targets of the export, and import.
///
#[doc = include_str!("../help/frameworks.md")]
pub const FRAMEWORKS_HELP: &str = include_str!("../help/frameworks.md");

/// Why an export or import failed.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// The export would be written into the curation folder or a folder that contains it.
    #[error("the destination must not be the curation folder or contain it: {}", dest.display())]
    SameFolder {
        /// The folder that was given.
        dest: PathBuf,
    },
    /// A prepared file does not match its hash in the manifest.
    #[error("case {case}: a prepared file has changed since the manifest was made; run `pdl curate` again: {}", path.display())]
    Changed {
        /// Case id.
        case: String,
        /// The file that changed.
        path: PathBuf,
    },
    /// A parameter is invalid for the target.
    #[error("invalid {name}: {problem}")]
    InvalidOption {
        /// Key of the parameter.
        name: &'static str,
        /// The problem, and the allowed values.
        problem: &'static str,
    },
    /// A file of results cannot be imported.
    #[error("{problem}: {}", path.display())]
    Summary {
        /// What was expected, and what was found.
        problem: String,
        /// The file.
        path: PathBuf,
    },
    /// A required channel is missing, or unknown.
    #[error("invalid channel: {problem}; the dataset has {channels}")]
    Channel {
        /// What was expected, as a clause.
        problem: &'static str,
        /// The dataset's channels, separated by commas.
        channels: String,
    },
    /// A required fold is missing, or unknown.
    #[error(
        "invalid fold: the dataset has {folds} folds; choose the one whose validation cases are held out, from 0"
    )]
    Fold {
        /// Number of folds of the dataset.
        folds: usize,
    },
    /// A dataset without a case.
    #[error(
        "the dataset has no case with an image and a label map ({unlabelled} without a label map); the paths of the list are \
         relative to it, and nnU-Net's files are imagesTr/CASE_0000 and labelsTr/CASE with its file_ending: {}",
        path.display()
    )]
    NoCases {
        /// Cases that lack one.
        unlabelled: usize,
        /// The dataset.
        path: PathBuf,
    },
    /// Label values that nnU-Net cannot represent.
    #[error(
        "nnU-Net requires the labels 1, 2, 3 and so on without gaps; the cohort has {labels:?}: curate it with \
         --structures VALUE=NAME for each, which counts them from 1"
    )]
    LabelGaps {
        /// The cohort's label values.
        labels: Vec<u16>,
    },
    /// Labels of no region, which nnU-Net refuses where regions are learnt.
    #[error(
        "nnU-Net requires every label to be in a region; {labels:?} are in none: curate the cohort with --regions that \
         contain them, or exclude them with --structures"
    )]
    LabelOutsideRegions {
        /// The labels' values.
        labels: Vec<u16>,
    },
    /// A table could not be encoded.
    #[error("cannot write the table: {problem}: {}", path.display())]
    Table {
        /// The table's file.
        path: PathBuf,
        /// The cause.
        problem: String,
    },
    /// The manifest is missing or invalid.
    #[error(transparent)]
    Curriculum(#[from] CurriculumError),
    /// A file could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}
