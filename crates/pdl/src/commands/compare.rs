//! `pdl compare`.

use std::path::PathBuf;

use anyhow::Result;
use pdl_console::ExitStatus;
use pdl_similarity::parameters::CompareParameters;

use crate::cluster;
use crate::context::Context;
use crate::preconditions::{PROXIES, Requirements};
use crate::stages::Stages;

/// Arguments of `pdl compare`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The curation folder.
    out: PathBuf,
    #[command(flatten)]
    parameters: CompareParameters,
    /// Compare on the cluster of this scheduler, with pdl-cluster; every machine must see OUT under
    /// the same path. PDL_CLUSTER_TLS names the folder of the cluster's certificates. On this
    /// machine when not given.
    #[arg(long, value_name = "HOST:PORT", help_heading = "Machines")]
    cluster: Option<String>,
}

impl Args {
    /// Proxies alone, as machines that only compare may hold nothing else. On a cluster,
    /// `pdl-cluster` locks the folder.
    pub(crate) fn requirements(&self) -> Requirements<'_> {
        Requirements { lock: self.cluster.is_none(), ..Requirements::stages(&self.out, Some(&[PROXIES])) }
    }
}

/// Compares every pair of cases.
///
/// # Errors
/// Why the stage failed.
pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitStatus> {
    if let Some(scheduler) = &args.cluster {
        return cluster::compare(&args.out, &context.settings.compare, scheduler, context.json);
    }
    let mut stages = Stages::new(&args.out, context);
    let ended = stages.compare();
    stages.finish(ended)
}
