//! Files that are whole or absent: written to a temporary name in the same folder, synced, renamed.
//!
//! Writing and removing below a folder that others may have filled takes a [`SafePath`], which
//! follows no links; a plain path trusts its folder.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::Path;

use tempfile::NamedTempFile;

use crate::file_system::{self, MissingFeature};
use crate::safe_path::{Folder, SafePath};
use crate::{Result, StoreError, fault};

/// Prefix of temporary names; such files of killed runs can be removed.
const TEMPORARY_PREFIX: &str = ".tmp-";

/// Maximum number of bytes of a file's name in its temporary name, which has at most 255.
const LONGEST_TAIL: usize = 200;

/// Writes `bytes` to `path`, making its folder if it is missing.
///
/// # Errors
/// [`StoreError::Io`] when the folder or the file cannot be written, [`StoreError::Link`] when a
/// link is on the way; no file is left then.
pub fn write(path: impl Into<SafePath>, bytes: &[u8]) -> Result<()> {
    write_bytes(&path.into(), 0o666, bytes)
}

/// Writes `bytes` to `path` unless it holds exactly these already; returns whether it wrote.
///
/// # Errors
/// As [`write()`].
pub fn write_if_changed(path: impl Into<SafePath>, bytes: &[u8]) -> Result<bool> {
    let path = path.into();
    let changed = !holds(&path, bytes);
    if changed {
        write_bytes(&path, 0o666, bytes)?;
    }
    Ok(changed)
}

/// Like [`write_if_changed`], but only the user can read or write the file (mode 0600, if the file
/// system has modes; else that is reported). A file that others may read is written anew.
///
/// # Errors
/// As [`write()`].
pub fn write_private_if_changed(path: impl Into<SafePath>, bytes: &[u8]) -> Result<bool> {
    let path = path.into();
    let changed = !holds(&path, bytes) || !is_private(&path.full());
    if changed {
        write_bytes(&path, 0o600, bytes)?;
        if !is_private(&path.full()) {
            file_system::note(MissingFeature::Modes);
        }
    }
    Ok(changed)
}

fn write_bytes(path: &SafePath, mode: u32, bytes: &[u8]) -> Result<()> {
    let full = path.full();
    write_as(path, mode, |temporary| {
        fs::write(temporary, bytes).map_err(StoreError::io("write the file", &full))
    })
}

/// Whether a file holds exactly these bytes; one of another size is not read.
fn holds(path: &SafePath, bytes: &[u8]) -> bool {
    let opened = |(folder, name): (Folder, &OsStr)| folder.read(name).ok()?;
    let Some(mut file) = path.parent(false).ok().flatten().and_then(opened) else { return false };
    if file.metadata().map_or(0, |meta| meta.len()) != bytes.len() as u64 {
        return false;
    }
    let mut old = Vec::new();
    file.read_to_end(&mut old).is_ok() && old == bytes
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
    // Where it is put without replacing another, the system links it, or renames it with the
    // condition that nothing is there.
    let mut builder = tempfile::Builder::new();
    let made = make(builder.prefix(TEMPORARY_PREFIX), folder, 0o600);
    let mut temporary = made.map_err(failed())?;
    temporary.write_all(bytes).and_then(|()| temporary.as_file().sync_all()).map_err(failed())?;
    match temporary.persist_noclobber(path) {
        Ok(_) => {
            sync(&SafePath::from(path).made_parent()?.0)?;
            Ok(true)
        }
        Err(error) if error.error.kind() == ErrorKind::AlreadyExists => Ok(false),
        // Without hard links, as on FAT or some network file systems, the name is taken first.
        Err(error) if is_without_links(&error.error) => create_private(path, bytes).map_err(failed()),
        Err(error) => Err(failed()(error.error)),
    }
}

/// Whether the file system has no hard links.
fn is_without_links(error: &std::io::Error) -> bool {
    error.kind() == ErrorKind::PermissionDenied || file_system::is_unsupported(error)
}

/// Creates a file of mode 0600 if there is none; returns whether it did.
fn create_private(path: &Path, bytes: &[u8]) -> std::io::Result<bool> {
    let mut file = match create_new(path, 0o600) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(false),
        opened => opened?,
    };
    let written = file.write_all(bytes).and_then(|()| file_system::unless_unsupported(file.sync_all()));
    if written.is_err() {
        let _ = fs::remove_file(path); // it would be taken for whole
    }
    written.map(|()| true)
}

/// Whether a file can be read or written by its owner alone; links are not followed.
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
/// What `fill` returns, or as [`write()`]; no file is left then.
pub fn write_with<E: From<StoreError>>(
    path: impl Into<SafePath>,
    fill: impl FnOnce(&Path) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    write_as(&path.into(), 0o666, fill) // less the umask
}

