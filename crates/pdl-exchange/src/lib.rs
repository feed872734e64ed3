//! Writes a manifest in the forms that other frameworks read.
//!
//! In: a curation folder with a manifest. Out: a folder with a list of the cases in the form of MONAI, nnU-Net v2,
//! Hugging Face datasets, TorchIO, WebDataset, Croissant or a plain table ([`export`]), and, where asked, the prepared
//! volumes themselves ([`files`]). The other way, a dataset of MONAI or nnU-Net becomes a cohort ([`import`]). It never
//! changes a volume and never moves a case from one split to another. Case ids hold letters, digits, - and _ only, so
//! every target takes them as they are.

pub mod export;
pub mod import;

pub use export::files;

use std::path::PathBuf;

use pdl_curriculum::CurriculumError;
use pdl_store::StoreError;

/// What other frameworks are given, and what is taken from them, as `pdl help frameworks` prints it.
///
#[doc = include_str!("../help/frameworks.md")]
pub const FRAMEWORKS_HELP: &str = include_str!("../help/frameworks.md");

/// An export that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// The export would be written into the curation folder itself.
    #[error("--dest must be another folder than the curation folder and not hold it: {}", dest.display())]
    SameFolder {
        /// The folder given.
        dest: PathBuf,
    },
    /// A prepared file that is not what the manifest says.
    #[error("case {case}: a prepared file has changed since the manifest was made; run `pdl curate` again: {}", path.display())]
    Changed {
        /// Which case.
        case: String,
        /// Which file.
        path: PathBuf,
    },
    /// An option that the target does not have.
    #[error("{0}")]
    Option(&'static str),
    /// A choice of channel that is missing or cannot be.
    #[error("--channel: {problem}; the dataset has {channels}")]
    Channel {
        /// What is wrong.
        problem: &'static str,
        /// The channels by name.
        channels: String,
    },
    /// A choice of fold that is missing or cannot be.
    #[error("--fold: the dataset has {folds} folds, and which of them validates must be chosen, from 0")]
    Fold {
        /// How many there are.
        folds: usize,
    },
    /// Labels that the target cannot hold.
    #[error("nnU-Net takes the labels 1, 2, 3 and so on without gaps, but the cohort has {labels:?}")]
    LabelGaps {
        /// The cohort's labels.
        labels: Vec<u16>,
    },
    /// A table that could not be written.
    #[error("cannot write the table ({problem}): {}", path.display())]
    Table {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The manifest cannot be read.
    #[error(transparent)]
    Curriculum(#[from] CurriculumError),
    /// A file could not be kept or read.
    #[error(transparent)]
    Store(#[from] StoreError),
}
