//! One run at a time in a folder.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use crate::{Result, StoreError};

/// Held while a run writes into a folder; freed when dropped, and by the system when the run dies.
/// Folders that were made for it, and that hold nothing when it is dropped, go with it.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
    /// The lock's folder and those above it that were missing, innermost first.
    made: Vec<PathBuf>,
}

impl FolderLock {
    /// Takes the folder, making it when it is missing.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another run holds it, [`StoreError::Io`] when it cannot be made.
    pub fn take(folder: &Path) -> Result<Self> {
        let hidden = folder.join(crate::journal::FOLDER);
        let missing = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
        let made = hidden.ancestors().take_while(missing).map(Path::to_owned).collect();
        fs::create_dir_all(&hidden).map_err(StoreError::io("make the folder", &hidden))?;
        let path = hidden.join("lock");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(StoreError::io("open the lock", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file, made }),
            Err(TryLockError::WouldBlock) => Err(StoreError::Locked { path: folder.to_owned() }),
            Err(TryLockError::Error(source)) => Err(StoreError::Io { action: "take the lock", path, source }),
        }
    }
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        // A journal with a line in it is worth keeping: the next run goes on from there.
        if let Some(hidden) = self.made.first().filter(|hidden| holds_empty_files_only(hidden)) {
            let _ = fs::remove_dir_all(hidden);
            // Ends at the first one that something was made in.
            let _ = self.made.iter().skip(1).try_for_each(fs::remove_dir);
        }
    }
}

fn holds_empty_files_only(folder: &Path) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    entries.flatten().all(|entry| entry.metadata().is_ok_and(|meta| meta.is_file() && meta.len() == 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_made_nothing_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let out = root.path().join("new/out");
        let lock = FolderLock::take(&out).unwrap();
        assert!(matches!(FolderLock::take(&out), Err(StoreError::Locked { .. })));
        drop(lock);
        assert!(fs::read_dir(root.path()).unwrap().next().is_none());
        let lock = FolderLock::take(&out).unwrap();
        fs::write(out.join("made"), "something").unwrap();
        drop(lock);
        assert_eq!(fs::read_dir(&out).unwrap().count(), 1);
        let lock = FolderLock::take(&out).unwrap();
        fs::write(out.join(".pdl/index.jsonl"), "a line").unwrap();
        drop(lock);
        assert!(out.join(".pdl/index.jsonl").is_file());
    }
}
