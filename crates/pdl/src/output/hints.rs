//! The command to run next, or what to do first.

use std::path::Path;

use pdl_cohort::attributes::Split;
use pdl_curriculum::audit::FILE;
use pdl_curriculum::manifest::ManifestRow;
use pdl_curriculum::rank::Ranked;

use crate::outcome::Outcome;

/// Next step after the stages of a command.
pub(crate) fn next(out: &Path, outcome: &Outcome) -> String {
    if outcome.audits().any(|audit| audit.leaks > 0) {
        return format!(
            "resolve the leaks listed above (all in {}), then run the same command again",
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
        return "no case can be used: resolve the problems listed above, then run the same command again"
            .to_owned();
    }
    let out = out.display();
    if outcome.indexed.as_ref().is_some_and(|indexed| indexed.cases.labelled().next().is_none())
        && outcome.compared.is_some()
    {
        return format!("pdl select {out} --count 20   (the cases to annotate first)");
    }
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

/// Requirement of training that a manifest does not meet.
fn missing(ranked: &Ranked) -> Option<&'static str> {
    let any = |wanted: fn(&ManifestRow) -> bool| ranked.rows.iter().any(wanted);
    if !any(|row| row.rank.is_some()) {
        return Some(
            "there is no training case: set some patients to train in the table's column split, or add patients, then \
             run the same command again",
        );
    }
    (!any(|row| row.split == Split::Val)).then_some(
        "there is no validation case, which training needs: add patients (at least 3), raise --val-share above 0, or set \
         some patients to val in the table's column split. Patients keep the split they have until cases.parquet is \
         deleted. Then run the same command again",
    )
}
