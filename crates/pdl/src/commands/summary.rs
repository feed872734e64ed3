//! `pdl summary`: the cohort on one screen.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::Result;
use pdl_cohort::table::case_row::CaseRow;
use pdl_cohort::table::cases::Cases;
use pdl_cohort::table::sources::{self, FileCounts, SourceRow};
use pdl_console::{ExitStatus, MOST_LISTED, counted, say, shorten};
use pdl_curriculum::audit::{self, Audit};
use pdl_curriculum::label_audit::{LabelAudit, LabelReason, REVIEW_FILE};
use pdl_curriculum::manifest::{self, Manifest};
use pdl_findings::SkipReason;
use pdl_prepare::{failure, prepared_row};
use pdl_report::cohort::{self, CohortSummary};
use pdl_report::findings;
use pdl_store::regular_file;
use serde_json::{Value, json};

use crate::context::{Context, say_json};
use crate::output::case_list;
use crate::preconditions::{CASES, Requirements};

/// Arguments of `pdl summary`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The curation folder.
    out: PathBuf,
    /// Also list every case: its split, status and findings.
    #[arg(long)]
    cases: bool,
    /// Count the files of the cohort's folder by their use (image, label), or by the reason why
    /// they were skipped, as sources.parquet lists them.
    #[arg(long)]
    files: bool,
}

impl Args {
    pub(crate) fn requirements(&self) -> Requirements<'_> {
        Requirements::curated(&self.out, &[CASES])
    }
}

/// Prints the cohort on one screen.
///
/// # Errors
/// When a file of the curation folder cannot be read.
pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitStatus> {
    let Args { out, cases: list, files } = args;
    let overview = Overview::read(out)?;
    let files = if *files { Some(file_counts(out, &overview.cases)?) } else { None };
    if context.json {
        let mut result = overview.json(out);
        if *list {
            let row = |row: &CaseRow| {
                json!({ "case_id": row.case_id, "patient_id": row.patient_id, "split": row.split, "status": row.status,
                    "findings": row.findings })
            };
            result["cases"] = overview.cases.rows.iter().map(row).collect();
        }
        if let Some(files) = &files {
            result["files"] = json!(files);
        }
        say_json(&result)?;
        return Ok(ExitStatus::Done);
    }
    overview.lines().iter().for_each(|line| say(line));
    if *list {
        case_list::lines(&overview.cases).iter().for_each(|line| say(line));
    }
    files.iter().flat_map(file_lines).for_each(|line| say(&line));
    Ok(ExitStatus::Done)
}

/// The lines that `pdl summary` prints of the cohort in `out`.
///
/// # Errors
/// When a file of the curation folder cannot be read.
pub fn summary_lines(out: &Path) -> Result<Vec<String>> {
    Ok(Overview::read(out)?.lines())
}

/// Where a cohort stands.
struct Overview {
    cases: Cases,
    summary: CohortSummary,
    manifest: Option<Manifest>,
    audit: Option<Audit>,
}

impl Overview {
    fn read(out: &Path) -> Result<Self> {
        let cases = Cases::read(out)?;
        let is_ranked = regular_file::is_there(&out.join(manifest::TABLE_FILE))?;
        let manifest = is_ranked.then(|| Manifest::open(out)).transpose()?;
        let audit = audit::read(out)?;
        let (prepared, failures) = (prepared_row::read_findings(out)?, failure::read(out)?);
        let reported = findings::reported(&prepared, manifest.as_ref(), audit.as_ref());
        let summary = cohort::summary(&cases, &failures, &reported);
        Ok(Self { cases, summary, manifest, audit })
    }

    fn json(&self, out: &Path) -> Value {
        let ranked = self.manifest.as_ref().map(|manifest| manifest.training().len());
        let stages = self.manifest.as_ref().map(|manifest| &manifest.info.stages);
        let leaks = self.audit.as_ref().map(|audit| audit.leaks);
        let labels: Option<Vec<_>> = self.label_audit().map(|labels| labels.worst().collect());
        json!({ "out": out, "cohort": self.summary, "ranked": ranked, "stages": stages, "leaks": leaks,
                "labels_to_review": labels })
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = cohort_lines(&self.summary);
        lines.push(curriculum_line(self.manifest.as_ref()));
        lines.push(match &self.audit {
            Some(audit) => format!("audit       {} between two splits", counted(audit.leaks, "pair")),
            None => "audit       not done yet: pdl audit".to_owned(),
        });
        lines.extend(self.label_audit().into_iter().flat_map(label_lines));
        lines
    }

