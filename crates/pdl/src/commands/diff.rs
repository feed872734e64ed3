//! `pdl diff`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Result;
use pdl_console::{ExitStatus, MOST_LISTED, counted, say, shorten};
use pdl_curriculum::diff::{ManifestDiff, PatientSplitChange, SplitChange};
use pdl_curriculum::manifest::Manifest;
use pdl_curriculum::validate::folder_of;

use crate::context::{Context, say_json};
use crate::preconditions::Requirements;

/// Arguments of `pdl diff`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The earlier manifest: its folder, or its manifest.json or manifest.parquet.
    old: PathBuf,
    /// The later manifest, in the same way.
    new: PathBuf,
}

impl Args {
    pub(crate) fn requirements(&self) -> Requirements<'_> {
        Requirements::manifest(&self.new)
    }
}

/// Prints what changed from one manifest to another.
///
/// # Errors
/// `ExitStatus::Differs` when cases or patients moved between splits.
pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitStatus> {
    let open = |path: &Path| -> Result<Manifest> { Ok(Manifest::open(&folder_of(path)?)?) };
    let changes = ManifestDiff::between(&open(&args.old)?, &open(&args.new)?);
    if context.json {
        say_json(&changes)?;
    } else {
        print(&changes);
    }
    if changes.splits_moved() {
        let message = format!(
            "{} and {} moved between splits: results before and after are not comparable, and training data may be in the \
             test split",
            counted(changes.moved.len(), "case"),
            counted(changes.moved_patients.len(), "further patient")
        );
        return Err(ExitStatus::Differs.error(message).into());
    }
    Ok(ExitStatus::Done)
}

fn print(changes: &ManifestDiff) {
    for SplitChange { case_id, from, to } in &changes.moved {
        say(&format!("MOVED: case {case_id}: {from} -> {to}"));
    }
    for PatientSplitChange { patient_id, from, to } in &changes.moved_patients {
        let names =
            |splits: &BTreeSet<_>| splits.iter().map(ToString::to_string).collect::<Vec<String>>().join(", ");
        say(&format!("MOVED: patient {patient_id}: {} -> {}", names(from), names(to)));
    }
    let ManifestDiff { common, moved, added, removed, prepared_anew, reranked, .. } = changes;
    say(&format!(
        "{common} cases in both: {} in another split, {} of another rank, {} prepared again; {} added, {} removed",
        moved.len(),
        reranked.len(),
        prepared_anew.len(),
        added.len(),
        removed.len()
    ));
    list("added", added);
    list("removed", removed);
    list("prepared again", prepared_anew);
    let rank = |rank: Option<u32>| rank.map_or("none".to_owned(), |rank| rank.to_string());
    let ranks: Vec<String> = reranked
        .iter()
        .map(|case| format!("{} {} -> {}", case.case_id, rank(case.from), rank(case.to)))
        .collect();
    list("rank", &ranks);
}

fn list(what: &str, items: &[String]) {
    let (listed, more) = shorten(items, MOST_LISTED);
    listed.iter().for_each(|item| say(&format!("  {what}: {item}")));
    if more > 0 {
        say(&format!("  {what}: and {more} more (--json lists all)"));
    }
}
