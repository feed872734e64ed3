//! One run at a time in a folder.

use std::fs::{self, File, TryLockError};
use std::path::Path;

use crate::{Result, StoreError};

/// Held while a run writes into a folder; freed when dropped, and by the system when the run dies.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Takes the folder, making it when it is missing.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another run holds it, [`StoreError::Io`] when it cannot be made.
    pub fn take(folder: &Path) -> Result<Self> {
        let hidden = folder.join(crate::journal::FOLDER);
        fs::create_dir_all(&hidden).map_err(StoreError::io("make the folder", &hidden))?;
        let path = hidden.join("lock");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(StoreError::io("open the lock", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(StoreError::Locked { path: folder.to_owned() }),
            Err(TryLockError::Error(source)) => Err(StoreError::Io { action: "take the lock", path, source }),
        }
    }
}
