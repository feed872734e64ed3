//! Features that the present file system lacks and pdl relies on. A run continues without them as
//! well as it can; the program reports them once, at its end.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Mutex, PoisonError};

/// A feature that a file system may lack, as network file systems and those in user space do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MissingFeature {
    /// Locks that the system frees when their process dies.
    Locks,
    /// Writing files, or the names in a folder, to the disk at once.
    Sync,
    /// A rename that atomically replaces an existing file.
    RenameOver,
    /// Files that only their owner can read.
    Modes,
}

impl MissingFeature {
    /// The consequence for a run, as a sentence.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Locks => {
                "the file system has no locks (flock): two runs are kept apart by the file .pdl/owner.json; after a crash the \
                 next run waits up to half a minute for a sign of life"
            }
            Self::Sync => {
                "the file system cannot write files to the disk at once (fsync): after a power failure, run the same command \
                 again with --verify"
            }
            Self::RenameOver => {
                "the file system cannot replace a file in one step: a run that is killed just then leaves a file out, which the \
                 next run makes again"
            }
            Self::Modes => {
                "the file system keeps no modes (permissions): others with access to it can read files that are meant \
                 only for you, such as sources.parquet with the paths of the cohort"
            }
        }
    }
}

static FOUND: Mutex<BTreeSet<MissingFeature>> = Mutex::new(BTreeSet::new());

pub(crate) fn note(lack: MissingFeature) {
    FOUND.lock().unwrap_or_else(PoisonError::into_inner).insert(lack);
}

/// Features found lacking since the last call.
pub fn take_lacks() -> Vec<MissingFeature> {
    std::mem::take(&mut *FOUND.lock().unwrap_or_else(PoisonError::into_inner)).into_iter().collect()
}

/// Whether an error means that the file system does not support the call.
pub(crate) fn is_unsupported(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported || is_odd(error)
}

/// Too few locks, or an argument that is invalid for this kind of file.
#[cfg(unix)]
fn is_odd(error: &io::Error) -> bool {
    use rustix::io::Errno;
    Errno::from_io_error(error).is_some_and(|errno| [Errno::NOLCK, Errno::INVAL].contains(&errno))
}

#[cfg(not(unix))]
fn is_odd(_error: &io::Error) -> bool {
    false
}

/// The result of a sync, where a file system that knows none is no failure.
pub(crate) fn unless_unsupported(synced: io::Result<()>) -> io::Result<()> {
    match synced {
        Err(error) if is_unsupported(&error) => {
            note(MissingFeature::Sync);
            Ok(())
        }
        synced => synced,
    }
}
