//! The command line: global options, the commands, and how one of them runs.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use clap::{ArgMatches, Parser, Subcommand};
use pdl_console::{Display, ExitStatus, Shell, say};
use pdl_store::lock::FolderLock;

use crate::cluster;
use crate::commands::{
    audit, compare, config, curate, diff, doctor, duplicates, export, help, import, import_results, index,
    init, matrix, prepare, rank, report, score, select, similar, summary, tile, validate, view,
};
use crate::context::Context;
use crate::preconditions::Requirements;
use crate::settings::{EVERY_COMMAND, RunParameters, Settings};

/// More are a mistake: to start them alone would take the machine.
const MOST_THREADS: usize = 1024;
/// Number of threads in the environment, which counts where `--threads` is 0.
const THREADS_VARIABLE: &str = "RAYON_NUM_THREADS";

/// Prepares, compares and ranks the cases of a medical image segmentation cohort.
///
/// A curation folder OUT holds one cohort of one modality and the results of every stage. A stage
/// that was interrupted resumes when it runs again; results that are valid are kept.
///
/// Exit codes: 0 done (also when single cases were rejected; they are listed), 1 error, 2 wrong
/// usage, 3 leak between splits, 4 a case cannot be used and --strict was given, 5 a manifest is
/// invalid (validate) or moved cases between splits (diff), 7 the machine failed (disk, network
/// file system, open files, memory), 130 interrupted by Ctrl-C.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true, max_term_width = 100)]
#[command(disable_help_flag = true, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    run: RunParameters,
    /// Settings file; OUT/pdl.toml if it exists when not given. Flags win over it.
    #[arg(long, global = true, value_name = "FILE", help_heading = EVERY_COMMAND)]
    config: Option<PathBuf>,
    /// Print the result as JSON.
    #[arg(long, global = true, help_heading = EVERY_COMMAND)]
    json: bool,
    /// Print help; -h prints the first sentence of each option.
    #[arg(short, long, global = true, action = clap::ArgAction::Help, help_heading = EVERY_COMMAND)]
    help: Option<bool>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Inspect a cohort and write OUT/pdl.toml, every option explained. For volumes in an unknown
    /// layout also write OUT/cohort.csv, which pairs images and label maps by name. Existing files
    /// are kept unless --force is given.
    Init(init::Args),
    /// Run all stages: index, prepare, compare, rank, audit, report.
    Curate(Box<curate::Args>),
    /// Write report.html: the cohort on one page. It needs no network.
    Report(report::Args),
    /// Discover, check and split the cases of a cohort: cases.parquet.
    Index(Box<index::Args>),
    /// Normalise and resample every case: plan.json, prepared/, proxies/.
    Prepare(prepare::Args),
    /// Compare every pair of cases: pairs/.
    Compare(compare::Args),
    /// Rank training cases and schedule them in stages: manifest.parquet, .jsonl, .json.
    Rank(Box<rank::Args>),
    /// Check for leaks, rare or wrong labels and drift: audit.json, same-patient.csv.
    Audit(audit::Args),
    /// Print the cohort on one screen: splits, labels, findings, audit.
    Summary(summary::Args),
    /// Draw one case as PNG. It shows three planes with label contours, as stored (top) and as
    /// prepared (bottom).
    View(view::Args),
    /// List the cases most and least similar to a case.
    Similar(similar::Args),
    /// List groups of near-duplicate cases.
    Duplicates(duplicates::Args),
    /// Select the unlabelled cases to annotate next, each with the reason.
    Select(select::Args),
    /// Write the square matrix of one metric.
    Matrix(matrix::Args),
    /// Check this machine and a curation folder. It reports missing and outdated stages and
    /// failures; exit code 1 when something is wrong.
    Doctor(doctor::Args),
    /// Write the manifest in the format of another framework.
    Export(export::Args),
    /// Import a MONAI datalist or an nnU-Net raw dataset as a cohort. Writes cohort.csv and
    /// dataset.json; volumes stay where they are.
    Import(import::Args),
    /// Import nnU-Net's results of single cases, to rank by them (`pdl rank --by`).
    ImportResults(import_results::Args),
    /// Check a manifest and the files that it names. Checked are its format, splits, ranks and
    /// stages, and that its files exist in its folder and are unchanged. Prints a line for each
    /// difference; exit code 5 if there is one.
    Validate(validate::Args),
    /// Compare two manifests. Lists cases added, removed, moved between splits (exit code 5),
    /// prepared again, and changed ranks.
    Diff(diff::Args),
    /// Compare predicted label maps with references of the same file names. Prints Dice, surface
    /// Dice, HD95, volumes and detection of every label.
    Score(score::Args),
    /// Print the settings in force as a pdl.toml.
    Config(Box<config::Args>),
    /// Compute one tile of the pair matrix, for other schedulers. `pdl compare` finds finished
    /// tiles and computes the rest.
    Tile(tile::Args),
    /// Print the help of a command or a topic.
    Help(help::Args),
    #[command(flatten)]
    Shell(Shell),
}

