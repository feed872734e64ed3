//! `pdl-fit compare`: curriculum schedules against conventional training.

use std::path::{Path, PathBuf};

use anyhow::Result;
use pdl_console::{ExitStatus, note, say};
use pdl_curriculum::format_versions;
use pdl_store::lock::FolderLock;
use pdl_store::safe_path::SafePath;

use crate::cli::display::show_runs;
use crate::data::dataset::Dataset;
use crate::data::subset::Subset;
use crate::experiment::compare::FOLDER as COMPARISON_FOLDER;
use crate::experiment::compare::arm_tuning::{FILE as TUNED_FILE, Tuned, tune as tune_arms};
use crate::experiment::compare::protocol::Protocol;
use crate::experiment::compare::report::{FILE as COMPARISON_FILE, report as report_comparison};
use crate::experiment::runner::Runs;
use crate::plan::settings::parse_memory;

/// Arguments of `pdl-fit compare`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder that `pdl curate COHORT --out OUT` wrote.
    out: PathBuf,
    /// TOML file with the arms and the grid of learning rates and lengths that they choose from
    /// [default: conventional, random growing and pdl, each with and without progressive
    /// resolution, and two whose patches grow in size and number; tuned.json shows it whole].
    #[arg(long, value_name = "FILE")]
    protocol: Option<PathBuf>,
    /// Target and choices of an earlier tuning, which is then not repeated
    /// [default: OUT/comparison/tuned.json].
    #[arg(long, value_name = "FILE", conflicts_with = "protocol")]
    tuned: Option<PathBuf>,
    /// Seeds to report, from 1 on; 0 ends after tuning. Several processes can share a tuning: start
    /// the command more than once, each with a part of the cores (OMP_NUM_THREADS).
    #[arg(long, default_value_t = 3, value_name = "N")]
    seeds: u64,
    /// Report only the arm of this name, beside the conventional one. May be repeated; without it
    /// all arms are reported.
    #[arg(long, value_name = "NAME")]
    arm: Vec<String>,
    /// Skip the comparison of files with the hashes in the manifest, which saves time.
    #[arg(long, help_heading = "Run")]
    trust_files: bool,
    /// Memory limit, such as 8GiB, as in `pdl-fit train` [default: half of the free memory].
    #[arg(long, value_name = "SIZE", value_parser = parse_memory, help_heading = "Run")]
    memory: Option<u64>,
    /// Print the result as JSON.
    #[arg(long, help_heading = "Run")]
    json: bool,
}

pub(crate) fn run(args: Args) -> Result<ExitStatus> {
    let Args { out, protocol, tuned, seeds, arm: arms, trust_files, memory, json } = args;
    format_versions::check(&out)?;
    let folder = SafePath::new(&out, COMPARISON_FOLDER)?.folder()?;
    let mut watch = show_runs;
    let mut runs = Runs::new(&out, COMPARISON_FOLDER, Subset::All, trust_files, &mut watch).within(memory);
    let mut tuned = match tuned {
        Some(file) => read_tuned(&file, &out)?,
        None => {
            let protocol = Protocol::read(protocol.as_deref())?;
            tune_arms(&protocol, &folder.join(TUNED_FILE), &mut runs)?
        }
    };
    if seeds == 0 {
        say(&format!("target: Dice {:.4}; best arm on the tuning seeds: {}", tuned.target, tuned.best));
        say(&format!("wrote {}", folder.join(TUNED_FILE).display()));
        return Ok(ExitStatus::Done);
    }
    tuned.keep_arms(&arms)?;
    // Processes may share trials, which count steps; reported runs are timed and need the machine
    // for themselves.
    let _lock = FolderLock::take(&folder)?;
    let compared = report_comparison(&tuned, &(1..=seeds).collect::<Vec<_>>(), &folder, &mut runs)?;
    if json {
        say(&serde_json::to_string_pretty(&compared.rows)?);
    } else {
        say(compared.text.trim_end());
        say(&format!("wrote {}", folder.join(COMPARISON_FILE).display()));
    }
    Ok(ExitStatus::Done)
}

/// Reads an earlier tuning, and warns where it is of another manifest than that of `out`.
fn read_tuned(file: &Path, out: &Path) -> Result<Tuned> {
    let tuned = Tuned::read(file)?;
    if tuned.manifest_blake3 != Dataset::open(out)?.manifest.info.hashes.manifest {
        note(&format!("warning: target and choices were tuned on another manifest: {}", file.display()));
    }
    Ok(tuned)
}
