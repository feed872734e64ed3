//! `pdl view`.

use std::path::PathBuf;

use anyhow::Result;
use pdl_console::{ExitStatus, say};
use pdl_store::safe_path::SafePath;
use serde_json::json;

use crate::context::Context;
use crate::output::terminal_image;
use crate::preconditions::{self, CASES, PREPARED, Requirements};

/// Arguments of `pdl view`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The curation folder.
    out: PathBuf,
    /// The case id.
    case: String,
    /// The channel to draw of cases with several, by its name or its number from 0; the first when
    /// not given.
    #[arg(long, value_name = "CHANNEL")]
    channel: Option<String>,
    /// The PNG to write; when not given OUT/views/CASE.png, which kitty, Ghostty, iTerm2 and
    /// WezTerm also show.
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

impl Args {
    pub(crate) fn requirements(&self) -> Requirements<'_> {
        Requirements::curated(&self.out, &[CASES, PREPARED])
    }
}

/// Draws one case as PNG.
///
/// # Errors
/// If there is no such case, or its files cannot be read.
pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitStatus> {
    let Args { out, case, channel, to } = args;
    preconditions::check_case(out, case)?;
    let file = match to {
        Some(to) => SafePath::from(to),
        None => SafePath::new(out, format!("views/{case}.png"))?,
    };
    pdl_report::view::view(out, case, channel.as_deref(), &file)?;
    let path = &to.clone().unwrap_or_else(|| file.full());
    if context.json {
        say(&json!({ "case": case, "file": path }).to_string());
        return Ok(ExitStatus::Done);
    }
    if to.is_none() {
        terminal_image::show(&std::fs::read(path)?);
    }
    say(&format!("{case}, as stored (top) and as prepared (bottom): {}", path.display()));
    Ok(ExitStatus::Done)
}
