//! An executor: computes tiles and prepares cases on one machine.
//!
//! It asks the scheduler for tasks. One port serves the results of its tasks and lets the scheduler
//! cancel them.

use std::convert::Infallible;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_flight::flight_service_server::FlightServiceServer;
use ballista_core::BALLISTA_PROTOCOL_VERSION;
use ballista_core::serde::BallistaCodec;
use ballista_core::serde::BallistaLogicalExtensionCodec;
use ballista_core::serde::protobuf::executor_grpc_server::ExecutorGrpcServer;
use ballista_core::serde::protobuf::executor_resource::Resource;
use ballista_core::serde::protobuf::executor_status::Status as ExecutorState;
use ballista_core::serde::protobuf::scheduler_grpc_client::SchedulerGrpcClient;
use ballista_core::serde::protobuf::{
    ExecutorOperatingSystemSpecification, ExecutorRegistration, ExecutorResource, ExecutorSpecification,
    ExecutorStatus, ExecutorStoppedParams, HeartBeatParams,
};
use ballista_executor::execution_loop::poll_loop;
use ballista_executor::executor::Executor;
use ballista_executor::health::ExecutorHealth;
use ballista_executor::metrics::LoggingMetricsCollector;
use bytesize::ByteSize;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::SessionConfig;
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use pdl_console::say;
use pdl_similarity::isa::Isa;
use pdl_store::journal::HashCheck;
use pdl_store::progress::{Silent, StageContext};
use tokio::runtime::Handle;
use tonic::Code;
use tonic::transport::Channel;
use tonic::transport::server::TcpIncoming;

use crate::address::Address;
use crate::codec::TileCodec;
use crate::error::{ClusterError, with_sources};
use crate::executor_id::new_executor_id;
use crate::executor_service::{TaskControl, TaskResults};
use crate::limits::ExecutorLimits;
use crate::roots::{Root, Roots};
use crate::security::{MissingToken, Security, SecurityArgs};
use crate::stage_check::OwnPlansEngine;
use crate::tile_exec::ExecutorHost;
use crate::worker::TileWorker;

/// Tasks at a time. One is computed with all cores while the other waits, so that a next one is
/// always at hand.
const TASKS: usize = 2;

/// Interval between two heartbeats.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Time between two attempts to reach the scheduler.
const RETRY: Duration = Duration::from_millis(500);

/// Limit of a message: a task, or a part of a result.
const MESSAGE_BYTES: usize = 16 << 20;

/// Options of an executor.
#[derive(Debug, clap::Args)]
pub struct ExecutorArgs {
    /// Address of the scheduler.
    #[arg(long, value_name = "HOST:PORT")]
    scheduler: Address,
    /// Folder or s3://BUCKET/PREFIX that the executor may read and write. May be repeated. For
    /// `prepare` they must hold the volumes, too.
    #[arg(long = "root", required = true, value_name = "ROOT")]
    roots: Vec<Root>,
    /// Memory limit, such as 8GiB; default: half of the free memory.
    #[arg(long, value_name = "SIZE")]
    memory: Option<ByteSize>,
    /// Number of cores; 0 uses all.
    #[arg(long, default_value_t = 0, value_name = "N")]
    cores: usize,
    /// Folder for data from S3 storage; default: the system's temporary folder.
    #[arg(long, value_name = "FOLDER")]
    cache: Option<PathBuf>,
    /// Maximum size of --cache.
    #[arg(long, default_value_t = ByteSize::gib(20), value_name = "SIZE")]
    cache_size: ByteSize,
    /// The only instruction set to compute with, for tests; default: all of this machine.
    #[arg(long, hide = true)]
    only_isa: Option<Isa>,
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1", value_name = "HOST", help_heading = "Network")]
    bind: String,
    /// Name or address under which the others reach this executor; default: --bind.
    #[arg(long, value_name = "HOST", help_heading = "Network")]
    external_host: Option<String>,
    /// Port to listen on; 0 chooses a free one.
    #[arg(long, default_value_t = 0, help_heading = "Network")]
    port: u16,
    /// Time to wait for a scheduler that does not answer, in seconds.
    #[arg(long, default_value_t = 60, value_name = "SECONDS", help_heading = "Network")]
    patience: u16,
    #[command(flatten)]
    security: SecurityArgs,
}

