//! `pdl-fit`: trains a segmenter on a curation folder.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program talks to its user")]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use pdl_fit::history::HistoryRow;
use pdl_fit::run::{self, RunRecord};
use pdl_fit::settings::Settings;
use pdl_fit::train::{self, Event, Outcome, Request};

/// Trains a segmenter on a folder that `pdl curate` made.
#[derive(Parser)]
#[command(version)]
struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Train a U-Net on the training cases and evaluate it on the validation cases.
    Train(Train),
}

#[derive(clap::Args)]
struct Train {
    /// The folder that `pdl curate COHORT --out OUT` made, or OUT/folds/K that `pdl rank OUT --folds N` made.
    out: PathBuf,
    /// The run's name; its files go to OUT/runs/NAME [default: SCHEDULE-seedSEED].
    #[arg(long)]
    name: Option<String>,
    /// Train anew even when the run exists.
    #[arg(long)]
    force: bool,
    /// Do not compare the files with the hashes in the manifest.
    #[arg(long)]
    trust_files: bool,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

fn main() -> ExitCode {
    wait_without_spinning();
    let Program { command: Command::Train(train) } = Program::parse();
    match run(train) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}"); // its text names the cause already
            ExitCode::FAILURE
        }
    }
}

/// Lets libtorch's threads sleep while they wait for one another. By default they spin, which makes a step
/// several times slower as soon as another program uses a core. OpenMP reads this when it is loaded, before
/// `main`, so the program starts itself once more; what the user has set stays.
fn wait_without_spinning() {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::process::CommandExt;
        const POLICY: &str = "OMP_WAIT_POLICY";
        let is_set = |name: &str| std::env::var_os(name).is_some();
        if is_set(POLICY) || is_set("GOMP_SPINCOUNT") {
            return;
        }
        if let Ok(program) = std::env::current_exe() {
            let mut again = std::process::Command::new(program);
            // Returns only when it fails; then the program goes on as it is.
            let _ = again.args(std::env::args_os().skip(1)).env(POLICY, "passive").exec();
        }
    }
}

fn run(train: Train) -> anyhow::Result<()> {
    let Train { out, name, force, trust_files, json, settings } = train;
    let request = Request { out, name, settings, force, trust_files };
    let outcome = train::train(&request, &mut show)?;
    if json {
        println!("{}", serde_json::to_string_pretty(&summary(&outcome))?);
    } else {
        tell(&request, &outcome);
    }
    Ok(())
}

/// Shows on stderr how the run goes.
fn show(event: &Event<'_>) {
    match event {
        Event::Begins { plan, training, validation, programs } => {
            let [z, y, x] = plan.patch;
            let size = if plan.network.dims == 2 { format!("{y} x {x}") } else { format!("{z} x {y} x {x}") };
            eprintln!(
                "{training} training and {validation} validation cases; {} steps of {} samples of {size} voxels \
                 (y, x last), all cases in after {}; {}-D U-Net of {} levels; {} threads, {}",
                plan.steps,
                plan.batch,
                plan.steps_until_all_joined,
                plan.network.dims,
                plan.network.depth,
                programs.threads,
                programs.device
            );
            eprintln!("    step  seconds  epoch  cases    loss   Dice  (by label)");
        }
        Event::Resumes(step) => eprintln!("an interrupted run goes on after {step} steps"),
        Event::Evaluated(row) => eprintln!("{}", line(row)),
    }
}

fn line(row: &HistoryRow) -> String {
    let labels: Vec<String> = row.dice.iter().map(|dice| format!("{dice:.3}")).collect();
    let HistoryRow { step, seconds, epoch, active, loss, dice_mean, .. } = row;
    format!(
        "{step:>8} {seconds:>8.1} {epoch:>6} {active:>6} {loss:>7.3} {dice_mean:>6.3}  ({})",
        labels.join(" ")
    )
}

fn summary(outcome: &Outcome) -> serde_json::Value {
    serde_json::json!({
        "folder": outcome.folder,
        "existed": outcome.existed,
        "labels": outcome.record.labels,
        "results": outcome.record.results,
    })
}

fn tell(request: &Request, outcome: &Outcome) {
    let Outcome { folder, record, existed } = outcome;
    if *existed {
        println!("nothing to do: this run exists, with the same settings and manifest (--force trains anew)");
    }
    println!("validation Dice on the original grid, {} cases:", record.validation_cases);
    print_dice(record);
    let results = &record.results;
    println!(
        "trained for {:.1} s ({} steps, {} samples; {:.1}% of it waiting for samples), evaluated for {:.1} s",
        results.training_seconds,
        results.steps,
        results.samples,
        100.0 * results.waiting_share,
        results.evaluation_seconds
    );
    println!("made in {}:", folder.display());
    for (file, what) in [
        (run::WEIGHTS_FILE, "the weights"),
        (pdl_fit::history::FILE, "loss and Dice of every evaluation"),
        (run::FILE, "settings, plan, versions and results"),
    ] {
        println!("  {file:<20} {what}");
    }
    let other = match request.settings.schedule {
        pdl_fit::settings::ScheduleKind::Pdl => "conventional",
        _ => "pdl",
    };
    println!("next: pdl-fit train {} --schedule {other}", request.out.display());
    println!("see it: pdl report {}", request.out.display());
}

fn print_dice(record: &RunRecord) {
    let figure = |dice: &Option<f64>| dice.map_or("no case".to_owned(), |dice| format!("{dice:.4}"));
    let width = record.labels.iter().map(|label| label.name.chars().count()).max().unwrap_or(0).max(4);
    for (label, dice) in record.labels.iter().zip(&record.results.dice) {
        println!("  {:<width$}  {}", label.name, figure(dice));
    }
    println!("  {:<width$}  {}", "mean", figure(&record.results.dice_mean));
}
