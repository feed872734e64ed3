//! The scheduler: hands tasks to executors, and takes them back from those that fall silent.

use std::net::ToSocketAddrs;
use std::sync::Arc;

use anyhow::{Context, Result};
use ballista_scheduler::cluster::BallistaCluster;
use ballista_scheduler::config::SchedulerConfig;
use ballista_scheduler::scheduler_process::start_server;

use crate::codec::TileCodec;
use crate::say;

/// Seconds of silence after which an executor counts as lost, and between looks for such ones.
const EXECUTOR_TIMEOUT: u64 = 6;
const EXPIRY_CHECK: u64 = 2;

/// How the scheduler is reached.
#[derive(Debug, clap::Args)]
pub struct SchedulerArgs {
    /// Address to listen on. Whoever reaches it can run tiles: keep it to a trusted network.
    #[arg(long, default_value = "127.0.0.1", value_name = "HOST")]
    bind: String,
    /// Port to listen on.
    #[arg(long, default_value_t = 50050)]
    port: u16,
    /// Name or address under which executors and clients reach it; the one it listens on when not given.
    #[arg(long, value_name = "HOST")]
    external_host: Option<String>,
    /// Seconds that a run waits for an executor when the last one is lost.
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    patience: u64,
}

/// Runs until it is stopped.
///
/// # Errors
/// When it cannot listen.
pub async fn run(args: &SchedulerArgs) -> Result<()> {
    let at = format!("{}:{}", args.bind, args.port);
    let address = at.to_socket_addrs().ok().and_then(|mut all| all.next());
    let address = address.with_context(|| format!("this is no address to listen on: {at}"))?;
    let config = SchedulerConfig {
        external_host: args.external_host.clone().unwrap_or_else(|| args.bind.clone()),
        bind_host: args.bind.clone(),
        bind_port: args.port,
        executor_timeout_seconds: EXECUTOR_TIMEOUT,
        expire_dead_executor_interval_seconds: EXPIRY_CHECK,
        no_executors_grace_period_seconds: args.patience.max(EXECUTOR_TIMEOUT),
        override_physical_codec: Some(Arc::new(TileCodec::default())),
        ..SchedulerConfig::default()
    };
    let cluster = BallistaCluster::new_from_config(&config).await?;
    say(&format!("scheduler listens on {at}"));
    start_server(cluster, address, Arc::new(config))
        .await
        .with_context(|| format!("the scheduler cannot run on {at}; is another one there?"))
}
