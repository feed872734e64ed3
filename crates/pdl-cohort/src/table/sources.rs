//! `sources.parquet`: for every file of a cohort, the case that it was read for, or why it was
//! skipped. If volumes were imported, it is the only file of the curation folder with paths of the
//! archive; only the user can read it (mode 0600).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use arrow::datatypes::{DataType, Schema};
use pdl_findings::SkipReason;
use pdl_store::table::{self, column, list, nullable};
use pdl_store::{StoreError, fault};
use serde::{Deserialize, Serialize};

/// The table's name inside a curation folder.
pub const FILE: &str = "sources.parquet";
/// Version of the table's format.
pub const SCHEMA_VERSION: u32 = 1;

/// The files of one case, or one that belongs to none; paths are relative to the curation folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRow {
    /// The case; empty for a file that was skipped.
    pub case_id: String,
    /// The files of its image.
    pub image: Vec<String>,
    /// The files of its label map, structure set or segmentation.
    pub label: Vec<String>,
    /// Why the file under `image` was skipped, in words; `None` for a case.
    #[serde(default)]
    pub set_aside: Option<String>,
    /// The same as one of a fixed list.
    #[serde(default)]
    pub reason: Option<SkipReason>,
}

/// The table's columns.
pub fn schema() -> Schema {
    Schema::new(vec![
        column("case_id", DataType::Utf8),
        column("image", list(DataType::Utf8)),
        column("label", list(DataType::Utf8)),
        nullable("set_aside", DataType::Utf8),
        nullable("reason", DataType::Utf8),
    ])
}

/// Writes the table.
///
/// # Errors
/// [`StoreError`] if it cannot be written.
pub(crate) fn write(out: &Path, rows: &[SourceRow]) -> Result<(), StoreError> {
    table::write_private_rows(&out.join(FILE), &schema(), rows, table::versioned(SCHEMA_VERSION)).map(|_| ())
}

/// Reads `sources.parquet` of a curation folder.
///
/// # Errors
/// [`StoreError`] if it is missing or not such a table.
pub fn read(out: &Path) -> Result<Vec<SourceRow>, StoreError> {
    Ok(table::read_rows(&out.join(FILE), SCHEMA_VERSION)?.0)
}

/// The sources that an earlier run wrote down; none where there was none, or its table is of
/// another form.
///
/// # Errors
/// [`StoreError`] if an error of the machine prevents the table from being read, or a newer pdl
/// wrote it.
pub(crate) fn read_if_any(out: &Path) -> Result<Vec<SourceRow>, StoreError> {
    match read(out) {
        Err(error @ StoreError::NewerFormat { .. }) => Err(error),
        Err(error) if fault::machine_error(&error).is_some() => Err(error),
        read => Ok(read.unwrap_or_default()),
    }
}

/// A file that became no part of a case.
pub(crate) struct Skipped {
    pub file: PathBuf,
    pub reason: SkipReason,
    /// Why, in words, with what is wrong.
    pub words: String,
}

/// Counts of a cohort's files. A file of several cases counts once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FileCounts {
    /// Files that images were read from.
    pub image: usize,
    /// Files that label maps were read from.
    pub label: usize,
    /// Files of series and label maps whose case is rejected.
    pub rejected: usize,
    /// Files that became no part of a case, by reason.
    pub skipped: BTreeMap<SkipReason, usize>,
}

impl FileCounts {
    /// From the rows of `sources.parquet`; `is_usable` says whether a case is.
    pub fn of(rows: &[SourceRow], is_usable: &dyn Fn(&str) -> bool) -> Self {
        let mut counts = Self::default();
        let (mut image, mut label) = (BTreeSet::new(), BTreeSet::new());
        let mut rejected = BTreeSet::new();
        for row in rows {
            match row.reason {
                Some(reason) => *counts.skipped.entry(reason).or_default() += row.image.len(),
                None if row.set_aside.is_some() => {} // of a table of an earlier version
                None if is_usable(&row.case_id) => {
                    image.extend(&row.image);
                    label.extend(&row.label);
                }
                None => rejected.extend(row.image.iter().chain(&row.label)),
            }
        }
        rejected.retain(|file| !image.contains(file) && !label.contains(file));
        label.retain(|file| !image.contains(file));
        (counts.image, counts.label, counts.rejected) = (image.len(), label.len(), rejected.len());
        counts
    }

    /// Number of files.
    pub fn all(&self) -> usize {
        self.image + self.label + self.rejected + self.skipped.values().sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_counts_once() {
        let texts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let case = |case: &str, image: &[&str], label: &[&str]| SourceRow {
            case_id: case.to_owned(),
            image: texts(image),
            label: texts(label),
            set_aside: None,
            reason: None,
        };
        let aside = |file: &str, reason| SourceRow {
            set_aside: Some("why".to_owned()),
            reason: Some(reason),
            ..case("", &[file], &[])
        };
        let rows = [
            case("a", &["1", "2"], &["s"]),
            case("b", &["3"], &["s"]),
            case("bad", &["4", "2"], &["s"]),
            aside("5", SkipReason::Scout),
            aside("6", SkipReason::Scout),
            aside("7", SkipReason::NotDicom),
        ];
        let counts = FileCounts::of(&rows, &|case| case != "bad");
        assert_eq!((counts.image, counts.label, counts.rejected, counts.all()), (3, 1, 1, 8));
        assert_eq!(counts.skipped, BTreeMap::from([(SkipReason::NotDicom, 1), (SkipReason::Scout, 2)]));
    }
}
