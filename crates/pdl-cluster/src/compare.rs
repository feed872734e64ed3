//! The client of a comparison: a cluster computes the missing tiles.

use std::path::{Path, PathBuf};

use pdl_similarity::compare::{ComparePlan, Compared};
use pdl_similarity::pairs;
use pdl_similarity::parameters::CompareParameters;
use pdl_store::atomic;
use pdl_store::lock::FolderLock;

use crate::address::Address;
use crate::error::{ClusterError, UnitKind};
use crate::job::{self, CompareJob, DataLocation, Job, JobKind};
use crate::proxy_cache;
use crate::security::{MissingToken, SecurityArgs};
use crate::storage::{Storage, StorageUrl};
use crate::submission::{Submission, print_counts};
use crate::work_unit::WorkUnit;
use pdl_console::note;

/// Consecutive submissions without a new tile after which a run ends.
const FRUITLESS_SUBMISSIONS: usize = 2;

/// Options of a comparison.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Cluster")]
pub struct CompareArgs {
    /// Curation folder; under the same path on every machine, unless --storage is given.
    #[arg(help_heading = None)]
    out: PathBuf,
    /// Address of the scheduler.
    #[arg(long, value_name = "HOST:PORT")]
    scheduler: Address,
    /// Exchange proxies and tiles through S3-compatible storage, for machines without a shared
    /// folder; only the client then needs OUT. Each machine takes credentials from its
    /// environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT, ...).
    #[arg(long, value_name = "s3://BUCKET/PREFIX")]
    storage: Option<StorageUrl>,
    /// Print on stderr how many tiles each executor computed.
    #[arg(long)]
    by_executor: bool,
    /// Print the result as JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    security: SecurityArgs,
    #[command(flatten, next_help_heading = "Comparison")]
    parameters: CompareParameters,
}

/// Computes the missing tiles and checks that every tile exists.
///
/// # Errors
/// [`ClusterError::Unfinished`] when the cluster fails, [`ClusterError::Interrupted`] after Ctrl-C;
/// else the error of the folder or the storage.
pub async fn run(args: &CompareArgs) -> Result<Compared, ClusterError> {
    let out = std::fs::canonicalize(&args.out)
        .map_err(|source| ClusterError::NoFolder { path: args.out.clone(), source })?;
    let security = args.security.resolve(&[&args.scheduler.host], MissingToken::Refuse)?;
    let _lock = FolderLock::take(&out)?;
    let first = ComparePlan::new(&out, &args.parameters)?;
    let storage = args.storage.as_ref().map(Storage::open).transpose()?;
    let first = downloaded(first, &out, storage.as_ref()).await?;
    let mut todo = first.clone();
    let location = match (&args.storage, &storage) {
        (Some(url), Some(storage)) if !todo.missing.is_empty() => {
            note("uploading the proxies");
            let index = proxy_cache::upload(&out, storage).await?;
            DataLocation::Storage { url: url.clone(), index }
        }
        _ => DataLocation::Folder(out.clone()),
    };
    let mut fruitless = 0;
    while !todo.missing.is_empty() {
        let ended = match submission(&location, &todo).run(&args.scheduler, &security).await {
            Err(error @ ClusterError::Interrupted(_)) => return Err(error),
            ended => ended,
        };
        let left = downloaded(ComparePlan::new(&out, &todo.parameters)?, &out, storage.as_ref()).await?;
        fruitless = if left.missing.len() == todo.missing.len() { fruitless + 1 } else { 0 };
        let ended = ended.and_then(|counts| match left.missing.len() {
            missing if fruitless > 0 && missing > 0 => Err(ClusterError::ResultsMissing { missing }),
            _ => Ok(counts),
        });
        match ended {
            Ok(counts) if args.by_executor => print_counts(&counts),
            Ok(_) => (),
            Err(error) if error.is_retryable() && fruitless < FRUITLESS_SUBMISSIONS => {
                note(&format!("warning: {error}; submitting the missing tiles again"));
            }
            Err(error) => {
                let total = first.missing.len();
                let done = total.saturating_sub(left.missing.len());
                return Err(ClusterError::Unfinished {
                    done,
                    total,
                    units: UnitKind::Tiles,
                    source: Box::new(error),
                });
            }
        }
        todo = left;
    }
    Ok(first.finish(&out)?)
}

/// Downloads the missing tiles that are in the storage; returns what is then missing.
async fn downloaded(
    todo: ComparePlan,
    out: &Path,
    storage: Option<&Storage>,
) -> Result<ComparePlan, ClusterError> {
    let Some(storage) = storage.filter(|_| !todo.missing.is_empty()) else { return Ok(todo) };
    let run = job::run(&todo.parameters, &todo.proxies);
    let keep = |tile, bytes: Vec<u8>| -> Result<(), ClusterError> {
        Ok(atomic::write(pairs::safe_path(out, tile)?, &bytes)?)
    };
    storage.get_tiles(&run, &todo.missing, keep).await?;
    Ok(ComparePlan::new(out, &todo.parameters)?)
}

fn submission(location: &DataLocation, todo: &ComparePlan) -> Submission {
    let kind = JobKind::Compare(CompareJob {
        location: location.clone(),
        parameters: todo.parameters.clone(),
        proxies: todo.proxies.clone(),
    });
    Submission {
        name: kind.name(),
        job: Job::new(kind),
        units: todo.missing.iter().copied().map(WorkUnit::Tile).collect(),
        step: "comparing pairs",
        total: todo.missing.iter().map(|tile| todo.pairs(*tile)).sum(),
    }
}
