//! A limit for memory whose size is read from a file: reserved before it is allocated, shared by
//! all workers.
//!
//! Each case reserves through its own [`MemoryShare`], and all shares together stay below the
//! [`MemoryLimit`]. No worker waits while it holds memory, which could deadlock a thread pool:
//! [`in_turns`] postpones a case that does not fit, and retries it when others have released
//! theirs.

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use bytemuck::Zeroable;
use rayon::prelude::*;

/// Why memory is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemoryError {
    /// One case needs more than all may take.
    #[error("it needs at least {} of memory, and the limit is {}", size(*.needed), size(*.allowed))]
    TooLarge {
        /// Bytes that the case needs, as known so far.
        needed: u64,
        /// Bytes that all cases may take together.
        allowed: u64,
    },
    /// Other cases hold the memory now.
    #[error("it needs {} of memory, which others hold now", size(*.needed))]
    Busy {
        /// Bytes requested.
        needed: u64,
    },
    /// The operating system has not enough memory.
    #[error("it needs {} of memory, which the system refuses", size(*.needed))]
    Refused {
        /// Bytes requested.
        needed: u64,
    },
}

impl MemoryError {
    /// The error of the machine that it is: the system lacks the memory, whoever asked.
    pub fn machine(self) -> Option<io::Error> {
        #[cfg(unix)]
        let none = || rustix::io::Errno::NOMEM.into();
        #[cfg(not(unix))]
        let none = || io::ErrorKind::OutOfMemory.into();
        matches!(self, Self::Refused { .. }).then(none)
    }
}

/// Bytes with a unit, such as "7.8 GiB".
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    let (mut value, mut unit) = (bytes as f64 / 1024.0, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if bytes == u64::MAX { "more than 16 EiB".to_owned() } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// Bytes of memory that cases may take together.
#[derive(Debug)]
pub struct MemoryLimit {
    bytes: u64,
    taken: AtomicU64,
}

/// The limit or share that a share draws from.
#[derive(Clone, Copy, Debug)]
enum Source<'a> {
    Limit(&'a MemoryLimit),
    Share(&'a MemoryShare<'a>),
}

impl MemoryLimit {
    /// A limit of `bytes`.
    pub fn new(bytes: u64) -> Self {
        Self { bytes, taken: AtomicU64::new(0) }
    }

    /// A limit of `bytes`, at most the memory of the machine; half of the free memory if `None`.
    pub fn or_half_of_free(bytes: Option<u64>) -> Self {
        Self::new(bytes.map_or_else(|| free() / 2, |bytes| bytes.min(installed())))
    }

    /// The memory that was free on the machine at the first call: for single files, of which there
    /// may be many.
    pub fn free() -> Self {
        static FREE: OnceLock<u64> = OnceLock::new();
        Self::new(*FREE.get_or_init(free))
    }

    /// The limit in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// For one case beside others.
    pub fn share(&self) -> MemoryShare<'_> {
        MemoryShare { source: Source::Limit(self), taken: AtomicU64::new(0), alone: false }
    }

    /// The share of a case that runs alone: a refusal is final.
    pub fn alone(&self) -> MemoryShare<'_> {
        MemoryShare { source: Source::Limit(self), taken: AtomicU64::new(0), alone: true }
    }
}

/// Bytes of memory that are free on the machine now.
fn free() -> u64 {
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    system.available_memory()
}

/// The memory of the machine with its swap space, in bytes.
fn installed() -> u64 {
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    system.total_memory().saturating_add(system.total_swap())
}

/// The reservation of one case; released when dropped.
#[derive(Debug)]
pub struct MemoryShare<'a> {
    source: Source<'a>,
    taken: AtomicU64,
    alone: bool,
}

