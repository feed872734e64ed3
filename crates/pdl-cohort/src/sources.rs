//! `sources.parquet`: which files a case was made from. The only file of a curation folder that holds paths of an
//! archive; nobody but the user can read it (mode 0600).

use std::path::Path;

use arrow::datatypes::{DataType, Schema};
use pdl_store::StoreError;
use pdl_store::table::{self, column, list, nullable};
use serde::{Deserialize, Serialize};

/// The table's name inside a curation folder.
pub const FILE: &str = "sources.parquet";

/// The files of one case; paths are relative to the curation folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRow {
    /// Which case.
    pub case_id: String,
    /// The files of its image series.
    pub image: Vec<String>,
    /// Its structure set or segmentation.
    pub label: Option<String>,
}

/// The table's columns.
pub fn schema() -> Schema {
    Schema::new(vec![
        column("case_id", DataType::Utf8),
        column("image", list(DataType::Utf8)),
        nullable("label", DataType::Utf8),
    ])
}

/// Writes the table.
///
/// # Errors
/// [`StoreError`] when it cannot be written.
pub(crate) fn write(out: &Path, rows: &[SourceRow]) -> Result<(), StoreError> {
    table::write_private_rows(&out.join(FILE), &schema(), rows).map(|_| ())
}

/// Reads `sources.parquet` of a curation folder that was made from DICOM files.
///
/// # Errors
/// [`StoreError`] when it is missing or no such table.
pub fn read(out: &Path) -> Result<Vec<SourceRow>, StoreError> {
    Ok(table::read_rows(&out.join(FILE))?.0)
}
