//! `pdl curate`: all stages, with rounds in which patients that look like one person are merged.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Result;
use pdl_cohort::CohortError;
use pdl_cohort::index::index;
use pdl_cohort::parameters::IndexParameters;
use pdl_cohort::split::same_patient::SamePatient;
use pdl_cohort::table::cases::Cases;
use pdl_console::{ExitStatus, note};
use pdl_curriculum::audit::{Audit, AuditParameters, Link, audit};
use pdl_curriculum::manifest;
use pdl_curriculum::parameters::RankParameters;
use pdl_prepare::parameters::PrepareParameters;
use pdl_prepare::plan;
use pdl_report::ReportParameters;
use pdl_similarity::parameters::CompareParameters;
use pdl_store::{StoreError, regular_file};

use crate::commands::index::Cohort;
use crate::commands::prepare::Replan;
use crate::context::Context;
use crate::output::leaks;
use crate::preconditions::Requirements;
use crate::stages::Stages;

/// The stages in their order.
const STAGES: [&str; 6] = ["index", "prepare", "compare", "rank", "audit", "report"];

/// Maximum number of patients that are merged into one automatically. Where more seem to be one,
/// the images are too similar to distinguish persons, for instance because a wrong modality makes
/// all voxels one grey.
const MOST_MERGED: usize = 4;

/// How often patients are merged: new splits make a new plan, and with other proxies a person may
/// be recognised who was not before.
const MOST_ROUNDS: usize = 2;

/// Arguments of `pdl curate`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    cohort: Cohort,
    #[command(flatten)]
    stages: StageParameters,
    /// Do not write report.html.
    #[arg(long, help_heading = "Report")]
    no_report: bool,
}

/// The options of all stages.
#[derive(Debug, clap::Args)]
pub(crate) struct StageParameters {
    #[command(flatten, next_help_heading = "Index")]
    pub index: IndexParameters,
    #[command(flatten, next_help_heading = "Prepare")]
    pub prepare: PrepareParameters,
    #[command(flatten)]
    pub replan: Replan,
    #[command(flatten, next_help_heading = "Compare")]
    pub compare: CompareParameters,
    #[command(flatten, next_help_heading = "Rank")]
    pub rank: RankParameters,
    #[command(flatten, next_help_heading = "Audit")]
    pub audit: AuditParameters,
}

impl Args {
    pub(crate) fn requirements(&self) -> Requirements<'_> {
        self.cohort.requirements()
    }
}

/// Runs all stages.
///
/// # Errors
/// The first failed stage's, except that a report that cannot be written is a warning.
pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitStatus> {
    let mut settings = context.settings.clone();
    settings.prepare.proxy_labels |= settings.compare.needs_labels();
    settings.index.replan = args.stages.replan.replan;
    let mut stages = Stages { settings: &settings, ..Stages::new(&args.cohort.out, context) };
    let ended = run_stages(args, &mut stages);
    stages.finish(ended)
}

fn run_stages(args: &Args, stages: &mut Stages<'_>) -> Result<()> {
    let (cohort, replan) = (&args.cohort, args.stages.replan.replan);
    let all = if args.no_report { &STAGES[..5] } else { &STAGES[..] };
    let display = &stages.context.display;
    let enter = |stage| display.enter(all, stage);
    let undecided = nothing_depends_on_splits(stages.out)?;
    enter("index");
    stages.index(&cohort.cohort, cohort.same_patient.as_deref())?;
    enter("prepare");
    stages.prepare(replan)?;
    enter("compare");
    stages.compare()?;
    let mut refused = BTreeSet::new();
    for _ in 0..MOST_ROUNDS {
        if !merge_patients(&cohort.cohort, stages, undecided, &mut refused)? {
            break;
        }
        enter("prepare");
        stages.prepare(replan)?;
        enter("compare");
        stages.compare()?;
    }
    if has_labels(stages.out)? {
        enter("rank");
        stages.rank()?;
    } else {
        note(
            "note: no case has a label: there is no curriculum, and no manifest to train from. `pdl select` names the cases \
             to annotate first",
        );
    }
    enter("audit");
    stages.audit()?;
    if !args.no_report {
        enter("report");
        if let Err(error) = stages.report(&ReportParameters::default()) {
            note(&format!("warning: cannot write the report: {error}"));
        }
    }
    Ok(())
}

