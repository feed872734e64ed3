//! Progress of a stage, and the context in which it runs.

use crate::memory::MemoryLimit;

/// The message of an interrupted program. Files are written under temporary names first, so that
/// all remaining files are complete.
pub const HOW_TO_RESUME: &str = "interrupted: finished work is kept; run the same command again to resume";

/// Hears how far a stage is; called from many threads.
pub trait Progress: Sync {
    /// A step of the stage begins that has `total` units of work.
    fn begin(&self, step: &str, total: u64);
    /// `units` more are done.
    fn advance(&self, units: u64);
    /// The calling thread begins to work on `item`, a case by its pseudonymous id. [`at_work`]
    /// reports start and end.
    fn begin_item(&self, _item: &str) {}
    /// The calling thread has ended its item.
    fn end_item(&self) {}
}

/// The time that a thread works on one item: it ends when this is dropped.
#[must_use = "the item ends when this is dropped"]
pub struct AtWork<'a>(&'a dyn Progress);

/// Tells that the calling thread works on `item` until what is returned is dropped.
pub fn at_work<'a>(progress: &'a dyn Progress, item: &str) -> AtWork<'a> {
    progress.begin_item(item);
    AtWork(progress)
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.end_item();
    }
}

/// Ignores all progress.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _step: &str, _total: u64) {}
    fn advance(&self, _units: u64) {}
}

/// How a stage runs; does not affect its results.
#[derive(Clone, Copy)]
pub struct StageContext<'a> {
    /// The evidence that suffices for a file to count as unchanged.
    pub hash_check: crate::journal::HashCheck,
    /// Receives the progress.
    pub progress: &'a dyn Progress,
    /// Memory limit in bytes of stages whose use is adjustable; half of the free memory if `None`.
    pub memory: Option<u64>,
}

impl StageContext<'_> {
    /// The limit, or half of the memory that is free now, bytes.
    pub fn memory(&self) -> u64 {
        self.memory_limit().bytes()
    }

    /// The same, for cases that take their memory from it.
    pub fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::or_half_of_free(self.memory)
    }
}
