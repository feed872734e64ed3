//! `pdl-fit train`: one training run, its evaluation and the report.

use std::path::PathBuf;

use anyhow::Result;
use clap::ArgMatches;
use clap::parser::ValueSource;
use pdl_cohort::attributes::Split;
use pdl_console::{Display, ExitStatus, note, say};
use pdl_curriculum::format_versions;
use pdl_metrics::SurfaceOptions;
use pdl_report::ReportParameters;
use pdl_store::progress::Silent;

use crate::cli::cross_validation::{self, FoldChoice};
use crate::cli::display::show_run;
use crate::cli::inference::print_evaluation;
use crate::data::subset::Subset;
use crate::experiment::run_record::{ExtensionLength, FILES as RUN_FILES, RunRecord};
use crate::experiment::tuning::tuned as tuned_settings;
use crate::inference::model::Model;
use crate::metrics::evaluate::{evaluate, file_name as evaluation_file};
use crate::plan::settings::{ScheduleKind, Settings, parse_memory};
use crate::train::extension::settings_of as extended_settings;
use crate::train::initialisation::InitialWeights;
use crate::train::training::{Outcome, TrainRequest, train};

/// Options that matter most, shown first.
pub(crate) const MAIN_OPTIONS: [&str; 5] = ["name", "tuned", "schedule", "seconds", "lr"];

/// Arguments of `pdl-fit train`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder that `pdl curate COHORT --out OUT` wrote, or OUT/folds/K of `pdl rank OUT --folds N`.
    out: PathBuf,
    /// Name of the run; its files go to OUT/runs/NAME [default: SCHEDULE-seedSEED].
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Use the settings of network, patches and optimiser that `pdl-fit tune OUT` found. Flags of
    /// this command override them.
    #[arg(long)]
    tuned: bool,
    /// Start from the weights of a finished run (its folder), or from a safetensors file
    /// (fine-tuning). The network is that of the run. Channels of labels that the run had keep
    /// their weights; those of other labels are initialised at random, as are all if a file names
    /// no labels.
    #[arg(long, value_name = "RUN|FILE", help_heading = "Run")]
    init: Option<PathBuf>,
    /// Extend the finished run --name by steps, such as 500, or by seconds, such as 600s. The
    /// learning rate continues as in a run of the whole length; the optimiser starts with empty
    /// moments. Settings are those of the run.
    #[arg(long, value_name = "STEPS|SECONDS", requires = "name", conflicts_with_all = ["init", "force", "tuned", "folds"], help_heading = "Run")]
    extend: Option<ExtensionLength>,
    /// Write event files of TensorBoard to OUT/runs/NAME/tensorboard while training: loss and
    /// learning rate of every step, Dice and images of three validation cases at every evaluation.
    /// Each image costs one prediction.
    #[arg(long, help_heading = "Run")]
    tensorboard: bool,
    /// Train the folds that `pdl rank OUT --folds K` wrote, one after the other, and evaluate each
    /// on its own validation cases: OUT/folds/K/runs/NAME, OUT/out_of_fold.parquet, and the column
    /// out_of_fold_dice for `pdl rank --by`. One network is trained when not given.
    #[arg(long, value_enum, value_name = "all", help_heading = "Run")]
    folds: Option<FoldChoice>,
    /// Train again even if the run exists. Without it a finished run is kept, and an interrupted
    /// one resumes.
    #[arg(long, help_heading = "Run")]
    force: bool,
    /// Skip the comparison of files with the hashes in the manifest, which saves time.
    #[arg(long, help_heading = "Run")]
    trust_files: bool,
    /// Memory limit, such as 8GiB [default: half of the free memory]. If all cases take more than
    /// half of it, their voxels are written once to OUT/training-cache, and patches are read from
    /// there.
    #[arg(long, value_name = "SIZE", value_parser = parse_memory, help_heading = "Run")]
    memory: Option<u64>,
    /// Skip the evaluation of single validation cases and the report.
    #[arg(long, help_heading = "Run")]
    no_report: bool,
    /// Print the result as JSON.
    #[arg(long, help_heading = "Run")]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

