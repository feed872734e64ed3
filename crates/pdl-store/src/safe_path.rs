//! Files and folders below a root that others may have filled.
//!
//! A curation folder from somebody else may hold a symbolic link in place of one of its folders,
//! and a path in its tables may hold `..`: writing or removing through them would affect files
//! elsewhere. The text of a [`SafePath`] stays below its root, and it is opened from a handle of
//! the root, folder by folder, without following links. The root itself is the user's choice, and
//! may be a link.

#[cfg_attr(unix, path = "safe_path/unix.rs")]
#[cfg_attr(not(unix), path = "safe_path/other.rs")]
mod folder;

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Component, Path, PathBuf};

use serde::de::Error;
use serde::{Deserialize, Deserializer};

pub(crate) use self::folder::Folder;
use crate::{Result, StoreError};

/// A file or folder below a root, reached without following links. One made from a plain path
/// trusts the path's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SafePath {
    root: PathBuf,
    /// Names only; empty for the root itself.
    below: PathBuf,
}

impl SafePath {
    /// The path `below`, which may come from a file, inside `root`.
    ///
    /// # Errors
    /// [`StoreError::Outside`] when it leads out of the root.
    pub fn new(root: &Path, below: impl AsRef<Path>) -> Result<Self> {
        let below = below.as_ref();
        let normal = normal(below).ok_or_else(|| StoreError::Outside { path: below.to_owned() })?;
        Ok(Self { root: root.to_owned(), below: normal })
    }

    /// The root itself.
    pub fn root(root: &Path) -> Self {
        Self { root: root.to_owned(), below: PathBuf::new() }
    }

    /// A file or folder inside this one.
    ///
    /// # Errors
    /// [`StoreError::Outside`] when it leads out of the root.
    pub fn join(&self, name: impl AsRef<Path>) -> Result<Self> {
        Self::new(&self.root, self.below.join(name))
    }

    /// The whole path, for messages and for what was checked before.
    pub fn full(&self) -> PathBuf {
        if self.below.as_os_str().is_empty() { self.root.clone() } else { self.root.join(&self.below) }
    }

    /// Creates the folder and its parents, and returns its path.
    ///
    /// # Errors
    /// [`StoreError::Link`] when a link is on the way or in its place, [`StoreError::Io`] if it
    /// cannot be made.
    pub fn create(&self) -> Result<PathBuf> {
        self.open(true)?;
        Ok(self.full())
    }

    /// The path of the folder, which need not be there yet.
    ///
    /// # Errors
    /// [`StoreError::Link`] when a link is on the way or in its place.
    pub fn folder(&self) -> Result<PathBuf> {
        self.open(false)?;
        Ok(self.full())
    }

    /// The path of the file, which is there, and is neither a link nor behind one.
    ///
    /// # Errors
    /// [`StoreError::Link`] when a link is on the way or in its place, [`StoreError::Io`] if there
    /// is no such file.
    pub fn file(&self) -> Result<PathBuf> {
        let missing = || StoreError::io("read the file", &self.full())(std::io::ErrorKind::NotFound.into());
        match self.parent(false)? {
            Some((folder, name)) if folder.read(name)?.is_some() => Ok(self.full()),
            _ => Err(missing()),
        }
    }

    /// Opens a file to append to it, and makes it and its folder when they are missing.
    pub(crate) fn append(&self) -> Result<File> {
        let (folder, name) = self.made_parent()?;
        folder.append(name)
    }

    /// The content of the file; `None` if it is missing.
    pub(crate) fn read(&self) -> Result<Option<Vec<u8>>> {
        let Some((folder, name)) = self.parent(false)? else { return Ok(None) };
        let Some(mut file) = folder.read(name)? else { return Ok(None) };
        let mut bytes = Vec::new();
        let read = std::io::Read::read_to_end(&mut file, &mut bytes);
        read.map_err(StoreError::io("read the file", &self.full()))?;
        Ok(Some(bytes))
    }

    /// The folder itself; `None` if it is missing.
    pub(crate) fn open(&self, create: bool) -> Result<Option<Folder>> {
        Folder::open(&self.root, &self.below, create)
    }

    /// The folder that holds it and its name there; `None` if the folder is missing.
    pub(crate) fn parent(&self, create: bool) -> Result<Option<(Folder, &OsStr)>> {
        let (above, name) = (self.below.parent(), self.below.file_name());
        let (Some(above), Some(name)) = (above, name) else {
            return Err(StoreError::Outside { path: self.full() });
        };
        Ok(Folder::open(&self.root, above, create)?.map(|folder| (folder, name)))
    }

    /// Like [`SafePath::parent`], made if it is missing.
    pub(crate) fn made_parent(&self) -> Result<(Folder, &OsStr)> {
        let gone = || StoreError::io("make the folder", &self.full())(std::io::ErrorKind::NotFound.into());
        self.parent(true)?.ok_or_else(gone)
    }
}

