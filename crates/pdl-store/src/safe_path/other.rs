//! A folder by its path, for systems without handles of folders: links are checked before it is
//! used.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, FileType};
use std::io;
use std::path::{Path, PathBuf};

use crate::{Result, StoreError, fault};

/// A folder that was found without following links.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// The folder `below`, which holds names only, inside `root`; `None` if it is missing.
    pub(crate) fn open(root: &Path, below: &Path, create: bool) -> Result<Option<Self>> {
        if create {
            fs::create_dir_all(root).map_err(StoreError::io("make the folder", root))?;
        }
        let mut folder = Self { path: root.to_owned() };
        for name in below.iter() {
            let path = folder.path.join(name);
            match folder.kind(name)? {
                Some(kind) if kind.is_symlink() => return Err(StoreError::Link { path }),
                Some(_) => (),
                None if create => fs::create_dir(&path).map_err(StoreError::io("make the folder", &path))?,
                None => return Ok(None),
            }
            folder = Self { path };
        }
        Ok(folder.path.is_dir().then_some(folder))
    }

    /// Where it was found.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn kind(&self, name: &OsStr) -> Result<Option<FileType>> {
        let path = self.path.join(name);
        match fault::retried(|| path.symlink_metadata()) {
            Ok(meta) => Ok(Some(meta.file_type())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::io("look at the file", &path)(error)),
        }
    }

    fn refuse_link(&self, name: &OsStr) -> Result<PathBuf> {
        let path = self.path.join(name);
        match self.kind(name)? {
            Some(kind) if kind.is_symlink() => Err(StoreError::Link { path }),
            _ => Ok(path),
        }
    }

    /// A file to be read; `None` if it is missing.
    pub(crate) fn read(&self, name: &OsStr) -> Result<Option<File>> {
        let path = self.refuse_link(name)?;
        match fault::retried(|| File::open(&path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            opened => opened.map(Some).map_err(StoreError::io("read the file", &path)),
        }
    }

    /// A file to append to, made if it is missing.
    pub(crate) fn append(&self, name: &OsStr) -> Result<File> {
        let path = self.refuse_link(name)?;
        let opened = File::options().create(true).append(true).open(&path);
        opened.map_err(StoreError::io("open the file", &path))
    }

    /// A new file, to be written; an error if there is one of that name.
    pub(crate) fn create(&self, name: &OsStr) -> io::Result<File> {
        File::options().write(true).create_new(true).open(self.path.join(name))
    }

    /// The names of its files and links, in no order.
    pub(crate) fn files(&self) -> Result<Vec<OsString>> {
        let listed = fault::list(&self.path).map_err(StoreError::io("list the folder", &self.path))?;
        let is_file = |entry: &&fs::DirEntry| entry.file_type().is_ok_and(|kind| !kind.is_dir());
        Ok(listed.iter().filter(is_file).map(fs::DirEntry::file_name).collect())
    }

    /// Removes a file or a link, unless it is gone.
    pub(crate) fn remove(&self, name: &OsStr) -> io::Result<()> {
        match fs::remove_file(self.path.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    /// Moves a file into another folder or to another name, in place of what is there.
    pub(crate) fn rename(&self, name: &OsStr, to: &Self, new: &OsStr) -> io::Result<()> {
        fs::rename(self.path.join(name), to.path.join(new))
    }

    /// Makes a hard link to `source`.
    pub(crate) fn link(&self, source: &Path, name: &OsStr) -> io::Result<()> {
        fs::hard_link(source, self.path.join(name))
    }

    /// Makes renames in it durable, where the system can.
    pub(crate) fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}
