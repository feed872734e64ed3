//! Writes the report of a curated cohort.
//!
//! In: the results of all stages in a curation folder, and the runs that were trained from it. Out:
//! `report.html` ([`report()`]), one file that needs no network, and images of single cases
//! ([`view`]). It makes no decisions and changes no results: every figure is read from a table or
//! computed from the pairs. Cases and patients appear by the ids of the tables; paths and the name
//! of the folder are omitted.
//!
//! [`cohort`] selects and describes the cases, [`matrix`] compacts the similarity matrix, [`embed`]
//! embeds the cases in a plane, [`planes`] and [`thumbnails`] draw them, [`run_history`] reads
//! training runs, [`experiments`] comparisons of them, [`worst`] shows the cases with the lowest
//! Dice, [`findings`] lists those of all stages, [`page`] assembles the file; [`notebook`] is the
//! short form of it.
//!
//! The whole chain of `pdl curate`, as a library:
//!
//! ```
//! use pdl_cohort::{index::index, parameters::IndexParameters, split::same_patient::SamePatient};
//! use pdl_curriculum::{manifest::Manifest, parameters::RankParameters, rank::rank};
//! use pdl_prepare::{parameters::PrepareParameters, prepare::prepare};
//! use pdl_report::{ReportParameters, report};
//! use pdl_similarity::{compare::compare, parameters::CompareParameters};
//! use pdl_store::{journal::HashCheck, progress::{StageContext, Silent}};
//!
//! let cohort = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sample-data/mr");
//! let folder = tempfile::tempdir()?;
//! let out = folder.path();
//! let run = StageContext { hash_check: HashCheck::Stamps, progress: &Silent, memory: None };
//! index(&cohort, out, &IndexParameters::default(), &SamePatient::default(), run)?;
//! prepare(out, &PrepareParameters { proxy_size: vec![16], ..Default::default() }, false, run)?;
//! let compared = compare(out, &CompareParameters::default(), run)?;
//! rank(out, &RankParameters::default(), None)?;
//! report(out, &ReportParameters::default(), &Silent)?;
//!
//! assert_eq!(compared.pairs, 24 * 23 / 2);
//! let manifest = Manifest::open(out)?;
//! assert!(manifest.rows.iter().any(|row| row.rank == Some(1)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod canvas;
pub mod cohort;
pub mod embed;
pub mod experiments;
pub mod findings;
pub mod matrix;
pub mod notebook;
pub mod out_of_fold;
pub mod page;
pub mod planes;
mod report;
pub mod run_history;
pub mod thumbnails;
pub mod view;
pub mod worst;

pub use report::{FILE, ReportParameters, Reported, report};

use std::path::PathBuf;

use pdl_curriculum::CurriculumError;
use pdl_io::ReadError;
use pdl_prepare::PrepareError;
use pdl_similarity::SimilarityError;
use pdl_store::{StoreError, fault};

/// Why a report or a picture could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The folder holds no curated cohort.
    #[error("no curated cohort here; run `pdl curate COHORT --out {0}` first: {0}", out.display())]
    NothingThere {
        /// The curation folder.
        out: PathBuf,
    },
    /// No prepared case has this id.
    #[error("no prepared case '{case}'{}: {}", hint, out.display())]
    UnknownCase {
        /// The requested id.
        case: String,
        /// Clause with an existing id; empty if there is none.
        hint: String,
        /// The curation folder.
        out: PathBuf,
    },
    /// A parameter has an invalid value.
    #[error("invalid {name}: {problem}")]
    InvalidOption {
        /// Key of the parameter.
        name: &'static str,
        /// What was expected, and what was found.
        problem: String,
    },
    /// A picture could not be encoded.
    #[error("cannot encode a picture: {0}")]
    Picture(#[from] image::ImageError),
    /// The data of the report could not be encoded as JSON.
    #[error("cannot encode the data of the report: {0}")]
    Data(#[from] serde_json::Error),
    /// The manifest is missing or invalid.
    #[error(transparent)]
    Curriculum(#[from] CurriculumError),
    /// The proxies or prepared volumes are missing or invalid.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// The pairs are missing or invalid.
    #[error(transparent)]
    Similarity(#[from] SimilarityError),
    /// A volume could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A file could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The result of a read, or `None` if the file is invalid, which a report omits.
///
/// # Errors
/// The machine's errors, and [`StoreError::NewerFormat`]: otherwise a report without unread data
/// would seem complete.
pub(crate) fn unless_unreadable<T, E>(read: std::result::Result<T, E>) -> Result<Option<T>>
where
    E: std::error::Error + Into<ReportError> + 'static,
{
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error) if fault::machine_error(&error).is_some() || is_newer(&error) => Err(error.into()),
        Err(_) => Ok(None),
    }
}

fn is_newer(error: &(dyn std::error::Error + 'static)) -> bool {
    matches!(error.downcast_ref(), Some(StoreError::NewerFormat { .. }))
}

/// A result with [`ReportError`].
pub(crate) type Result<T> = std::result::Result<T, ReportError>;
