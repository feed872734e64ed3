//! Links that lead out of a cohort's folder, and entries that are not regular files.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use pdl_dicom::FileTree;
use pdl_findings::{Code, Finding};
use pdl_store::{StoreError, fault};

/// Findings about a tree of files.
pub(crate) fn of_tree(tree: &FileTree) -> Vec<Finding> {
    let special = (!tree.special.is_empty()).then(|| {
        let count = tree.special.len();
        let message = format!("the cohort has FIFOs, sockets or devices, which were not opened: {count}");
        Finding::new(Code::SpecialFile, message)
    });
    special.into_iter().chain(outside(tree.outside.len())).collect()
}

/// Finding about the files `paths` that the cases of the cohort at `root` name.
///
/// # Errors
/// [`StoreError::Io`] if an error of the machine prevents one from being inspected.
pub(crate) fn of_cases<'a>(
    paths: impl Iterator<Item = &'a PathBuf>,
    root: &Path,
) -> Result<Option<Finding>, StoreError> {
    let mut links = Links { root: None, folders: HashMap::new() };
    let mut count = 0;
    for path in paths {
        let leads = links.leads_outside(path, root);
        count += usize::from(leads.map_err(StoreError::io("look at the file", path))?);
    }
    Ok(outside(count))
}

fn outside(links: usize) -> Option<Finding> {
    (links > 0).then(|| {
        let message =
            format!("files or folders of the cohort are links that lead out of it, and were read: {links}");
        Finding::new(Code::LinkOutside, message)
    })
}

/// Finds the folders of a cohort that are reached through a link that leads out of it.
struct Links {
    root: Option<PathBuf>,
    folders: HashMap<PathBuf, bool>,
}

impl Links {
    /// Whether a path below the cohort is a link out of it, or lies behind one. Files outside of
    /// the cohort that a table names are no links.
    fn leads_outside(&mut self, path: &Path, root: &Path) -> io::Result<bool> {
        let Ok(below) = path.strip_prefix(root) else { return Ok(false) };
        if below.components().any(|part| matches!(part, std::path::Component::ParentDir)) {
            return Ok(false);
        }
        let folder = path.parent().unwrap_or(root);
        let behind = match self.folders.get(folder) {
            Some(behind) => *behind,
            None => {
                let behind = self.is_outside(folder, root)?;
                self.folders.insert(folder.to_owned(), behind);
                behind
            }
        };
        let is_link = path.symlink_metadata().is_ok_and(|meta| meta.is_symlink());
        Ok(behind || is_link && self.is_outside(path, root)?)
    }

    fn is_outside(&mut self, path: &Path, root: &Path) -> io::Result<bool> {
        if self.root.is_none() {
            self.root = fault::canonical(root)?;
        }
        let target = fault::canonical(path)?;
        Ok(target.is_some_and(|target| self.root.as_ref().is_some_and(|root| !target.starts_with(root))))
    }
}
