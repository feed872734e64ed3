//! One run at a time in a folder.

mod owner;

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use self::owner::OwnedLock;
use crate::file_system::{self, MissingFeature};
use crate::safe_path::SafePath;
use crate::{Result, StoreError};

/// How often the file of a lock is opened again.
const MOST_TRIES: usize = 3;

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
        let path = hidden.join("lock");
        let mut file = SafePath::new(folder, format!("{}/lock", crate::journal::FOLDER))?.append()?;
        let mut taken = try_lock(&file);
        // The run before may have removed its empty folder between the opening and the locking: a
        // lock on a file without a name would exclude nobody. Some file systems give a file another
        // identity by its name, so the tries are few.
        for _ in 0..MOST_TRIES {
            if taken.is_err() || is_file_at(&file, &path) {
                break;
            }
            file = SafePath::new(folder, format!("{}/lock", crate::journal::FOLDER))?.append()?;
            taken = try_lock(&file);
        }
        match taken {
            Ok(()) => Ok(Self { held: Some(Held::System { _file: file }), made }),
            Err(TryLockError::WouldBlock) => Err(StoreError::Locked { path: folder.to_owned() }),
            Err(TryLockError::Error(error)) if file_system::is_unsupported(&error) => {
                file_system::note(MissingFeature::Locks);
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

#[cfg(unix)]
fn is_file_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |meta: fs::Metadata| (meta.dev(), meta.ino());
    match (file.metadata(), fs::metadata(path)) {
        (Ok(file), Ok(named)) => identity(file) == identity(named),
        _ => false,
    }
}

/// Elsewhere an open file keeps its name.
#[cfg(not(unix))]
fn is_file_at(_: &File, _: &Path) -> bool {
    true
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

    /// The folder is removed by the run before, after this one opened the lock's file.
    #[cfg(unix)]
    #[test]
    fn a_lock_on_a_removed_file_is_taken_again() {
        let root = tempfile::tempdir().unwrap();
        let out = root.path().join("out");
        let tries = std::cell::Cell::new(0);
        let late = |file: &File| {
            if tries.replace(tries.get() + 1) == 0 {
                fs::remove_dir_all(&out).unwrap();
            }
            file.try_lock()
        };
        let _lock = FolderLock::take_by(&out, late).unwrap();
        assert_eq!(tries.get(), 2);
        assert!(matches!(FolderLock::take(&out), Err(StoreError::Locked { .. })));
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
            assert!(file_system::take_lacks().contains(&MissingFeature::Locks));
            drop(lock);
            assert!(!out.exists(), "a run that made nothing leaves nothing");
        }
        let failed = |_: &File| Err(TryLockError::Error(Errno::IO.into()));
        assert!(matches!(FolderLock::take_by(&out, failed), Err(StoreError::Io { .. })));
    }
}