impl MemoryShare<'_> {
    /// Whether no other case runs. Then parts of the case that would reserve concurrently do so in
    /// sequence, so that a refusal is the same on any number of threads.
    pub fn is_alone(&self) -> bool {
        self.alone
    }

    /// Counts memory that is about to be taken.
    ///
    /// # Errors
    /// [`MemoryError`] when the case would hold more than the limit, or all cases together would.
    pub fn take(&self, bytes: u64) -> Result<(), MemoryError> {
        match self.source {
            Source::Share(share) => share.take(bytes)?,
            Source::Limit(limit) => {
                let allowed = limit.bytes;
                let needed = self.taken.load(Ordering::Relaxed).saturating_add(bytes);
                if needed > allowed {
                    return Err(MemoryError::TooLarge { needed, allowed });
                }
                let fits = |taken: u64| taken.checked_add(bytes).filter(|all| *all <= allowed);
                limit
                    .taken
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
                    .map_err(|_| MemoryError::Busy { needed: bytes })?;
            }
        }
        self.taken.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Like [`MemoryShare::take`], of `count` items of `bytes` each.
    ///
    /// # Errors
    /// As [`MemoryShare::take`].
    pub fn take_each(&self, count: u64, bytes: u64) -> Result<(), MemoryError> {
        self.take(count.saturating_mul(bytes))
    }

    /// Bytes that the case could still take if no other held any.
    pub(crate) fn left(&self) -> u64 {
        match self.source {
            Source::Share(share) => share.left(),
            Source::Limit(limit) => limit.bytes.saturating_sub(self.taken.load(Ordering::Relaxed)),
        }
    }

    /// A part of the case's reservation, which is released when the part is dropped.
    pub fn part(&self) -> MemoryShare<'_> {
        MemoryShare { source: Source::Share(self), taken: AtomicU64::new(0), alone: self.alone }
    }

    /// Transfers the reservation of a part to its share.
    pub fn keep(self) {
        self.taken.store(0, Ordering::Relaxed);
    }

    fn give_back(&self, bytes: u64) {
        self.taken.fetch_sub(bytes, Ordering::Relaxed);
        match self.source {
            Source::Share(share) => share.give_back(bytes),
            Source::Limit(limit) => {
                limit.taken.fetch_sub(bytes, Ordering::Relaxed);
            }
        }
    }
}

impl Drop for MemoryShare<'_> {
    fn drop(&mut self) {
        self.give_back(self.taken.load(Ordering::Relaxed));
    }
}

/// Room for exactly `count` more values.
///
/// # Errors
/// [`MemoryError::Refused`] if the system has not enough memory.
pub fn reserve<T>(vec: &mut Vec<T>, count: usize) -> Result<(), MemoryError> {
    let needed = (count as u64).saturating_mul(size_of::<T>() as u64);
    vec.try_reserve_exact(count).map_err(|_| MemoryError::Refused { needed })
}

/// So many zeros.
///
/// # Errors
/// [`MemoryError::Refused`] if the system has not enough memory.
pub fn zeros<T: Zeroable>(count: usize) -> Result<Vec<T>, MemoryError> {
    let needed = (count as u64).saturating_mul(size_of::<T>() as u64);
    bytemuck::allocation::try_zeroed_vec(count).map_err(|()| MemoryError::Refused { needed })
}

