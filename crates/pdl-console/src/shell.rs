//! The commands `completions` and `man`, the same in every program.

use std::path::PathBuf;

use clap::{Command, Subcommand};
use clap_mangen::Man;
use pdl_store::{StoreError, atomic};

/// The commands that every program has.
#[derive(Debug, Subcommand)]
pub enum Shell {
    /// Print completions for a shell; the help says where to put them.
    Completions {
        /// The shell to complete for.
        shell: clap_complete::Shell,
    },
    /// Write man pages, one for each command.
    Man {
        /// The folder to write to; `man` reads ~/.local/share/man/man1.
        folder: PathBuf,
    },
}

/// A man page that could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ShellError {
    /// Rendering failed.
    #[error("cannot render the man page {page}: {problem}")]
    Page {
        /// The page's name, such as `pdl-curate`.
        page: String,
        /// The cause.
        problem: std::io::Error,
    },
    /// Writing failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Shell {
    /// Generates completions or man pages of `program`; returns the text for stdout.
    ///
    /// # Errors
    /// [`ShellError`] when a man page cannot be written.
    pub fn run(&self, mut program: Command) -> Result<String, ShellError> {
        let name = program.get_name().to_owned();
        match self {
            Shell::Completions { shell } => {
                let mut text = Vec::new();
                clap_complete::generate(*shell, &mut program, name, &mut text);
                Ok(String::from_utf8_lossy(&text).trim_end().to_owned())
            }
            Shell::Man { folder } => {
                program.build();
                let commands = program.get_subcommands().filter(|part| part.get_name() != "help").cloned();
                let mut pages: Vec<(String, Command)> =
                    commands.map(|part| (format!("{name}-{}", part.get_name()), part)).collect();
                pages.insert(0, (name, program));
                for (page, command) in &pages {
                    let mut text = Vec::new();
                    let rendered = Man::new(command.clone()).render(&mut text);
                    rendered.map_err(|problem| ShellError::Page { page: page.clone(), problem })?;
                    atomic::write(&folder.join(format!("{page}.1")), &text)?;
                }
                Ok(format!("wrote {} pages: {}", pages.len(), folder.display()))
            }
        }
    }
}

/// The end of the help of `completions`.
pub(crate) fn where_completions_go(name: &str) -> String {
    format!(
        "Where to put them:
  bash  mkdir -p ~/.local/share/bash-completion/completions
        {name} completions bash > ~/.local/share/bash-completion/completions/{name}
  zsh   mkdir -p ~/.zfunc
        {name} completions zsh > ~/.zfunc/_{name}
        with, in ~/.zshrc:  fpath=(~/.zfunc $fpath); autoload -Uz compinit; compinit
  fish  mkdir -p ~/.config/fish/completions
        {name} completions fish > ~/.config/fish/completions/{name}.fish
They work in new shells (bash: where the package bash-completion is installed)."
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command;

    /// Tries the help.
    #[derive(clap::Parser)]
    #[command(name = "prog")]
    struct Program {
        /// The thing to do.
        #[arg(long)]
        what: Option<String>,
        #[command(subcommand)]
        command: Shell,
    }

    #[test]
    fn completions_say_where_they_belong_and_man_pages_are_files() {
        let program = command::<Program>();
        let help = program.find_subcommand("completions").unwrap().clone().render_help().to_string();
        assert!(help.contains("prog completions zsh > ~/.zfunc/_prog"), "{help}");
        for shell in [clap_complete::Shell::Bash, clap_complete::Shell::Zsh, clap_complete::Shell::Fish] {
            assert!(Shell::Completions { shell }.run(program.clone()).unwrap().contains("what"));
        }
        let folder = tempfile::tempdir().unwrap();
        Shell::Man { folder: folder.path().to_owned() }.run(program).unwrap();
        for page in ["prog.1", "prog-completions.1", "prog-man.1"] {
            assert!(std::fs::read_to_string(folder.path().join(page)).unwrap().contains(".TH "), "{page}");
        }
    }
}
