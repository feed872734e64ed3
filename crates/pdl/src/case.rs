//! The one case that a command is asked for.

use std::path::Path;

use anyhow::{Result, bail};
use pdl_cohort::attributes::Status;
use pdl_cohort::cases::{CaseRow, Cases};
use pdl_console::suggest;

/// # Errors
/// When the curation folder has no such case, or has rejected it.
pub(crate) fn check(out: &Path, case: &str) -> Result<()> {
    let cases = Cases::read(out)?;
    let Some(row) = cases.rows.iter().find(|row| row.case_id == case) else {
        let near = suggest::question(case, cases.usable().map(|row| row.case_id.as_str()));
        let near = if near.is_empty() { ";".to_owned() } else { near };
        bail!(
            "there is no case '{case}'{near} `pdl summary {0} --cases` lists all {1}: {0}",
            out.display(),
            cases.rows.len()
        );
    };
    if !row.is_usable() {
        bail!("case '{case}' was rejected, so nothing was made of it: {}", reasons(row));
    }
    Ok(())
}

/// Everything that was found of a case.
pub(crate) fn reasons(row: &CaseRow) -> String {
    row.findings.iter().map(|finding| finding.message.as_str()).collect::<Vec<_>>().join("; ")
}

/// A line for every case: what it is for, whether it is used, and why not.
pub(crate) fn listed(cases: &Cases) -> Vec<String> {
    let width = cases.rows.iter().map(|row| row.case_id.len()).max().unwrap_or(0);
    let line = |row: &CaseRow| {
        let codes: Vec<&str> = row.findings.iter().map(|finding| finding.code.as_str()).collect();
        let split = if row.is_usable() { row.split.to_string() } else { "-".to_owned() };
        let status = match row.status {
            Status::Ok => "ok",
            Status::Warning => "warning",
            Status::Rejected => "rejected",
        };
        let line = format!("  {:<width$}  {split:<5}  {status:<8}  {}", row.case_id, codes.join(" "));
        line.trim_end().to_owned()
    };
    cases.rows.iter().map(line).collect()
}