/// Works on all items in parallel, within a limit, and returns the results in their order. If
/// `work` returns [`MemoryError`], it is called again after others have ended, at last with a share
/// that [`MemoryShare::is_alone`]; the result of an item that does not fit even then is that of
/// `refused`.
///
/// # Errors
/// The first error of `work` that is not about memory, or of `refused`.
pub fn in_turns<T: Sync, R: Send, E: Send>(
    items: &[T],
    limit: &MemoryLimit,
    work: impl Fn(&T, &MemoryShare<'_>) -> Result<Result<R, MemoryError>, E> + Sync,
    refused: impl Fn(&T, MemoryError) -> Result<R, E>,
) -> Result<Vec<R>, E> {
    let mut results: Vec<Option<R>> = items.iter().map(|_| None).collect();
    let mut left = items.len();
    loop {
        let open = results.par_iter_mut().zip(items).filter(|(result, _)| result.is_none());
        open.try_for_each(|(result, item)| {
            *result = work(item, &limit.share())?.ok();
            Ok(())
        })?;
        let still = results.iter().filter(|result| result.is_none()).count();
        if still == 0 || still == left {
            break;
        }
        left = still;
    }
    // The remaining items do not fit beside others, or not at all.
    let one = |(result, item): (Option<R>, &T)| match result {
        Some(result) => Ok(result),
        None => match work(item, &limit.alone())? {
            Ok(result) => Ok(result),
            Err(error) => refused(item, error),
        },
    };
    results.into_iter().zip(items).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_never_above_what_the_machine_has() {
        assert_eq!(MemoryLimit::or_half_of_free(Some(1000)).bytes(), 1000);
        let most = MemoryLimit::or_half_of_free(Some(u64::MAX)).bytes();
        assert!(most < 1 << 50 && most >= MemoryLimit::or_half_of_free(None).bytes(), "{most}");
    }

    #[test]
    fn a_share_is_refused_what_it_will_never_get_and_what_others_hold() {
        let limit = MemoryLimit::new(100);
        let (a, b) = (limit.share(), limit.share());
        a.take(60).unwrap();
        assert_eq!(b.take(60), Err(MemoryError::Busy { needed: 60 }));
        assert_eq!(a.take(60), Err(MemoryError::TooLarge { needed: 120, allowed: 100 }));
        assert_eq!(b.take_each(u64::MAX, 3), Err(MemoryError::TooLarge { needed: u64::MAX, allowed: 100 }));
        let part = a.part();
        part.take(10).unwrap();
        assert_eq!(part.take(40), Err(MemoryError::TooLarge { needed: 110, allowed: 100 }));
        assert_eq!(b.take(40), Err(MemoryError::Busy { needed: 40 }));
        drop(part);
        b.take(40).unwrap();
        let kept = b.part();
        b.take(0).unwrap();
        kept.keep();
        drop(a);
        b.take(60).unwrap();
        drop(b);
        assert_eq!(limit.taken.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn sums_stay_within_the_limit_and_only_what_fits_nowhere_is_refused() {
        let limit = MemoryLimit::new(100);
        let most = AtomicU64::new(0);
        let sizes: Vec<u64> = (0..60).map(|i| if i % 20 == 7 { 101 } else { 30 + i % 50 }).collect();
        let work = |bytes: &u64, share: &MemoryShare<'_>| {
            Ok::<_, ()>(share.take(*bytes).map(|()| {
                most.fetch_max(limit.taken.load(Ordering::Relaxed), Ordering::Relaxed);
                std::thread::sleep(std::time::Duration::from_micros(200));
                Ok(*bytes)
            }))
        };
        let done = in_turns(&sizes, &limit, work, |_, error| Ok(Err(error))).unwrap();
        for (bytes, done) in sizes.iter().zip(done) {
            let expected = if *bytes > 100 {
                Err(MemoryError::TooLarge { needed: 101, allowed: 100 })
            } else {
                Ok(*bytes)
            };
            assert_eq!(done, expected);
        }
        assert!(most.into_inner() <= 100);
    }

    #[test]
    fn memory_that_no_machine_has_is_an_error() {
        let needed = 1 << 62;
        assert_eq!(zeros::<u8>(1 << 62), Err(MemoryError::Refused { needed }));
        assert_eq!(reserve(&mut Vec::<u8>::new(), 1 << 62), Err(MemoryError::Refused { needed }));
        assert_eq!(zeros::<f32>(3), Ok(vec![0.0; 3]));
    }

    #[test]
    fn figures_are_told_in_words() {
        let error = MemoryError::TooLarge { needed: 8_375_186_227, allowed: 1 << 30 };
        assert_eq!(error.to_string(), "it needs at least 7.8 GiB of memory, and the limit is 1.0 GiB");
    }
}
