//! The client of a preparation: a cluster prepares the missing cases.
//!
//! The plan is made here. Executors submit the cases of each task
//! ([`pdl_prepare::remote_worker`]); the client then runs the stage itself, which takes what was
//! submitted, reports the cases that failed, and writes the tables.

use std::path::{Path, PathBuf};

use pdl_prepare::parameters::PrepareParameters;
use pdl_prepare::prepare::{Prepared, prepare};
use pdl_prepare::remote_worker::{RemotePlan, plan_remote};
use pdl_store::journal::HashCheck;
use pdl_store::lock::FolderLock;
use pdl_store::progress::{Silent, StageContext};

use crate::address::Address;
use crate::error::{ClusterError, UnitKind};
use crate::job::{Job, JobKind, PrepareJob};
use crate::security::{MissingToken, SecurityArgs};
use crate::submission::{Submission, print_counts};
use crate::work_unit::WorkUnit;
use pdl_console::note;

/// Options of a preparation.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Cluster")]
pub struct PrepareArgs {
    /// Curation folder; it and the volumes of its cases are under the same path on every machine.
    /// (There is no --storage here: volumes are read where they are.)
    #[arg(help_heading = None)]
    out: PathBuf,
    /// Address of the scheduler.
    #[arg(long, value_name = "HOST:PORT")]
    scheduler: Address,
    /// Make a new plan.
    #[arg(long)]
    replan: bool,
    /// Print on stderr how many cases each executor prepared.
    #[arg(long)]
    by_executor: bool,
    /// Print the result as JSON.
    #[arg(long)]
    pub json: bool,
    /// All parameters of the stage as one JSON object, in place of the flags below; set by
    /// `pdl prepare --cluster`.
    #[arg(long, value_name = "JSON", hide = true)]
    options: Option<String>,
    #[command(flatten)]
    security: SecurityArgs,
    #[command(flatten, next_help_heading = "Preparation")]
    parameters: PrepareParameters,
}

/// Prepares the missing cases and writes the tables of the stage.
///
/// # Errors
/// [`ClusterError::Unfinished`] when the cluster fails, [`ClusterError::Interrupted`] after Ctrl-C;
/// else the error of the stage.
pub async fn run(args: &PrepareArgs) -> Result<Prepared, ClusterError> {
    let out = std::fs::canonicalize(&args.out)
        .map_err(|source| ClusterError::NoFolder { path: args.out.clone(), source })?;
    let parameters = match &args.options {
        Some(json) => serde_json::from_str(json).map_err(ClusterError::InvalidParameters)?,
        None => args.parameters.clone(),
    };
    let security = args.security.resolve(&[&args.scheduler.host], MissingToken::Refuse)?;
    let _lock = FolderLock::take(&out)?;
    let run = StageContext { hash_check: HashCheck::Stamps, progress: &Silent, memory: None };
    let first = plan_remote(&out, &parameters, args.replan, run)?;
    let mut todo = first.clone();
    while !todo.missing.is_empty() {
        let ended = match submission(&out, &todo).run(&args.scheduler, &security).await {
            Err(error @ ClusterError::Interrupted(_)) => return Err(error),
            ended => ended,
        };
        let left = plan_remote(&out, &parameters, false, run)?;
        let fruitless = left.missing.len() == todo.missing.len();
        match ended {
            Ok(counts) => {
                if args.by_executor {
                    print_counts(&counts);
                }
                if !left.missing.is_empty() {
                    let failed = left.missing.len();
                    note(&format!("{failed} cases failed in the cluster; preparing them on this machine"));
                }
                break;
            }
            Err(error) if error.is_retryable() && !fruitless => {
                note(&format!("warning: {error}; submitting the missing cases again"));
            }
            Err(error) => {
                let total = first.missing.len();
                let done = total.saturating_sub(left.missing.len());
                return Err(ClusterError::Unfinished {
                    done,
                    total,
                    units: UnitKind::Cases,
                    source: Box::new(error),
                });
            }
        }
        todo = left;
    }
    let mut prepared = prepare(&out, &parameters, false, run)?;
    // The stage counts only the cases that it wrote itself.
    prepared.written = first.missing.len().saturating_sub(prepared.failures.len());
    Ok(prepared)
}

fn submission(out: &Path, todo: &RemotePlan) -> Submission {
    let job = PrepareJob { out: out.to_owned(), plan: todo.plan.clone(), cases: todo.cases.clone() };
    let kind = JobKind::Prepare(Box::new(job));
    Submission {
        name: kind.name(),
        job: Job::new(kind),
        units: todo.missing.iter().copied().map(WorkUnit::Case).collect(),
        step: "preparing cases",
        total: todo.missing.len() as u64,
    }
}