fn write_as<E: From<StoreError>>(
    path: &SafePath,
    mode: u32,
    fill: impl FnOnce(&Path) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    let full = path.full();
    let (folder, name) = path.made_parent()?;
    let mut builder = tempfile::Builder::new();
    let suffix = format!("-{}", tail(&name.to_string_lossy()));
    builder.prefix(TEMPORARY_PREFIX).suffix(&suffix);
    let made = make(&builder, folder.path(), mode);
    let temporary = made.map_err(StoreError::io("make a file", &full))?.into_temp_path();
    fill(&temporary)?;
    let synced = File::open(&temporary).and_then(|file| file.sync_all());
    file_system::unless_unsupported(synced).map_err(StoreError::io("sync the file", &full))?;
    let own = temporary.file_name().unwrap_or_default();
    replace(&folder, own, name).map_err(StoreError::io("rename the file", &full))?;
    let _ = temporary.keep(); // under its name now: nothing is to be removed
    Ok(sync(&folder)?)
}

/// Makes a temporary file, of these rights where there are modes. Not `tempfile_in`, whose errors
/// lose the system's number, which tells whose fault they are.
fn make(builder: &tempfile::Builder<'_, '_>, folder: &Path, mode: u32) -> std::io::Result<NamedTempFile> {
    builder.make_in(folder, |temporary| create_new(temporary, mode))
}

/// Makes a file where there is none, of these rights where there are modes.
fn create_new(path: &Path, mode: u32) -> std::io::Result<File> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    options.open(path)
}

/// The end of a name, at most [`LONGEST_TAIL`] bytes of it.
fn tail(name: &str) -> &str {
    let fits = |at: &usize| name.len() - at <= LONGEST_TAIL;
    name.char_indices().map(|(at, _)| at).find(fits).map_or("", |at| &name[at..])
}

/// Puts a hard link to the file `source` at `path`, in place of what is there.
///
/// # Errors
/// As [`write()`]; the file system may know no hard links, or `source` may lie on another one.
pub fn link(source: &Path, path: impl Into<SafePath>) -> Result<()> {
    let path = path.into();
    let (folder, name) = path.made_parent()?;
    let temporary = format!("{TEMPORARY_PREFIX}link-{}", tail(&name.to_string_lossy()));
    let temporary = OsStr::new(&temporary);
    let linked = folder
        .remove(temporary) // left by an interrupted run
        .and_then(|()| folder.link(source, temporary))
        .and_then(|()| folder.rename(temporary, &folder, name));
    linked.map_err(StoreError::io("link the volume (copies work across file systems)", &path.full()))?;
    let _ = folder.remove(temporary); // renaming onto a link to the same file leaves both
    Ok(())
}

/// Moves a file of one folder into another, which is made if it is missing, in place of what is
/// there.
///
/// # Errors
/// As [`write()`].
pub fn rename(from: &SafePath, to: &SafePath) -> Result<()> {
    let gone = || StoreError::io("move the file", &from.full())(ErrorKind::NotFound.into());
    let (folder, name) = from.parent(false)?.ok_or_else(gone)?;
    let (other, new) = to.made_parent()?;
    folder.rename(name, &other, new).map_err(StoreError::io("move the file", &from.full()))
}

/// Removes temporary files of killed runs in `folder`; a missing folder is fine, and so is a file
/// that another process renames or removes meanwhile. Folders are not removed, as pdl creates none
/// with such names. No other run may be writing there.
///
/// # Errors
/// [`StoreError::Io`] if the folder cannot be listed or something cannot be removed,
/// [`StoreError::Link`] when a link is in its place.
pub fn sweep(folder: &SafePath) -> Result<()> {
    remove_where(folder, "remove the leftover", |name| name.starts_with(TEMPORARY_PREFIX))
}

/// Removes every file of `folder` that `keep` does not name; a missing folder is fine, and so is a
/// file that another process renames or removes meanwhile.
///
/// # Errors
/// As [`sweep`].
pub fn retain(folder: &SafePath, keep: impl Fn(&str) -> bool) -> Result<()> {
    remove_where(folder, "remove the file", |name| !keep(name))
}

fn remove_where(folder: &SafePath, action: &'static str, unwanted: impl Fn(&str) -> bool) -> Result<()> {
    let Some(folder) = folder.open(false)? else { return Ok(()) };
    for name in folder.files()? {
        if unwanted(&name.to_string_lossy()) {
            folder.remove(&name).map_err(StoreError::io(action, &folder.path().join(&name)))?;
        }
    }
    Ok(())
}

/// The names of the files in `folder`, sorted; none if it is missing.
///
/// # Errors
/// As [`sweep`].
pub fn file_names(folder: &SafePath) -> Result<Vec<String>> {
    let Some(folder) = folder.open(false)? else { return Ok(Vec::new()) };
    let mut names: Vec<String> =
        folder.files()?.iter().map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}

/// Removes a file, unless it is missing.
///
/// # Errors
/// As [`sweep`].
pub fn remove(path: &SafePath) -> Result<()> {
    let Some((folder, name)) = path.parent(false)? else { return Ok(()) };
    folder.remove(name).map_err(StoreError::io("remove the file", &path.full()))
}