/// The command line as it is shown: short help, and an overview of the commands in groups.
pub(crate) fn program() -> clap::Command {
    let program = pdl_console::command::<Cli>();
    let overview = help::overview(&program);
    let program = program.mut_subcommands(|command| match command.get_name() {
        "curate" => pdl_console::main_options(command, &help::MAIN_OPTIONS_OF_CURATE),
        _ => command,
    });
    program.override_help(overview)
}

/// Runs the command that was typed.
///
/// # Errors
/// Why it failed; a `StatusError` where the exit code is another than 1.
pub(crate) fn run(cli: &Cli, matches: &ArgMatches, program: clap::Command) -> Result<ExitStatus> {
    let requirements = cli.command.requirements();
    let settings = match requirements.out {
        Some(out) => Settings::read(cli.config.as_deref(), out, matches)?,
        None => Settings { run: cli.run.clone(), ..Settings::default() },
    };
    if requirements.threads {
        let threads = settings.run.threads;
        ensure!(threads <= MOST_THREADS, "--threads {threads}: expected {MOST_THREADS} or fewer");
        let of_environment = std::env::var(THREADS_VARIABLE).ok().and_then(|text| text.parse::<usize>().ok());
        ensure!(
            threads > 0 || of_environment.is_none_or(|threads| threads <= MOST_THREADS),
            "{THREADS_VARIABLE} in the environment: expected {MOST_THREADS} or fewer"
        );
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
        pool.context("cannot start the threads")?;
    }
    let context = Context { program, settings, display: Display::new(), json: cli.json };
    requirements.check()?;
    if requirements.resumes {
        pdl_console::exit_on_ctrl_c(cluster::is_running);
    }
    let locked = requirements.out.filter(|_| requirements.lock);
    let _lock = locked.map(FolderLock::take).transpose()?;
    let ended = cli.command.run(&context);
    context.display.clear();
    ended
}

