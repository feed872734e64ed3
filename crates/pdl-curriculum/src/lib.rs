//! Ranks training cases by the pair matrix, and schedules them in a curriculum.
//!
//! In: `cases.parquet`, `prepared.parquet` and the pairs. Out: the manifest ([`manifest`]), which
//! gives every training case its rank, the stage at which it joins ([`pacing`]) and whether it
//! belongs to the tuning subset. Pairs ([`pairwise`], [`metrics`]) become scores ([`score`]),
//! scores or pairs an order ([`order`], [`subset_selection`], [`community`]); [`prune`] excludes
//! duplicates and finds outliers. No case moves from one split to another, and validation and test
//! cases do not influence the ranking.

pub mod annotation;
pub mod audit;
pub mod format_versions;
pub mod label_audit;
pub mod manifest;
pub mod metrics;
pub mod order;
pub mod pacing;
pub mod pairwise;
pub mod parameters;
pub mod rank;
pub mod results;

pub use manifest::{diff, validate};
pub use order::{community, prune, score, subset_selection};

use std::path::PathBuf;

use pdl_cohort::CohortError;
use pdl_prepare::PrepareError;
use pdl_similarity::SimilarityError;
use pdl_store::StoreError;
use pdl_store::memory::MemoryError;

/// The text of `pdl help curriculum`: metrics, scores, orders, pacing and the tuning subset.
///
#[doc = include_str!("../help/curriculum.md")]
pub const CURRICULUM_HELP: &str = include_str!("../help/curriculum.md");

/// The text of `pdl help splits`: the audit, folds, and the validation of manifests.
///
#[doc = include_str!("../help/splits.md")]
pub const SPLITS_HELP: &str = include_str!("../help/splits.md");

/// Why cases could not be ranked, or a manifest not be read.
#[derive(Debug, thiserror::Error)]
pub enum CurriculumError {
    /// None of the prepared cases is in the training split.
    #[error("none of the {cases} prepared cases is a training case; check `split` in cases.parquet: {}", out.display())]
    NoTrainingCases {
        /// Number of prepared cases in all splits.
        cases: usize,
        /// The curation folder.
        out: PathBuf,
    },
    /// No prepared case has a label.
    #[error("no case has a label, so there is nothing to train on; `pdl select` names the cases to annotate first: {}", out.display())]
    NoLabelledCases {
        /// The curation folder.
        out: PathBuf,
    },
    /// A labelled case was prepared when it had no label.
    #[error("case {case}: it has a label, but was prepared without; run `pdl prepare` again")]
    NotPrepared {
        /// Case id.
        case: String,
    },
    /// The similarities of all cases need more memory than allowed.
    #[error("the similarities of {cases} cases: {source} (--memory)")]
    Memory {
        /// Number of cases.
        cases: usize,
        /// Why.
        source: MemoryError,
    },
    /// A prepared case is missing from `cases.parquet`.
    #[error("case {case}: prepared, but missing from cases.parquet; run `pdl prepare` again")]
    UnknownCase {
        /// Case id.
        case: String,
    },
    /// The reviewer's decisions about labels cannot be read.
    #[error("invalid decisions about labels: {problem}; correct the file or delete it: {}", path.display())]
    Reviews {
        /// The list of flagged labels.
        path: PathBuf,
        /// What is invalid.
        problem: String,
    },
    /// The uncertainties of the cases cannot be used.
    #[error("cannot use the uncertainty of predictions: {problem}: {}", path.display())]
    Uncertainties {
        /// What is invalid.
        problem: String,
        /// The table of predictions.
        path: PathBuf,
    },
    /// A parameter has an invalid value.
    #[error("invalid {name}: {problem}")]
    InvalidOption {
        /// Key of the parameter.
        name: &'static str,
        /// What was expected, and what was found.
        problem: String,
    },
    /// Folds train on validation cases, but the plan was made from training cases alone.
    #[error(
        "folds train on validation cases, but the plan is made from training cases alone: run \
         `pdl prepare {0} --plan-from outside-test` and `pdl compare {0}` with their other flags \
         unchanged, then this command again",
        out.display()
    )]
    PlanWithoutValidation {
        /// The curation folder.
        out: PathBuf,
    },
    /// The folder has no manifest.
    #[error("no manifest found; make one with `pdl curate COHORT --out {0}`, which needs labelled cases: {0}", out.display())]
    NoManifest {
        /// The folder that was searched.
        out: PathBuf,
    },
    /// The manifest contradicts itself or is of a newer version.
    #[error("invalid manifest: {problem}; run `pdl rank` again: {}", path.display())]
    BadManifest {
        /// The invalid file.
        path: PathBuf,
        /// What is invalid, as a clause.
        problem: String,
    },
    /// The table of cases or a fold is invalid.
    #[error(transparent)]
    Cohort(#[from] CohortError),
    /// The pairs are missing or invalid.
    #[error(transparent)]
    Similarity(#[from] SimilarityError),
    /// The proxies or prepared volumes are missing or invalid.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// A file could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}
