//! One run at a time in a folder.

mod owner;

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use self::owner::OwnedLock;
use crate::file_system::{self, Lack};
use crate::safe_path::SafePath;
use crate::{Result, StoreError};

/// Held while a run writes into a folder; freed when dropped, and by the system when the run dies.
/// Folders that were created for it and are empty when it is dropped are removed. On a file system
/// without locks a file that names the run takes its place.
#[derive(Debug)]
pub struct FolderLock {
    held: Option<Held>,
    /// The lock's folder and those above it that were missing, innermost first.
    made: Vec<PathBuf>,
}

impl FolderLock {
    /// Takes the folder, making it if it is missing.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another run holds it, [`StoreError::Io`] if it cannot be made.
    pub fn take(folder: &Path) -> Result<Self> {
        Self::take_by(folder, File::try_lock)
    }

    fn take_by(
        folder: &Path,
        try_lock: impl Fn(&File) -> std::result::Result<(), TryLockError>,
    ) -> Result<Self> {
        let hidden = folder.join(crate::journal::FOLDER);
        let missing = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
        let made = hidden.ancestors().take_while(missing).map(Path::to_owned).collect();
        let file = SafePath::new(folder, format!("{}/lock", crate::journal::FOLDER))?.append()?;
        let path = hidden.join("lock");
        match try_lock(&file) {
            Ok(()) => Ok(Self { held: Some(Held::System { _file: file }), made }),
            Err(TryLockError::WouldBlock) => Err(StoreError::Locked { path: folder.to_owned() }),
            Err(TryLockError::Error(error)) if file_system::is_unsupported(&error) => {
                file_system::note(Lack::Locks);
                let path = SafePath::new(folder, format!("{}/owner.json", crate::journal::FOLDER))?;
                let owned = OwnedLock::take(&path, owner::TIMES)?;
                let locked = || StoreError::Locked { path: folder.to_owned() };
                Ok(Self { held: Some(Held::Owner { _lock: owned.ok_or_else(locked)? }), made })
            }
            Err(TryLockError::Error(source)) => Err(StoreError::Io { action: "take the lock", path, source }),
        }
    }
}

/// The lock itself.
#[derive(Debug)]
enum Held {
    System { _file: File },
    Owner { _lock: OwnedLock },
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        if matches!(self.held, Some(Held::Owner { .. })) {
            self.held = None; // its file is no result
        }
        // A journal with a line in it is not removed: the next run resumes from it.
        if let Some(hidden) = self.made.first().filter(|hidden| holds_empty_files_only(hidden)) {
            let _ = fs::remove_dir_all(hidden);
            // Ends at the first folder that is not empty.
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

    #[cfg(unix)]
    #[test]
    fn a_file_system_without_locks_has_a_file_in_their_place() {
        use rustix::io::Errno;
        let root = tempfile::tempdir().unwrap();
        let out = root.path().join("out");
        for errno in [Errno::NOSYS, Errno::OPNOTSUPP, Errno::NOLCK] {
            let none = |_: &File| Err(TryLockError::Error(errno.into()));
            let lock = FolderLock::take_by(&out, none).unwrap();
            assert!(out.join(".pdl/owner.json").is_file());
            assert!(file_system::take_lacks().contains(&Lack::Locks));
            drop(lock);
            assert!(!out.exists(), "a run that made nothing leaves nothing");
        }
        let failed = |_: &File| Err(TryLockError::Error(Errno::IO.into()));
        assert!(matches!(FolderLock::take_by(&out, failed), Err(StoreError::Io { .. })));
    }
}
