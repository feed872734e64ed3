//! The findings of all stages, one after the other.

use std::path::Path;

use pdl_cohort::table::cases::Cases;
use pdl_curriculum::audit::{self, Audit};
use pdl_curriculum::manifest::{self, Manifest};
use pdl_findings::{Finding, Severity};
use pdl_prepare::failure::{self, Failure};
use pdl_prepare::prepared_row;
use pdl_store::regular_file;

use crate::Result;

/// A finding, with the stage that reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageFinding {
    /// "index", "prepare", "rank" or "audit".
    pub stage: &'static str,
    /// The case that it is about; none where it is about the cohort.
    pub case_id: Option<String>,
    /// Kebab-case identifier, such as "small-split"; "failed" of a case that could not be prepared.
    pub code: &'static str,
    /// Severity: whether the case is rejected.
    pub severity: Severity,
    /// A sentence with the figures.
    pub message: String,
}

impl StageFinding {
    fn new(stage: &'static str, case_id: Option<&str>, finding: &Finding) -> Self {
        Self {
            stage,
            case_id: case_id.map(str::to_owned),
            code: finding.code.as_str(),
            severity: finding.code.severity(),
            message: finding.message.clone(),
        }
    }

    fn of_failure(failure: &Failure) -> Self {
        Self {
            stage: "prepare",
            case_id: Some(failure.case_id.clone()),
            code: "failed",
            severity: Severity::Rejection,
            message: failure.message.clone(),
        }
    }
}

/// All findings in the order of the stages; `reported` are those of later stages about the cohort.
pub fn stage_findings(
    cases: &Cases,
    failures: &[Failure],
    reported: &[(&'static str, &[Finding])],
) -> Vec<StageFinding> {
    let of_cohort = cases.findings.iter().map(|finding| StageFinding::new("index", None, finding));
    let of_cases = cases.rows.iter().flat_map(|row| {
        row.findings.iter().map(|finding| StageFinding::new("index", Some(&row.case_id), finding))
    });
    let of_failures = failures.iter().map(StageFinding::of_failure);
    let of_later = reported.iter().flat_map(|(stage, findings)| {
        findings.iter().map(move |finding| StageFinding::new(stage, None, finding))
    });
    of_cohort.chain(of_cases).chain(of_failures).chain(of_later).collect()
}

/// The findings about the cohort of the stages that have run after `index`; `prepared` are those of
/// `prepare`.
pub fn reported<'a>(
    prepared: &'a [Finding],
    manifest: Option<&'a Manifest>,
    audit: Option<&'a Audit>,
) -> Vec<(&'static str, &'a [Finding])> {
    let ranking = manifest.map(|manifest| ("rank", manifest.info.ranking.findings.as_slice()));
    let audit = audit.map(|audit| ("audit", audit.findings.as_slice()));
    [("prepare", prepared)].into_iter().chain(ranking).chain(audit).collect()
}

/// Reads the findings of the stages that have run in the curation folder `out`.
///
/// # Errors
/// [`crate::ReportError`] when a file of the folder cannot be read.
pub fn read(out: &Path) -> Result<Vec<StageFinding>> {
    let cases = Cases::read(out)?;
    let is_ranked = regular_file::is_there(&out.join(manifest::TABLE_FILE))?;
    let manifest = is_ranked.then(|| Manifest::open(out)).transpose()?;
    let audit = audit::read(out)?;
    let failures = failure::read(out)?;
    let prepared = prepared_row::read_findings(out)?;
    Ok(stage_findings(&cases, &failures, &reported(&prepared, manifest.as_ref(), audit.as_ref())))
}
