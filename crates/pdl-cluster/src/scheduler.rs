//! The scheduler: assigns tasks to executors, and reassigns those of executors that fall silent.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use ballista_core::config::TaskSchedulingPolicy;
use ballista_core::serde::protobuf::scheduler_grpc_server::SchedulerGrpcServer;
use ballista_scheduler::api::get_routes;
use ballista_scheduler::cluster::BallistaCluster;
use ballista_scheduler::config::SchedulerConfig;
use ballista_scheduler::scheduler_process::create_scheduler;
use pdl_console::say;
use tonic::codegen::http::{Method, StatusCode, header};
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;

use crate::codec::TileCodec;
use crate::error::{ClusterError, with_sources};
use crate::scheduler_service::SchedulerService;
use crate::security::{MissingToken, Security, SecurityArgs};

/// Silence after which an executor counts as lost, and the interval of that check.
const EXECUTOR_TIMEOUT_SECONDS: u64 = 6;
const EXPIRY_CHECK_SECONDS: u64 = 2;

/// Limit of a message: a plan, or a list of results.
const MESSAGE_BYTES: usize = 16 << 20;

/// Options of the scheduler.
#[derive(Debug, clap::Args)]
pub struct SchedulerArgs {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1", value_name = "HOST")]
    bind: String,
    /// Port to listen on.
    #[arg(long, default_value_t = 50050)]
    port: u16,
    /// Name or address under which executors and clients reach the scheduler; default: --bind.
    #[arg(long, value_name = "HOST")]
    external_host: Option<String>,
    /// Time that a run waits for an executor after the last one is lost, in seconds.
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    patience: u64,
    #[command(flatten)]
    security: SecurityArgs,
}

/// Runs until the process is stopped.
///
/// # Errors
/// [`ClusterError::Security`] without certificates, [`ClusterError::SchedulerFailed`] when it
/// cannot listen.
pub async fn run(args: &SchedulerArgs) -> Result<(), ClusterError> {
    let security = args.security.resolve(&[&args.bind], MissingToken::Make)?;
    let at = format!("{}:{}", args.bind, args.port);
    let incoming = TcpIncoming::bind(address(&at)?).map_err(|error| {
        failed(format!("cannot listen on {at} (is another scheduler running there?): {error}"))
    })?;
    let config = SchedulerConfig {
        external_host: args.external_host.clone().unwrap_or_else(|| args.bind.clone()),
        bind_host: args.bind.clone(),
        bind_port: args.port,
        // Executors poll for tasks, so that only the scheduler that they chose can assign any.
        scheduling_policy: TaskSchedulingPolicy::PullStaged,
        executor_timeout_seconds: EXECUTOR_TIMEOUT_SECONDS,
        expire_dead_executor_interval_seconds: EXPIRY_CHECK_SECONDS,
        no_executors_grace_period_seconds: args.patience.max(EXECUTOR_TIMEOUT_SECONDS),
        override_physical_codec: Some(Arc::new(TileCodec::default())),
        override_create_grpc_client_endpoint: Some(security.engine_connections()),
        use_tls: matches!(security, Security::Members(_)),
        ..SchedulerConfig::default()
    };
    let cluster = BallistaCluster::new_from_config(&config).await;
    let cluster = cluster.map_err(|error| failed(with_sources(&error)))?;
    let engine = create_scheduler(cluster, Arc::new(config)).await;
    let engine = Arc::new(engine.map_err(|error| failed(with_sources(&error)))?);
    let calls = SchedulerGrpcServer::new(SchedulerService::new(Arc::clone(&engine)))
        .max_decoding_message_size(MESSAGE_BYTES)
        .max_encoding_message_size(MESSAGE_BYTES);
    let http = get_routes(engine).layer(from_fn(own_requests));
    let routes = Routes::from(Routes::new(calls).into_axum_router().merge(http));
    say(&format!("scheduler listens on {at}"));
    let server = security.server()?.accept_http1(true).add_routes(routes);
    server.serve_with_incoming(incoming).await.map_err(|error| failed(with_sources(&error)))
}

fn address(at: &str) -> Result<SocketAddr, ClusterError> {
    let resolved = at.to_socket_addrs().map_err(|error| failed(format!("{error}: {at}")))?;
    resolved.into_iter().next().ok_or_else(|| failed(format!("the name has no address: {at}")))
}

fn failed(reason: String) -> ClusterError {
    ClusterError::SchedulerFailed { reason }
}

/// Passes on the HTTP requests that clients of pdl make, and none that a page in a browser sends,
/// which names its origin.
async fn own_requests(request: Request, next: Next) -> Result<Response, StatusCode> {
    if request.headers().contains_key(header::ORIGIN) {
        return Err(StatusCode::FORBIDDEN);
    }
    if !is_own(request.method(), request.uri().path()) {
        return Err(StatusCode::NOT_FOUND);
    }
    Ok(next.run(request).await)
}

fn is_own(method: &Method, path: &str) -> bool {
    let path: Vec<&str> = path.split('/').skip(1).collect();
    match path.as_slice() {
        ["api", "executors" | "jobs"] | ["api", "job", _, "stages"] => method == Method::GET,
        ["api", "job", _] => method == Method::PATCH,
        _ => false,
    }
}
