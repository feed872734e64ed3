//! The command line: the commands, and how one of them runs.

mod compare;
mod cross_validation;
mod display;
mod environment;
mod error;
mod evaluate;
mod experiment;
mod export;
mod inference;
mod predict;
mod subsets;
mod train;
mod tune;

use std::fmt::Write;
use std::process::ExitCode;

use anyhow::Result;
use clap::{ArgMatches, FromArgMatches, Parser, Subcommand};
use pdl_console::{ExitStatus, Shell, main_options, note, say};
use pdl_store::{catch_panic, fault};

use crate::error::FitError;
use crate::experiment::subsets::own_settings as settings_of_subsets;
use crate::experiment::tuning::own_settings as settings_of_tuning;
use crate::train::interrupt::ask as request_interrupt;

/// Trains a segmentation network on a folder that `pdl curate` wrote, and applies it.
///
/// Usual order: pdl-fit train OUT, then pdl-fit predict OUT/runs/pdl-seed1 IMAGES --out LABELS.
/// pdl-fit evaluate measures a network on the test set; pdl-fit compare shows which recipe reaches
/// the same Dice first, and pdl-fit subsets how few cases suffice.
///
/// Exit codes: 0 done, 1 error, 2 wrong usage, 4 an image cannot be used and --strict was given
/// (predict), 7 the machine failed (disk, network file system, open files, memory), 8 the time of
/// --limit-seconds is up (compare, subsets), 130 interrupted by Ctrl-C. Results go to stdout, the
/// rest to stderr.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true, max_term_width = 100)]
#[command(disable_help_flag = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Print help; -h prints the first sentence of each option.
    #[arg(short, long, global = true, action = clap::ArgAction::Help, help_heading = "Every command")]
    help: Option<bool>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Train a U-Net and evaluate it on the validation set: OUT/runs/NAME. Ctrl-C writes a
    /// checkpoint; the same command resumes.
    Train(Box<train::Args>),
    /// Choose learning rate, width, depth, patch and batch by successive halving: OUT/tuning.
    /// Trials train on the tuning subset of the manifest. The same command resumes; `train --tuned`
    /// takes the result.
    Tune(Box<tune::Args>),
    /// Measure how long training recipes take to the same test Dice, by a protocol. On folds by
    /// patient each recipe is tuned on the validation part and measured on the test part; the
    /// result is a curve of ratios with intervals: OUT/comparison. The same command resumes.
    Compare(compare::Args),
    /// Measure how few training cases suffice: test Dice with 10, 20 and 40% of them. The cases are
    /// selected by typical, k-centre, facility location, or stratified random draws, and trained
    /// for equally many steps: OUT/comparison. The same command resumes.
    Subsets(Box<subsets::Args>),
    /// Segment images with a trained network. Label maps get the names and the grids of their
    /// images. An image whose voxel size, extent or intensities are far from the training set's is
    /// segmented with a warning.
    Predict(predict::Args),
    /// Measure a trained network on the validation or test set. Measured are Dice, surface Dice,
    /// HD95, volumes and detection, on the original grids.
    Evaluate(evaluate::Args),
    /// Write a trained network as TorchScript or ONNX. Python's torch.jit.load or onnxruntime runs
    /// it without pdl.
    Export(export::Args),
    #[command(flatten)]
    Shell(Shell),
}

/// Runs the command that was typed. Results go to stdout, progress and warnings to stderr.
pub fn main() -> ExitCode {
    environment::restart_with_defaults();
    let matches = match pdl_console::parse(program()) {
        Ok(matches) => matches,
        Err(ended) => return ended,
    };
    exit_on_ctrl_c();
    let ended = Cli::from_arg_matches(&matches).map_err(anyhow::Error::from).and_then(|cli| {
        let ended = catch_panic::or_cause(|| run(cli.command, &matches));
        ended.unwrap_or_else(|cause| Err(FitError::TorchPanic(cause).into()))
    });
    pdl_console::finish(ended.unwrap_or_else(|error| failed(&error)))
}

/// The command line as it is shown: short help, and the options that matter most before the rest.
fn program() -> clap::Command {
    let program = pdl_console::command::<Cli>().mut_subcommands(|command| match command.get_name() {
        "train" => main_options(command, &train::MAIN_OPTIONS),
        "subsets" => main_options(without_options(command, &settings_of_subsets()), &subsets::MAIN_OPTIONS),
        "tune" => main_options(without_options(command, &settings_of_tuning()), &tune::MAIN_OPTIONS),
        _ => command,
    });
    let overview = overview(&program);
    program.override_help(overview)
}

/// The way through the program: what to type, and what it does.
const START: [(&str, &str); 3] = [
    ("pdl-fit train OUT", "Train a U-Net and measure its validation Dice"),
    ("pdl-fit evaluate OUT/runs/NAME --split test", "Measure it on the test set"),
    ("pdl-fit predict OUT/runs/NAME IMAGES --out FOLDER", "Segment new images"),
];