type Scheduler = SchedulerGrpcClient<Channel>;

/// Runs until Ctrl-C or SIGTERM.
///
/// # Errors
/// [`ClusterError::Security`] without certificates, [`ClusterError::Store`] for a root that does
/// not exist, [`ClusterError::ExecutorFailed`] when it cannot listen, or the scheduler does not
/// answer.
pub async fn run(args: &ExecutorArgs) -> Result<(), ClusterError> {
    let security = args.security.resolve(&[&args.bind, &args.scheduler.host], MissingToken::Refuse)?;
    let roots = Roots::new(&args.roots)?;
    let threads = rayon::ThreadPoolBuilder::new().num_threads(args.cores).build_global();
    threads.map_err(|error| cannot_run("cannot start the threads", &error))?;
    let work = tempfile::tempdir()
        .map_err(|error| cannot_run("cannot make a temporary folder for the results of tasks", &error))?;
    let incoming = listen(&args.bind, args.port)?;
    let port = incoming.local_addr().map_err(|error| cannot_run("cannot listen", &error))?.port();
    let host = args.external_host.clone().unwrap_or_else(|| args.bind.clone());
    let name = format!("{host}:{port}");
    let isas = args.only_isa.map_or_else(Isa::available, |isa| vec![isa]);
    let id = new_executor_id(&isas);
    let codec = TileCodec::on(start_host(args, name.clone(), isas, roots)?);
    let executor = Arc::new(executor(registration(id, host, port), work.path(), &security));
    let threads = rayon::current_num_threads();
    say(&format!("executor {name}, {threads} threads, for the scheduler at {}", args.scheduler));
    let served = security.server()?.add_service(results(work.path())).add_service(control(&executor));
    let served = tokio::spawn(served.serve_with_incoming(incoming));
    let stopped = stop_requested();
    tokio::pin!(stopped);
    let scheduler = tokio::select! {
        connected = connect(args, &security) => connected?,
        () = &mut stopped => return Ok(()),
    };
    let codec = BallistaCodec::<LogicalPlanNode, PhysicalPlanNode>::new(
        Arc::new(BallistaLogicalExtensionCodec::default()),
        Arc::new(codec),
    );
    let health = ExecutorHealth::new();
    let polls = tokio::spawn(poll_loop(scheduler.clone(), Arc::clone(&executor), codec, None, None, health));
    let attempt = format!("cannot work for the scheduler at {}", args.scheduler);
    tokio::select! {
        ended = served => Err(match ended {
            Ok(Err(error)) => cannot_run(&format!("cannot serve results on {name}"), &error),
            _ => ClusterError::ExecutorFailed { reason: "the server of results has ended".to_owned() },
        }),
        ended = polls => Err(match ended {
            Ok(Err(error)) => cannot_run(&attempt, &error),
            _ => ClusterError::ExecutorFailed { reason: "the loop that asks for tasks has ended".to_owned() },
        }),
        gone = give_signs_of_life(scheduler.clone(), &executor, args.patience) => match gone {
            Err(status) => Err(cannot_run(&attempt, &status)),
        },
        () = stopped => {
            leave(scheduler, &executor).await;
            Ok(())
        }
    }
}

fn listen(host: &str, port: u16) -> Result<TcpIncoming, ClusterError> {
    let attempt = format!("cannot listen on {host}, port {port} (is another executor running there?)");
    let address = |host: &str| -> std::io::Result<SocketAddr> {
        let found = (host, port).to_socket_addrs()?.next();
        found.ok_or_else(|| std::io::Error::other("the name has no address"))
    };
    address(host).and_then(TcpIncoming::bind).map_err(|error| cannot_run(&attempt, &error))
}

fn registration(id: String, host: String, port: u16) -> ExecutorRegistration {
    let tasks = ExecutorResource { resource: Some(Resource::Vcores(TASKS as u32)) };
    ExecutorRegistration {
        id,
        host: Some(host),
        port: port.into(),
        grpc_port: port.into(),
        specification: Some(ExecutorSpecification { resources: vec![tasks] }),
        os_info: Some(ExecutorOperatingSystemSpecification::default()),
        ballista_protocol_version: BALLISTA_PROTOCOL_VERSION,
    }
}

