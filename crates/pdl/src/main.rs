//! `pdl`: from a folder of volumes to a curriculum manifest.
//!
//! The command line knows every stage and decides nothing: it merges flags with `pdl.toml`
//! ([`settings`]), runs stages in order ([`stages`]) and says what was
//! made ([`output`]). Results go to stdout, progress and warnings to stderr.

mod audit;
mod case;
mod cli;
mod cluster;
mod config_error;
mod doctor;
mod export;
mod folds;
mod help;
mod import;
mod init;
mod outcome;
mod output;
mod pairs;
mod preconditions;
mod settings;
mod show;
mod stages;
mod validate;

use std::process::ExitCode;

use clap::FromArgMatches;
use pdl_console::ExitStatus;

use crate::cli::Cli;

fn main() -> ExitCode {
    let matches = pdl_console::command::<Cli>().get_matches(); // ends with code 2 on wrong usage
    let result = Cli::from_arg_matches(&matches)
        .map_err(anyhow::Error::from)
        .and_then(|cli| stages::run(&cli, &matches));
    match result {
        Ok(()) => ExitStatus::Done.into(),
        Err(error) => {
            let status = match () {
                () if error.is::<preconditions::PreconditionError>() => ExitStatus::Usage,
                () if error.is::<stages::StrictError>() => ExitStatus::Strict,
                () if error.is::<audit::LeakError>() => ExitStatus::Leak,
                () if error.is::<validate::DifferError>() => ExitStatus::Differs,
                () => ExitStatus::Failed,
            };
            pdl_console::report(error.as_ref());
            status.into()
        }
    }
}