/// All commands.
const GROUPS: [(&str, &[&str]); 3] = [
    ("Train and apply:", &["train", "evaluate", "predict", "export"]),
    ("Choose and compare recipes:", &["tune", "compare", "subsets"]),
    ("More:", &["completions", "man"]),
];

/// What `pdl-fit --help` prints: the way through the program, and every command with the first
/// sentence of its help.
fn overview(program: &clap::Command) -> String {
    let mut text = "Train a segmentation network on a folder that `pdl curate` wrote, and apply it.\n\n\
                    Usage: pdl-fit <COMMAND>\n\nStart here:\n"
        .to_owned();
    // Writing to a String cannot fail.
    for (typed, sentence) in START {
        let _ = writeln!(text, "  {typed:<51}{sentence}");
    }
    for (heading, commands) in GROUPS {
        let _ = writeln!(text, "{heading}");
        for name in commands {
            let about = program.find_subcommand(name).and_then(clap::Command::get_about);
            let _ = writeln!(text, "  {name:<13}{}", about.map(ToString::to_string).unwrap_or_default());
        }
    }
    text + "Options: -h, --help, -V, --version; pdl-fit COMMAND --help has those of a command\n\
            Exit codes: 0 done, 1 error, 2 usage, 4 --strict, 7 machine, 8 time is up, 130 stopped"
}

/// Hides options that the command refuses.
fn without_options(command: clap::Command, refused: &[&str]) -> clap::Command {
    command.mut_args(|arg| if refused.contains(&arg.get_id().as_str()) { arg.hide(true) } else { arg })
}

fn run(command: Command, matches: &ArgMatches) -> Result<ExitStatus> {
    match command {
        Command::Train(args) => train::run(*args, matches),
        Command::Tune(args) => tune::run(*args),
        Command::Compare(args) => compare::run(args),
        Command::Subsets(args) => subsets::run(*args),
        Command::Predict(args) => predict::run(&args),
        Command::Evaluate(args) => evaluate::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Shell(shell) => {
            say(&shell.run(program())?);
            Ok(ExitStatus::Done)
        }
    }
}

/// Reports why a command failed, and returns its exit status.
fn failed(error: &anyhow::Error) -> ExitStatus {
    match error.downcast_ref() {
        Some(FitError::Stopped) => {
            note(&error.to_string());
            return ExitStatus::Stopped;
        }
        Some(FitError::TimeUp { .. }) => {
            note(&error.to_string());
            return ExitStatus::Unfinished;
        }
        Some(fit_error) => error::report(fit_error),
        None => pdl_console::report(error.as_ref()),
    }
    match fault::machine_error(error.as_ref()) {
        Some(_) => ExitStatus::Machine,
        None => ExitStatus::Failed,
    }
}

/// The first Ctrl-C lets a training finish its step and write its checkpoint; a second one, or one
/// outside a training, ends the program at once.
fn exit_on_ctrl_c() {
    pdl_console::exit_on_ctrl_c(|| {
        let asked = request_interrupt();
        if asked {
            note("writing a checkpoint after this step; press Ctrl-C again to stop at once");
        }
        asked
    });
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_options_that_matter_most_come_first_and_refused_ones_are_hidden() {
        let program = program();
        let all: [(&str, &[&str]); 3] = [
            ("train", &train::MAIN_OPTIONS),
            ("tune", &tune::MAIN_OPTIONS),
            ("subsets", &subsets::MAIN_OPTIONS),
        ];
        for (name, main) in all {
            let command = program.find_subcommand(name).unwrap();
            let options: Vec<_> = command.get_arguments().filter(|arg| !arg.is_positional()).collect();
            let first =
                options.iter().filter(|arg| arg.get_help_heading() == Some(pdl_console::MAIN_OPTIONS));
            let first: BTreeSet<&str> = first.map(|arg| arg.get_id().as_str()).collect();
            assert_eq!(first, main.iter().copied().collect(), "{name}");
            let is_hidden = options.iter().any(|arg| arg.get_id() == "grow_share" && arg.is_hide_set());
            assert_eq!(is_hidden, name != "train");
        }
        assert_eq!(pdl_console::without_main_options(&program), Vec::<String>::new());
    }

    #[test]
    fn the_overview_names_every_command_and_is_at_most_100_columns_wide() {
        let program = program();
        let text = overview(&program);
        let mut named: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        let mut commands: Vec<&str> = program.get_subcommands().map(clap::Command::get_name).collect();
        named.sort_unstable();
        commands.sort_unstable();
        assert_eq!(named, commands);
        let wide: Vec<&str> = text.lines().filter(|line| line.chars().count() > 100).collect();
        assert!(text.lines().count() <= 24 && wide.is_empty(), "{wide:#?}");
    }
}
