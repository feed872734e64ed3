//! `pdl`: from a folder of volumes to a curriculum manifest.
//!
//! The command line knows every stage and decides nothing: it merges flags with `pdl.toml`
//! ([`settings`]), runs stages in order ([`stages`]), shows how far they are ([`display`]) and says what
//! was made ([`summary`]). Results go to stdout, progress and warnings to stderr.

mod args;
mod audit;
mod case;
mod cluster;
mod display;
mod doctor;
mod export;
mod folds;
mod health;
mod help;
mod import;
mod init;
mod inline;
mod next;
mod outcome;
mod pairs;
mod places;
mod settings;
mod show;
mod stages;
mod summary;
mod validate;
mod wrong_key;

use std::process::ExitCode;

use clap::FromArgMatches;

use crate::args::Cli;

/// Exit code when a run ended as asked.
const DONE: u8 = 0;
/// Exit code of an error that ended the run.
const FAILED: u8 = 1;
/// Exit code of wrong usage, as clap has it.
const USAGE: u8 = 2;
/// Exit code when something joins two splits.
const LEAK: u8 = 3;
/// Exit code when a manifest is not what it says, or not what another one was.
const DIFFERS: u8 = 5;
/// Exit code when `--strict` met a case that cannot be used.
pub(crate) const STRICT: u8 = 4;

fn main() -> ExitCode {
    let matches = pdl_console::command::<Cli>().get_matches(); // ends with code 2 on wrong usage
    let result = Cli::from_arg_matches(&matches)
        .map_err(anyhow::Error::from)
        .and_then(|cli| stages::run(&cli, &matches));
    match result {
        Ok(()) => ExitCode::from(DONE),
        Err(error) => {
            let code = match () {
                () if error.is::<places::PlaceError>() => USAGE,
                () if error.is::<stages::StrictError>() => STRICT,
                () if error.is::<audit::LeakError>() => LEAK,
                () if error.is::<validate::DifferError>() => DIFFERS,
                () => FAILED,
            };
            display::error(&error);
            ExitCode::from(code)
        }
    }
}
