//! `pdl import`.

use std::path::PathBuf;

use anyhow::Result;
use pdl_console::{ExitStatus, counted, note, say};
use pdl_exchange::import::{ImportOptions, Imported, import};

use crate::context::{Context, say_json};

/// Arguments of `pdl import`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A MONAI datalist (.json), or the folder of an nnU-Net raw dataset (dataset.json, imagesTr,
    /// labelsTr).
    source: PathBuf,
    /// The cohort folder to write, for `pdl curate` or `pdl index`; created if missing.
    #[arg(long, value_name = "PATH")]
    dest: PathBuf,
    #[command(flatten)]
    parameters: ImportOptions,
}

/// Writes a cohort folder that refers to the volumes of the dataset.
///
/// # Errors
/// When the dataset cannot be read, or leaves a choice open.
pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitStatus> {
    let Args { source, dest, parameters } = args;
    let imported = import(source, dest, parameters)?;
    if !imported.normalisations.is_empty() {
        note(&format!(
            "note: the names of its channels state a normalisation of intensities ({}) that is not followed: state one with \
             --normalise when you prepare the cohort",
            imported.normalisations.join(", ")
        ));
    }
    if context.json {
        say_json(&imported)?;
        return Ok(ExitStatus::Done);
    }
    let Imported { cases, split: [train, val, test], unlabelled, .. } = imported;
    let open = cases - train - val - test;
    let without =
        if unlabelled > 0 { format!("; {unlabelled} without label excluded") } else { String::new() };
    say(&format!(
        "{}: {}, {train} train, {val} val, {test} test, {open} without a split{without}",
        dest.display(),
        counted(cases, "case")
    ));
    Ok(ExitStatus::Done)
}
