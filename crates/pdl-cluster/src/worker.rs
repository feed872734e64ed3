//! A thread that computes tiles with all cores of this executor.
//!
//! All tiles of a job go through one call of [`compare_tiles`], so that the cases which they
//! share stay in memory. The engine's tasks queue their tiles here and wait for the results; two
//! tasks run at a time, so that a next tile is always queued.

use std::cell::{Cell, RefCell};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pdl_similarity::SimilarityError;
use pdl_similarity::compare::{TileDone, compare_tiles};
use pdl_similarity::tile::Tile;
use pdl_store::journal::HashCheck;
use pdl_store::progress::{Silent, StageContext};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::error::ClusterError;
use crate::job::{CompareJob, DataLocation};
use crate::limits::ExecutorLimits;
use crate::object_store::RunStore;
use crate::proxy_cache::ProxyCacheError;

/// How long the cases of a job stay in memory without a request.
const IDLE: Duration = Duration::from_secs(20);

/// Why a tile was not computed.
#[derive(Debug, thiserror::Error)]
pub enum TileError {
    /// The comparison failed, or its files are out of reach.
    #[error(transparent)]
    Similarity(#[from] SimilarityError),
    /// The object store failed, or the disk that caches it.
    #[error(transparent)]
    ProxyCache(#[from] ProxyCacheError),
    /// The thread has ended.
    #[error("the thread that computes tiles has ended")]
    Ended,
}

impl TileError {
    /// Whether a later attempt may succeed: the storage failed, not the comparison.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::ProxyCache(_) | Self::Similarity(SimilarityError::Store(_) | SimilarityError::Proxies(_))
        )
    }

    /// The error of this tile, as it travels to the client.
    pub fn of(self, tile: Tile) -> ClusterError {
        match self {
            Self::Similarity(SimilarityError::OtherProxies { out }) => ClusterError::NotShared { path: out },
            error => ClusterError::TileFailed { tile, reason: error.to_string() },
        }
    }
}

/// A tile that a task waits for.
struct Request {
    job: Arc<CompareJob>,
    tile: Tile,
    answer: Answer,
}

type Answer = oneshot::Sender<Result<TileDone, TileError>>;

/// Handle of the thread.
#[derive(Debug)]
pub struct TileWorker {
    requests: Mutex<Sender<Request>>,
}

impl TileWorker {
    /// Starts the thread, which performs requests to the object store on `runtime`.
    ///
    /// # Errors
    /// When the operating system refuses a thread.
    pub fn start(limits: ExecutorLimits, runtime: Handle) -> std::io::Result<Self> {
        let (requests, incoming) = channel();
        let run = move || {
            let mut next = None;
            let mut store = None;
            while let Some(first) = next.take().or_else(|| incoming.recv().ok()) {
                next = serve(first, &incoming, &limits, &runtime, &mut store);
            }
        };
        std::thread::Builder::new().name("tiles".to_owned()).spawn(run)?;
        Ok(Self { requests: Mutex::new(requests) })
    }

    /// Queues a tile and waits for its result.
    ///
    /// # Errors
    /// [`TileError`].
    pub async fn compute(&self, job: &Arc<CompareJob>, tile: Tile) -> Result<TileDone, TileError> {
        let (answer, answered) = oneshot::channel();
        let request = Request { job: Arc::clone(job), tile, answer };
        let sent = self.requests.lock().map(|requests| requests.send(request).is_ok());
        if !sent.unwrap_or(false) {
            return Err(TileError::Ended);
        }
        answered.await.unwrap_or(Err(TileError::Ended))
    }
}

/// Computes the tile of `first` and those of the same job that follow; returns the first request of
/// another job. `store` is kept for later jobs with the same proxies.
fn serve(
    first: Request,
    incoming: &Receiver<Request>,
    limits: &ExecutorLimits,
    runtime: &Handle,
    store: &mut Option<RunStore>,
) -> Option<Request> {
    let job = Arc::clone(&first.job);
    if let Err(error) = mount(&job, limits, runtime, store) {
        let _ = first.answer.send(Err(error.into()));
        return None;
    }
    let out = match (&job.location, store.as_ref()) {
        (DataLocation::Folder(out), _) => out.clone(),
        (DataLocation::Storage { .. }, store) => {
            store.map(|store| store.folder().to_owned()).unwrap_or_default()
        }
    };
    let store = RefCell::new(store.as_mut());
    let waiting = Cell::new(None); // for the tile that is being computed
    let first = RefCell::new(Some(first));
    let next = Cell::new(None);
    let tiles = std::iter::from_fn(|| {
        loop {
            let request = first.borrow_mut().take().or_else(|| incoming.recv_timeout(IDLE).ok())?;
            if request.answer.is_closed() {
                continue; // its task was cancelled
            }
            if request.job != job {
                next.set(Some(request));
                return None;
            }
            let ready =
                store.borrow_mut().as_mut().map(|store| runtime.block_on(store.fetch(&job, request.tile)));
            match ready {
                None | Some(Ok(None)) => {
                    waiting.set(Some(request.answer));
                    return Some(request.tile);
                }
                // The task may have been cancelled meanwhile.
                Some(Ok(Some(done))) => drop(request.answer.send(Ok(done))),
                Some(Err(error)) => drop(request.answer.send(Err(error.into()))),
            }
        }
    });
    let report = |done: TileDone| {
        let kept = store.borrow_mut().as_mut().map(|store| runtime.block_on(store.upload(&job, done.tile)));
        let result = kept.unwrap_or(Ok(())).map(|()| done).map_err(TileError::from);
        if let Some(answer) = waiting.take() {
            let _ = Answer::send(answer, result);
        }
    };
    let run = StageContext { hash_check: HashCheck::Stamps, progress: &Silent, memory: limits.memory };
    let result = compare_tiles(&out, Some(&job.proxies), tiles, &job.parameters, run, report);
    if let Err(error) = result {
        let first = first.take().map(|first| first.answer);
        if let Some(answer) = waiting.take().or(first) {
            let _ = answer.send(Err(error.into()));
        }
    }
    next.take()
}

/// Opens the object store of the job in `store`, or closes it for a job that needs none.
fn mount(
    job: &CompareJob,
    limits: &ExecutorLimits,
    runtime: &Handle,
    store: &mut Option<RunStore>,
) -> Result<(), ProxyCacheError> {
    let fits = |store: &RunStore| store.location == job.location;
    if !store.as_ref().is_some_and(fits) {
        *store = None; // removes its folder before the next one is made
        if let DataLocation::Storage { url, index } = &job.location {
            *store = Some(runtime.block_on(RunStore::open(url, index, limits))?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use pdl_store::StoreError;

    #[test]
    fn only_a_storage_that_fails_is_tried_again_and_other_proxies_are_named() {
        let tile = Tile { row: 0, col: 1 };
        let disk = || StoreError::io("read the file", "x".as_ref())(std::io::Error::other("no answer"));
        let failed = TileError::from(SimilarityError::from(disk()));
        assert!(failed.is_retryable());
        assert!(matches!(failed.of(tile), ClusterError::TileFailed { .. }));
        let foreign = TileError::from(SimilarityError::OtherProxies { out: "out".into() });
        assert!(!foreign.is_retryable());
        assert!(matches!(foreign.of(tile), ClusterError::NotShared { path } if path.ends_with("out")));
    }
}
