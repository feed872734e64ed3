//! What the stages of one command did.

use pdl_cohort::index::Indexed;
use pdl_curriculum::audit::Audit;
use pdl_curriculum::rank::Ranked;
use pdl_prepare::prepare::Prepared;
use pdl_report::Reported;
use pdl_similarity::compare::Compared;

use crate::folds::RankedFold;

/// What the stages of one command did.
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

impl Outcome {
    /// Whether everything was valid already.
    pub(crate) fn nothing_new(&self) -> bool {
        self.indexed.as_ref().is_none_or(|stage| stage.read == 0 && !stage.changed)
            && self.prepared.as_ref().is_none_or(|stage| stage.written == 0)
            && self.compared.as_ref().is_none_or(|stage| stage.computed == 0)
            && self.ranked.as_ref().is_none_or(|stage| !stage.changed)
            && self.reported.is_none_or(|report| !report.changed)
            && self.folds.iter().all(|fold| !fold.ranked.changed)
    }
}
