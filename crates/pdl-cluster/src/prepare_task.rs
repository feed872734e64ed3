//! Preparation of cases on an executor.

use std::sync::Arc;

use pdl_prepare::PrepareError;
use pdl_prepare::remote_worker::submit_results;
use pdl_store::journal::HashCheck;
use pdl_store::progress::{Silent, StageContext};

use crate::error::ClusterError;
use crate::job::PrepareJob;
use crate::retry::with_backoff;
use crate::roots::Roots;
use crate::work_unit::{UnitDone, WorkUnit};

/// Prepares `cases`, as many at a time as cores and `memory` (bytes) allow, and retries them while
/// the storage fails. A case that cannot be prepared is returned as not computed.
///
/// # Errors
/// [`ClusterError::NotShared`] and [`ClusterError::PreparationFailed`].
pub(crate) async fn prepare(
    job: &Arc<PrepareJob>,
    cases: &[usize],
    memory: u64,
) -> Result<Vec<UnitDone>, ClusterError> {
    let attempt = || {
        let (job, cases) = (Arc::clone(job), cases.to_vec());
        tokio::task::spawn_blocking(move || {
            let run = StageContext { hash_check: HashCheck::Stamps, progress: &Silent, memory: Some(memory) };
            submit_results(&job.out, &job.plan, &job.cases, &cases, run)
        })
    };
    let is_store = |error: &PrepareError| matches!(error, PrepareError::Store(_));
    let ended = with_backoff(attempt, |ended| match ended {
        Ok(Ok(outcomes)) => outcomes.iter().any(|case| case.as_ref().is_err_and(is_store)),
        Ok(Err(error)) => is_store(error),
        Err(_) => false,
    });
    let failed = |reason: String| ClusterError::PreparationFailed { reason };
    let outcomes = match ended.await {
        Ok(Ok(outcomes)) => outcomes,
        Ok(Err(PrepareError::NotShared { out })) => return Err(ClusterError::NotShared { path: out }),
        Ok(Err(error)) => return Err(failed(error.to_string())),
        Err(panicked) => return Err(failed(panicked.to_string())),
    };
    let done = |(case, outcome): (&usize, &Result<(), PrepareError>)| UnitDone {
        unit: WorkUnit::Case(*case),
        total: 1,
        computed: u64::from(outcome.is_ok()),
    };
    Ok(cases.iter().zip(&outcomes).map(done).collect())
}

/// The first volume of `cases` that lies outside `roots`, repeatedly while the storage fails.
///
/// # Errors
/// [`ClusterError::PreparationFailed`] when the table of cases cannot be read.
pub(crate) async fn volume_outside(
    job: &Arc<PrepareJob>,
    cases: &[usize],
    roots: &Roots,
) -> Result<Option<String>, ClusterError> {
    let attempt = || {
        let (job, cases, roots) = (Arc::clone(job), cases.to_vec(), roots.clone());
        tokio::task::spawn_blocking(move || roots.volume_outside(&job, &cases))
    };
    let failed = |reason: String| ClusterError::PreparationFailed { reason };
    match with_backoff(attempt, |ended| matches!(ended, Ok(Err(_)))).await {
        Ok(read) => read.map_err(|error| failed(error.to_string())),
        Err(panicked) => Err(failed(panicked.to_string())),
    }
}
