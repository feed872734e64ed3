//! The client: what is missing of a comparison is computed by a cluster.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use pdl_similarity::compare::{ComparePlan, Compared};
use pdl_similarity::pairs;
use pdl_similarity::parameters::CompareParameters;
use pdl_store::atomic;
use pdl_store::lock::FolderLock;

use crate::errand::{Errand, Interrupted, is_final, tell};
use crate::job::{self, Comparison, Job, Place, Work};
use crate::mirror;
use crate::storage::{Storage, Url};
use crate::{Address, note};

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
    /// Say on stderr how many tiles each executor computed.
    #[arg(long)]
    by_executor: bool,
    /// Print the result as JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    parameters: CompareParameters,
}

/// Computes what is missing.
///
/// # Errors
/// When the scheduler does not answer, a tile cannot be computed, or the run is interrupted.
pub async fn run(args: &CompareArgs) -> Result<Compared> {
    let out = std::fs::canonicalize(&args.out)
        .with_context(|| format!("there is no such curation folder: {}", args.out.display()))?;
    let _lock = FolderLock::take(&out)?;
    let first = ComparePlan::new(&out, &args.parameters)?;
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
        let ended = match errand(&place, &todo).run(&args.scheduler).await {
            Err(error) if error.is::<Interrupted>() => return Err(error),
            ended => ended,
        };
        let left = collected(ComparePlan::new(&out, &todo.parameters)?, &out, storage.as_ref()).await?;
        fruitless = if left.missing.len() == todo.missing.len() { fruitless + 1 } else { 0 };
        match ended {
            Err(error) if is_final(&error) || fruitless >= FRUITLESS_GOES => {
                let done = first.missing.len() - left.missing.len();
                return Err(error.context(format!(
                    "{done} of {} tiles are done; run it again and only the others are computed",
                    first.missing.len()
                )));
            }
            Ok(_) if fruitless >= FRUITLESS_GOES => {
                bail!("the cluster says that all is done, but {} tiles are missing", left.missing.len());
            }
            Err(error) => note(&format!("warning: {error:#}; going on with what is left")),
            Ok(shares) => shares.iter().filter(|_| args.by_executor).for_each(tell),
        }
        todo = left;
    }
    Ok(first.finish(&out)?)
}

/// What is left of a plan when the parts that are in storage have been brought here.
async fn collected(todo: ComparePlan, out: &Path, storage: Option<&Storage>) -> Result<ComparePlan> {
    let Some(storage) = storage.filter(|_| !todo.missing.is_empty()) else { return Ok(todo) };
    let run = job::run(&todo.parameters, &todo.proxies);
    let keep = |tile, bytes: Vec<u8>| Ok::<_, anyhow::Error>(atomic::write(&pairs::path(out, tile), &bytes)?);
    storage.get_parts(&run, &todo.missing, keep).await?;
    Ok(ComparePlan::new(out, &todo.parameters)?)
}

/// The missing tiles, as they are sent once.
fn errand(place: &Place, todo: &ComparePlan) -> Errand {
    let comparison = Comparison {
        place: place.clone(),
        parameters: todo.parameters.clone(),
        proxies: todo.proxies.clone(),
    };
    let work = Work::Compare(comparison);
    Errand {
        name: work.name(),
        job: Job::new(work),
        tiles: todo.missing.clone(),
        step: "comparing pairs",
        units: todo.missing.iter().map(|tile| todo.pairs(*tile)).sum(),
    }
}
