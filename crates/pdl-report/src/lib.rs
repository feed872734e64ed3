//! Shows a curated cohort.
//!
//! In: what the stages left in a curation folder, and the runs that were trained from it. Out: `report.html`
//! ([`report()`]), one file that needs no network, and pictures of single cases ([`view`]). It decides nothing and
//! changes nothing: every figure is read from a table or computed from the pairs. Cases and patients go by the ids that
//! the tables have; paths, and the name of the folder, stay out.
//!
//! [`cohort`] chooses the cases that are shown and says what they are, [`matrix`] makes the matrix small,
//! [`embed`] lays the cases out on a plane, [`planes`] and [`thumbnails`] draw them, [`runs`] reads what training
//! left, [`worst`] shows on which cases a network fails, [`page`] puts all into one file.
//!
//! It stands at the end of the chain, so this is what `pdl curate` does, as a library:
//!
//! ```
//! use pdl_cohort::{index::index, parameters::IndexParameters, same_patient::SamePatient};
//! use pdl_curriculum::{manifest::Manifest, parameters::RankParameters, rank::rank};
//! use pdl_prepare::{plan::PrepareParameters, prepare::prepare};
//! use pdl_report::{ReportParameters, report};
//! use pdl_similarity::{compare::compare, parameters::CompareParameters};
//! use pdl_store::{journal::Trust, progress::{Run, Silent}};
//!
//! let cohort = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sample-data/mr");
//! let folder = tempfile::tempdir()?;
//! let out = folder.path();
//! let run = Run { trust: Trust::Stamps, progress: &Silent, memory: None };
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
pub mod matrix;
pub mod page;
pub mod planes;
mod report;
pub mod runs;
pub mod thumbnails;
pub mod view;
pub mod worst;

pub use report::{FILE, ReportParameters, Reported, report};

use std::path::PathBuf;

use pdl_curriculum::CurriculumError;
use pdl_io::ReadError;
use pdl_prepare::PrepareError;
use pdl_similarity::SimilarityError;
use pdl_store::StoreError;

/// A cohort that could not be shown.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// Nothing was curated here.
    #[error("nothing to show here yet; begin with `pdl curate COHORT --out {0}`: {0}", out.display())]
    NothingThere {
        /// The curation folder.
        out: PathBuf,
    },
    /// No such case.
    #[error("there is no prepared case '{case}'{}: {}", hint, out.display())]
    UnknownCase {
        /// What was asked for.
        case: String,
        /// A case that there is; empty when there is none.
        hint: String,
        /// The curation folder.
        out: PathBuf,
    },
    /// An option's value that cannot be.
    #[error("{0}")]
    Option(String),
    /// A picture that could not be encoded.
    #[error("a picture cannot be encoded: {0}")]
    Picture(#[from] image::ImageError),
    /// What is shown cannot be written as JSON.
    #[error("the report's data cannot be written: {0}")]
    Data(#[from] serde_json::Error),
    /// The manifest cannot be read.
    #[error(transparent)]
    Curriculum(#[from] CurriculumError),
    /// The proxies cannot be read.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// The pairs cannot be read.
    #[error(transparent)]
    Similarity(#[from] SimilarityError),
    /// A volume cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A file could not be kept or read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The result of showing something.
pub type Result<T> = std::result::Result<T, ReportError>;
