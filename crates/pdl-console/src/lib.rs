//! What shells, readers of manuals and readers in a hurry want to know of a program's command line.
//!
//! In: a command line that clap derives. Out: the same with a line for each option under `-h` ([`command`]), and the
//! commands `completions` and `man`, which every program has alike ([`Shell`]).

use std::path::PathBuf;

use clap::{Arg, Command, CommandFactory, Subcommand};
use clap_mangen::Man;
use pdl_store::{StoreError, atomic};

/// Where the first sentence of a help may end; what a command does is told as far as the first two.
const ENDS: [&str; 3] = [". ", "; ", ": "];

/// What a help may end with.
const DEFAULT: &str = " [default: ";

/// The commands that every program has.
#[derive(Debug, Subcommand)]
pub enum Shell {
    /// Print completions for a shell, which its help says where to put.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Write man pages, one for each command.
    Man {
        /// The folder to write them to, such as ~/.local/share/man/man1, where `man` finds them.
        folder: PathBuf,
    },
}

/// A man page that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ShellError {
    /// A page that could not be put into words.
    #[error("cannot write the man page {page}: {problem}")]
    Page {
        /// Which page.
        page: String,
        /// What is wrong.
        problem: std::io::Error,
    },
    /// A file could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Shell {
    /// Does what was asked for the program of `C`; gives what to print.
    ///
    /// # Errors
    /// [`ShellError`] when a man page cannot be written.
    pub fn run<C: CommandFactory>(&self) -> Result<String, ShellError> {
        let mut whole = command::<C>();
        let name = whole.get_name().to_owned();
        match self {
            Shell::Completions { shell } => {
                let mut text = Vec::new();
                clap_complete::generate(*shell, &mut whole, name, &mut text);
                Ok(String::from_utf8_lossy(&text).trim_end().to_owned())
            }
            Shell::Man { folder } => {
                whole.build();
                let commands = whole.get_subcommands().filter(|part| part.get_name() != "help").cloned();
                let mut pages: Vec<(String, Command)> =
                    commands.map(|part| (format!("{name}-{}", part.get_name()), part)).collect();
                pages.insert(0, (name, whole));
                for (page, command) in &pages {
                    let mut text = Vec::new();
                    let rendered = Man::new(command.clone()).render(&mut text);
                    rendered.map_err(|problem| ShellError::Page { page: page.clone(), problem })?;
                    atomic::write(&folder.join(format!("{page}.1")), &text)?;
                }
                Ok(format!("{} pages: {}", pages.len(), folder.display()))
            }
        }
    }
}

/// The command line of `C`: `-h` says the first sentence of each option's help, `--help` the whole.
pub fn command<C: CommandFactory>() -> Command {
    let whole = C::command();
    let name = whole.get_name().to_owned();
    shortened(whole).mut_subcommand("completions", |part| part.after_help(installing(&name)))
}

fn shortened(command: Command) -> Command {
    let command = command.mut_args(short).mut_subcommands(shortened);
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    match first_sentence(&about, &ENDS[..2]) {
        Some(first) if command.get_long_about().is_none() => command.about(first).long_about(about),
        _ => command,
    }
}

/// Options of every command stay as they are, so that small commands keep a small help.
fn short(arg: Arg) -> Arg {
    let whole = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let (text, default) = whole.split_at(whole.rfind(DEFAULT).unwrap_or(whole.len()));
    match first_sentence(text, &ENDS) {
        Some(first) if arg.get_long_help().is_none() && !arg.is_global_set() => {
            arg.help(first + default).long_help(whole)
        }
        _ => arg,
    }
}

/// The first sentence of a text that has more than one; it does not end between brackets.
fn first_sentence(text: &str, ends: &[&str]) -> Option<String> {
    let closed = |at: &usize| text[..*at].matches('(').count() == text[..*at].matches(')').count();
    let places = ends.iter().flat_map(|end| text.match_indices(end).map(|(at, _)| at));
    places.filter(closed).min().map(|end| text[..end].to_owned())
}

/// Where completions belong.
fn installing(name: &str) -> String {
    format!(
        "Where to put them:
  bash  mkdir -p ~/.local/share/bash-completion/completions
        {name} completions bash > ~/.local/share/bash-completion/completions/{name}
  zsh   mkdir -p ~/.zfunc
        {name} completions zsh > ~/.zfunc/_{name}
        with, in ~/.zshrc:  fpath=(~/.zfunc $fpath); autoload -Uz compinit; compinit
  fish  mkdir -p ~/.config/fish/completions
        {name} completions fish > ~/.config/fish/completions/{name}.fish
They hold from the next shell on (bash: where the package bash-completion is installed)."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program.
    #[derive(clap::Parser)]
    #[command(name = "prog")]
    struct Program {
        /// What to do (one thing; or two). It is done at once [default: nothing]
        #[arg(long)]
        what: Option<String>,
        #[command(subcommand)]
        command: Shell,
    }

    #[test]
    fn short_help_is_the_first_sentence_and_long_help_the_whole() {
        let mut program = command::<Program>();
        let (short, long) = (program.render_help().to_string(), program.render_long_help().to_string());
        assert!(short.contains("What to do (one thing; or two) [default: nothing]"), "{short}");
        assert!(
            long.contains("What to do (one thing; or two). It is done at once [default: nothing]"),
            "{long}"
        );
    }

    #[test]
    fn completions_say_where_they_belong_and_man_pages_are_files() {
        let program = command::<Program>();
        let help = program.find_subcommand("completions").unwrap().clone().render_help().to_string();
        assert!(help.contains("prog completions zsh > ~/.zfunc/_prog"), "{help}");
        for shell in [clap_complete::Shell::Bash, clap_complete::Shell::Zsh, clap_complete::Shell::Fish] {
            assert!(Shell::Completions { shell }.run::<Program>().unwrap().contains("what"));
        }
        let folder = tempfile::tempdir().unwrap();
        Shell::Man { folder: folder.path().to_owned() }.run::<Program>().unwrap();
        for page in ["prog.1", "prog-completions.1", "prog-man.1"] {
            assert!(std::fs::read_to_string(folder.path().join(page)).unwrap().contains(".TH "), "{page}");
        }
    }
}