impl From<&Path> for SafePath {
    fn from(path: &Path) -> Self {
        let root = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let below = path.file_name().unwrap_or_default();
        Self { root: root.unwrap_or(Path::new(".")).to_owned(), below: below.into() }
    }
}

impl From<&PathBuf> for SafePath {
    fn from(path: &PathBuf) -> Self {
        path.as_path().into()
    }
}

impl From<&SafePath> for SafePath {
    fn from(path: &SafePath) -> Self {
        path.clone()
    }
}

/// The path without `.` and `..`; `None` if it is absolute or leads out of its start.
fn normal(path: &Path) -> Option<PathBuf> {
    let mut parts: Vec<&OsStr> = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => parts.push(name),
            Component::CurDir => (),
            Component::ParentDir => drop(parts.pop()?),
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(parts.iter().collect())
}

/// Whether a path from a file is absolute or leads out of the folder `start` below the root that it
/// is relative to.
pub fn leads_out(start: &Path, text: &str) -> bool {
    Path::new(text).is_absolute() || normal(&start.join(text)).is_none()
}

/// Reads a path inside the root, for `#[serde(deserialize_with)]`.
///
/// # Errors
/// When the text is absolute, empty or leads out.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<String, D::Error> {
    inside(String::deserialize(deserializer)?)
}

/// Like [`deserialize`], of a list of paths.
///
/// # Errors
/// As [`deserialize`].
pub fn deserialize_list<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Vec<String>, D::Error> {
    Vec::<String>::deserialize(deserializer)?.into_iter().map(inside).collect()
}

fn inside<E: Error>(text: String) -> std::result::Result<String, E> {
    match normal(Path::new(&text)).is_some_and(|path| !path.as_os_str().is_empty()) {
        true => Ok(text),
        false => Err(E::custom(format!("expected a path inside the folder, found {text:?}"))),
    }
}

/// Like [`deserialize`], of a path that may be absent.
///
/// # Errors
/// As [`deserialize`].
pub fn deserialize_option<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    struct Inside(#[serde(deserialize_with = "deserialize")] String);
    Ok(Option::<Inside>::deserialize(deserializer)?.map(|Inside(path)| path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn paths_may_wander_but_not_leave() {
        for (start, text, out) in [
            ("", "prepared/a.nii.gz", false),
            ("", "x/../prepared/a.nii.gz", false),
            ("", "../prepared/a.nii.gz", true),
            ("", "x/../../a", true),
            ("folds/0", "/etc/passwd", true),
            ("folds/0", "../../prepared/a.nii.gz", false),
            ("folds/0", "../../../a", true),
        ] {
            assert_eq!(leads_out(Path::new(start), text), out, "{text}");
        }
        let root = Path::new("/r");
        assert_eq!(SafePath::new(root, "folds/0/../../a/./b").unwrap().full(), Path::new("/r/a/b"));
        for text in ["..", "/a", "a/../../b"] {
            assert!(matches!(SafePath::new(root, text), Err(StoreError::Outside { .. })), "{text}");
        }
        assert_eq!(SafePath::from(Path::new("a.csv")).full(), Path::new("./a.csv"));
    }

    #[cfg(unix)]
    #[test]
    fn links_below_the_root_are_not_followed_and_the_root_may_be_one() {
        use std::os::unix::fs::symlink;
        let parent = tempfile::tempdir().unwrap();
        let [root, other, alias] = ["root", "other", "alias"].map(|name| parent.path().join(name));
        fs::create_dir_all(&root).unwrap();
        fs::create_dir_all(&other).unwrap();
        fs::write(other.join("file"), b"theirs").unwrap();
        symlink(&root, &alias).unwrap();
        symlink(&other, root.join("folder")).unwrap();
        symlink(other.join("file"), root.join("file")).unwrap();

        assert!(SafePath::new(&alias, "own/below").unwrap().create().is_ok());
        assert!(root.join("own/below").is_dir());
        let is_link = |result: Result<()>| matches!(result, Err(StoreError::Link { .. }));
        let at = |below: &str| SafePath::new(&root, below).unwrap();
        assert!(is_link(at("folder").create().map(drop)));
        assert!(is_link(at("folder/deep").create().map(drop)));
        assert!(is_link(at("folder/file").file().map(drop)));
        assert!(is_link(at("file").file().map(drop)));
        assert!(is_link(at("file").append().map(drop)));
        assert!(is_link(at("folder/new").append().map(drop)));
        assert_eq!(fs::read_dir(&other).unwrap().count(), 1);
        assert_eq!(fs::read(other.join("file")).unwrap(), b"theirs");
    }
}
