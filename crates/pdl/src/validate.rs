//! `pdl validate` and `pdl diff`: commands about manifests, which need no curation folder around them.

use std::path::{Path, PathBuf};

use anyhow::Result;
use pdl_console::{counted, say};
use pdl_curriculum::diff::{Changes, MovedCase, MovedPatient};
use pdl_curriculum::manifest::Manifest;
use pdl_curriculum::validate::{ValidateParameters, Validated, folder_of, validate};
use pdl_store::progress::Progress;

use crate::cli::Command;

/// Cases that are named one by one where there may be many; the rest is counted.
const NAMED: usize = 10;

/// The manifest to validate.
#[derive(Debug, clap::Args)]
pub(crate) struct ValidateArgs {
    /// The manifest: its folder, or its manifest.json or manifest.parquet.
    file: PathBuf,
    #[command(flatten)]
    parameters: ValidateParameters,
}

/// The manifests to compare.
#[derive(Debug, clap::Args)]
pub(crate) struct DiffArgs {
    /// The manifest as it was: its folder, or its manifest.json or manifest.parquet.
    old: PathBuf,
    /// The manifest as it is now.
    new: PathBuf,
}

impl ValidateArgs {
    pub(crate) fn path(&self) -> &PathBuf {
        &self.file
    }
}

impl DiffArgs {
    pub(crate) fn path(&self) -> &PathBuf {
        &self.new
    }
}

/// A manifest is not what it says, or not what another one was.
#[derive(Debug)]
pub(crate) struct DifferError(String);

impl std::fmt::Display for DifferError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for DifferError {}

/// Runs `command` if it is one of these.
pub(crate) fn run(command: &Command, progress: &dyn Progress, as_json: bool) -> Option<Result<()>> {
    Some(match command {
        Command::Validate(args) => run_validate(args, progress, as_json),
        Command::Diff(args) => run_diff(args, as_json),
        _ => return None,
    })
}

fn run_validate(args: &ValidateArgs, progress: &dyn Progress, as_json: bool) -> Result<()> {
    let Validated { schema_version, cases, differences } = &validate(&args.file, args.parameters, progress)?;
    if as_json {
        let result = serde_json::json!({
            "manifest": args.file, "schema_version": schema_version, "cases": cases, "differences": differences,
        });
        say(&serde_json::to_string_pretty(&result)?);
    } else {
        for difference in differences {
            let case = difference.case_id.as_ref().map_or(String::new(), |case| format!("{case}: "));
            say(&format!("{case}{} [{}]", difference.message, difference.code));
        }
    }
    if !differences.is_empty() {
        let problem = format!(
            "{}, by which the manifest is not what it says",
            counted(differences.len(), "difference")
        );
        return Err(DifferError(problem).into());
    }
    if !as_json {
        let version = schema_version.unwrap_or_default();
        say(&format!(
            "{}: version {version}, {}, all as it says",
            args.file.display(),
            counted(*cases, "case")
        ));
    }
    Ok(())
}

fn run_diff(args: &DiffArgs, as_json: bool) -> Result<()> {
    let open = |path: &Path| -> Result<Manifest> { Ok(Manifest::open(&folder_of(path)?)?) };
    let changes = Changes::between(&open(&args.old)?, &open(&args.new)?);
    if as_json {
        say(&serde_json::to_string_pretty(&changes)?);
    } else {
        tell(&changes);
    }
    if changes.splits_moved() {
        let (cases, patients) = (changes.moved.len(), changes.moved_patients.len());
        let problem = format!(
            "{cases} cases and {patients} further patients are in another split than before: figures from before and \
             after do not compare, and what was learnt from may be tested on"
        );
        return Err(DifferError(problem).into());
    }
    Ok(())
}

fn tell(changes: &Changes) {
    for MovedCase { case_id, from, to } in &changes.moved {
        say(&format!("MOVED: case {case_id}: {from} -> {to}"));
    }
    for MovedPatient { patient_id, from, to } in &changes.moved_patients {
        let names = |splits: &std::collections::BTreeSet<_>| {
            splits.iter().map(ToString::to_string).collect::<Vec<String>>().join(", ")
        };
        say(&format!("MOVED: patient {patient_id}: {} -> {}", names(from), names(to)));
    }
    let Changes { common, moved, added, removed, prepared_anew, reranked, .. } = changes;
    say(&format!(
        "{common} cases in both: {} in another split, {} of another rank, {} prepared anew; {} added, {} removed",
        moved.len(),
        reranked.len(),
        prepared_anew.len(),
        added.len(),
        removed.len()
    ));
    list("added", added.iter().map(String::as_str));
    list("removed", removed.iter().map(String::as_str));
    list("prepared anew", prepared_anew.iter().map(String::as_str));
    let rank = |rank: Option<u32>| rank.map_or("none".to_owned(), |rank| rank.to_string());
    let texts: Vec<String> = reranked
        .iter()
        .map(|case| format!("{} {} -> {}", case.case_id, rank(case.from), rank(case.to)))
        .collect();
    list("rank", texts.iter().map(String::as_str));
}

fn list<'a>(what: &str, items: impl ExactSizeIterator<Item = &'a str>) {
    let further = items.len().saturating_sub(NAMED);
    items.take(NAMED).for_each(|item| say(&format!("  {what}: {item}")));
    if further > 0 {
        say(&format!("  {what}: and {further} more (--json lists all)"));
    }
}
