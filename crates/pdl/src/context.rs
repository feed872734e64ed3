//! The context of every command, in addition to its own arguments.

use anyhow::Result;
use pdl_console::{Display, say};
use pdl_store::journal::HashCheck;
use pdl_store::progress::StageContext;
use serde::Serialize;

use crate::settings::Settings;

/// The context of every command, in addition to its own arguments.
pub(crate) struct Context {
    /// The whole command line, for commands that explain it.
    pub program: clap::Command,
    /// Flags over `pdl.toml` over defaults; for commands that read no settings the global flags
    /// over defaults.
    pub settings: Settings,
    /// Where progress is shown.
    pub display: Display,
    /// Whether results are printed as JSON.
    pub json: bool,
}

impl Context {
    /// How stages run: what counts as unchanged, where they report progress, and their limit of
    /// memory.
    pub(crate) fn stage(&self) -> StageContext<'_> {
        let run = &self.settings.run;
        let hash_check = if run.verify { HashCheck::Content } else { HashCheck::Stamps };
        StageContext { hash_check, progress: &self.display, memory: run.memory.map(|memory| memory.0) }
    }
}

/// Prints a result as indented JSON.
///
/// # Errors
/// When it cannot be serialised.
pub(crate) fn say_json(result: &impl Serialize) -> Result<()> {
    say(&serde_json::to_string_pretty(result)?);
    Ok(())
}
