//! Files that are whole or absent: written to a temporary name in the same folder, synced, renamed.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::Path;

use crate::{Result, StoreError, fault};

/// How temporary names begin; what a killed run left under such a name is rubbish.
const TEMPORARY_PREFIX: &str = ".tmp-";

/// Writes `bytes` to `path`, making its folder when it is missing.
///
/// # Errors
/// [`StoreError::Io`] when the folder or the file cannot be written; no file is left then.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    write_with(path, |temporary| fs::write(temporary, bytes).map_err(StoreError::io("write the file", path)))
}

/// Writes `bytes` to `path` unless it holds just these already, and says whether it wrote.
///
/// # Errors
/// As [`write()`].
pub fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<bool> {
    let changed = fs::read(path).map_or(true, |old| old != bytes);
    if changed {
        write(path, bytes)?;
    }
    Ok(changed)
}

/// As [`write_if_changed`], but only the user can read or write the file (mode 0600, where there
/// are modes). One that others may read, too, is written anew.
///
/// # Errors
/// As [`write()`].
pub fn write_private_if_changed(path: &Path, bytes: &[u8]) -> Result<bool> {
    let changed = fs::read(path).map_or(true, |old| old != bytes) || !is_private(path);
    if changed {
        write_as(path, 0o600, |temporary| {
            fs::write(temporary, bytes).map_err(StoreError::io("write the file", path))
        })?;
    }
    Ok(changed)
}

/// Writes a file that only the user can read or write, unless there is one: of several that do so
/// at once one wins, and no other's bytes are ever seen. Says whether it wrote.
///
/// # Errors
/// As [`write()`].
pub fn write_private_if_missing(path: &Path, bytes: &[u8]) -> Result<bool> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(StoreError::io("make the folder", folder))?;
    let failed = || StoreError::io("write the file", path);
    // A temporary file has mode 0600. Where it is put without replacing another, the system links
    // it, or renames it with the condition that nothing is there.
    let mut temporary =
        tempfile::Builder::new().prefix(TEMPORARY_PREFIX).tempfile_in(folder).map_err(failed())?;
    temporary.write_all(bytes).and_then(|()| temporary.as_file().sync_all()).map_err(failed())?;
    match temporary.persist_noclobber(path) {
        Ok(_) => {
            sync_folder(folder);
            Ok(true)
        }
        Err(error) if error.error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(failed()(error.error)),
    }
}

/// Whether a file can be read or written by its owner alone; a link is not asked where it leads.
#[cfg(unix)]
fn is_private(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.symlink_metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o077 == 0)
}

#[cfg(not(unix))]
fn is_private(_path: &Path) -> bool {
    true
}

/// Lets `fill` write a temporary file whose name ends like that of `path`, then syncs and renames
/// it.
///
/// # Errors
/// What `fill` returns, or [`StoreError::Io`]; no file is left then.
pub fn write_with<E: From<StoreError>>(
    path: &Path,
    fill: impl FnOnce(&Path) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    write_as(path, 0o666, fill) // less the umask
}

fn write_as<E: From<StoreError>>(
    path: &Path,
    mode: u32,
    fill: impl FnOnce(&Path) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(StoreError::io("make the folder", folder))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut builder = tempfile::Builder::new();
    let suffix = format!("-{name}");
    builder.prefix(TEMPORARY_PREFIX).suffix(&suffix);
    #[cfg(unix)]
    builder.permissions(<fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(mode));
    #[cfg(not(unix))]
    let _ = mode;
    let temporary =
        builder.tempfile_in(folder).map_err(StoreError::io("make a file", path))?.into_temp_path();
    fill(&temporary)?;
    let synced = File::open(&temporary).and_then(|file| file.sync_all());
    synced.map_err(StoreError::io("sync the file", path))?;
    temporary.persist(path).map_err(|e| StoreError::io("rename the file", path)(e.error))?;
    sync_folder(folder);
    Ok(())
}

/// Removes what killed runs left under temporary names in `folder`; a missing folder is fine, and
/// so is a file that another process renames or removes meanwhile. Nobody may be writing there who
/// is not to be disturbed.
///
/// # Errors
/// [`StoreError::Io`] when the folder cannot be listed or something cannot be removed.
pub fn sweep(folder: &Path) -> Result<()> {
    for entry in entries(folder)? {
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY_PREFIX) {
            remove(&entry.path(), "remove the leftover")?;
        }
    }
    Ok(())
}

/// Removes every file of `folder` that `keep` does not name; a missing folder is fine, and so is a
/// file that another process renames or removes meanwhile.
///
/// # Errors
/// [`StoreError::Io`] when the folder cannot be listed or something cannot be removed.
pub fn retain(folder: &Path, keep: impl Fn(&str) -> bool) -> Result<()> {
    for entry in entries(folder)? {
        if entry.path().is_file() && !keep(&entry.file_name().to_string_lossy()) {
            remove(&entry.path(), "remove the file")?;
        }
    }
    Ok(())
}

fn entries(folder: &Path) -> Result<Vec<fs::DirEntry>> {
    match fault::list(folder) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(Vec::new())
        }
        listed => listed.map_err(StoreError::io("list the folder", folder)),
    }
}

/// Removes a file, unless it is gone.
fn remove(path: &Path, doing: &'static str) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(StoreError::io(doing, path)),
    }
}

/// Makes the rename itself durable where the system can; a file system that cannot is no failure.
fn sync_folder(folder: &Path) {
    if let Ok(handle) = File::open(folder) {
        let _ = handle.sync_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_no_leftover() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        write(&path, b"old").unwrap();
        let failed: Result<()> = write_with(&path, |temporary| {
            fs::write(temporary, b"half").unwrap();
            Err(StoreError::Locked { path: path.clone() })
        });
        assert!(failed.is_err());
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn of_many_first_writers_one_wins_and_all_read_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let bytes: Vec<Vec<u8>> = (0..8_u8).map(|n| vec![n; 64]).collect();
        let wrote: Vec<bool> = std::thread::scope(|scope| {
            let write = |bytes: &Vec<u8>| write_private_if_missing(&path, bytes).unwrap();
            let threads: Vec<_> = bytes.iter().map(|bytes| scope.spawn(move || write(bytes))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(wrote.iter().filter(|wrote| **wrote).count(), 1);
        let winner = wrote.iter().position(|wrote| *wrote).unwrap();
        assert_eq!(fs::read(&path).unwrap(), bytes[winner]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_private_file_that_others_can_read_is_narrowed() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, b"same").unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        assert!(write_private_if_changed(&path, b"same").unwrap());
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!write_private_if_changed(&path, b"same").unwrap());
    }

    #[test]
    fn sweep_removes_what_a_killed_run_left() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(".tmp-x-a.json"), b"half").unwrap();
        fs::write(folder.path().join("a.json"), b"whole").unwrap();
        sweep(folder.path()).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn two_may_clean_one_folder_at_once() {
        for clean in [sweep, |folder: &Path| retain(folder, |_| false)] {
            let folder = tempfile::tempdir().unwrap();
            for number in 0..2000 {
                fs::write(folder.path().join(format!(".tmp-x-{number}")), b"half").unwrap();
            }
            let path = folder.path();
            let cleaned = std::thread::scope(|scope| {
                let other = scope.spawn(|| clean(path));
                [clean(path), other.join().unwrap()]
            });
            assert!(cleaned.iter().all(Result::is_ok), "{cleaned:?}");
            assert_eq!(fs::read_dir(path).unwrap().count(), 0);
        }
    }
}
