//! An executor: computes tiles on one machine.

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use ballista_executor::executor_process::{ExecutorProcessConfig, start_executor_process};
use bytesize::ByteSize;
use pdl_store::journal::Trust;
use pdl_store::progress::{Run, Silent};
use tokio::runtime::Handle;

use crate::codec::TileCodec;
use crate::tile_exec::ExecutorHost;
use crate::worker::{ExecutorLimits, TileWorker};
use crate::{Address, say};

/// Tasks at a time: one is computed with all cores, the other waits, so that there is always a next one.
const TASKS: usize = 2;

/// Seconds between two signs of life.
const HEARTBEAT: u64 = 1;

/// Pause before an executor that was given up begins anew.
const PAUSE: Duration = Duration::from_secs(1);

/// What an executor may use.
#[derive(Debug, clap::Args)]
pub struct ExecutorArgs {
    /// The scheduler.
    #[arg(long, value_name = "HOST:PORT")]
    scheduler: Address,
    /// Most memory to use, such as 8GiB; half of what is free when not given.
    #[arg(long, value_name = "SIZE")]
    memory: Option<ByteSize>,
    /// Cores to use; 0 takes all.
    #[arg(long, default_value_t = 0, value_name = "N")]
    cores: usize,
    /// Folder for what comes from S3 storage; the system's for temporary files when not given.
    #[arg(long, value_name = "FOLDER")]
    cache: Option<PathBuf>,
    /// Most that voxels may take there.
    #[arg(long, default_value_t = ByteSize::gib(20), value_name = "SIZE")]
    cache_size: ByteSize,
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1", value_name = "HOST")]
    bind: String,
    /// Name or address under which the scheduler reaches it; the one it listens on when not given.
    #[arg(long, value_name = "HOST")]
    external_host: Option<String>,
    /// Port for results; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Port for tasks; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    task_port: u16,
    /// Seconds to wait for the scheduler at the start.
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    patience: u16,
}

/// Why an executor stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExecutorExit {
    /// Somebody asked for it.
    Asked,
    /// The scheduler gave it up, because it was silent for too long: it may begin anew.
    GivenUp,
}

/// Runs until it is stopped or given up.
///
/// # Errors
/// When it cannot listen or does not reach the scheduler.
pub async fn run(args: &ExecutorArgs) -> Result<ExecutorExit> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(args.cores)
        .build_global()
        .context("cannot start the threads")?;
    let work = tempfile::tempdir().context("cannot make a folder for the results of tasks")?;
    let host = args.external_host.clone().unwrap_or_else(|| args.bind.clone());
    let port = free_port(&args.bind, args.port)?;
    let task_port = free_port(&args.bind, args.task_port)?;
    let limits = ExecutorLimits {
        memory: args.memory.map(|memory| memory.0),
        cache: args.cache.clone().unwrap_or_else(std::env::temp_dir),
        cache_bytes: args.cache_size.0,
    };
    let memory = Run { trust: Trust::Stamps, progress: &Silent, memory: limits.memory }.memory();
    let worker = TileWorker::start(limits, Handle::current()).context("cannot start the thread for tiles")?;
    let name = format!("{host}:{port}");
    let codec = TileCodec::on(ExecutorHost { worker, name: name.clone(), memory: memory / TASKS as u64 });
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
        executor_heartbeat_interval_seconds: HEARTBEAT,
        memory_pool_size: Some(0), // tiles keep to a limit of their own
        override_physical_codec: Some(Arc::new(codec)),
        ..ExecutorProcessConfig::default()
    };
    say(&format!(
        "executor {name}, {} threads, for the scheduler at {}",
        rayon::current_num_threads(),
        args.scheduler
    ));
    let asked = tokio::spawn(asked());
    start_executor_process(Arc::new(config))
        .await
        .with_context(|| format!("the executor cannot work for the scheduler at {}", args.scheduler))?;
    Ok(if asked.is_finished() { ExecutorExit::Asked } else { ExecutorExit::GivenUp })
}

/// Begins anew as the same process, after a pause; returns only when that fails.
#[cfg(unix)]
pub fn again() -> anyhow::Error {
    use std::os::unix::process::CommandExt;
    std::thread::sleep(PAUSE);
    let mut arguments = std::env::args_os();
    let program = std::env::current_exe().ok().map(Into::into).or_else(|| arguments.next());
    let command =
        program.map(|program| std::process::Command::new(program).args(std::env::args_os().skip(1)).exec());
    match command {
        Some(error) => anyhow::Error::from(error).context("the executor cannot begin anew"),
        None => anyhow::anyhow!("the executor cannot begin anew: it does not know its own name"),
    }
}

/// Begins anew as the same process; not here.
#[cfg(not(unix))]
pub fn again() -> anyhow::Error {
    anyhow::anyhow!("the scheduler gave this executor up; start it again")
}

/// Waits for Ctrl-C or a request to end.
async fn asked() {
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

/// The port that is asked for, or a free one in place of 0.
fn free_port(host: &str, port: u16) -> Result<u16> {
    let listener = TcpListener::bind((host, port))
        .with_context(|| format!("cannot listen on {host}, port {port}; is another executor there?"))?;
    Ok(listener.local_addr()?.port())
}
