//! Prepares cases on an executor, by the function of `pdl prepare`.

use std::sync::Arc;

use datafusion::error::{DataFusionError, Result};
use pdl_prepare::PrepareError;
use pdl_prepare::remote_worker::submit_results;
use pdl_similarity::compare::TileDone;
use pdl_similarity::tile::Tile;
use pdl_store::journal::Trust;
use pdl_store::progress::{Run, Silent};

use crate::job::PrepareJob;
use crate::tile_exec::{FIRST_PAUSE, TRIES};

/// Prepares `cases`, as many at a time as cores and memory allow, and again those that the storage refuses for a while.
/// A case that cannot be prepared is told as not computed: the client finds out why, as it does without a cluster.
pub(crate) async fn prepare(job: &Arc<PrepareJob>, cases: Vec<Tile>, memory: u64) -> Result<Vec<TileDone>> {
    let mut pause = FIRST_PAUSE;
    for attempt in 1.. {
        let (job, wanted) = (Arc::clone(job), cases.iter().map(|case| case.row).collect::<Vec<_>>());
        let work = move || {
            let run = Run { trust: Trust::Stamps, progress: &Silent, memory: Some(memory) };
            submit_results(&job.out, &job.plan, &job.cases, &wanted, run)
        };
        let ended = tokio::task::spawn_blocking(work).await;
        let ended = ended.map_err(|error| DataFusionError::Execution(error.to_string()))?;
        let last = attempt >= TRIES;
        match ended {
            Ok(done) if last || !done.iter().any(|case| matches!(case, Err(PrepareError::Store(_)))) => {
                return Ok(cases.iter().zip(&done).map(|(tile, case)| told(*tile, case.is_ok())).collect());
            }
            Err(error) if last || !matches!(error, PrepareError::Store(_)) => {
                return Err(DataFusionError::Execution(error.to_string()));
            }
            _ => tokio::time::sleep(pause).await,
        }
        pause *= 2;
    }
    Err(DataFusionError::Execution("no try was made".to_owned()))
}

fn told(tile: Tile, done: bool) -> TileDone {
    TileDone { tile, cases: 1, pairs: 1, computed: u64::from(done) }
}
