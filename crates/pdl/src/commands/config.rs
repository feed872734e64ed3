//! `pdl config`.

use std::path::PathBuf;

use anyhow::Result;
use pdl_console::{ExitStatus, say};

use crate::commands::curate::StageParameters;
use crate::context::{Context, say_json};
use crate::preconditions::Requirements;

/// Arguments of `pdl config`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The curation folder; it need not exist.
    out: PathBuf,
    #[command(flatten)]
    stages: StageParameters,
}

impl Args {
    pub(crate) fn requirements(&self) -> Requirements<'_> {
        Requirements { out: Some(&self.out), ..Requirements::default() }
    }
}

/// Prints the settings in force as TOML or JSON.
///
/// # Errors
/// When they cannot be serialised.
pub(crate) fn run(context: &Context) -> Result<ExitStatus> {
    if context.json {
        say_json(&context.settings)?;
    } else {
        say(toml::to_string(&context.settings)?.trim_end());
    }
    Ok(ExitStatus::Done)
}
