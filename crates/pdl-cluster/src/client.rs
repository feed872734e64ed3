//! The client: what is missing of a comparison is computed by a cluster.

use std::io::{BufRead, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::UInt64Type;
use ballista_core::config::BALLISTA_JOB_NAME;
use ballista_core::execution_plans::execute_physical_plan;
use ballista_core::extension::SessionConfigExt;
use datafusion::prelude::SessionConfig;
use datafusion_proto::protobuf::PhysicalPlanNode;
use futures::StreamExt;
use pdl_similarity::compare::{Compared, Plan};
use pdl_similarity::pairs;
use pdl_similarity::parameters::CompareParameters;
use pdl_store::atomic;
use pdl_store::lock::FolderLock;

use crate::codec::TileCodec;
use crate::job::{self, Job, Place, VERSION};
use crate::mirror;
use crate::plan::plan;
use crate::rest::Rest;
use crate::storage::{Storage, Url};
use crate::{Address, Bar, note};

/// How often the scheduler is asked how far it is.
const LOOK: Duration = Duration::from_millis(500);
/// Goes without a new tile after which a run is given up.
const FRUITLESS_GOES: usize = 2;

/// What to compare, and where.
#[derive(Debug, clap::Args)]
pub struct CompareArgs {
    /// The curation folder; under the same path on every machine, unless there is --storage.
    out: PathBuf,
    /// S3-compatible storage for proxies and parts, where machines share no folder; OUT is needed here alone. How to get
    /// in comes from the environment of each machine (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT, ...).
    #[arg(long, value_name = "s3://BUCKET/PREFIX")]
    storage: Option<Url>,
    /// The scheduler.
    #[arg(long, value_name = "HOST:PORT")]
    scheduler: Address,
    /// Print the result as JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    parameters: CompareParameters,
}

/// A run that was left, and whether its job goes on.
#[derive(Debug, thiserror::Error)]
#[error("stopped; {0}")]
pub struct Interrupted(&'static str);

/// Computes what is missing.
///
/// # Errors
/// When the scheduler does not answer, a tile cannot be computed, or the run is interrupted.
pub async fn run(args: &CompareArgs) -> Result<Compared> {
    let out = std::fs::canonicalize(&args.out)
        .with_context(|| format!("there is no such curation folder: {}", args.out.display()))?;
    let _lock = FolderLock::take(&out)?;
    let first = Plan::new(&out, &args.parameters)?;
    let storage = args.storage.as_ref().map(Storage::open).transpose()?;
    let first = collected(first, &out, storage.as_ref()).await?;
    let mut todo = first.clone();
    let place = match (&args.storage, &storage) {
        (Some(url), Some(storage)) if !todo.missing.is_empty() => {
            note("bringing the proxies into storage");
            Place::Storage { url: url.clone(), index: mirror::upload(&out, storage).await? }
        }
        _ => Place::Folder(out.clone()),
    };
    let mut fruitless = 0;
    while !todo.missing.is_empty() {
        let ended = go(&place, &todo, &args.scheduler).await;
        if ended.as_ref().is_err_and(|error| error.is::<Interrupted>()) {
            return Err(ended.err().unwrap_or_else(|| anyhow::anyhow!("interrupted")));
        }
        let left = collected(Plan::new(&out, &todo.parameters)?, &out, storage.as_ref()).await?;
        fruitless = if left.missing.len() == todo.missing.len() { fruitless + 1 } else { 0 };
        match ended {
            Err(error) if is_final(&error) || fruitless >= FRUITLESS_GOES => {
                let done = first.missing.len() - left.missing.len();
                return Err(error.context(format!(
                    "{done} of {} tiles are done; run it again and only the others are computed",
                    first.missing.len()
                )));
            }
            Ok(()) if fruitless >= FRUITLESS_GOES => {
                bail!("the cluster says that all is done, but {} tiles are missing", left.missing.len());
            }
            Err(error) => note(&format!("warning: {error:#}; going on with what is left")),
            Ok(()) => (),
        }
        todo = left;
    }
    Ok(first.finish(&out)?)
}

/// What is left of a plan when the parts that are in storage have been brought here.
async fn collected(todo: Plan, out: &Path, storage: Option<&Storage>) -> Result<Plan> {
    let Some(storage) = storage.filter(|_| !todo.missing.is_empty()) else { return Ok(todo) };
    let run = job::run(&todo.parameters, &todo.proxies);
    let keep = |tile, bytes: Vec<u8>| Ok::<_, anyhow::Error>(atomic::write(&pairs::path(out, tile), &bytes)?);
    storage.get_parts(&run, &todo.missing, keep).await?;
    Ok(Plan::new(out, &todo.parameters)?)
}

/// Whether it makes no sense to go on: the scheduler is gone, or refuses the plan.
fn is_final(error: &anyhow::Error) -> bool {
    let text = format!("{error:#}");
    ["does not answer", "same version", "same pdl-cluster", "share this folder"]
        .iter()
        .any(|sign| text.contains(sign))
}

/// Sends the missing tiles once and waits for the end.
async fn go(place: &Place, todo: &Plan, scheduler: &Address) -> Result<()> {
    let rest = Rest::new(scheduler);
    if rest.executors().await?.is_empty() {
        note("no executor has come yet; waiting for one (`pdl-cluster executor --scheduler HOST:PORT`)");
    }
    let job = Job {
        version: VERSION.to_owned(),
        place: place.clone(),
        parameters: todo.parameters.clone(),
        proxies: todo.proxies.clone(),
    };
    let name = format!("pdl compare {} {}", &todo.proxies[..todo.proxies.len().min(12)], std::process::id());
    let config = SessionConfig::new_with_ballista()
        .set_str(BALLISTA_JOB_NAME, &name)
        .set_str("ballista.scheduler.max_partitions_per_task", "1");
    let pairs = todo.missing.iter().map(|tile| todo.pairs(*tile)).sum();
    let bar = Bar::new("comparing pairs", pairs);
    let query = async {
        let ballista = config.ballista_config();
        let plan = plan(job, &todo.missing)?;
        let url = format!("http://{scheduler}");
        let codec = TileCodec::default();
        let mut rows = execute_physical_plan::<PhysicalPlanNode>(
            url,
            &ballista,
            plan,
            &codec,
            name.clone(),
            config.clone(),
        )
        .await?;
        while let Some(batch) = rows.next().await {
            check(&batch?)?;
        }
        Ok::<(), anyhow::Error>(())
    };
    let watch = watch(&rest, &name, todo, &bar);
    let ended = tokio::select! {
        ended = query => ended.with_context(|| format!("the run on the scheduler at {scheduler} failed")),
        () = watch => Err(anyhow::anyhow!("the scheduler at {scheduler} does not answer any more")),
        _ = tokio::signal::ctrl_c() => {
            bar.clear();
            return Err(interrupted(&rest, &name).await.into());
        }
    };
    bar.clear();
    ended
}

/// Every row says how many pairs a tile has.
fn check(batch: &RecordBatch) -> Result<()> {
    let pairs = batch.column_by_name("pairs").and_then(|column| column.as_primitive_opt::<UInt64Type>());
    pairs.map(|_| ()).context("the answer of the cluster has no column 'pairs'")
}

/// Shows how far the job is; ends when the scheduler has not answered for a while.
async fn watch(rest: &Rest, name: &str, todo: &Plan, bar: &Bar) {
    let each =
        todo.missing.iter().map(|tile| todo.pairs(*tile)).sum::<u64>() as f64 / todo.missing.len() as f64;
    let mut silent = 0;
    let mut job = None;
    loop {
        tokio::time::sleep(LOOK).await;
        let done = match &job {
            None => rest.job_named(name).await.map(|found| {
                job = found.map(|found| found.job_id);
                0
            }),
            Some(id) => rest.tiles_done(id).await,
        };
        match done {
            Ok(done) => {
                silent = 0;
                bar.set((done as f64 * each) as u64);
            }
            Err(_) => silent += 1,
        }
        if silent >= 20 {
            return;
        }
    }
}

/// Asks whether to end the job too.
async fn interrupted(rest: &Rest, name: &str) -> Interrupted {
    let goes_on = "the job goes on in the cluster; run this again to see it through";
    if !std::io::stdin().is_terminal() {
        return Interrupted(goes_on);
    }
    note("Cancel the job in the cluster, too? What is done stays. [y/N]");
    let answer = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        let _ = std::io::stdin().lock().read_line(&mut line);
        line
    });
    if !answer.await.is_ok_and(|line| line.trim().eq_ignore_ascii_case("y")) {
        return Interrupted(goes_on);
    }
    match rest.job_named(name).await {
        Ok(Some(job)) if rest.cancel(&job.job_id).await.is_ok() => {
            Interrupted("the job is cancelled; what is done stays, and the next run goes on from there")
        }
        _ => Interrupted("the job could not be cancelled: the scheduler does not answer"),
    }
}
