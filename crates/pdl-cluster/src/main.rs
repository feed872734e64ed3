//! `pdl-cluster`: prepare and compare on several machines. Results go to stdout, progress and
//! errors to stderr.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use serde_json::json;

use pdl_cluster::address::Address;
use pdl_cluster::certificates;
use pdl_cluster::compare::{self, CompareArgs};
use pdl_cluster::error::ClusterError;
use pdl_cluster::executor::{self, ExecutorArgs};
use pdl_cluster::prepare::{self, PrepareArgs};
use pdl_cluster::scheduler::{self, SchedulerArgs};
use pdl_cluster::scheduler_api::{ExecutorState, SchedulerApi};
use pdl_cluster::security::{MissingToken, SecurityArgs};
use pdl_console::{ExitStatus, finish, note, say};
use pdl_store::fault;

/// Prepare and compare the cases of a curation folder on several machines.
///
/// One machine runs the scheduler, each machine that computes runs an executor, and `prepare` and
/// `compare` run where the curation folder is. All of them see the folder under the same path.
/// All of them need the certificates that `init-certs` makes; on one machine alone a token takes
/// their place.
///
/// Exit codes: 0 done, 1 error, 2 wrong usage, 6 no executor has the instruction set of the run,
/// 7 the machine failed (disk, network file system, open files, memory), 130 interrupted.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a certificate authority for a cluster, and the certificate of its members.
    ///
    /// Copy DIR without ca.key to every machine, and pass it to every process with --tls.
    InitCerts {
        /// Folder for the certificates.
        #[arg(value_name = "DIR")]
        folder: PathBuf,
        /// Validity of the members' certificate, in days.
        #[arg(long, default_value_t = 365, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=3650))]
        days: u32,
        /// Replace the members' certificate by a new one of the same authority, which needs ca.key.
        #[arg(long)]
        renew: bool,
    },
    /// Run the scheduler: one per cluster.
    Scheduler(SchedulerArgs),
    /// Run an executor: one per machine that computes.
    Executor(ExecutorArgs),
    /// Normalise and resample every case as `pdl prepare` does: plan.json, prepared/, proxies/.
    Prepare(Box<PrepareArgs>),
    /// Compare every case with every other as `pdl compare` does: pairs/.
    Compare(CompareArgs),
    /// Show the executors and jobs of a scheduler.
    Status {
        /// Address of the scheduler.
        #[arg(long, value_name = "HOST:PORT")]
        scheduler: Address,
        /// Print the result as JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        security: SecurityArgs,
    },
}

fn main() -> ExitCode {
    let matches = match pdl_console::parse(Cli::command()) {
        Ok(matches) => matches,
        Err(ended) => return ended,
    };
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => {
            note(&error.to_string());
            return finish(ExitStatus::Usage);
        }
    };
    // The engine's log; PDL_LOG=info or debug shows more.
    env_logger::Builder::from_env(env_logger::Env::new().filter_or("PDL_LOG", "error")).init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            note(&format!("error: cannot start the threads: {error}"));
            return finish(ExitStatus::Failed);
        }
    };
    let ended = runtime.block_on(run(&cli.command));
    runtime.shutdown_background(); // tasks that still compute are of no use to anybody
    finish(match ended {
        Ok(()) => ExitStatus::Done,
        Err(error) => {
            note(&format!("error: {error}"));
            status_of(&error)
        }
    })
}

fn status_of(error: &ClusterError) -> ExitStatus {
    match error {
        ClusterError::Unfinished { source, .. } => status_of(source),
        ClusterError::LacksInstructionSet { .. } => ExitStatus::NoExecutor,
        ClusterError::Interrupted(_) => ExitStatus::Stopped,
        error if fault::machine_error(error).is_some() => ExitStatus::Machine,
        _ => ExitStatus::Failed,
    }
}

async fn run(command: &Command) -> Result<(), ClusterError> {
    match command {
        Command::InitCerts { folder, days, renew } => init_certs(folder, *days, *renew),
        Command::Scheduler(args) => scheduler::run(args).await,
        Command::Executor(args) => executor::run(args).await,
        Command::Prepare(args) => {
            let prepared = prepare::run(args).await?;
            let (cases, written, failed) = (prepared.cases, prepared.written, prepared.failures.len());
            if args.json {
                say(&json!({ "cases": cases, "written": written, "failed": failed }).to_string());
            } else {
                say(&format!("{cases} cases, {written} prepared now, {failed} failed"));
            }
            Ok(())
        }
        Command::Compare(args) => {
            let done = compare::run(args).await?;
            if args.json {
                let result = json!({ "cases": done.cases, "pairs": done.pairs, "computed": done.computed });
                say(&result.to_string());
            } else {
                say(&format!("{} pairs of {} cases, {} computed now", done.pairs, done.cases, done.computed));
            }
            Ok(())
        }
        Command::Status { scheduler, json, security } => status(scheduler, security, *json).await,
    }
}

fn init_certs(folder: &Path, days: u32, renew: bool) -> Result<(), ClusterError> {
    if renew {
        certificates::renew(folder, days)?;
        say(&format!("the members' certificate is valid for {days} days: copy it to every machine"));
    } else {
        certificates::create(folder, days)?;
        say(&format!(
            "the members' certificate is valid for {days} days: copy the folder without ca.key to every \
             machine, and pass it to every part with --tls"
        ));
    }
    Ok(())
}

async fn status(scheduler: &Address, security: &SecurityArgs, json: bool) -> Result<(), ClusterError> {
    let security = security.resolve(&[&scheduler.host], MissingToken::Refuse)?;
    let api = SchedulerApi::new(scheduler, &security)?;
    let (executors, jobs) = (api.executors().await?, api.jobs().await?);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let seconds_ago =
        |executor: &ExecutorState| executor.last_seen.map(|at| now.saturating_sub(at) as f64 / 1000.0);
    let mut listed = Vec::new();
    for job in jobs {
        let done = api.units_done(&job.job_id).await.unwrap_or_default();
        listed.push(json!({ "name": job.job_name, "status": job.status, "tiles_done": done }));
    }
    if json {
        let executor = |executor: &ExecutorState| {
            let seen = seconds_ago(executor);
            json!({ "host": executor.host, "port": executor.port, "seen_seconds_ago": seen })
        };
        let executors: Vec<_> = executors.iter().map(executor).collect();
        say(&format!("{:#}", json!({ "executors": executors, "jobs": listed })));
        return Ok(());
    }
    say(&format!("{} executors", executors.len()));
    for executor in &executors {
        let seen = seconds_ago(executor);
        let seen = seen.map_or("never".to_owned(), |seconds| format!("{seconds:.1} s ago"));
        say(&format!("  {}:{}  seen {seen}", executor.host, executor.port));
    }
    say(&format!("{} jobs", listed.len()));
    for job in listed {
        let text = |key: &str| job[key].as_str().unwrap_or_default().to_owned();
        say(&format!("  {}: {}, {} units done", text("name"), text("status"), job["tiles_done"]));
    }
    Ok(())
}
