//! `pdl-fit compare`: training recipes against each other, by seconds to the same Dice.

use std::path::PathBuf;

use anyhow::Result;
use pdl_console::{ExitStatus, say};

use crate::cli::experiment::{RunArgs, refuse_newer, write_report};
use crate::experiment::compare::comparison_row::FILE as TABLE_FILE;
use crate::experiment::compare::comparison_table::text;
use crate::experiment::compare::measure::measure;
use crate::experiment::compare::protocol::Protocol;
use crate::experiment::compare::result::{FILE, SCHEMA_VERSION};

/// Arguments of `pdl-fit compare`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder that `pdl curate COHORT --out OUT` wrote.
    out: PathBuf,
    /// TOML file with levels, folds, grid, seeds, orders and arms; or `quick`, which takes 15
    /// minutes on a sample cohort [default: conventional training, and a recipe with each of its
    /// factors changed in turn; comparison.json shows it whole].
    #[arg(long, value_name = "FILE|quick")]
    protocol: Option<PathBuf>,
    /// Repeat the step timing at the end, on an otherwise idle machine. These times replace those
    /// measured before and after the runs.
    #[arg(long)]
    time_again: bool,
    #[command(flatten)]
    runs: RunArgs,
}

pub(crate) fn run(args: Args) -> Result<ExitStatus> {
    let Args { out, protocol, time_again, runs } = args;
    refuse_newer(&out, (FILE, TABLE_FILE), SCHEMA_VERSION)?;
    let protocol = Protocol::read(protocol.as_deref())?;
    let (folder, (comparison, rows)) =
        runs.with_maker(&out, |maker| measure(&out, &protocol, time_again, maker))?;
    if runs.json {
        say(&serde_json::to_string_pretty(&comparison)?);
        return Ok(ExitStatus::Done);
    }
    say(text(&comparison, &rows).trim_end());
    say(&format!("wrote {}", folder.join(FILE).display()));
    say(&format!("wrote {}", folder.join(TABLE_FILE).display()));
    write_report(&out);
    Ok(ExitStatus::Done)
}
