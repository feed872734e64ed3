//! `pdl export`.

use std::path::{Path, PathBuf};

use anyhow::Result;
use pdl_exchange::export::{Exported, Shards, Target, export};
use pdl_exchange::files::Holding;

use crate::display::say;

/// Where to, and in which form.
#[derive(Debug, clap::Args)]
pub(crate) struct ExportParameters {
    /// For whom.
    #[arg(long, value_enum)]
    to: Target,
    /// The folder of the export; made when it is missing.
    #[arg(long, value_name = "PATH")]
    dest: PathBuf,
    /// Whether the export refers to the prepared volumes, or holds copies of or hard links to them; webdataset's
    /// shards always hold copies; default: reference
    #[arg(long, value_enum)]
    by: Option<Holding>,
    #[command(flatten)]
    shards: Shards,
}

/// Exports the curation folder and says what was written.
pub(crate) fn run(out: &Path, parameters: &ExportParameters, as_json: bool) -> Result<()> {
    let ExportParameters { to, dest, by, shards } = parameters;
    let exported = export(out, *to, dest, *by, *shards)?;
    if as_json {
        say(&serde_json::to_string_pretty(&exported)?);
        return Ok(());
    }
    let Exported { cases: [train, val, test], left_out, lists } = exported;
    let without =
        if left_out > 0 { format!("; {left_out} left out of the curriculum") } else { String::new() };
    say(&format!("{}: {train} train, {val} val, {test} test cases{without}", dest.display()));
    for list in lists {
        say(&format!("  {list}"));
    }
    Ok(())
}