/// Removes a folder with all that is in it, unless it is missing.
///
/// # Errors
/// As [`sweep`].
pub fn remove_folder(folder: &SafePath) -> Result<()> {
    if folder.open(false)?.is_none() {
        return Ok(());
    }
    // Links inside are removed, not followed.
    match fs::remove_dir_all(folder.full()) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(StoreError::io("remove the folder", &folder.full())),
    }
}

/// Renames a file of a folder; in two steps where the file system can replace none.
fn replace(folder: &Folder, name: &OsStr, new: &OsStr) -> std::io::Result<()> {
    match folder.rename(name, folder, new) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            file_system::note(MissingFeature::RenameOver);
            folder.remove(new)?;
            folder.rename(name, folder, new)
        }
        renamed => renamed,
    }
}

/// Makes the rename itself durable where the system can; a file system that cannot, or a folder
/// that its user may not do that to, is no failure.
fn sync(folder: &Folder) -> Result<()> {
    let synced = match folder.sync() {
        Err(error) if !fault::is_machine_error(&error) => Ok(()),
        synced => file_system::unless_unsupported(synced),
    };
    synced.map_err(StoreError::io("sync the folder", folder.path()))
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

    #[cfg(target_os = "linux")]
    #[test]
    fn errors_of_a_new_file_keep_the_systems_number() {
        // Nothing can be made there.
        let path = Path::new("/proc/self/a");
        let number = |error: StoreError| match error {
            StoreError::Io { source, .. } => source.raw_os_error(),
            other => panic!("{other}"),
        };
        assert!(number(write_private_if_missing(path, b"").unwrap_err()).is_some());
        assert!(number(write(path, b"").unwrap_err()).is_some());
    }

    #[cfg(unix)]
    #[test]
    fn a_private_file_is_made_once_without_hard_links_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        assert!(create_private(&path, b"first").unwrap() && is_private(&path));
        assert!(!create_private(&path, b"second").unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert!(create_private(&folder.path().join("missing/key"), b"").is_err());
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
        sweep(&SafePath::root(folder.path())).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn two_may_clean_one_folder_at_once() {
        for clean in [sweep, |folder: &SafePath| retain(folder, |_| false)] {
            let folder = tempfile::tempdir().unwrap();
            for number in 0..2000 {
                fs::write(folder.path().join(format!(".tmp-x-{number}")), b"half").unwrap();
            }
            let path = &SafePath::root(folder.path());
            let cleaned = std::thread::scope(|scope| {
                let other = scope.spawn(|| clean(path));
                [clean(path), other.join().unwrap()]
            });
            assert!(cleaned.iter().all(Result::is_ok), "{cleaned:?}");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn a_folder_of_a_temporary_name_is_left_and_blocks_nothing() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(".tmp-x")).unwrap();
        fs::write(folder.path().join(".tmp-y"), b"half").unwrap();
        sweep(&SafePath::root(folder.path())).unwrap();
        assert_eq!(file_names(&SafePath::root(folder.path())).unwrap(), [""; 0]);
        assert!(folder.path().join(".tmp-x").is_dir());
    }

    #[test]
    fn a_name_may_be_as_long_as_file_systems_allow() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("\u{e4}".repeat(127));
        write(&path, b"long").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"long");
    }

    #[cfg(unix)]
    #[test]
    fn nothing_is_written_or_removed_through_a_link() {
        use std::os::unix::fs::symlink;
        let parent = tempfile::tempdir().unwrap();
        let [root, other] = ["root", "other"].map(|name| parent.path().join(name));
        fs::create_dir_all(&root).unwrap();
        fs::create_dir_all(&other).unwrap();
        fs::write(other.join("a"), b"theirs").unwrap();
        fs::write(other.join(".tmp-a"), b"theirs").unwrap();
        symlink(&other, root.join("folder")).unwrap();
        symlink(other.join("a"), root.join("a")).unwrap();
        let [folder, file] = ["folder", "folder/a"].map(|below| SafePath::new(&root, below).unwrap());

        let refused = [
            sweep(&folder),
            retain(&folder, |_| false),
            remove(&file),
            remove_folder(&folder),
            write(&file, b"ours"),
            write_if_changed(&file, b"ours").map(drop),
            link(&other.join("a"), &file),
            rename(&SafePath::new(&root, "a").unwrap(), &file),
        ];
        assert!(refused.iter().all(|done| matches!(done, Err(StoreError::Link { .. }))), "{refused:?}");
        // A link in the place of a file is replaced, not followed.
        write(SafePath::new(&root, "a").unwrap(), b"ours").unwrap();
        assert!(!root.join("a").is_symlink());
        assert_eq!(fs::read(other.join("a")).unwrap(), b"theirs");
        assert_eq!(fs::read_dir(&other).unwrap().count(), 2);
    }
}
