//! Limits of an executor on its machine.

use std::path::PathBuf;

/// Memory and disk of one executor.
#[derive(Clone, Debug)]
pub struct ExecutorLimits {
    /// Bytes of memory; half of what is free when not given.
    pub memory: Option<u64>,
    /// The folder for data of the object store.
    pub cache: PathBuf,
    /// Bytes of voxels in that folder.
    pub cache_bytes: u64,
}
