//! Computes tiles on a thread of its own, with all of this executor's cores.
//!
//! Tiles of a job follow each other through one [`compare_tiles`], so that the cases which they share stay in memory;
//! Ballista's tasks only wait for their turn. Two tasks wait at a time, so that there is always a next tile.

use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pdl_similarity::SimilarityError;
use pdl_similarity::compare::{TileDone, compare_tiles};
use pdl_similarity::tile::Tile;
use pdl_store::journal::Trust;
use pdl_store::progress::{Run, Silent};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::job::{CompareJob, DataLocation};
use crate::object_store::RunStore;
use crate::proxy_cache::ProxyCacheError;

/// How long a job's cases are kept when no tile of it is asked for.
const IDLE: Duration = Duration::from_secs(20);

/// A tile that was not computed.
#[derive(Debug, thiserror::Error)]
pub enum TileError {
    /// It cannot be, or its files are out of reach.
    #[error(transparent)]
    Similarity(#[from] SimilarityError),
    /// The storage, or the disk that keeps some of it.
    #[error(transparent)]
    ProxyCache(#[from] ProxyCacheError),
    /// The thread that computes has ended.
    #[error("the thread that computes tiles has ended")]
    Ended,
}

impl TileError {
    /// Whether it may go well a little later.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::ProxyCache(_) | Self::Similarity(SimilarityError::Store(_) | SimilarityError::Proxies(_))
        )
    }
}

/// What an executor may take.
#[derive(Clone, Debug)]
pub struct ExecutorLimits {
    /// Most bytes of memory; what is usual when not given.
    pub memory: Option<u64>,
    /// The folder for what comes from storage.
    pub cache: PathBuf,
    /// Most bytes of voxels there.
    pub cache_bytes: u64,
}

/// A tile that somebody waits for.
struct Request {
    job: Arc<CompareJob>,
    tile: Tile,
    answer: Answer,
}

type Answer = oneshot::Sender<Result<TileDone, TileError>>;

/// The thread that computes.
#[derive(Debug)]
pub struct TileWorker {
    requests: Mutex<Sender<Request>>,
}

impl TileWorker {
    /// Starts it; it waits for storage on `runtime`.
    ///
    /// # Errors
    /// When the system has no thread left.
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

    /// Computes a tile, once its turn comes.
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

/// Computes the first tile and those of the same job that follow it; returns the first of another job. What `store`
/// holds of a storage is kept for the jobs of the same proxies.
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
    let waiting = Cell::new(None); // whoever waits for the tile that is computed now
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
                store.borrow_mut().as_mut().map(|store| runtime.block_on(store.ready(&job, request.tile)));
            match ready {
                None | Some(Ok(None)) => {
                    waiting.set(Some(request.answer));
                    return Some(request.tile);
                }
                // Nobody may wait any more: the tile is there all the same.
                Some(Ok(Some(done))) => drop(request.answer.send(Ok(done))),
                Some(Err(error)) => drop(request.answer.send(Err(error.into()))),
            }
        }
    });
    let tell = |done: TileDone| {
        let kept = store.borrow_mut().as_mut().map(|store| runtime.block_on(store.keep(&job, done.tile)));
        let result = kept.unwrap_or(Ok(())).map(|()| done).map_err(TileError::from);
        if let Some(answer) = waiting.take() {
            let _ = Answer::send(answer, result);
        }
    };
    let run = Run { trust: Trust::Stamps, progress: &Silent, memory: limits.memory };
    let result = compare_tiles(&out, Some(&job.proxies), tiles, &job.parameters, run, tell);
    if let Err(error) = result {
        let first = first.take().map(|first| first.answer);
        if let Some(answer) = waiting.take().or(first) {
            let _ = answer.send(Err(error.into()));
        }
    }
    next.take()
}

/// Has `store` be what the job needs: its storage, or nothing.
fn mount(
    job: &CompareJob,
    limits: &ExecutorLimits,
    runtime: &Handle,
    store: &mut Option<RunStore>,
) -> Result<(), ProxyCacheError> {
    let fits = |store: &RunStore| store.location == job.location;
    if !store.as_ref().is_some_and(fits) {
        *store = None; // its folder goes before another comes
        if let DataLocation::Storage { url, index } = &job.location {
            *store = Some(runtime.block_on(RunStore::open(url, index, limits))?);
        }
    }
    Ok(())
}
