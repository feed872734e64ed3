//! The files below a folder, with links and entries that are not regular files.

use std::io;
use std::path::{Path, PathBuf};

use pdl_store::fault;
use walkdir::{DirEntry, WalkDir};

/// The contents of a folder at any depth.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileTree {
    /// Every file, whatever its name, and every folder that cannot be listed; by name.
    pub files: Vec<PathBuf>,
    /// FIFOs, sockets and devices, which are never opened.
    pub special: Vec<PathBuf>,
    /// Links to files and folders outside of the folder, which are followed.
    pub outside: Vec<PathBuf>,
}

/// Every file below `folder`, whatever its name, and every folder that cannot be listed, so that
/// [`crate::scan()`] counts it; links are followed, except those that lead back.
///
/// # Errors
/// Errors of the machine: a folder that cannot be listed does not count as empty.
pub fn files_below(folder: &Path) -> io::Result<Vec<PathBuf>> {
    files_below_except(folder, &|_| Ok(false))
}

/// Like [`files_below`], without the folders below `folder` that `passed_over` names.
///
/// # Errors
/// As [`files_below`], and those of `passed_over`.
pub fn files_below_except(
    folder: &Path,
    passed_over: &dyn Fn(&Path) -> io::Result<bool>,
) -> io::Result<Vec<PathBuf>> {
    Ok(tree_below(folder, passed_over)?.files)
}

/// Like [`files_below_except`], with links and entries that are not regular files.
///
/// # Errors
/// As [`files_below_except`].
pub fn tree_below(folder: &Path, passed_over: &dyn Fn(&Path) -> io::Result<bool>) -> io::Result<FileTree> {
    fault::retried(|| walk(folder, passed_over))
}

fn walk(folder: &Path, passed_over: &dyn Fn(&Path) -> io::Result<bool>) -> io::Result<FileTree> {
    let mut found = FileTree::default();
    let mut root = None;
    let mut entries = WalkDir::new(folder).follow_links(true).sort_by_file_name().into_iter();
    while let Some(entry) = entries.next() {
        match entry {
            Ok(entry) => {
                if entry.depth() > 0 && entry.path_is_symlink() {
                    match leads(folder, &mut root, &entry)? {
                        Leads::Inside => {}
                        Leads::Outside => found.outside.push(entry.path().to_owned()),
                        Leads::Back => {
                            entries.skip_current_dir();
                            continue;
                        }
                    }
                }
                let kind = entry.file_type();
                if kind.is_dir() {
                    if entry.depth() > 0 && passed_over(entry.path())? {
                        entries.skip_current_dir();
                    }
                } else if kind.is_file() {
                    found.files.push(entry.into_path());
                } else {
                    found.special.push(entry.into_path());
                }
            }
            Err(error) if error.loop_ancestor().is_some() => (),
            Err(error) => match fault::machine_error(&error) {
                Some(error) => return Err(error),
                None => found.files.extend(error.path().map(Path::to_owned)),
            },
        }
    }
    Ok(found)
}

/// The target of a link.
enum Leads {
    Inside,
    Outside,
    /// To a folder in which the walked one lies itself: a circle.
    Back,
}

/// The target of a link; the folder's place without links is looked up once.
fn leads(folder: &Path, root: &mut Option<PathBuf>, link: &DirEntry) -> io::Result<Leads> {
    if root.is_none() {
        *root = fault::canonical(folder)?;
    }
    let target = fault::canonical(link.path())?;
    let (Some(root), Some(target)) = (root, target) else { return Ok(Leads::Inside) };
    Ok(match () {
        () if target.starts_with(&*root) => Leads::Inside,
        () if root.starts_with(&target) => Leads::Back,
        () => Leads::Outside,
    })
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_are_followed_and_told_when_they_lead_outside_and_circles_end() {
        let (place, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let root = place.path().join("root");
        fs::create_dir(&root).unwrap();
        for path in [root.join("a"), other.path().join("b")] {
            fs::write(path, b"").unwrap();
        }
        symlink("..", root.join("up")).unwrap();
        symlink(".", root.join("circle")).unwrap();
        symlink("self", root.join("self")).unwrap();
        symlink("a", root.join("inside")).unwrap();
        symlink(other.path(), root.join("outside")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
        let found = tree_below(&root, &|_| Ok(false)).unwrap();
        let names = |paths: &[PathBuf]| -> Vec<String> {
            paths.iter().map(|path| path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned()).collect()
        };
        assert_eq!(names(&found.files), ["a", "inside", "outside/b", "self"]);
        assert_eq!(names(&found.special), ["socket"]);
        assert_eq!(names(&found.outside), ["outside"]);
    }
}
