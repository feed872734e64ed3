//! `pdl select`: the cases to annotate next.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use pdl_console::{ExitStatus, counted, note, say};
use pdl_curriculum::annotation::{AnnotationSelection, NeighbourKind, SelectionParameters, select};
use pdl_store::atomic;
use pdl_store::printable::{cell, path_cell};

use crate::context::{Context, say_json};
use crate::preconditions::{PAIRED, Requirements};

/// Arguments of `pdl select`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The curation folder.
    out: PathBuf,
    #[command(flatten)]
    parameters: SelectionParameters,
    /// Folder into which `pdl-fit predict --uncertainty` segmented the cohort's images, or its
    /// predictions.parquet: the criterion of each case is multiplied by its uncertainty. Without it
    /// similarities alone decide.
    #[arg(long, value_name = "FOLDER|FILE")]
    uncertainty: Option<PathBuf>,
    /// The file to write, as JSON if its name ends in .json, else as CSV; stdout when not given, as
    /// CSV or, with --json, as JSON.
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

impl Args {
    pub(crate) fn requirements(&self) -> Requirements<'_> {
        Requirements::curated(&self.out, PAIRED)
    }
}

/// Writes the cases to annotate next, the most useful first, each with the reason.
///
/// # Errors
/// When pairs are missing, there is no memory for them, or the file cannot be written.
pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitStatus> {
    let (predictions, limit) = (args.uncertainty.as_deref(), context.stage().memory_limit());
    let selection = select(&args.out, &args.parameters, predictions, &limit)?;
    tell(&selection, args.parameters.count);
    let Some(path) = &args.to else {
        match context.json {
            true => say_json(&selection)?,
            false => say(table(&selection)?.trim_end()),
        }
        return Ok(ExitStatus::Done);
    };
    let text =
        if is_json(path) { serde_json::to_string_pretty(&selection)? + "\n" } else { table(&selection)? };
    atomic::write(path, text.as_bytes())?;
    let cases = selection.cases.len();
    match context.json {
        true => say_json(&serde_json::json!({ "cases": cases, "file": path }))?,
        false => say(&format!("{} to annotate: {}", counted(cases, "case"), path.display())),
    }
    Ok(ExitStatus::Done)
}

fn is_json(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("json"))
}

/// Reports on stderr the cases that could not be selected.
fn tell(selection: &AnnotationSelection, count: usize) {
    let AnnotationSelection { candidates, not_compared, without_uncertainty, .. } = *selection;
    if candidates < count {
        note(&format!("note: {} without a label can be selected", counted(candidates, "case")));
    }
    if not_compared > 0 {
        note(&format!(
            "note: {} without a label cannot be selected, as they could not be prepared (failures.json)",
            counted(not_compared, "case")
        ));
    }
    if without_uncertainty > 0 {
        note(&format!(
            "note: {} without a label cannot be selected, as --uncertainty has no figure of them",
            counted(without_uncertainty, "case")
        ));
    }
}

/// The selection as CSV.
fn table(selection: &AnnotationSelection) -> Result<String> {
    let mut table = csv::Writer::from_writer(Vec::new());
    table.write_record([
        "rank",
        "case_id",
        "patient_id",
        "split",
        "image",
        "distance",
        "nearest_case",
        "nearest_is",
        "uncertainty",
        "reason",
    ])?;
    for case in &selection.cases {
        table.write_record([
            case.rank.to_string().as_str(),
            cell(&case.case_id).as_ref(),
            cell(&case.patient_id).as_ref(),
            case.split.to_string().as_str(),
            path_cell(&case.image).as_ref(),
            case.distance.map_or(String::new(), |distance| format!("{distance:.6}")).as_str(),
            cell(case.nearest_case.as_deref().unwrap_or_default()).as_ref(),
            case.nearest_is.map_or("", NeighbourKind::as_str),
            case.uncertainty.map_or(String::new(), |unsure| format!("{unsure:.6}")).as_str(),
            case.reason.as_str(),
        ])?;
    }
    let bytes = table.into_inner().context("cannot write the table")?;
    Ok(String::from_utf8(bytes)?)
}
