//! `pdl-fit`: trains a segmenter on a curation folder.
#![allow(clippy::print_stderr, reason = "a program talks to its user")]

mod display;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::parser::ValueSource;
use clap::{FromArgMatches, Parser, Subcommand};
use pdl_cohort::attributes::Split;
use pdl_console::{Display, ExitStatus, counted, note};
use pdl_curriculum::manifest;
use pdl_fit::FitError;
use pdl_fit::data::dataset::Dataset;
use pdl_fit::data::subset::Subset;
use pdl_fit::experiment::compare::arm_tuning::{self, Tuned};
use pdl_fit::experiment::compare::protocol::Protocol;
use pdl_fit::experiment::compare::{self, report as comparison};
use pdl_fit::experiment::run_record::{self, RunRecord};
use pdl_fit::experiment::runner::Runs;
use pdl_fit::experiment::tuning::{self, Search};
use pdl_fit::inference::model::Model;
use pdl_fit::inference::predict::{self, PredictionStatus};
use pdl_fit::metrics::evaluate;
use pdl_fit::model::torchscript;
use pdl_fit::plan::settings::{DeviceChoice, Settings, parse_memory};
use pdl_fit::train::interrupt;
use pdl_fit::train::training::{self, Outcome, TrainRequest};
use pdl_report::ReportParameters;
use pdl_store::fault;
use pdl_store::lock::FolderLock;
use pdl_store::memory::MemoryLimit;
use pdl_store::progress::Silent;

use crate::display::{show_run, show_runs, trials_table};

/// Writes a line to stdout; a reader that has gone away (`| head`) is no error.
macro_rules! say {
    ($($words:tt)*) => {{
        use std::io::Write;
        let _ = writeln!(std::io::stdout().lock(), $($words)*);
    }};
}

/// Trains a segmenter on a folder that `pdl curate` made, and applies it.
///
/// The usual way: pdl-fit train OUT, then pdl-fit predict OUT/runs/pdl-seed1 IMAGES --out LABELS; pdl-fit evaluate for
/// figures on the test split, and pdl-fit compare to see which schedule of the curriculum is soonest at the same Dice.
///
/// Exit codes: 0 done, 1 error, 2 wrong usage, 4 an image cannot be used and --strict was given
/// (predict), 7 the machine failed (disk, network file system, open files, memory), 130 stopped by
/// Ctrl-C. Results go to stdout, the rest to stderr.
#[derive(Parser)]
#[command(version, arg_required_else_help = true, max_term_width = 100)]
struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Train a U-Net on the training cases and evaluate it on the validation cases: OUT/runs/NAME. Ctrl-C leaves a
    /// checkpoint, and the same command goes on from there.
    Train(Box<Train>),
    /// Choose learning rate, width, depth, samples and batch on the coarse sample of the manifest, by successive halving:
    /// OUT/tuning. The same command goes on where it was interrupted; `train --tuned` takes what it found.
    Tune(Box<Tune>),
    /// Measure how long schedules take to the same Dice, conventional training among them: tune each on seeds of its
    /// own, then run all on others.
    Compare(Compare),
    /// Segment images with a trained network: label maps of the same names, on the images' own grids. An image whose
    /// voxels, size or intensities are far from the training cases' is segmented all the same, with a warning.
    Predict(Predict),
    /// Measure a trained network on held-out cases, on their original grids: Dice, surface Dice, HD95, volumes.
    Evaluate(Evaluate),
    /// Write a trained network as TorchScript, which Python's torch.jit.load runs without pdl.
    Export(Export),
    #[command(flatten)]
    Shell(pdl_console::Shell),
}

