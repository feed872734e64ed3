//! `pdl help`: of a command or a topic, and the overview that `pdl --help` prints. The texts of
//! topics lie in the crates that they are about.

use std::fmt::Write;

use anyhow::{Result, anyhow};
use pdl_console::suggest::nearest;
use pdl_console::{ExitStatus, say};

use pdl_findings::Code;

use crate::context::Context;

/// The topic that is made from the list of codes.
const FINDINGS: &str = "findings";

/// The topics: name, text.
const TOPICS: [(&str, &str); 18] = [
    ("geometry", pdl_volume::GEOMETRY_HELP),
    ("similarity", pdl_similarity::SIMILARITY_HELP),
    ("curriculum", pdl_curriculum::CURRICULUM_HELP),
    ("formats", pdl_io::FORMATS_HELP),
    ("privacy", pdl_cohort::PRIVACY_HELP),
    ("dicom", pdl_cohort::DICOM_HELP),
    ("labels", pdl_cohort::LABELS_HELP),
    ("layouts", pdl_cohort::LAYOUTS_HELP),
    (FINDINGS, ""),
    ("splits", pdl_curriculum::SPLITS_HELP),
    ("frameworks", pdl_exchange::FRAMEWORKS_HELP),
    ("options", include_str!("../../help/options.md")),
    ("loops", include_str!("../../help/loops.md")),
    ("files", include_str!("../../help/files.md")),
    ("words", include_str!("../../help/words.md")),
    ("exit-codes", include_str!("../../help/exit-codes.md")),
    ("cluster", include_str!("../../help/cluster.md")),
    ("measured", include_str!("../../help/measured.md")),
];

/// The way through the program: what to type, and what it does. `{about}` is the command's own.
const START: [(&str, &str, &str); 4] = [
    ("pdl init COHORT --out OUT", "init", "{about}"),
    ("pdl curate COHORT --out OUT", "curate", "{about}"),
    ("pdl report OUT", "report", "{about}"),
    ("pdl-fit train OUT", "", "Train a U-Net on the curated cohort"),
];

/// All other commands.
const GROUPS: [(&str, &[&str]); 4] = [
    ("Stages, one at a time:", &["index", "prepare", "compare", "rank", "audit"]),
    ("Inspect:", &["summary", "view", "similar", "duplicates", "select", "matrix", "doctor"]),
    ("Manifests and other frameworks:", &["export", "import", "import-results", "validate", "diff", "score"]),
    ("More:", &["config", "tile", "help", "completions", "man"]),
];

/// The options of `pdl curate` that matter most, by name.
pub(crate) const MAIN_OPTIONS_OF_CURATE: [&str; 5] = ["out", "modality", "spacing", "crop", "order"];

/// Arguments of `pdl help`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A command, or a topic: geometry, similarity, curriculum, formats, privacy, dicom, labels,
    /// layouts, findings, splits, frameworks, options, loops, files, words, exit-codes, cluster,
    /// measured.
    /// Without it the overview is printed.
    word: Option<String>,
}

/// Prints the help of a command or a topic, or the overview.
///
/// # Errors
/// When there is neither a command nor a topic of the name.
pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitStatus> {
    let mut program = context.program.clone();
    program.build();
    let Some(word) = args.word.as_deref() else {
        say(program.render_long_help().to_string().trim_end());
        return Ok(ExitStatus::Done);
    };
    if let Some((name, text)) = TOPICS.iter().find(|(name, _)| *name == word) {
        match *name {
            FINDINGS => say(findings().trim_end()),
            _ => say(text.trim_end()),
        }
        return Ok(ExitStatus::Done);
    }
    if let Some(command) = program.find_subcommand_mut(word) {
        say(command.render_long_help().to_string().trim_end());
        return Ok(ExitStatus::Done);
    }
    let topics = TOPICS.map(|(name, _)| name);
    let commands = program.get_subcommands().map(clap::Command::get_name);
    let hint = match nearest(word, topics.into_iter().chain(commands)) {
        Some(name) => format!("did you mean '{name}'?"),
        None => format!("topics are {}; `pdl help` lists the commands", topics.join(", ")),
    };
    Err(anyhow!("there is no command or topic '{word}'; {hint}"))
}

/// Every code of a finding, with its severity, explanation and advice.
fn findings() -> String {
    let mut text = "A finding is a fact about a case or a cohort that a person should know. A case with a rejection is not\n\
                    used; a warning should be checked; a note is for the record. `cases.parquet` lists the findings of\n\
                    every case.\n"
        .to_owned();
    // Writing to a String cannot fail.
    for code in Code::ALL {
        let _ = write!(text, "\n{code} ({})\n    {}\n", code.severity().as_str(), code.explanation());
        let _ = writeln!(text, "    -> {}", code.advice());
    }
    text
}

/// What `pdl --help` prints: every command with the first sentence of its help, on one screen.
pub(crate) fn overview(program: &clap::Command) -> String {
    let about = |name: &str| {
        let about = program.find_subcommand(name).and_then(clap::Command::get_about);
        about.map(ToString::to_string).unwrap_or_default()
    };
    let mut text = "Prepare, compare and rank the cases of a medical image segmentation cohort.\n\n\
                    Usage: pdl [OPTIONS] <COMMAND>\n\nStart here:\n"
        .to_owned();
    // Writing to a String cannot fail.
    for (typed, name, sentence) in START {
        let _ = writeln!(text, "  {typed:<29}{}", sentence.replace("{about}", &about(name)));
    }
    for (heading, commands) in GROUPS {
        let _ = writeln!(text, "{heading}");
        for name in commands {
            let _ = writeln!(text, "  {name:<15}{}", about(name));
        }
    }
    let topics = TOPICS.map(|(name, _)| name);
    let (first, second) = topics.split_at(8);
    let _ = write!(
        text,
        "Options of every command: --config, --json, --strict, --verify, --threads, --memory, --help\n\
         Exit codes: 0 done, 1 error, 2 usage, 3 leak, 4 --strict, 5 manifest differs, 7 machine, 130 stopped\n\
         Topics: pdl help {},\n        {}",
        first.join(", "),
        second.join(", ")
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines and columns of a small terminal window.
    const SCREEN: (usize, usize) = (40, 100);

    #[test]
    fn the_overview_fits_one_screen_and_names_every_command_once() {
        let program = crate::cli::program();
        let text = overview(&program);
        assert!(text.lines().count() <= SCREEN.0, "{} lines:\n{text}", text.lines().count());
        let wide: Vec<&str> = text.lines().filter(|line| line.chars().count() > SCREEN.1).collect();
        assert!(wide.is_empty(), "{wide:#?}");
        let start = START.iter().map(|(_, name, _)| *name).filter(|name| !name.is_empty());
        let groups = GROUPS.iter().flat_map(|(_, names)| names.iter().copied());
        let mut named: Vec<&str> = start.chain(groups).collect();
        let mut commands: Vec<&str> = program.get_subcommands().map(clap::Command::get_name).collect();
        named.sort_unstable();
        commands.sort_unstable();
        assert_eq!(named, commands);
        let place = |text_part: &str| text.find(text_part).unwrap();
        assert!(place("pdl init") < place("pdl curate") && place("pdl-fit train") < place("  index"));
    }
}
