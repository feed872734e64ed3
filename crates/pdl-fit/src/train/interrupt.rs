//! Interruption of a training: it ends after the current step and leaves a checkpoint.

use std::sync::atomic::{AtomicBool, Ordering};

static IN_SCOPE: AtomicBool = AtomicBool::new(false);
static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Requests an interruption. False if no training is in progress or it was requested before; the
/// caller then has to end the process itself.
pub fn ask() -> bool {
    IN_SCOPE.load(Ordering::SeqCst) && !REQUESTED.swap(true, Ordering::SeqCst)
}

/// Whether an interruption has been requested.
pub(crate) fn is_asked() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}

/// Scope of a training that checks for an interruption after each step; dropping it ends the scope.
pub(crate) struct InterruptScope;

impl InterruptScope {
    pub(crate) fn enter() -> Self {
        IN_SCOPE.store(true, Ordering::SeqCst);
        Self
    }
}

impl Drop for InterruptScope {
    fn drop(&mut self) {
        IN_SCOPE.store(false, Ordering::SeqCst);
    }
}
