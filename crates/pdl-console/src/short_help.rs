//! Help: the first sentence of each option under `-h`, the whole under `--help`; the options that
//! matter most under a heading of their own.

use clap::{Arg, Command, CommandFactory};

use crate::shell::where_completions_go;

/// Where the first sentence of an option's help ends. That of a command's ends at one of the first
/// two.
const ENDS: [&str; 3] = [". ", "; ", ": "];

/// The note of a default at the end of a help text.
const DEFAULT: &str = " [default: ";

/// Heading of the options of a command that matter most.
pub const MAIN_OPTIONS: &str = "Main options";

/// The command line of `C`: `-h` prints the first sentence of each option's help, `--help` the
/// whole. Options without a heading get [`MAIN_OPTIONS`].
pub fn command<C: CommandFactory>() -> Command {
    let program = C::command();
    let name = program.get_name().to_owned();
    shortened(program).mut_subcommands(|command| match command.get_name() {
        "completions" => command.after_help(where_completions_go(&name)),
        _ => command,
    })
}

fn shortened(command: Command) -> Command {
    let command = command.mut_args(|arg| headed(short(arg))).mut_subcommands(shortened);
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    match first_sentence(&about, &ENDS[..2]) {
        Some(first) if command.get_long_about().is_none() => command.about(first).long_about(about),
        _ => command,
    }
}

fn headed(arg: Arg) -> Arg {
    let is_bare = arg.get_help_heading().is_none() && !arg.is_positional();
    if is_bare { arg.help_heading(MAIN_OPTIONS) } else { arg }
}

/// `command` with the options of these ids under the heading [`MAIN_OPTIONS`].
#[must_use]
pub fn main_options(command: Command, ids: &[&str]) -> Command {
    command.mut_args(
        |arg| {
            if ids.contains(&arg.get_id().as_str()) { arg.help_heading(MAIN_OPTIONS) } else { arg }
        },
    )
}

/// The commands of a program whose main options are not the first ones of their help, or more than
/// five.
#[must_use]
pub fn without_main_options(program: &Command) -> Vec<String> {
    let is_bad = |command: &&Command| {
        let options = command.get_arguments().filter(|arg| !arg.is_positional() && !arg.is_hide_set());
        let headings: Vec<_> = options.map(Arg::get_help_heading).collect();
        let main = headings.iter().filter(|heading| **heading == Some(MAIN_OPTIONS)).count();
        main > 5 || main > 0 && headings[0] != Some(MAIN_OPTIONS) || headings.contains(&None)
    };
    program.get_subcommands().filter(is_bad).map(|command| command.get_name().to_owned()).collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shell;

    /// Tries the help.
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
}
