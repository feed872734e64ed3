//! Files beside the images of a cohort that may state patients or splits, and are not read.

use std::path::Path;

use pdl_findings::{Code, Finding};
use pdl_store::{StoreError, fault};

use super::description::{file_name, shown};
use crate::attributes::Split;
use crate::volume_names::words;

/// Endings of tables.
const TABLES: [&str; 7] = ["csv", "tsv", "xls", "xlsx", "ods", "parquet", "feather"];
/// Endings of lists, which matter where their name is one of splits.
const LISTS: [&str; 5] = ["json", "txt", "yaml", "yml", "pkl"];
/// Tables that are read with the layout of their data set, or hold nothing of patients.
const KNOWN: [&str; 5] =
    ["participants.tsv", "samples.tsv", "meta.csv", "metadata_schema.csv", "splits_final.json"];
/// Words of the names of lists of splits.
const SPLIT_WORDS: [&str; 4] = ["split", "splits", "fold", "folds"];

/// Finding about such files in the folder of a cohort itself.
///
/// # Errors
/// [`StoreError`] if the machine keeps the folder from being listed.
pub(super) fn beside(folder: &Path) -> Result<Option<Finding>, StoreError> {
    let mut names = Vec::new();
    for entry in fault::list(folder).map_err(StoreError::io("list the folder", folder))? {
        let path = entry.path();
        if may_describe(&path) && fault::is_file(&path).map_err(StoreError::io("look at the file", &path))? {
            names.push(shown(&file_name(&path)));
        }
    }
    names.sort();
    let message = format!(
        "files beside the cohort are not read, and may state patients or splits: {}. To use what they state, write it \
         into a cohort.csv with the columns image, label, patient and split (`pdl help layouts`)",
        names.join(", ")
    );
    Ok((!names.is_empty()).then(|| Finding::new(Code::FilesUnused, message)))
}

fn may_describe(path: &Path) -> bool {
    let name = file_name(path).to_lowercase();
    if name.starts_with('.') || KNOWN.contains(&name.as_str()) {
        return false;
    }
    let ending = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
    let is_of_splits = |word: &String| SPLIT_WORDS.contains(&word.as_str()) || word.parse::<Split>().is_ok();
    TABLES.contains(&ending.as_str())
        || LISTS.contains(&ending.as_str()) && words(&stem).iter().any(is_of_splits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_and_lists_of_splits_may_describe_a_cohort() {
        for name in
            ["Clinical.XLSX", "info.csv", "train.txt", "split.json", "my_folds.json", "validation.txt"]
        {
            assert!(may_describe(Path::new(name)), "{name}");
        }
        for name in
            ["participants.tsv", "README.txt", "dataset.json", "splits_final.json", ".a.csv", "a.nii.gz"]
        {
            assert!(!may_describe(Path::new(name)), "{name}");
        }
    }
}