fn executor(registration: ExecutorRegistration, work: &Path, security: &Security) -> Executor {
    let folder = work.to_owned();
    let runtime =
        move |_: &SessionConfig| RuntimeEnvBuilder::new().with_temp_file_path(folder.clone()).build_arc();
    let security = security.clone();
    Executor::new(
        registration,
        &work.to_string_lossy(),
        Arc::new(runtime),
        Arc::new(move || security.session()),
        Arc::default(),
        Arc::new(LoggingMetricsCollector::default()),
        TASKS,
        Arc::new(OwnPlansEngine::default()),
    )
}

fn results(work: &Path) -> FlightServiceServer<TaskResults> {
    FlightServiceServer::new(TaskResults::new(work.to_string_lossy().into_owned()))
        .max_decoding_message_size(MESSAGE_BYTES)
        .max_encoding_message_size(MESSAGE_BYTES)
}

fn control(executor: &Arc<Executor>) -> ExecutorGrpcServer<TaskControl> {
    ExecutorGrpcServer::new(TaskControl(Arc::clone(executor)))
}

fn start_host(
    args: &ExecutorArgs,
    name: String,
    isas: Vec<Isa>,
    roots: Roots,
) -> Result<ExecutorHost, ClusterError> {
    let limits = ExecutorLimits {
        memory: args.memory.map(|memory| memory.0),
        cache: args.cache.clone().unwrap_or_else(std::env::temp_dir),
        cache_bytes: args.cache_size.0,
    };
    let memory =
        StageContext { hash_check: HashCheck::Stamps, progress: &Silent, memory: limits.memory }.memory();
    let worker = TileWorker::start(limits, Handle::current())
        .map_err(|error| cannot_run("cannot start the thread for tiles", &error))?;
    Ok(ExecutorHost { worker, name, memory: memory / TASKS as u64, isas, roots })
}

/// A connection to the scheduler, which may start later than its executors.
async fn connect(args: &ExecutorArgs, security: &Security) -> Result<Scheduler, ClusterError> {
    let endpoint = security.endpoint(&args.scheduler)?;
    let deadline = Instant::now() + Duration::from_secs(args.patience.into());
    loop {
        match endpoint.connect().await {
            Ok(channel) => {
                return Ok(SchedulerGrpcClient::new(channel)
                    .max_decoding_message_size(MESSAGE_BYTES)
                    .max_encoding_message_size(MESSAGE_BYTES));
            }
            Err(error) if Instant::now() >= deadline => {
                return Err(cannot_run(
                    &format!("cannot work for the scheduler at {}", args.scheduler),
                    &error,
                ));
            }
            Err(_) => tokio::time::sleep(RETRY).await,
        }
    }
}

/// Sends heartbeats to the scheduler, also while the executor is busy and does not poll for tasks;
/// returns the error when the scheduler has not answered for `patience` seconds.
async fn give_signs_of_life(
    mut scheduler: Scheduler,
    executor: &Executor,
    patience: u16,
) -> Result<Infallible, tonic::Status> {
    let mut heard = Instant::now();
    loop {
        let status = ExecutorStatus { status: Some(ExecutorState::Active(String::new())) };
        let sign = HeartBeatParams {
            executor_id: executor.metadata.id.clone(),
            metrics: Vec::new(),
            status: Some(status),
            metadata: Some(executor.metadata.clone()),
        };
        match scheduler.heart_beat_from_executor(sign).await {
            // A scheduler that was started again knows this executor from its next request on.
            Err(status) if status.code() != Code::NotFound => {
                if heard.elapsed() >= Duration::from_secs(patience.into()) {
                    return Err(status);
                }
            }
            _ => heard = Instant::now(),
        }
        tokio::time::sleep(HEARTBEAT).await;
    }
}

/// Returns the tasks to the scheduler, so that others get them at once.
async fn leave(mut scheduler: Scheduler, executor: &Executor) {
    let left = ExecutorStoppedParams {
        executor_id: executor.metadata.id.clone(),
        reason: "stopped on its machine".to_owned(),
    };
    // else by its silence
    let _ = tokio::time::timeout(HEARTBEAT, scheduler.executor_stopped(left)).await;
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

fn cannot_run(attempt: &str, error: &dyn std::error::Error) -> ClusterError {
    ClusterError::ExecutorFailed { reason: format!("{attempt}: {}", with_sources(error)) }
}
