//! `pdl prepare`.

use std::path::PathBuf;

use anyhow::Result;
use pdl_console::ExitStatus;
use pdl_prepare::parameters::PrepareParameters;
use pdl_store::lock::FolderLock;

use crate::cluster;
use crate::context::Context;
use crate::preconditions::{CASES, Requirements};
use crate::stages::Stages;

/// Arguments of `pdl prepare`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The curation folder.
    out: PathBuf,
    #[command(flatten)]
    parameters: PrepareParameters,
    #[command(flatten)]
    replan: Replan,
    /// Prepare on the cluster of this scheduler, with pdl-cluster; every machine must see OUT and
    /// the cohort's volumes under the same paths. PDL_CLUSTER_TLS names the folder of the cluster's
    /// certificates. On this machine when not given.
    #[arg(long, value_name = "HOST:PORT", help_heading = "Machines")]
    cluster: Option<String>,
}

/// Whether to keep the existing plan.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub(crate) struct Replan {
    /// Make a new plan from the present training cases instead of keeping the existing one.
    #[arg(long, help_heading = "Plan")]
    pub replan: bool,
}

impl Args {
    /// On a cluster, `pdl-cluster` locks the folder first.
    pub(crate) fn requirements(&self) -> Requirements<'_> {
        Requirements { lock: self.cluster.is_none(), ..Requirements::stages(&self.out, Some(&[CASES])) }
    }
}

/// Normalises and resamples every case.
///
/// # Errors
/// Why the stage failed; cases that fail are listed instead.
pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitStatus> {
    let mut stages = Stages::new(&args.out, context);
    let replan = args.replan.replan;
    let Some(scheduler) = &args.cluster else {
        let ended = stages.prepare(replan);
        return stages.finish(ended);
    };
    let written = cluster::prepare(&args.out, &context.settings.prepare, replan, scheduler)?;
    let Some(written) = written else { return Ok(ExitStatus::Stopped) };
    let _lock = FolderLock::take(&args.out)?;
    // The cluster has planned and prepared: the stage only reads the results.
    let ended = stages.prepare(false);
    if let Some(prepared) = &mut stages.outcome.prepared {
        prepared.written = written;
    }
    stages.finish(ended)
}