/// Whether there is anything to rank: a labelled case, or a manifest that may be outdated.
fn has_labels(out: &Path) -> Result<bool> {
    Ok(regular_file::is_there(&out.join(manifest::TABLE_FILE))?
        || Cases::read(out)?.labelled().next().is_some())
}

/// Whether no manifest of the curation folder `out` holds splits that a training may have used.
fn nothing_depends_on_splits(out: &Path) -> Result<bool> {
    let is_there = |name: &str| regular_file::is_there(&out.join(name));
    Ok(!is_there(manifest::TABLE_FILE)? && !is_there(manifest::FOLDS_FOLDER)?)
}

/// Merges patients in different splits that are one person according to the audit, and indexes
/// again, unless the cohort's table states their splits. With `redraw` the splits are assigned
/// again, so that those that are held out keep their share. Returns whether the cases are to be
/// prepared again. `refused` are the names of those that an earlier round has not merged, and told;
/// it gets those of this one.
fn merge_patients(
    cohort: &Path,
    stages: &mut Stages<'_>,
    redraw: bool,
    refused: &mut BTreeSet<String>,
) -> Result<bool> {
    // Labels are compared once the patients are known.
    let parameters = AuditParameters { labels: false, ..stages.settings.audit };
    let audited = audit(stages.out, &parameters, None)?;
    let Some(found) = to_merge(&audited) else { return Ok(false) };
    let found = found.without(refused);
    let crowds = crowds(&found);
    if !crowds.is_empty() {
        note(&leaks::crowds_line(crowds.len(), MOST_MERGED));
    }
    let found = found.without(&crowds);
    refused.extend(crowds);
    if found.is_empty() {
        return Ok(false);
    }
    if redraw {
        forget_plan(stages.out)?;
    }
    let parameters = IndexParameters { redraw, replan: false, ..stages.settings.index.clone() };
    let merge = |pairs: &SamePatient| index(cohort, stages.out, &parameters, pairs, stages.context.stage());
    let (indexed, merged) = match merge(&found) {
        Err(CohortError::NotOnePatient { problems }) => {
            for problem in problems.values() {
                note(&format!(
                    "note: some patients in two splits look like one, but {problem}: they are not merged"
                ));
            }
            let unmerged = problems.into_keys().collect();
            let rest = found.without(&unmerged);
            refused.extend(unmerged);
            if rest.is_empty() {
                return Ok(redraw);
            }
            (merge(&rest)?, rest)
        }
        indexed => (indexed?, found),
    };
    leaks::merged_lines(stages.out, &audited.links, &merged).iter().for_each(|line| note(line));
    stages.outcome.indexed = Some(indexed);
    Ok(true)
}

/// Removes the plan of a draw of the splits that is given up: it may have seen cases that will be
/// test cases. One that the user has edited stays.
fn forget_plan(out: &Path) -> Result<()> {
    if plan::read(out)?.edited()?.is_some() {
        return Ok(());
    }
    let path = out.join(plan::FILE);
    std::fs::remove_file(&path).map_err(StoreError::io("remove the file", &path))?;
    Ok(())
}

/// The pairs of patients that the audit takes for one person and the user does not keep apart, if
/// any pair is in two splits.
fn to_merge(audit: &Audit) -> Option<SamePatient> {
    let two_patients = || audit.links.iter().filter(|link| link.patient_a != link.patient_b && !link.apart);
    two_patients().any(Link::is_leak).then(|| two_patients().map(Link::pair).collect::<SamePatient>())
}

/// The names under which more patients would be merged than [`MOST_MERGED`].
fn crowds(found: &SamePatient) -> BTreeSet<String> {
    let mut sizes: BTreeMap<&str, usize> = BTreeMap::new();
    found.names().values().for_each(|name| *sizes.entry(name).or_default() += 1);
    sizes.into_iter().filter(|(_, size)| *size > MOST_MERGED).map(|(name, _)| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_is_not_one_person() {
        let pairs = [("a", "b"), ("c", "d"), ("d", "e"), ("e", "f"), ("f", "g")];
        let found: SamePatient = pairs.map(|(a, b)| (a.to_owned(), b.to_owned())).into_iter().collect();
        let crowds = crowds(&found);
        assert_eq!(crowds, BTreeSet::from(["c".to_owned()]));
        let rest = found.without(&crowds);
        assert_eq!(rest.names().into_keys().collect::<Vec<_>>(), ["a", "b"]);
    }
}
