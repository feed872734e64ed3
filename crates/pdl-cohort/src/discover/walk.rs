//! Files below a cohort's folder, without curation folders in it.

use std::io;
use std::path::{Path, PathBuf};

use pdl_dicom::FileTree;
use pdl_store::{StoreError, fault, journal};

use crate::table::cases;

/// Whether this is a curation folder of pdl, which is not part of the cohort.
///
/// # Errors
/// Errors of the machine if it cannot be inspected.
pub fn is_curation(folder: &Path) -> io::Result<bool> {
    Ok(fault::is_file(&folder.join(cases::FILE))? || fault::is_dir(&folder.join(journal::FOLDER))?)
}

/// Every file below `root`; curation folders in it are skipped.
pub(crate) fn files_below(root: &Path) -> Result<Vec<PathBuf>, StoreError> {
    Ok(tree_below(root)?.files)
}

/// Like [`files_below`], with links and entries that are not regular files.
pub(crate) fn tree_below(root: &Path) -> Result<FileTree, StoreError> {
    pdl_dicom::tree_below(root, &is_curation).map_err(StoreError::io("list the folder", root))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_curation_folder_inside_a_cohort_is_no_part_of_it() {
        let root = tempfile::tempdir().unwrap();
        for name in [
            "p1/scan.nii",
            "out/prepared/a.nii",
            "out/cases.parquet",
            "predicted/b.nii",
            "predicted/.pdl/lock",
        ] {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"").unwrap();
        }
        assert_eq!(files_below(root.path()).unwrap(), [root.path().join("p1/scan.nii")]);
        // Asked for by name it is looked into.
        assert_eq!(files_below(&root.path().join("out/prepared")).unwrap().len(), 1);
    }
}
