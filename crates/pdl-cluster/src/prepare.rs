//! The client of a preparation: what is missing is prepared by a cluster.
//!
//! The plan is made here. Executors submit some cases for each task ([`pdl_prepare::remote_worker`]); the client then
//! runs the stage itself, which finds them there, tells of those that failed, and writes the tables.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use pdl_prepare::plan::PrepareParameters;
use pdl_prepare::prepare::{Prepared, prepare};
use pdl_prepare::remote_worker::{RemotePlan, plan_remote};
use pdl_similarity::tile::Tile;
use pdl_store::journal::Trust;
use pdl_store::lock::FolderLock;
use pdl_store::progress::{Run, Silent};

use crate::job::{Job, JobKind, PrepareJob};
use crate::submission::{Submission, is_final, tell};
use crate::{Address, note};

/// What to prepare, and where.
#[derive(Debug, clap::Args)]
pub struct PrepareArgs {
    /// The curation folder; it and the volumes of its cases under the same path on every machine (there is no --storage
    /// here: volumes are read where they lie).
    out: PathBuf,
    /// The scheduler.
    #[arg(long, value_name = "HOST:PORT")]
    scheduler: Address,
    /// Make a new plan.
    #[arg(long)]
    replan: bool,
    /// Say on stderr how many cases each executor prepared.
    #[arg(long)]
    by_executor: bool,
    /// Print the result as JSON.
    #[arg(long)]
    pub json: bool,
    /// All options of the stage as one JSON object, in place of the flags below; `pdl prepare --cluster` gives it.
    #[arg(long, value_name = "JSON", hide = true)]
    options: Option<String>,
    #[command(flatten)]
    parameters: PrepareParameters,
}

/// Prepares what is missing.
///
/// # Errors
/// When the scheduler does not answer, no case can be prepared, or the run is interrupted.
pub async fn run(args: &PrepareArgs) -> Result<Prepared> {
    let out = std::fs::canonicalize(&args.out)
        .with_context(|| format!("there is no such curation folder: {}", args.out.display()))?;
    let parameters = match &args.options {
        Some(json) => serde_json::from_str(json).context("--options is no set of options")?,
        None => args.parameters.clone(),
    };
    let _lock = FolderLock::take(&out)?;
    let run = Run { trust: Trust::Stamps, progress: &Silent, memory: None };
    let first = plan_remote(&out, &parameters, args.replan, run)?;
    let mut todo = first.clone();
    while !todo.missing.is_empty() {
        let ended = submission(&out, &todo).run(&args.scheduler).await;
        let left = plan_remote(&out, &parameters, false, run)?;
        let fruitless = left.missing.len() == todo.missing.len();
        match ended {
            Ok(shares) => {
                shares.iter().filter(|_| args.by_executor).for_each(tell);
                if !left.missing.is_empty() {
                    note(&format!("{} cases failed in the cluster and are tried here", left.missing.len()));
                }
                break;
            }
            Err(error) if fruitless || is_final(&error) => {
                let done = first.missing.len().saturating_sub(left.missing.len());
                return Err(error.context(format!(
                    "{done} of {} cases are done; run it again and only the others are prepared",
                    first.missing.len()
                )));
            }
            Err(error) => note(&format!("warning: {error:#}; going on with what is left")),
        }
        todo = left;
    }
    let mut prepared = prepare(&out, &parameters, false, run)?;
    // The stage finds what was submitted, and counts what it made itself.
    prepared.written = first.missing.len().saturating_sub(prepared.failures.len());
    Ok(prepared)
}

/// The missing cases, as they are sent once.
fn submission(out: &Path, todo: &RemotePlan) -> Submission {
    let preparation = PrepareJob { out: out.to_owned(), plan: todo.plan.clone(), cases: todo.cases.clone() };
    let work = JobKind::Prepare(Box::new(preparation));
    Submission {
        name: work.name(),
        job: Job::new(work),
        tiles: todo.missing.iter().map(|case| Tile { row: *case, col: 0 }).collect(),
        step: "preparing cases",
        units: todo.missing.len() as u64,
    }
}
