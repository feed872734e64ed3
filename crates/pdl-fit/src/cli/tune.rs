//! `pdl-fit tune`: a search for the settings of network, patches and optimiser.

use std::path::PathBuf;

use anyhow::Result;
use pdl_console::{ExitStatus, say};
use pdl_curriculum::format_versions;

use crate::cli::display::{show_runs, trials_table};
use crate::experiment::tuning::{Search, TuneRequest, files as tuning_files, tune};
use crate::plan::settings::{Settings, parse_memory};

/// Options that matter most, shown first.
pub(crate) const MAIN_OPTIONS: [&str; 5] = ["budget", "candidates", "lrs", "widths", "patches"];

/// Arguments of `pdl-fit tune`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder that `pdl curate COHORT --out OUT` wrote, or OUT/folds/K of `pdl rank OUT --folds N`.
    out: PathBuf,
    #[command(flatten)]
    search: Search,
    /// Tune again even if OUT holds a tuning. Without it a finished tuning is kept, and an
    /// interrupted one resumes.
    #[arg(long, help_heading = "Run")]
    force: bool,
    /// Skip the comparison of files with the hashes in the manifest, which saves time.
    #[arg(long, help_heading = "Run")]
    trust_files: bool,
    /// Memory limit, such as 8GiB, as in `pdl-fit train` [default: half of the free memory].
    #[arg(long, value_name = "SIZE", value_parser = parse_memory, help_heading = "Run")]
    memory: Option<u64>,
    /// Print the result as JSON.
    #[arg(long, help_heading = "Run")]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

pub(crate) fn run(args: Args) -> Result<ExitStatus> {
    let Args { out, force, trust_files, memory, json, search, settings } = args;
    format_versions::check(&out)?;
    let request = TuneRequest { out, search, settings, force, trust_files, memory };
    let (tuning, trials) = tune(&request, &mut show_runs)?;
    if json {
        say(&serde_json::to_string_pretty(&tuning)?);
        return Ok(ExitStatus::Done);
    }
    say(trials_table(&trials).trim_end());
    for file in tuning_files(&request.out) {
        say(&format!("wrote {}", file.display()));
    }
    say(&format!("next: pdl-fit train {} --tuned", request.out.display()));
    Ok(ExitStatus::Done)
}
