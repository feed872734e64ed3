//! `pdl-cluster`: the pair matrix on several machines. Results go to stdout, progress and errors to stderr.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use serde_json::json;

use pdl_cluster::compare::{self, CompareArgs};
use pdl_cluster::executor::{self, ExecutorArgs, ExecutorExit};
use pdl_cluster::prepare::{self, PrepareArgs};
use pdl_cluster::scheduler::{self, SchedulerArgs};
use pdl_cluster::scheduler_api::{ExecutorState, SchedulerApi};
use pdl_cluster::submission::Interrupted;
use pdl_cluster::{Address, note, say};

/// Computes the pair matrix of a curation folder on several machines.
///
/// One machine runs the scheduler, each machine that computes runs an executor, and `compare` is run where the curation
/// folder is. All of them see the folder under the same path. There is no authentication: keep to a trusted network.
///
/// Exit codes: 0 done, 1 error, 2 wrong usage, 6 an executor lacks the instruction set of the run, 130 interrupted.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Hand out work: one for a cluster.
    Scheduler(SchedulerArgs),
    /// Compute tiles: one for each machine.
    Executor(ExecutorArgs),
    /// Normalise and resample every case: plan.json, prepared/, proxies/, as `pdl prepare` makes them.
    Prepare(Box<PrepareArgs>),
    /// Compare every case with every other: pairs/, as `pdl compare` makes it.
    Compare(CompareArgs),
    /// Tell which executors and jobs a scheduler has.
    Status {
        /// The scheduler.
        #[arg(long, value_name = "HOST:PORT")]
        scheduler: Address,
        /// Print the result as JSON.
        #[arg(long)]
        json: bool,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    // What the engine says of itself; PDL_LOG=info or debug shows more.
    env_logger::Builder::from_env(env_logger::Env::new().filter_or("PDL_LOG", "error")).init();
    match run(&cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            note(&format!("error: {error:#}"));
            ExitCode::from(if error.is::<Interrupted>() { 130 } else { 1 })
        }
    }
}

fn run(command: &Command) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    match command {
        Command::Scheduler(args) => runtime.block_on(scheduler::run(args)),
        Command::Executor(args) => match runtime.block_on(executor::run(args))? {
            ExecutorExit::Asked => Ok(()),
            ExecutorExit::GivenUp => Err(executor::again()),
        },
        Command::Prepare(args) => {
            let prepared = runtime.block_on(prepare::run(args))?;
            let (cases, written, failed) = (prepared.cases, prepared.written, prepared.failures.len());
            if args.json {
                say(&json!({ "cases": cases, "written": written, "failed": failed }).to_string());
            } else {
                say(&format!("{cases} cases, {written} prepared now, {failed} failed"));
            }
            Ok(())
        }
        Command::Compare(args) => {
            let done = runtime.block_on(compare::run(args))?;
            if args.json {
                let result = json!({ "cases": done.cases, "pairs": done.pairs, "computed": done.computed });
                say(&result.to_string());
            } else {
                say(&format!("{} pairs of {} cases, {} computed now", done.pairs, done.cases, done.computed));
            }
            Ok(())
        }
        Command::Status { scheduler, json } => runtime.block_on(status(scheduler, *json)),
    }
}

async fn status(scheduler: &Address, json: bool) -> Result<()> {
    let api = SchedulerApi::new(scheduler);
    let (executors, jobs) = (api.executors().await?, api.jobs().await?);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_millis();
    let seen = |seen: Option<u128>| seen.map(|at| now.saturating_sub(at) as f64 / 1000.0);
    let mut listed = Vec::new();
    for job in jobs {
        let tiles = api.tiles_done(&job.job_id).await.unwrap_or_default();
        listed.push(json!({ "name": job.job_name, "status": job.status, "tiles_done": tiles }));
    }
    if json {
        let executor = |e: &ExecutorState| json!({ "host": e.host, "port": e.port, "seen_seconds_ago": seen(e.last_seen) });
        let executors: Vec<_> = executors.iter().map(executor).collect();
        say(&serde_json::to_string_pretty(&json!({ "executors": executors, "jobs": listed }))?);
        return Ok(());
    }
    say(&format!("{} executors", executors.len()));
    for executor in executors {
        let seen =
            seen(executor.last_seen).map_or("never".to_owned(), |seconds| format!("{seconds:.1} s ago"));
        say(&format!("  {}:{}  seen {seen}", executor.host, executor.port));
    }
    say(&format!("{} jobs", listed.len()));
    for job in listed {
        let text = |key: &str| job[key].as_str().unwrap_or_default().to_owned();
        say(&format!("  {}: {}, {} tiles done", text("name"), text("status"), job["tiles_done"]));
    }
    Ok(())
}
