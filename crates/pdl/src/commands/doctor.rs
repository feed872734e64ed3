//! `pdl doctor`.

use std::path::{Path, PathBuf};

use anyhow::Result;
use pdl_console::{ExitStatus, say};
use serde_json::json;

use crate::context::{Context, say_json};
use crate::doctor::{Check, State, curation, machine};
use crate::settings::FILE;

/// Arguments of `pdl doctor`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The curation folder; without it only the machine is checked.
    out: Option<PathBuf>,
}

/// Checks the machine, and the curation folder if one is given.
///
/// # Errors
/// When a check finds something wrong, or an error of the machine prevents one.
pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitStatus> {
    let place = args.out.as_deref().filter(|out| out.exists()).unwrap_or(Path::new("."));
    let machine = machine::checks(place);
    let folder = args.out.as_deref().map(curation::checks).transpose()?.unwrap_or_default();
    let all = || machine.iter().chain(&folder);
    let (count, wrong) = (all().count(), all().filter(|check| check.state == State::Wrong).count());
    if context.json {
        let checks: Vec<&Check> = all().collect();
        say_json(&json!({ "out": args.out, "wrong": wrong, "checks": checks }))?;
    } else {
        say("this machine:");
        machine.iter().for_each(print);
        if let Some(out) = &args.out {
            say(&format!("{}:", out.display()));
            folder.iter().for_each(print);
            if folder.iter().any(|check| check.state != State::Ok)
                && out.join(pdl_cohort::table::cases::FILE).is_file()
            {
                say(&format!(
                    "Run these commands with the same flags as before, unless {} holds them.",
                    out.join(FILE).display()
                ));
            }
        }
    }
    anyhow::ensure!(wrong == 0, "{wrong} of {count} checks failed; they are marked WRONG above");
    Ok(ExitStatus::Done)
}

fn print(Check { name, state, text }: &Check) {
    let mark = match state {
        State::Ok => "ok",
        State::Note => "note",
        State::Wrong => "WRONG",
    };
    say(&format!("  {mark:<6} {name:<13} {text}"));
}
