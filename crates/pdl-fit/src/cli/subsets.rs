//! `pdl-fit subsets`: how few training cases suffice.

use std::path::PathBuf;

use anyhow::Result;
use pdl_console::{ExitStatus, say};

use crate::cli::experiment::{RunArgs, refuse_newer, write_report};
use crate::experiment::subsets::selection::SubsetsRequest;
use crate::experiment::subsets::subsets_table::text;
use crate::experiment::subsets::summary::SCHEMA_VERSION;
use crate::experiment::subsets::{FILE, TABLE_FILE, measure};
use crate::plan::settings::Settings;

/// Options that matter most, shown first.
pub(crate) const MAIN_OPTIONS: [&str; 4] = ["keep", "draws", "seeds", "steps"];

/// Arguments of `pdl-fit subsets`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder that `pdl curate COHORT --out OUT` wrote.
    out: PathBuf,
    #[command(flatten)]
    request: SubsetsRequest,
    #[command(flatten)]
    runs: RunArgs,
    #[command(flatten)]
    settings: Settings,
}

pub(crate) fn run(args: Args) -> Result<ExitStatus> {
    let Args { out, request, runs, settings } = args;
    refuse_newer(&out, (FILE, TABLE_FILE), SCHEMA_VERSION)?;
    let (folder, subsets) = runs.with_maker(&out, |maker| measure(&out, &request, &settings, maker))?;
    if runs.json {
        say(&serde_json::to_string_pretty(&subsets)?);
        return Ok(ExitStatus::Done);
    }
    say(text(&subsets).trim_end());
    say(&format!("wrote {}", folder.join(FILE).display()));
    say(&format!("wrote {}", folder.join(TABLE_FILE).display()));
    write_report(&out);
    Ok(ExitStatus::Done)
}