/// Trains. `matches` identifies the settings that are given as flags.
pub(crate) fn run(args: Args, matches: &ArgMatches) -> Result<ExitStatus> {
    let Args {
        out,
        name,
        init,
        extend,
        tensorboard,
        force,
        trust_files,
        memory,
        no_report,
        json,
        tuned,
        folds,
        settings,
    } = args;
    format_versions::check(&out)?;
    let matches = matches.subcommand_matches("train");
    let given = |setting: &str| {
        matches.is_some_and(|matches| matches.value_source(setting) == Some(ValueSource::CommandLine))
    };
    let (settings, tuned) = if tuned {
        let (settings, tuned) = tuned_settings(&out, &settings, given)?;
        (settings, Some(tuned))
    } else {
        (settings, None)
    };
    let (runs, sample) = (PathBuf::from("runs"), Subset::All);
    let settings = match &init {
        Some(path) => InitialWeights::open(path)?.network_settings(&settings, given)?,
        None => settings,
    };
    let mut request = TrainRequest {
        out,
        runs,
        name,
        settings,
        sample,
        evaluate_on: Split::Val,
        tuned,
        init,
        extend,
        tensorboard,
        force,
        trust_files,
        memory,
    };
    if extend.is_some() {
        request.settings = settings_of_extended(&request, given)?;
    }
    if folds == Some(FoldChoice::All) {
        let ended = cross_validation::run(&request, json)?;
        if !no_report {
            write_report(&request, json);
        }
        return Ok(ended);
    }
    let display = Display::new();
    let outcome = train(&request, &mut |event| show_run(&display, event));
    display.clear();
    let outcome = outcome?;
    let evaluated = outcome.existed && outcome.folder.join(evaluation_file(Split::Val)).is_file();
    let evaluates = !no_report && !evaluated;
    if json {
        say(&serde_json::to_string_pretty(&summary(&outcome))?);
    } else {
        print_outcome(&outcome, !evaluates);
    }
    if evaluates {
        evaluate_cases(&request, &outcome, json)?;
    }
    if !no_report {
        write_report(&request, json);
    }
    if !json {
        print_next(&request, &outcome);
    }
    Ok(ExitStatus::Done)
}

/// Settings of the run that is extended, with those of the command line, which must not differ.
fn settings_of_extended(request: &TrainRequest, given: impl Fn(&str) -> bool) -> Result<Settings> {
    let wanted = request.settings.values()?;
    let theirs = extended_settings(&request.folder()?.1)?;
    Ok(theirs.changed(wanted.iter().filter(|(name, _)| given(name)))?)
}

/// Applies the network to every validation case once more, for surfaces, distances and label maps.
fn evaluate_cases(request: &TrainRequest, outcome: &Outcome, quiet: bool) -> Result<()> {
    let (folder, settings) = (&outcome.folder, &request.settings);
    let model = Model::load(folder, settings.machine.device, settings.machine.threads)?;
    let surfaces = SurfaceOptions::default_of(model.record.preparation.modality);
    let evaluation = evaluate(&model, folder, &request.out, Split::Val, surfaces, &mut |_| {})?;
    if !quiet {
        print_evaluation(&evaluation, surfaces);
    }
    Ok(())
}

/// Writes the report of the cohort; a fold has none of its own.
fn write_report(request: &TrainRequest, quiet: bool) {
    if !request.out.join(pdl_cohort::table::cases::FILE).is_file() {
        return;
    }
    match pdl_report::report(&request.out, &ReportParameters::default(), &Silent) {
        Ok(_) if quiet => {}
        Ok(_) => say(&format!("wrote {}", request.out.join(pdl_report::FILE).display())),
        Err(error) => note(&format!("warning: the report was not written: {error}")),
    }
}

fn summary(outcome: &Outcome) -> serde_json::Value {
    serde_json::json!({
        "folder": outcome.folder,
        "existed": outcome.existed,
        "labels": outcome.record.structures(),
        "results": outcome.record.results,
    })
}

fn print_outcome(outcome: &Outcome, with_dice: bool) {
    let Outcome { folder, record, existed } = outcome;
    if *existed {
        say("nothing to do: this run exists, with the same settings and manifest (--force trains again)");
    }
    if with_dice {
        say(&format!("validation Dice on the original grids, {} cases:", record.validation_cases));
        print_dice(record);
    }
    let results = &record.results;
    say(&format!(
        "trained for {:.1} s ({} steps, {} patches; {:.1}% of it waiting for data), evaluated for {:.1} s",
        results.training_seconds,
        results.steps,
        results.samples,
        100.0 * results.waiting_share,
        results.evaluation_seconds
    ));
    say(&format!("wrote {}:", folder.display()));
    for (file, content) in RUN_FILES {
        say(&format!("  {file:<20} {content}"));
    }
}

fn print_dice(record: &RunRecord) {
    let figure = |dice: Option<f64>| dice.map_or_else(|| "no case".to_owned(), |dice| format!("{dice:.4}"));
    let structures = record.structures();
    let width = structures.iter().map(|label| label.name.chars().count()).max().unwrap_or(0).max(4);
    for (label, dice) in structures.iter().zip(&record.results.dice) {
        say(&format!("  {:<width$}  {}", label.name, figure(*dice)));
    }
    say(&format!("  {:<width$}  {}", "mean", figure(record.results.dice_mean)));
}

fn print_next(request: &TrainRequest, outcome: &Outcome) {
    let other = match request.settings.curriculum.schedule {
        ScheduleKind::Pdl => ScheduleKind::Conventional,
        ScheduleKind::Conventional | ScheduleKind::Random => ScheduleKind::Pdl,
    };
    say(&format!("next: pdl-fit train {} --schedule {}", request.out.display(), other.name()));
    say(&format!("  or: pdl-fit predict {} IMAGES --out FOLDER", outcome.folder.display()));
}
