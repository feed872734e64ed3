//! `pdl completions` and `pdl man`: what a shell and a reader of manuals want to know of the command line.

use std::path::Path;

use anyhow::{Context, Result};
use clap::CommandFactory;
use clap_mangen::Man;
use pdl_store::atomic;

use crate::args::{Cli, Command};
use crate::display::say;

/// The program's name.
const NAME: &str = "pdl";

/// Runs `command` if it is one of these.
pub(crate) fn run(command: &Command) -> Option<Result<()>> {
    Some(match command {
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), NAME, &mut text);
            say(String::from_utf8_lossy(&text).trim_end());
            Ok(())
        }
        Command::Man { folder } => manual(folder),
        _ => return None,
    })
}

/// Writes `pdl.1` and `pdl-COMMAND.1`.
fn manual(folder: &Path) -> Result<()> {
    let mut whole = Cli::command().name(NAME);
    whole.build();
    let parts = whole.get_subcommands().filter(|part| part.get_name() != "help").cloned();
    let mut pages = vec![(NAME.to_owned(), whole.clone())];
    pages.extend(parts.map(|part| (format!("{NAME}-{}", part.get_name()), part)));
    for (name, command) in &pages {
        let mut page = Vec::new();
        Man::new(command.clone()).render(&mut page).with_context(|| format!("the page of {name}"))?;
        atomic::write(&folder.join(format!("{name}.1")), &page)?;
    }
    say(&format!("{} pages: {}", pages.len(), folder.display()));
    Ok(())
}
