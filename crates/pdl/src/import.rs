//! `pdl import`.

use std::path::PathBuf;

use anyhow::Result;
use pdl_exchange::import::{ImportParameters as Choices, Imported, import};

use pdl_console::say;

/// From where, and where to.
#[derive(Debug, clap::Args)]
pub(crate) struct ImportParameters {
    /// A MONAI datalist (.json), or the folder of an nnU-Net raw dataset (dataset.json, imagesTr, labelsTr).
    source: PathBuf,
    /// The cohort folder to write, for `pdl curate` or `pdl index`; made when it is missing.
    #[arg(long, value_name = "PATH")]
    pub dest: PathBuf,
    #[command(flatten)]
    choices: Choices,
}

/// Imports a dataset and says what it found.
pub(crate) fn run(parameters: &ImportParameters, as_json: bool) -> Result<()> {
    let ImportParameters { source, dest, choices } = parameters;
    let imported = import(source, dest, choices)?;
    if as_json {
        say(&serde_json::to_string_pretty(&imported)?);
        return Ok(());
    }
    let Imported { cases, split: [train, val, test], unlabelled } = imported;
    let open = cases - train - val - test;
    let without =
        if unlabelled > 0 { format!("; {unlabelled} without label left out") } else { String::new() };
    say(&format!(
        "{}: {cases} cases, {train} train, {val} val, {test} test, {open} without a split{without}",
        dest.display()
    ));
    Ok(())
}
