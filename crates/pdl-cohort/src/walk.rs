//! What lies below a cohort's folder, and what there is not of the cohort.

use std::io;
use std::path::{Path, PathBuf};

use pdl_dicom::FileTree;
use pdl_store::{StoreError, fault, journal};

use crate::cases;

/// Whether pdl has worked in this folder: what it holds was made from a cohort, and is none.
///
/// # Errors
/// Errors of the machine if it cannot be looked at.
pub fn is_curation(folder: &Path) -> io::Result<bool> {
    Ok(fault::is_file(&folder.join(cases::FILE))? || fault::is_dir(&folder.join(journal::FOLDER))?)
}

/// Every file below `root`; curation folders in it are passed over.
pub(crate) fn files_below(root: &Path) -> Result<Vec<PathBuf>, StoreError> {
    Ok(tree_below(root)?.files)
}

/// As [`files_below`], with what lies there besides.
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
