//! An executor: computes tiles and prepares cases on one machine.

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ballista_executor::executor_process::{ExecutorProcessConfig, start_executor_process};
use bytesize::ByteSize;
use pdl_similarity::isa::Isa;
use pdl_store::journal::HashCheck;
use pdl_store::progress::{Silent, StageContext};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::address::Address;
use crate::codec::TileCodec;
use crate::error::{ClusterError, with_sources};
use crate::limits::ExecutorLimits;
use crate::tile_exec::ExecutorHost;
use crate::worker::TileWorker;
use pdl_console::say;

/// Tasks at a time. One is computed with all cores while the other waits, so that a next one is
/// always at hand.
const TASKS: usize = 2;

const HEARTBEAT_SECONDS: u64 = 1;

/// Pause before an executor restarts that the scheduler gave up.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// Options of an executor.
#[derive(Debug, clap::Args)]
pub struct ExecutorArgs {
    /// Address of the scheduler.
    #[arg(long, value_name = "HOST:PORT")]
    scheduler: Address,
    /// Memory limit, such as 8GiB; default: half of the free memory.
    #[arg(long, value_name = "SIZE")]
    memory: Option<ByteSize>,
    /// Number of cores; 0 uses all.
    #[arg(long, default_value_t = 0, value_name = "N")]
    cores: usize,
    /// Folder for data from S3 storage; default: the system's temporary folder.
    #[arg(long, value_name = "FOLDER")]
    cache: Option<PathBuf>,
    /// Limit of the voxels in --cache.
    #[arg(long, default_value_t = ByteSize::gib(20), value_name = "SIZE")]
    cache_size: ByteSize,
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1", value_name = "HOST", help_heading = "Network")]
    bind: String,
    /// Name or address under which the scheduler reaches this executor; default: --bind.
    #[arg(long, value_name = "HOST", help_heading = "Network")]
    external_host: Option<String>,
    /// Port for results; 0 takes a free one.
    #[arg(long, default_value_t = 0, help_heading = "Network")]
    port: u16,
    /// Port for tasks; 0 takes a free one.
    #[arg(long, default_value_t = 0, help_heading = "Network")]
    task_port: u16,
    /// Time to wait for the scheduler at the start, in seconds.
    #[arg(long, default_value_t = 60, value_name = "SECONDS", help_heading = "Network")]
    patience: u16,
}

/// How an executor ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExecutorExit {
    /// By Ctrl-C or SIGTERM.
    Requested,
    /// The scheduler gave it up after a silence; it can be restarted.
    GivenUp,
}

/// Runs until the executor is stopped or given up.
///
/// # Errors
/// [`ClusterError::ExecutorFailed`] when it cannot listen or reach the scheduler;
/// [`ClusterError::LacksInstructionSet`] when a run needs another machine.
pub async fn run(args: &ExecutorArgs) -> Result<ExecutorExit, ClusterError> {
    let threads = rayon::ThreadPoolBuilder::new().num_threads(args.cores).build_global();
    threads.map_err(|error| cannot_run("cannot start the threads", &error))?;
    let work = tempfile::tempdir()
        .map_err(|error| cannot_run("cannot make a temporary folder for the results of tasks", &error))?;
    let host = args.external_host.clone().unwrap_or_else(|| args.bind.clone());
    let port = free_port(&args.bind, args.port)?;
    let task_port = free_port(&args.bind, args.task_port)?;
    let name = format!("{host}:{port}");
    let (lacking, mut lacks) = unbounded_channel();
    let codec = TileCodec::on(start_host(args, name.clone(), lacking)?);
    let config = ExecutorProcessConfig {
        bind_host: args.bind.clone(),
        external_host: Some(host),
        port,
        grpc_port: task_port,
        scheduler_host: args.scheduler.host.clone(),
        scheduler_port: args.scheduler.port,
        scheduler_connect_timeout_seconds: args.patience.max(1),
        vcores: TASKS,
        work_dir: work.path().to_str().map(str::to_owned),
        executor_heartbeat_interval_seconds: HEARTBEAT_SECONDS,
        memory_pool_size: Some(0), // tiles keep to a limit of their own
        override_physical_codec: Some(Arc::new(codec)),
        ..ExecutorProcessConfig::default()
    };
    let threads = rayon::current_num_threads();
    say(&format!("executor {name}, {threads} threads, for the scheduler at {}", args.scheduler));
    let requested = tokio::spawn(stop_requested());
    let ended = tokio::select! {
        ended = start_executor_process(Arc::new(config)) => ended,
        Some(isa) = lacks.recv() => return Err(ClusterError::LacksInstructionSet { isa }),
    };
    let attempt = format!("cannot work for the scheduler at {}", args.scheduler);
    ended.map_err(|error| cannot_run(&attempt, &error))?;
    Ok(if requested.is_finished() { ExecutorExit::Requested } else { ExecutorExit::GivenUp })
}

fn start_host(
    args: &ExecutorArgs,
    name: String,
    lacking: UnboundedSender<Isa>,
) -> Result<ExecutorHost, ClusterError> {
    let limits = ExecutorLimits {
        memory: args.memory.map(|memory| memory.0),
        cache: args.cache.clone().unwrap_or_else(std::env::temp_dir),
        cache_bytes: args.cache_size.0,
    };
    let memory = StageContext { trust: HashCheck::Stamps, progress: &Silent, memory: limits.memory }.memory();
    let worker = TileWorker::start(limits, Handle::current())
        .map_err(|error| cannot_run("cannot start the thread for tiles", &error))?;
    Ok(ExecutorHost { worker, name, memory: memory / TASKS as u64, lacking })
}

/// Replaces the process by a new one with the same arguments, after a pause; returns only when that
/// fails.
#[cfg(unix)]
pub fn restart() -> ClusterError {
    use std::os::unix::process::CommandExt;
    std::thread::sleep(RESTART_PAUSE);
    let mut arguments = std::env::args_os();
    let program = std::env::current_exe().ok().map(Into::into).or_else(|| arguments.next());
    let reason = match program {
        Some(program) => {
            std::process::Command::new(program).args(std::env::args_os().skip(1)).exec().to_string()
        }
        None => "the path of the program is unknown".to_owned(),
    };
    ClusterError::GivenUp { reason }
}

/// A process cannot be replaced on this system.
#[cfg(not(unix))]
pub fn restart() -> ClusterError {
    ClusterError::GivenUp { reason: "it cannot restart by itself on this system".to_owned() }
}

/// Returns after Ctrl-C or SIGTERM.
async fn stop_requested() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
        tokio::select! {
            _ = tokio::signal::ctrl_c() => (),
            _ = terminate.recv() => (),
        }
    }
    #[cfg(not(unix))]
    let _ = tokio::signal::ctrl_c().await;
}

/// The given port, or a free one in place of 0.
fn free_port(host: &str, port: u16) -> Result<u16, ClusterError> {
    let bound = TcpListener::bind((host, port)).and_then(|listener| listener.local_addr());
    let attempt = format!("cannot listen on {host}, port {port} (is another executor running there?)");
    Ok(bound.map_err(|error| cannot_run(&attempt, &error))?.port())
}

fn cannot_run(attempt: &str, error: &dyn std::error::Error) -> ClusterError {
    ClusterError::ExecutorFailed { reason: format!("{attempt}: {}", with_sources(error)) }
}
