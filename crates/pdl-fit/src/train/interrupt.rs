//! A training that is asked to stop: it ends after its step, with a checkpoint from which it goes on.

use std::sync::atomic::{AtomicBool, Ordering};

static TRAINS: AtomicBool = AtomicBool::new(false);
static ASKED: AtomicBool = AtomicBool::new(false);

/// Asks the training that goes on to stop. False where none does, or it was asked before: then nothing will come of it.
pub fn ask() -> bool {
    TRAINS.load(Ordering::SeqCst) && !ASKED.swap(true, Ordering::SeqCst)
}

/// Whether a stop was asked for.
pub(crate) fn is_asked() -> bool {
    ASKED.load(Ordering::SeqCst)
}

/// The time in which a training looks after each step whether it is to stop: it ends when this is dropped.
pub(crate) struct Attentive;

impl Attentive {
    pub(crate) fn begin() -> Self {
        TRAINS.store(true, Ordering::SeqCst);
        Self
    }
}

impl Drop for Attentive {
    fn drop(&mut self) {
        TRAINS.store(false, Ordering::SeqCst);
    }
}
