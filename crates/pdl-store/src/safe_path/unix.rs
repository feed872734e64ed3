//! A folder by its handle.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::{Result, StoreError, fault};

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// NONBLOCK: opening a pipe without a writer fails instead of waiting.
const FILE: OFlags = OFlags::NOFOLLOW.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);

/// An open folder; names are looked up in it even if its path leads elsewhere by now.
#[derive(Debug)]
pub(crate) struct Folder {
    handle: OwnedFd,
    path: PathBuf,
}

impl Folder {
    /// The folder `below`, which holds names only, inside `root`; `None` if it is missing.
    pub(crate) fn open(root: &Path, below: &Path, create: bool) -> Result<Option<Self>> {
        if create {
            fs::create_dir_all(root).map_err(StoreError::io("make the folder", root))?;
        }
        let opened = retried(|| rustix::fs::openat(CWD, root, FOLDER, Mode::empty()));
        let handle = match opened {
            Err(error) if is_missing(&error) => return Ok(None),
            opened => opened.map_err(StoreError::io("open the folder", root))?,
        };
        let mut folder = Self { handle, path: root.to_owned() };
        for name in below.iter() {
            let Some(next) = folder.enter(name, create)? else { return Ok(None) };
            folder = next;
        }
        Ok(Some(folder))
    }

    fn enter(&self, name: &OsStr, create: bool) -> Result<Option<Self>> {
        let path = self.path.join(name);
        let open = || rustix::fs::openat(&self.handle, name, FOLDER | OFlags::NOFOLLOW, Mode::empty());
        let mut opened = retried(open);
        if create && opened.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            match rustix::fs::mkdirat(&self.handle, name, Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(Errno::EXIST) => opened = retried(open),
                Err(error) => return Err(StoreError::io("make the folder", &path)(error.into())),
            }
        }
        match opened {
            Ok(handle) => Ok(Some(Self { handle, path })),
            Err(_) if self.kind(name)? == Some(FileType::Symlink) => Err(StoreError::Link { path }),
            Err(error) if is_missing(&error) && !create => Ok(None),
            Err(error) => Err(StoreError::io("open the folder", &path)(error)),
        }
    }

    /// Path as it was opened.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The type of an entry, links not followed; `None` if there is none.
    fn kind(&self, name: &OsStr) -> Result<Option<FileType>> {
        match retried(|| rustix::fs::statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW)) {
            Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(StoreError::io("look at the file", &self.path.join(name))(error)),
        }
    }

    /// A file to be read; `None` if it is missing.
    pub(crate) fn read(&self, name: &OsStr) -> Result<Option<File>> {
        let open = || rustix::fs::openat(&self.handle, name, FILE | OFlags::RDONLY, Mode::empty());
        match retried(open) {
            Err(error) if is_missing(&error) => Ok(None),
            opened => self.regular(name, opened, "read the file").map(Some),
        }
    }

    /// A file to append to, made if it is missing.
    pub(crate) fn append(&self, name: &OsStr) -> Result<File> {
        let flags = FILE | OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE;
        let mode = Mode::from_raw_mode(0o666); // less the umask
        let opened = retried(|| rustix::fs::openat(&self.handle, name, flags, mode));
        self.regular(name, opened, "open the file")
    }

    /// A new file, to be written; an error if there is one of that name.
    pub(crate) fn create(&self, name: &OsStr) -> io::Result<File> {
        let flags = FILE | OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let made = rustix::fs::openat(&self.handle, name, flags, Mode::from_raw_mode(0o666));
        Ok(File::from(made?))
    }

    /// Checks that the opened entry is a regular file.
    fn regular(&self, name: &OsStr, opened: io::Result<OwnedFd>, action: &'static str) -> Result<File> {
        let path = self.path.join(name);
        let file = match opened {
            Ok(handle) => File::from(handle),
            Err(_) if self.kind(name)? == Some(FileType::Symlink) => return Err(StoreError::Link { path }),
            Err(error) => return Err(StoreError::io(action, &path)(error)),
        };
        let meta = file.metadata().map_err(StoreError::io(action, &path))?;
        if meta.is_file() {
            return Ok(file);
        }
        Err(StoreError::io(action, &path)(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is not a regular file",
        )))
    }

    /// The names of its files and links, in no order.
    pub(crate) fn files(&self) -> Result<Vec<OsString>> {
        let list = || {
            let entries = Dir::read_from(&self.handle)?;
            entries.map(|entry| Ok(OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned())).collect()
        };
        let names: Vec<OsString> = retried(list).map_err(StoreError::io("list the folder", &self.path))?;
        let mut files = Vec::with_capacity(names.len());
        for name in names {
            if matches!(self.kind(&name)?, Some(FileType::RegularFile | FileType::Symlink)) {
                files.push(name);
            }
        }
        Ok(files)
    }

    /// Removes a file or a link, unless it is gone.
    pub(crate) fn remove(&self, name: &OsStr) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.handle, name, AtFlags::empty()) {
            Err(Errno::NOENT) => Ok(()),
            removed => Ok(removed?),
        }
    }

    /// Moves a file into another folder or to another name, in place of what is there.
    pub(crate) fn rename(&self, name: &OsStr, to: &Self, new: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.handle, name, &to.handle, new)?)
    }

    /// Makes a hard link to `source`, which is not followed if it is a symbolic one.
    pub(crate) fn link(&self, source: &Path, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::linkat(CWD, source, &self.handle, name, AtFlags::empty())?)
    }

    /// Makes renames in it durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.handle)?)
    }
}

fn retried<T>(mut work: impl FnMut() -> rustix::io::Result<T>) -> io::Result<T> {
    fault::retried(|| work().map_err(io::Error::from))
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
