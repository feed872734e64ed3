//! What to type next, or what is missing before that.

use std::path::Path;

use pdl_cohort::attributes::Split;
use pdl_curriculum::audit::FILE;
use pdl_curriculum::manifest::ManifestRow;
use pdl_curriculum::rank::Ranked;

use crate::outcome::Outcome;

/// What to do after the stages of a command.
pub(crate) fn next(out: &Path, outcome: &Outcome) -> String {
    let folds = outcome.folds.iter().map(|fold| &fold.audited);
    if outcome.audited.iter().chain(folds).any(|audit| audit.leaks > 0) {
        return format!(
            "mend what joins two splits (the leaks above; all in {}), then this command again",
            out.join(FILE).display()
        );
    }
    if let Some(fold) = outcome.folds.first() {
        return format!("pdl-fit train {}", fold.folder(out).display());
    }
    if let Some(missing) = outcome.ranked.as_ref().and_then(missing) {
        return missing.to_owned();
    }
    if outcome.indexed.as_ref().is_some_and(|indexed| indexed.cases.usable().next().is_none()) {
        return "no case can be used: mend what is told above, then this command again".to_owned();
    }
    let out = out.display();
    if outcome.ranked.is_some() || outcome.audited.is_some() {
        format!("just fit {out}   (or: pdl-fit train {out})")
    } else if outcome.reported.is_some() {
        format!("open {out}/{} in a browser", pdl_report::FILE)
    } else if outcome.compared.is_some() {
        format!("pdl rank {out}")
    } else if outcome.prepared.is_some() {
        format!("pdl compare {out}")
    } else {
        format!("pdl prepare {out}")
    }
}

/// What a manifest lacks that nothing can be trained without.
fn missing(ranked: &Ranked) -> Option<&'static str> {
    let any = |wanted: fn(&ManifestRow) -> bool| ranked.rows.iter().any(wanted);
    if !any(|row| row.rank.is_some()) {
        return Some(
            "there is no training case, so nothing can be trained: give train to some patients in the table's column split, \
             or add patients, then this command again",
        );
    }
    (!any(|row| row.split == Split::Val)).then_some(
        "there is no validation case, and training needs one: add patients (3 at least), raise --val-share above 0, or give \
         val to some patients in the table's column split; patients that have a split keep it unless cases.parquet is \
         deleted. Then this command again",
    )
}