impl Command {
    /// The requirements of [`Command::run`].
    fn requirements(&self) -> Requirements<'_> {
        match self {
            Command::Curate(args) => args.requirements(),
            Command::Index(args) => args.requirements(),
            Command::Prepare(args) => args.requirements(),
            Command::Compare(args) => args.requirements(),
            Command::Rank(args) => args.requirements(),
            Command::Audit(args) => args.requirements(),
            Command::Report(args) => args.requirements(),
            Command::Summary(args) => args.requirements(),
            Command::View(args) => args.requirements(),
            Command::Similar(args) => args.requirements(),
            Command::Duplicates(args) => args.requirements(),
            Command::Select(args) => args.requirements(),
            Command::Matrix(args) => args.requirements(),
            Command::Tile(args) => args.requirements(),
            Command::Export(args) => args.requirements(),
            Command::Validate(args) => args.requirements(),
            Command::Diff(args) => args.requirements(),
            Command::ImportResults(args) => args.requirements(),
            Command::Score(args) => args.requirements(),
            Command::Config(args) => args.requirements(),
            Command::Init(_)
            | Command::Doctor(_)
            | Command::Import(_)
            | Command::Help(_)
            | Command::Shell(_) => Requirements::default(),
        }
    }

    fn run(&self, context: &Context) -> Result<ExitStatus> {
        match self {
            Command::Init(args) => init::run(args, context),
            Command::Curate(args) => curate::run(args, context),
            Command::Index(args) => index::run(args, context),
            Command::Prepare(args) => prepare::run(args, context),
            Command::Compare(args) => compare::run(args, context),
            Command::Rank(args) => rank::run(args, context),
            Command::Audit(args) => audit::run(args, context),
            Command::Report(args) => report::run(args, context),
            Command::Summary(args) => summary::run(args, context),
            Command::View(args) => view::run(args, context),
            Command::Similar(args) => similar::run(args, context),
            Command::Duplicates(args) => duplicates::run(args, context),
            Command::Select(args) => select::run(args, context),
            Command::Matrix(args) => matrix::run(args, context),
            Command::Doctor(args) => doctor::run(args, context),
            Command::Export(args) => export::run(args, context),
            Command::Import(args) => import::run(args, context),
            Command::Validate(args) => validate::run(args, context),
            Command::Diff(args) => diff::run(args, context),
            Command::ImportResults(args) => import_results::run(args, context),
            Command::Score(args) => score::run(args, context),
            Command::Config(_) => config::run(context),
            Command::Tile(args) => tile::run(args, context),
            Command::Help(args) => help::run(args, context),
            Command::Shell(shell) => {
                say(&shell.run(context.program.clone())?);
                Ok(ExitStatus::Done)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn at_most_five_main_options_come_first() {
        assert_eq!(pdl_console::without_main_options(&program()), Vec::<String>::new());
    }

    /// Words with which a help states its default.
    const WITHOUT: [&str; 13] = [
        "when not given",
        "ithout",
        "else",
        "where ",
        "for files whose",
        "default:",
        "Default:",
        "required by",
        "required when",
        "must be given",
        "instead of",
        "need not be given",
        "No other",
    ];

    #[test]
    fn every_flag_says_what_it_does_and_what_holds_without_it() {
        let mut cli = Cli::command();
        cli.build();
        let mut bad = Vec::new();
        for command in cli.get_subcommands().chain([&cli]) {
            for arg in
                command.get_arguments().filter(|arg| !["help", "version"].contains(&arg.get_id().as_str()))
            {
                let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
                let takes_value = arg.get_action().takes_values();
                let says_default = !arg.get_default_values().is_empty()
                    || arg.is_required_set()
                    || WITHOUT.iter().any(|word| help.contains(word));
                if help.len() < 8 || takes_value && !says_default {
                    bad.push(format!("{} {}: {help}", command.get_name(), arg.get_id()));
                }
            }
        }
        assert!(bad.is_empty(), "these do not state their default: {bad:#?}");
    }

    #[test]
    fn short_help_is_short() {
        let mut bad = Vec::new();
        for command in pdl_console::command::<Cli>().get_subcommands() {
            for arg in command.get_arguments() {
                let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
                if help.len() > 150 {
                    bad.push(format!("{} {}: {help}", command.get_name(), arg.get_id()));
                }
            }
        }
        assert!(bad.is_empty(), "the first sentence of these is long: {bad:#?}");
    }

    #[test]
    fn a_flag_that_takes_a_quantity_names_its_unit() {
        // The name that stands for the value says what is counted or measured; the last ones have
        // no unit.
        let units = [
            "MM", "CASES", "EPOCHS", "SHARE", "SIZE", "VOXELS", "FACTOR", "WEIGHT", "SSIM", "N", "P", "VALUE",
        ];
        let mut cli = Cli::command();
        cli.build();
        let mut bad = Vec::new();
        for command in cli.get_subcommands() {
            for arg in command.get_arguments().filter(|arg| arg.get_action().takes_values()) {
                let number = |value: &std::ffi::OsStr| {
                    value
                        .to_string_lossy()
                        .split(',')
                        .all(|part| part.trim_end_matches('%').parse::<f64>().is_ok())
                };
                let quantity = arg.get_default_values().iter().any(|value| number(value));
                let names = arg.get_value_names().unwrap_or_default();
                let named = names
                    .iter()
                    .any(|name| name.split(['|', ',', '[', ']']).any(|word| units.contains(&word)));
                if quantity && !named {
                    bad.push(format!("{} {}: {names:?}", command.get_name(), arg.get_id()));
                }
            }
        }
        assert!(bad.is_empty(), "these name no unit: {bad:#?}");
    }
}
