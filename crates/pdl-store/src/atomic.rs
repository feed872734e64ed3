//! Files that are whole or absent: written to a temporary name in the same folder, synced, renamed.

use std::fs::{self, File};
use std::io::ErrorKind;
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
/// are modes).
///
/// # Errors
/// As [`write()`].
pub fn write_private_if_changed(path: &Path, bytes: &[u8]) -> Result<bool> {
    let changed = fs::read(path).map_or(true, |old| old != bytes);
    if changed {
        write_as(path, 0o600, |temporary| {
            fs::write(temporary, bytes).map_err(StoreError::io("write the file", path))
        })?;
    }
    Ok(changed)
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
