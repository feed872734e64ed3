//! Threads that work while other Python threads run.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error::raised;

/// Time between two looks for Ctrl-C.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The threads of a process, one per core. A process that was forked, such as a worker of a data
/// loader, has those of its parent in memory only and starts its own.
static POOL: Mutex<Option<(u32, Arc<ThreadPool>)>> = Mutex::new(None);

fn pool() -> PyResult<Arc<ThreadPool>> {
    let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
    let process = std::process::id();
    match &*pool {
        Some((owner, threads)) if *owner == process => Ok(Arc::clone(threads)),
        _ => {
            let threads = Arc::new(ThreadPoolBuilder::new().build().map_err(raised)?);
            // Ending the parent's threads would wait for ever: they do not run here.
            if let Some(parents) = pool.replace((process, Arc::clone(&threads))) {
                std::mem::forget(parents);
            }
            Ok(threads)
        }
    }
}

/// Runs `work` on the threads, without the GIL.
pub(crate) fn detached<T: Send>(py: Python<'_>, work: impl FnOnce() -> T + Send) -> PyResult<T> {
    let pool = pool()?;
    Ok(py.detach(|| pool.install(work)))
}

/// Like [`detached`], for work that may take long: it looks at the flag it is given now and then
/// and ends early where that is set.
///
/// # Errors
/// `KeyboardInterrupt`, or what another handler of a signal raises, once the work has ended.
pub(crate) fn interruptible<T: Send>(
    py: Python<'_>,
    work: impl FnOnce(&AtomicBool) -> T + Send,
) -> PyResult<T> {
    let pool = pool()?;
    let stop = &AtomicBool::new(false);
    let (interrupt, result) = py.detach(|| {
        pool.in_place_scope(|scope| {
            let (send, done) = sync_channel(1);
            scope.spawn(move |_| {
                // The receiver waits for it.
                let _ = send.send(work(stop));
            });
            let mut interrupt = None;
            loop {
                match done.recv_timeout(LOOK_EVERY) {
                    Ok(result) => break (interrupt, Some(result)),
                    // It panicked, which the end of the scope tells.
                    Err(RecvTimeoutError::Disconnected) => break (interrupt, None),
                    Err(RecvTimeoutError::Timeout) => {
                        if let Err(raised) = Python::attach(|py| py.check_signals()) {
                            stop.store(true, Ordering::Relaxed);
                            interrupt = Some(raised);
                        }
                    }
                }
            }
        })
    });
    match (interrupt, result) {
        (None, Some(result)) => Ok(result),
        (Some(interrupt), _) => Err(interrupt),
        (None, None) => Err(PyRuntimeError::new_err("a thread of pdl panicked")),
    }
}