#[derive(clap::Args)]
struct Predict {
    /// The folder of a finished run, such as OUT/runs/pdl-seed1; it may be copied elsewhere.
    run: PathBuf,
    /// Volumes, or folders: of these every volume and every DICOM series at any depth is an image. Files whose names
    /// begin with a dot, and what lies in --out, are left out.
    #[arg(required = true)]
    inputs: Vec<PathBuf>,
    /// Where the label maps go. That of FOLDER/site/scan.nii.gz is site/scan.nii.gz, that of a DICOM series its folder's
    /// name (numbered where a folder has several); two images of one name are refused.
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Most memory that an image may take, such as 8GiB; half of what is free when not given.
    #[arg(long, value_name = "SIZE", value_parser = parse_memory)]
    memory: Option<u64>,
    /// End with exit code 4 when an image cannot be used; without it only when none can (exit code 1).
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    place: Placed,
}

#[derive(clap::Args)]
struct Export {
    /// The folder of a finished run, such as OUT/runs/pdl-seed1.
    run: PathBuf,
    /// The file to write [default: RUN/network.pt].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(clap::Args)]
struct Evaluate {
    /// The folder of a finished run inside its curation folder, such as OUT/runs/pdl-seed1.
    run: PathBuf,
    /// The cases to measure on. The test split is for final figures: choose on the validation split.
    #[arg(long, value_enum, default_value_t = HeldOutSplit::Val)]
    split: HeldOutSplit,
    /// Distance within which surfaces count as the same, mm [default: 3 for CT, 1 for others].
    #[arg(long, value_name = "MM")]
    tolerance: Option<f64>,
    #[command(flatten)]
    place: Placed,
}

/// Where a trained network runs.
#[derive(clap::Args)]
struct Placed {
    /// Where the network runs.
    #[arg(long, value_enum, default_value_t = DeviceChoice::Auto)]
    device: DeviceChoice,
    /// Threads of the network [default: all cores].
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum HeldOutSplit {
    /// Validation cases.
    Val,
    /// Test cases.
    Test,
}

#[derive(clap::Args)]
struct Compare {
    /// The folder that `pdl curate COHORT --out OUT` made.
    out: PathBuf,
    /// A TOML file with the arms and the grid that they choose from [default:
    /// conventional, random growing and pdl, each with and without progressive resolution, and two whose samples grow in
    /// size and number; tuned.json shows it whole].
    #[arg(long, value_name = "FILE")]
    protocol: Option<PathBuf>,
    /// Target and choices of an earlier tuning, which is then not done [default: OUT/comparison/tuned.json].
    #[arg(long, value_name = "FILE", conflicts_with = "protocol")]
    tuned: Option<PathBuf>,
    /// Seeds to report, from 1 on; 0 ends after tuning. A tuning may be started several times at once, each with a part
    /// of the cores (OMP_NUM_THREADS): they share its runs.
    #[arg(long, default_value_t = 3, value_name = "N")]
    seeds: u64,
    /// Report only arms with these names, beside the conventional one; without it all. May be given several times.
    #[arg(long, value_name = "NAME")]
    arm: Vec<String>,
    /// Do not compare the files with the hashes in the manifest, which saves time.
    #[arg(long)]
    trust_files: bool,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct Tune {
    /// The folder that `pdl curate COHORT --out OUT` made, or OUT/folds/K that `pdl rank OUT --folds N` made.
    out: PathBuf,
    /// Tune anew even when a tuning is in OUT; without it a finished one is kept, and an interrupted one goes on.
    #[arg(long)]
    force: bool,
    /// Do not compare the files with the hashes in the manifest, which saves time.
    #[arg(long)]
    trust_files: bool,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    search: Search,
    #[command(flatten)]
    settings: Settings,
}

#[derive(clap::Args)]
struct Train {
    /// The folder that `pdl curate COHORT --out OUT` made, or OUT/folds/K that `pdl rank OUT --folds N` made.
    out: PathBuf,
    /// The run's name; its files go to OUT/runs/NAME [default: SCHEDULE-seedSEED].
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Train anew even when the run exists; without it a finished run is kept, and an interrupted one goes on.
    #[arg(long)]
    force: bool,
    /// Do not compare the files with the hashes in the manifest, which saves time.
    #[arg(long)]
    trust_files: bool,
    /// Do not evaluate the network case by case afterwards, nor write the report anew.
    #[arg(long)]
    no_report: bool,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
    /// Take the settings of network, samples and optimiser that `pdl-fit tune OUT` found; other flags given count more.
    #[arg(long)]
    tuned: bool,
    #[command(flatten)]
    settings: Settings,
}

fn main() -> ExitCode {
    start_in_environment();
    let matches = pdl_console::command::<Program>().get_matches();
    let program = Program::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let display = Display::new();
    stop_on_ctrl_c();
    let done = match program.command {
        Command::Train(train) => {
            let matches = matches.subcommand_matches("train");
            let given = |flag: &str| {
                matches.is_some_and(|matches| matches.value_source(flag) == Some(ValueSource::CommandLine))
            };
            run(*train, given, &display).map(|()| ExitCode::SUCCESS)
        }
        Command::Tune(words) => tune(*words).map(|()| ExitCode::SUCCESS),
        Command::Compare(words) => compare(words).map(|()| ExitCode::SUCCESS),
        Command::Predict(words) => predict(&words),
        Command::Evaluate(words) => evaluate(&words).map(|()| ExitCode::SUCCESS),
        Command::Export(words) => export(&words).map(|()| ExitCode::SUCCESS),
        Command::Shell(words) => shell(&words).map(|()| ExitCode::SUCCESS),
    };
    match done {
        Ok(code) => code,
        Err(error) if matches!(error.downcast_ref(), Some(FitError::Stopped)) => {
            eprintln!("{error}");
            ExitStatus::Stopped.into()
        }
        Err(error) => {
            eprintln!("error: {error}"); // its text names the cause already
            match fault::machine_error(error.as_ref()) {
                Some(_) => ExitStatus::Machine.into(),
                None => ExitStatus::Failed.into(),
            }
        }
    }
}

fn shell(words: &pdl_console::Shell) -> anyhow::Result<()> {
    say!("{}", words.run(pdl_console::command::<Program>())?);
    Ok(())
}

/// Ctrl-C lets a training end its step and write its checkpoint; everything else, and a second Ctrl-C, ends at once.
fn stop_on_ctrl_c() {
    pdl_console::exit_on_ctrl_c(|| {
        let asked = interrupt::ask();
        if asked {
            note("stopping after this step; Ctrl-C once more stops at once");
        }
        asked
    });
}

/// What OpenMP and the C library are told where the user has not told them something else.
const ENVIRONMENT: [(&str, &str); 4] = [
    // Threads that wait for one another look for a while, then sleep. To sleep at once makes a step on two quiet cores a
    // fifth longer; to look on and on, as they do by default, makes it longest where another program uses a core.
    ("GOMP_SPINCOUNT", "10000"),
    // Memory that a step gives back is kept for the next one: to get it from the kernel anew, page by page, costs as
    // much as a tenth of the step.
    ("MALLOC_MMAP_THRESHOLD_", "1073741824"),
    ("MALLOC_TRIM_THRESHOLD_", "8589934592"),
    ("MALLOC_TOP_PAD_", "268435456"),
];

/// Both read their environment when they are loaded, before `main`, so the program starts itself once more.
fn start_in_environment() {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::process::CommandExt;
        let is_set = |name: &str| std::env::var_os(name).is_some();
        let told = |name: &str| is_set(name) || (name == "GOMP_SPINCOUNT" && is_set("OMP_WAIT_POLICY"));
        let missing: Vec<_> = ENVIRONMENT.into_iter().filter(|(name, _)| !told(name)).collect();
        if missing.is_empty() {
            return;
        }
        if let Ok(program) = std::env::current_exe() {
            let mut again = std::process::Command::new(program);
            // Returns only when it fails; then the program goes on as it is.
            let _ = again.args(std::env::args_os().skip(1)).envs(missing).exec();
        }
    }
}

/// Trains; `given` says whether a setting was on the command line.
fn run(train: Train, given: impl Fn(&str) -> bool, display: &Display) -> anyhow::Result<()> {
    let Train { out, name, force, trust_files, no_report, json, tuned, settings } = train;
    let (settings, tuned) = match tuned {
        true => tuning::tuned(&out, &settings, given).map(|(settings, tuned)| (settings, Some(tuned)))?,
        false => (settings, None),
    };
    let (runs, sample) = (PathBuf::from("runs"), Subset::All);
    let request = TrainRequest { out, runs, name, settings, sample, tuned, force, trust_files };
    let outcome = training::train(&request, &mut |event| show_run(display, event));
    display.clear();
    let outcome = outcome?;
    let evaluated = outcome.existed && outcome.folder.join(evaluate::file_name(Split::Val)).is_file();
    let evaluates = !no_report && !evaluated;
    if json {
        say!("{}", serde_json::to_string_pretty(&summary(&outcome))?);
    } else {
        tell(&outcome, !evaluates);
    }
    if evaluates {
        evaluate_cases(&request, &outcome, json)?;
    }
    if !no_report {
        report(&request, json);
    }
    if !json {
        say_next(&request, &outcome);
    }
    Ok(())
}

/// Applies the network to every validation case once more, for surfaces, distances and label maps.
fn evaluate_cases(request: &TrainRequest, outcome: &Outcome, quiet: bool) -> anyhow::Result<()> {
    let (folder, settings) = (&outcome.folder, &request.settings);
    let model = Model::load(folder, settings.device, settings.threads)?;
    let tolerance = evaluate::default_tolerance_mm(model.record.preparation.modality);
    let evaluation = evaluate::evaluate(&model, folder, &request.out, Split::Val, tolerance, &mut |_| {})?;
    if !quiet {
        tell_evaluation(&evaluation, tolerance);
    }
    Ok(())
}

/// Writes the report anew. A fold has none of its own: it is a part of its cohort's folder.
fn report(request: &TrainRequest, quiet: bool) {
    if !request.out.join(pdl_cohort::cases::FILE).is_file() {
        return;
    }
    match pdl_report::report(&request.out, &ReportParameters::default(), &Silent) {
        Ok(_) if quiet => {}
        Ok(_) => say!("made: {}", request.out.join(pdl_report::FILE).display()),
        Err(error) => eprintln!("warning: the report was not written: {error}"),
    }
}

fn compare(words: Compare) -> anyhow::Result<()> {
    let Compare { out, protocol, tuned: file, seeds, arm: arms, trust_files, json } = words;
    let folder = out.join(compare::FOLDER);
    let mut watch = show_runs;
    let mut runs = Runs::new(&out, compare::FOLDER, Subset::All, trust_files, &mut watch);
    let mut tuned = match file {
        Some(file) => {
            let tuned = Tuned::read(&file)?;
            if tuned.manifest_blake3 != Dataset::open(&out)?.manifest.info.hashes.manifest {
                eprintln!("warning: target and choices were tuned on another manifest: {}", file.display());
            }
            tuned
        }
        None => {
            let protocol = Protocol::read(protocol.as_deref())?;
            arm_tuning::tune(&protocol, &folder.join(arm_tuning::FILE), &mut runs)?
        }
    };
    if seeds == 0 {
        say!("target {:.4}; the best while tuning: {}", tuned.target, tuned.best);
        say!("made: {}", folder.join(arm_tuning::FILE).display());
        return Ok(());
    }
    tuned.keep_arms(&arms)?;
    // Trials may be shared among processes, as they count steps; what is timed wants the machine for itself.
    let _lock = FolderLock::take(&folder)?;
    let compared = comparison::report(&tuned, &(1..=seeds).collect::<Vec<_>>(), &folder, &mut runs)?;
    if json {
        say!("{}", serde_json::to_string_pretty(&compared.rows)?);
    } else {
        say!("{}", compared.text.trim_end());
        say!("made: {}", folder.join(comparison::FILE).display());
    }
    Ok(())
}

fn tune(words: Tune) -> anyhow::Result<()> {
    let Tune { out, force, trust_files, json, search, settings } = words;
    let request = tuning::TuneRequest { out, search, settings, force, trust_files };
    let (tuning, trials) = tuning::tune(&request, &mut show_runs)?;
    if json {
        say!("{}", serde_json::to_string_pretty(&tuning)?);
        return Ok(());
    }
    say!("{}", trials_table(&trials).trim_end());
    let folder = request.out.join(tuning::FOLDER);
    say!("made: {}, {}", folder.join(tuning::FILE).display(), tuning::TRIALS_FILE);
    say!("next: pdl-fit train {} --tuned", request.out.display());
    Ok(())
}

fn predict(words: &Predict) -> anyhow::Result<ExitCode> {
    let Predict { run, inputs, out, memory, strict, place } = words;
    let limit = MemoryLimit::or_half_of_free(*memory);
    let inputs = predict::find(inputs, out, &limit)?;
    let model = Model::load(run, place.device, place.threads)?;
    let mut number = 0;
    let done = predict::predict(&model, &inputs, out, &limit, &mut |prediction| {
        number += 1;
        let problem = prediction.problem.as_ref().map_or(String::new(), |problem| format!(": {problem}"));
        let what = match prediction.status {
            PredictionStatus::Made => "made",
            PredictionStatus::Kept => "there already",
            PredictionStatus::Failed => "failed",
        };
        eprintln!("{number} of {}: {} {what}{problem}", inputs.len(), prediction.name);
        for warning in &prediction.warnings {
            eprintln!("  warning: {}: {warning}", prediction.name);
        }
    })?;
    let failed = done.iter().filter(|prediction| prediction.status == PredictionStatus::Failed).count();
    let unlike = done.iter().filter(|prediction| !prediction.warnings.is_empty()).count();
    if unlike > 0 {
        eprintln!(
            "warning: {} unlike the network's training cases: look at the label maps",
            counted(unlike, "image")
        );
    }
    if place.json {
        say!("{}", serde_json::to_string_pretty(&done)?);
    } else {
        let maps = counted(done.len() - failed, "label map");
        say!("{maps}; {} could not be used: {}", counted(failed, "image"), out.display());
    }
    anyhow::ensure!(failed < done.len(), "none of the images could be used");
    Ok(if *strict && failed > 0 { ExitStatus::Strict.into() } else { ExitCode::SUCCESS })
}

fn evaluate(words: &Evaluate) -> anyhow::Result<()> {
    let Evaluate { run, split, tolerance, place } = words;
    let model = Model::load(run, place.device, place.threads)?;
    // OUT/runs/NAME, OUT/folds/K/runs/NAME or OUT/comparison/runs/NAME
    let run_place = run.canonicalize()?;
    let out = run_place.ancestors().find(|folder| folder.join(manifest::INFO_FILE).exists());
    let out =
        out.ok_or_else(|| anyhow::anyhow!("the run does not lie in a curation folder: {}", run.display()))?;
    let tolerance =
        tolerance.unwrap_or_else(|| evaluate::default_tolerance_mm(model.record.preparation.modality));
    let split = match split {
        HeldOutSplit::Val => Split::Val,
        HeldOutSplit::Test => Split::Test,
    };
    let evaluation = evaluate::evaluate(&model, run, out, split, tolerance, &mut |case| eprintln!("{case}"))?;
    if place.json {
        say!("{}", serde_json::to_string_pretty(&evaluation.summary)?);
        return Ok(());
    }
    tell_evaluation(&evaluation, tolerance);
    Ok(())
}

fn export(words: &Export) -> anyhow::Result<()> {
    let model = Model::load(&words.run, DeviceChoice::Cpu, None)?;
    let path = words.out.clone().unwrap_or_else(|| words.run.join(torchscript::FILE));
    torchscript::write(&model, &path)?;
    let plan = model.record.plan.network;
    let axes = if plan.dims == 2 { "y, x" } else { "z, y, x" };
    say!("made: {}", path.display());
    say!("in: prepared images, float32 (N, 1, {axes}) in RAS+ order, sides multiples of {}", plan.stride());
    let names: Vec<&str> = model.record.labels.iter().map(|label| label.name.as_str()).collect();
    say!("out: logits (N, {}, {axes}): background, {}", plan.classes, names.join(", "));
    Ok(())
}

fn tell_evaluation(evaluation: &evaluate::Evaluation, tolerance_mm: f64) {
    let width = evaluation.summary.iter().map(|label| label.name.chars().count()).max().unwrap_or(0).max(5);
    let figure =
        |value: Option<f64>, places: usize| value.map_or("-".to_owned(), |value| format!("{value:.places$}"));
    let within = format!("within {tolerance_mm} mm");
    say!("{:<width$}  {:>5}  {:>6}  {within:>12}  {:>8}", "label", "cases", "Dice", "HD95, mm");
    for evaluate::EvaluationSummary { name, cases, dice, surface_dice, hd95_mm } in &evaluation.summary {
        let (dice, surface) = (figure(*dice, 4), figure(*surface_dice, 4));
        say!("{name:<width$}  {cases:>5}  {dice:>6}  {surface:>12}  {:>8}", figure(*hd95_mm, 2));
    }
    say!("made: {}", evaluation.file.display());
    say!("made: {}", evaluation.predictions.display());
}

fn summary(outcome: &Outcome) -> serde_json::Value {
    serde_json::json!({
        "folder": outcome.folder,
        "existed": outcome.existed,
        "labels": outcome.record.labels,
        "results": outcome.record.results,
    })
}

fn tell(outcome: &Outcome, with_dice: bool) {
    let Outcome { folder, record, existed } = outcome;
    if *existed {
        say!("nothing to do: this run exists, with the same settings and manifest (--force trains anew)");
    }
    if with_dice {
        say!("validation Dice on the original grid, {} cases:", record.validation_cases);
        print_dice(record);
    }
    let results = &record.results;
    say!(
        "trained for {:.1} s ({} steps, {} samples; {:.1}% of it waiting for samples), evaluated for {:.1} s",
        results.training_seconds,
        results.steps,
        results.samples,
        100.0 * results.waiting_share,
        results.evaluation_seconds
    );
    say!("made in {}:", folder.display());
    for (file, what) in [
        (run_record::WEIGHTS_FILE, "the weights"),
        (pdl_fit::train::history::FILE, "loss and Dice of every evaluation"),
        (run_record::FILE, "settings, plan, versions and results"),
    ] {
        say!("  {file:<20} {what}");
    }
}

fn say_next(request: &TrainRequest, outcome: &Outcome) {
    let other = match request.settings.schedule {
        pdl_fit::plan::settings::ScheduleKind::Pdl => "conventional",
        _ => "pdl",
    };
    say!("next: pdl-fit train {} --schedule {other}", request.out.display());
    say!("  or: pdl-fit predict {} IMAGES --out FOLDER", outcome.folder.display());
}

fn print_dice(record: &RunRecord) {
    let figure = |dice: &Option<f64>| dice.map_or("no case".to_owned(), |dice| format!("{dice:.4}"));
    let width = record.labels.iter().map(|label| label.name.chars().count()).max().unwrap_or(0).max(4);
    for (label, dice) in record.labels.iter().zip(&record.results.dice) {
        say!("  {:<width$}  {}", label.name, figure(dice));
    }
    say!("  {:<width$}  {}", "mean", figure(&record.results.dice_mean));
}
