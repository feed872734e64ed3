//! The results of the stages of one command.

use std::path::{Path, PathBuf};

use pdl_cohort::index::Indexed;
use pdl_cohort::split::folds::Fold;
use pdl_curriculum::audit::Audit;
use pdl_curriculum::manifest;
use pdl_curriculum::rank::Ranked;
use pdl_prepare::prepare::Prepared;
use pdl_report::Reported;
use pdl_similarity::compare::Compared;

/// The results of the stages of one command; `None` for a stage that did not run.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub indexed: Option<Indexed>,
    pub prepared: Option<Prepared>,
    pub compared: Option<Compared>,
    pub ranked: Option<Ranked>,
    pub audited: Option<Audit>,
    pub folds: Vec<RankedFold>,
    pub reported: Option<Reported>,
}

/// One ranked fold of a cross-validation.
#[derive(Debug)]
pub(crate) struct RankedFold {
    pub fold: Fold,
    pub ranked: Ranked,
    pub audited: Audit,
}

impl RankedFold {
    /// The folder of its manifest, below `out`.
    pub(crate) fn folder(&self, out: &Path) -> PathBuf {
        manifest::folder(out, Some(self.fold))
    }
}

impl Outcome {
    /// Whether every stage found its results up to date.
    pub(crate) fn nothing_new(&self) -> bool {
        self.indexed.as_ref().is_none_or(|stage| stage.read == 0 && !stage.changed)
            && self.prepared.as_ref().is_none_or(|stage| stage.written == 0)
            && self.compared.as_ref().is_none_or(|stage| stage.computed == 0)
            && self.ranked.as_ref().is_none_or(|stage| !stage.changed)
            && self.reported.is_none_or(|report| !report.changed)
            && self.folds.iter().all(|fold| !fold.ranked.changed)
    }

    /// The audit of the manifest and those of its folds.
    pub(crate) fn audits(&self) -> impl Iterator<Item = &Audit> {
        self.audited.iter().chain(self.folds.iter().map(|fold| &fold.audited))
    }
}
