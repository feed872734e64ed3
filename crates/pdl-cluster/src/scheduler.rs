//! The scheduler: assigns tasks to executors, and reassigns those of executors that fall silent.

use std::net::ToSocketAddrs;
use std::sync::Arc;

use ballista_scheduler::cluster::BallistaCluster;
use ballista_scheduler::config::SchedulerConfig;
use ballista_scheduler::scheduler_process::start_server;

use crate::codec::TileCodec;
use crate::error::{ClusterError, with_sources};
use pdl_console::say;

/// Silence after which an executor counts as lost, and the interval of that check.
const EXECUTOR_TIMEOUT_SECONDS: u64 = 6;
const EXPIRY_CHECK_SECONDS: u64 = 2;

/// Options of the scheduler.
#[derive(Debug, clap::Args)]
pub struct SchedulerArgs {
    /// Address to listen on. There is no authentication: use a trusted network.
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
}

/// Runs until the process is stopped.
///
/// # Errors
/// [`ClusterError::SchedulerFailed`] when it cannot listen.
pub async fn run(args: &SchedulerArgs) -> Result<(), ClusterError> {
    let at = format!("{}:{}", args.bind, args.port);
    let cannot_run = |reason| ClusterError::SchedulerFailed { reason };
    let resolved = at.to_socket_addrs().map_err(|error| cannot_run(format!("{error}: {at}")))?;
    let address = resolved.into_iter().next();
    let address = address.ok_or_else(|| cannot_run(format!("the name has no address: {at}")))?;
    let config = SchedulerConfig {
        external_host: args.external_host.clone().unwrap_or_else(|| args.bind.clone()),
        bind_host: args.bind.clone(),
        bind_port: args.port,
        executor_timeout_seconds: EXECUTOR_TIMEOUT_SECONDS,
        expire_dead_executor_interval_seconds: EXPIRY_CHECK_SECONDS,
        no_executors_grace_period_seconds: args.patience.max(EXECUTOR_TIMEOUT_SECONDS),
        override_physical_codec: Some(Arc::new(TileCodec::default())),
        ..SchedulerConfig::default()
    };
    let cluster = BallistaCluster::new_from_config(&config).await;
    let cluster = cluster.map_err(|error| cannot_run(with_sources(&error)))?;
    say(&format!("scheduler listens on {at}"));
    start_server(cluster, address, Arc::new(config)).await.map_err(|error| {
        let reason = with_sources(&error);
        cannot_run(format!("cannot listen on {at} (is another scheduler running there?): {reason}"))
    })
}