    fn label_audit(&self) -> Option<&LabelAudit> {
        self.audit.as_ref()?.labels.as_ref()
    }
}

/// How many labels differ from what similar cases lead one to expect, and the worst of them.
fn label_lines(labels: &LabelAudit) -> Vec<String> {
    let open: Vec<_> = labels.worst().filter(|own| own.decision.is_none()).collect();
    let mut lines = vec![format!(
        "labels      {} of {} to look at",
        counted(open.len(), "label"),
        counted(labels.cases, "case")
    )];
    let (listed, more) = shorten(&open, MOST_LISTED);
    lines.extend(listed.iter().map(|own| {
        let name = own.name.clone().unwrap_or_else(|| format!("label {}", own.label));
        let reason = own.reason.map_or("", LabelReason::as_str);
        format!("            {} {name}: {reason} (score {:.1})", own.case_id, own.score.unwrap_or_default())
    }));
    if more > 0 {
        lines.push(format!("            and {more} more: {REVIEW_FILE}"));
    }
    lines
}

/// Counts of the cohort's files by use; in a folder of an earlier version that does not list them,
/// of those that cases name.
fn file_counts(out: &Path, cases: &Cases) -> Result<FileCounts> {
    let usable: HashSet<&str> = cases.usable().map(|row| row.case_id.as_str()).collect();
    let of_row = |row: &CaseRow| SourceRow {
        case_id: row.case_id.clone(),
        image: Some(row.image.clone()).filter(|path| !path.is_empty()).into_iter().collect(),
        label: row.label.clone().into_iter().collect(),
        set_aside: None,
        reason: None,
    };
    let rows = match regular_file::is_there(&out.join(sources::FILE))? {
        true => sources::read(out)?,
        false => cases.rows.iter().map(of_row).collect(),
    };
    Ok(FileCounts::of(&rows, &|case| usable.contains(case)))
}

fn file_lines(files: &FileCounts) -> Vec<String> {
    let read = [
        (files.image, "read as images"),
        (files.label, "read as labels"),
        (files.rejected, "of rejected cases"),
    ];
    let mut lines = vec![format!("files       {}", counted(files.all(), "file"))];
    lines.extend(
        read.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("  {count:>8}  {what}")),
    );
    let skipped = |(reason, count): (&SkipReason, &usize)| {
        format!("  {count:>8}  skipped: {} [{reason}]", reason.words())
    };
    lines.extend(files.skipped.iter().map(skipped));
    lines
}

fn curriculum_line(manifest: Option<&Manifest>) -> String {
    let Some(manifest) = manifest else { return "curriculum  not ranked yet: pdl rank".to_owned() };
    format!(
        "curriculum  {} in {}",
        counted(manifest.training().len(), "training case"),
        counted(manifest.info.stages.len(), "stage")
    )
}

fn cohort_lines(summary: &CohortSummary) -> Vec<String> {
    let kinds: Vec<String> =
        summary.modalities.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let splits: Vec<String> = summary
        .splits
        .iter()
        .map(|(split, cases, patients)| format!("{split} {cases} ({patients})"))
        .collect();
    let labels: Vec<String> = summary.labels.iter().map(|(value, name)| format!("{value} {name}")).collect();
    let unlabelled = match summary.unlabelled {
        0 => String::new(),
        n => format!(", {n} unlabelled"),
    };
    let mut lines = vec![
        format!(
            "cases       {} usable of {}{unlabelled}",
            kinds.join(", "),
            counted(summary.patients, "patient")
        ),
        format!("unusable    {} rejected, {} failed", summary.rejected, summary.failed),
        format!("splits      {} cases (patients)", splits.join(", ")),
        format!("labels      {}", labels.join(", ")),
    ];
    let (listed, more) = shorten(&summary.findings, MOST_LISTED);
    for group in listed {
        let about = if group.cases == 0 { "the cohort".to_owned() } else { counted(group.cases, "case") };
        lines.push(format!("findings    {}: {about}", group.code));
    }
    if more > 0 {
        lines.push(format!("findings    {}", counted(more, "more kind")));
    }
    lines
}
