//! `pdl summary`, the cohort on one screen, and `pdl view`, a picture of a case.

use std::path::Path;

use anyhow::Result;
use pdl_cohort::cases::{CaseRow, Cases};
use pdl_curriculum::audit::{self, Audit};
use pdl_curriculum::manifest::{self, Manifest};
use pdl_report::cohort::{self, Summary};
use pdl_store::json;

use serde_json::json;

use crate::case;
use crate::cli::Command;
use crate::output::terminal_image;
use pdl_console::{counted, say};

/// Findings that are named; the rest is counted.
const NAMED: usize = 10;

/// Runs `command` if it is one of these.
pub(crate) fn run(out: &Path, command: &Command, as_json: bool) -> Option<Result<()>> {
    Some(match command {
        Command::Summary { cases, .. } => summary(out, *cases, as_json),
        Command::View { case, to, .. } => picture(out, case, to.as_deref(), as_json),
        _ => return None,
    })
}

fn picture(out: &Path, case: &str, to: Option<&Path>, as_json: bool) -> Result<()> {
    let default = out.join("views").join(format!("{case}.png"));
    let path = to.unwrap_or(&default);
    case::check(out, case)?;
    pdl_report::view::view(out, case, path)?;
    if as_json {
        say(&json!({ "case": case, "file": path }).to_string());
    } else {
        if to.is_none() {
            terminal_image::show(&std::fs::read(path)?);
        }
        say(&format!("{case}, as stored (above) and as prepared (below): {}", path.display()));
    }
    Ok(())
}

/// Prints what `OUT` holds.
fn summary(out: &Path, list: bool, as_json: bool) -> Result<()> {
    let cases = Cases::read(out)?;
    let summary = cohort::summary(&cases, &pdl_prepare::prepare::read_failures(out)?, &[]);
    let manifest = out.join(manifest::TABLE_FILE).is_file().then(|| Manifest::open(out)).transpose()?;
    let audit: Option<Audit> =
        out.join(audit::FILE).is_file().then(|| json::read(&out.join(audit::FILE))).transpose()?;
    if as_json {
        let ranked = manifest.as_ref().map(|manifest| manifest.training().len());
        let stages = manifest.as_ref().map(|manifest| &manifest.info.stages);
        let leaks = audit.as_ref().map(|audit| audit.leaks);
        let mut result =
            json!({ "out": out, "cohort": summary, "ranked": ranked, "stages": stages, "leaks": leaks });
        if list {
            let row = |row: &CaseRow| {
                json!({ "case_id": row.case_id, "patient_id": row.patient_id, "split": row.split, "status": row.status,
                    "findings": row.findings })
            };
            result["cases"] = cases.rows.iter().map(row).collect();
        }
        say(&serde_json::to_string_pretty(&result)?);
        return Ok(());
    }
    lines(&summary).iter().for_each(|line| say(line));
    match &manifest {
        Some(manifest) => {
            let stages = manifest.info.stages.len();
            say(&format!(
                "curriculum  {} in {}",
                counted(manifest.training().len(), "training case"),
                counted(stages, "stage")
            ));
        }
        None => say("curriculum  not ranked yet: pdl rank"),
    }
    match &audit {
        Some(audit) => say(&format!("audit       {} between two splits", counted(audit.leaks, "pair"))),
        None => say("audit       not done yet: pdl audit"),
    }
    if list {
        case::listed(&cases).iter().for_each(|line| say(line));
    }
    Ok(())
}

fn lines(summary: &Summary) -> Vec<String> {
    let kinds: Vec<String> =
        summary.modalities.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let splits: Vec<String> = summary
        .splits
        .iter()
        .map(|(split, cases, patients)| format!("{split} {cases} ({patients})"))
        .collect();
    let labels: Vec<String> = summary.labels.iter().map(|(value, name)| format!("{value} {name}")).collect();
    let mut lines = vec![
        format!("cases       {} usable of {}", kinds.join(", "), counted(summary.patients, "patient")),
        format!("unusable    {} rejected, {} failed", summary.rejected, summary.failed),
        format!("splits      {} cases (patients)", splits.join(", ")),
        format!("labels      {}", labels.join(", ")),
    ];
    for group in summary.findings.iter().take(NAMED) {
        let about = if group.cases == 0 { "the cohort".to_owned() } else { counted(group.cases, "case") };
        lines.push(format!("found       {}: {about}", group.code));
    }
    if summary.findings.len() > NAMED {
        lines.push(format!("found       and {} other kinds", summary.findings.len() - NAMED));
    }
    lines
}
