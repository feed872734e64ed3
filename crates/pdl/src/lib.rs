//! `pdl`: from a folder of volumes to a curriculum manifest.
//!
//! The command line (`cli`) knows every command (`commands`) and runs the one that was typed,
//! once its settings (`settings`: flags over `pdl.toml` over defaults) are read and what it
//! requires ([`preconditions`]) holds. Results go to stdout, progress and warnings to stderr
//! (`output`).
//!
//! The program and the Python package both run [`run`]; the latter also asks [`preconditions`], so
//! that a missing folder is explained in the same words.

mod cli;
mod cluster;
mod commands;
mod config_error;
mod context;
mod doctor;
mod outcome;
mod output;
pub mod preconditions;
mod settings;
mod stages;

use std::ffi::OsString;

use clap::FromArgMatches;
use pdl_console::{ExitStatus, StatusError};
use pdl_store::fault;

use crate::cli::Cli;

pub use crate::commands::summary::summary_lines;

/// Runs the command line `words`, of which the first is the program's name, and returns how it
/// ended; errors are on stderr by then. A process runs one: threads, bars and the answer to Ctrl-C
/// are set up for good.
pub fn run(words: impl IntoIterator<Item = OsString>) -> ExitStatus {
    let program = cli::program();
    let matches = match pdl_console::parse_from(program.clone(), words) {
        Ok(matches) => matches,
        Err(ended) => return ended,
    };
    let ended = Cli::from_arg_matches(&matches)
        .map_err(anyhow::Error::from)
        .and_then(|cli| cli::run(&cli, &matches, program));
    let status = ended.unwrap_or_else(|error| {
        pdl_console::report(error.as_ref());
        match error.downcast_ref::<StatusError>() {
            Some(error) => error.status,
            None if fault::machine_error(error.as_ref()).is_some() => ExitStatus::Machine,
            None => ExitStatus::Failed,
        }
    });
    pdl_console::finished(status)
}
