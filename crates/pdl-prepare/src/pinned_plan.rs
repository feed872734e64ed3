//! The plan of a curation folder: the pinned one, or a new one from its training cases.

use std::path::Path;

use pdl_cohort::table::case_row::CaseRow;
use pdl_findings::Finding;
use pdl_store::progress::StageContext;
use pdl_store::{json, regular_file};

use crate::PrepareError;
use crate::fingerprint;
use crate::normalisation_choice;
use crate::parameters::{PlanFrom, PrepareParameters};
use crate::plan::{self, Plan};
use crate::training_fingerprint;

/// Takes the fingerprint, and keeps the plan there is, unless a new one is wanted or its options
/// have changed; then a plan that the user has edited is not thrown away.
pub(crate) fn make(
    out: &Path,
    rows: &[&CaseRow],
    parameters: &PrepareParameters,
    replan: bool,
    run: StageContext<'_>,
) -> Result<(Plan, Vec<Finding>), PrepareError> {
    let training = plan_cases(rows, parameters.plan_from);
    let mut fingerprint = training_fingerprint::take(out, &training, parameters.crop, run)?;
    let path = out.join(plan::FILE);
    let pinned = if !replan && regular_file::is_there(&path)? { Some(plan::read(out)?) } else { None };
    let pinned = match pinned {
        Some(plan)
            if plan.parameters == *parameters
                && plan.modality == fingerprint.modality
                && plan.has_channels_of(&fingerprint) =>
        {
            Some(plan)
        }
        Some(plan) => {
            if let Some(edited) = plan.edited()? {
                return Err(PrepareError::EditedPlan { edited, options: changed(&plan, parameters), path });
            }
            None
        }
        None => None,
    };
    let plan = match pinned {
        Some(plan) => {
            fingerprint.findings = plan.drift(&fingerprint);
            plan
        }
        None => Plan::new(&fingerprint, parameters)?,
    };
    json::write(&out.join(fingerprint::FILE), &fingerprint)?;
    json::write(&path, &plan)?;
    let mut findings = fingerprint.findings.clone();
    findings.extend(normalisation_choice::window_finding(&fingerprint, plan.proxies.mapping, parameters));
    findings.extend(fingerprint.without_labels_finding());
    Ok((plan, findings))
}

/// The cases that the plan is made from: those that are labelled, or all of them where none is.
fn plan_cases<'a>(rows: &[&'a CaseRow], plan_from: PlanFrom) -> Vec<&'a CaseRow> {
    let mut cases: Vec<&CaseRow> = rows.iter().copied().filter(|row| plan_from.includes(row.split)).collect();
    if cases.iter().any(|row| row.is_labelled()) {
        cases.retain(|row| row.is_labelled());
    }
    cases
}

/// The options that are not those of the plan, by name.
fn changed(plan: &Plan, parameters: &PrepareParameters) -> String {
    let names = plan::differences(&plan.parameters, parameters);
    if names.is_empty() { "modality or channels".to_owned() } else { names.join(", ") }
}
