//! From a pair matrix to a curriculum.
//!
//! In: `cases.parquet`, `prepared.parquet` and the pairs. Out: the manifest ([`manifest`]), which gives
//! every training case its rank, the stage at which it joins ([`pacing`]) and its place in the coarse sample for
//! tuning. Pairs ([`pairwise`], [`metrics`]) become scores ([`score`]), scores or pairs an order ([`order`],
//! [`subset_selection`], [`community`]); [`prune`] says what is left out and what lies apart. It never moves a case from one split to another, and no held-out case
//! has any say in the ranking.

pub mod audit;
pub mod manifest;
pub mod metrics;
pub mod order;
pub mod pacing;
pub mod pairwise;
pub mod parameters;
pub mod rank;

pub use manifest::{diff, validate};
pub use order::{community, prune, score, subset_selection};

use std::path::PathBuf;

use pdl_cohort::CohortError;
use pdl_prepare::PrepareError;
use pdl_similarity::SimilarityError;
use pdl_store::StoreError;

/// How training cases are ordered and paced, as `pdl help curriculum` prints it.
///
#[doc = include_str!("../help/curriculum.md")]
pub const CURRICULUM_HELP: &str = include_str!("../help/curriculum.md");

/// How splits are kept apart, and what folds and manifests are checked for, as `pdl help splits` prints it.
///
#[doc = include_str!("../help/splits.md")]
pub const SPLITS_HELP: &str = include_str!("../help/splits.md");

/// A ranking that could not be made, or a manifest that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum CurriculumError {
    /// There is nobody to rank.
    #[error("no training case among the {cases} prepared ones: see the splits in cases.parquet: {}", out.display())]
    NoTrainingCases {
        /// Prepared cases of every split.
        cases: usize,
        /// The curation folder.
        out: PathBuf,
    },
    /// A prepared case that the table of cases does not know.
    #[error("case {case} was prepared but is no longer in cases.parquet; run `pdl prepare` again")]
    UnknownCase {
        /// Which case.
        case: String,
    },
    /// A choice that cannot be.
    #[error("{0}")]
    Option(String),
    /// There is no manifest.
    #[error("no manifest here; make one with `pdl curate COHORT --out {0}`: {0}", out.display())]
    NoManifest {
        /// The folder.
        out: PathBuf,
    },
    /// A manifest that cannot be followed.
    #[error("the manifest cannot be followed ({problem}); run `pdl rank` again: {}", path.display())]
    BadManifest {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// Folds that cannot be.
    #[error(transparent)]
    Cohort(#[from] CohortError),
    /// The pairs cannot be read.
    #[error(transparent)]
    Similarity(#[from] SimilarityError),
    /// The proxies cannot be read.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// A file could not be kept or read.
    #[error(transparent)]
    Store(#[from] StoreError),
}
