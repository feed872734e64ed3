//! `pdl help`: of a command, or of a topic. The topics' texts lie in the crates that they are about.

use anyhow::{Result, anyhow};
use pdl_console::{say, suggest::nearest};

use crate::cli::Cli;

/// The topics: name, text.
const TOPICS: [(&str, &str); 11] = [
    ("geometry", pdl_volume::GEOMETRY_HELP),
    ("similarity", pdl_similarity::SIMILARITY_HELP),
    ("curriculum", pdl_curriculum::CURRICULUM_HELP),
    ("formats", pdl_io::FORMATS_HELP),
    ("privacy", pdl_cohort::PRIVACY_HELP),
    ("dicom", pdl_cohort::DICOM_HELP),
    ("splits", pdl_curriculum::SPLITS_HELP),
    ("frameworks", pdl_exchange::FRAMEWORKS_HELP),
    ("options", include_str!("../help/options.md")),
    ("cluster", include_str!("../help/cluster.md")),
    ("measured", include_str!("../help/measured.md")),
];

/// Prints the help of `word`, or of the whole program.
pub(crate) fn run(word: Option<&str>) -> Result<()> {
    let mut cli = pdl_console::command::<Cli>();
    cli.build();
    let Some(word) = word else {
        say(&cli.render_long_help().to_string());
        return Ok(());
    };
    if let Some((_, text)) = TOPICS.iter().find(|(name, _)| *name == word) {
        say(text.trim_end());
        return Ok(());
    }
    if let Some(command) = cli.find_subcommand_mut(word) {
        say(command.render_long_help().to_string().trim_end());
        return Ok(());
    }
    let topics = TOPICS.map(|(name, _)| name);
    let commands = cli.get_subcommands().map(clap::Command::get_name);
    let hint = match nearest(word, topics.into_iter().chain(commands)) {
        Some(name) => format!("did you mean '{name}'?"),
        None => format!("topics are {}; `pdl help` lists the commands", topics.join(", ")),
    };
    Err(anyhow!("there is no command or topic '{word}'; {hint}"))
}
