//! `sources.parquet`: which files the volumes that a curation folder keeps were made from, and
//! which files were set aside. The only file there that holds paths of an archive; nobody but the
//! user can read it (mode 0600).

use std::path::Path;

use arrow::datatypes::{DataType, Schema};
use pdl_store::table::{self, column, list, nullable};
use pdl_store::{StoreError, fault};
use serde::{Deserialize, Serialize};

/// The table's name inside a curation folder.
pub const FILE: &str = "sources.parquet";

/// The files of one case, or one that belongs to none; paths are relative to the curation folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRow {
    /// Which case; empty for a file that was set aside.
    pub case_id: String,
    /// The files of its image.
    pub image: Vec<String>,
    /// The files of its label map, structure set or segmentation.
    pub label: Vec<String>,
    /// Why the file, which stands under `image`, was set aside; nothing for a case.
    #[serde(default)]
    pub set_aside: Option<String>,
}

/// The table's columns.
pub fn schema() -> Schema {
    Schema::new(vec![
        column("case_id", DataType::Utf8),
        column("image", list(DataType::Utf8)),
        column("label", list(DataType::Utf8)),
        nullable("set_aside", DataType::Utf8),
    ])
}

/// Writes the table.
///
/// # Errors
/// [`StoreError`] when it cannot be written.
pub(crate) fn write(out: &Path, rows: &[SourceRow]) -> Result<(), StoreError> {
    table::write_private_rows(&out.join(FILE), &schema(), rows).map(|_| ())
}

/// Reads `sources.parquet` of a curation folder that keeps volumes of its own.
///
/// # Errors
/// [`StoreError`] when it is missing or no such table.
pub fn read(out: &Path) -> Result<Vec<SourceRow>, StoreError> {
    Ok(table::read_rows(&out.join(FILE))?.0)
}

/// The sources that an earlier run wrote down; none where there was none, or its table is of
/// another form.
///
/// # Errors
/// [`StoreError`] when the machine keeps the table from being read.
pub(crate) fn read_if_any(out: &Path) -> Result<Vec<SourceRow>, StoreError> {
    match read(out) {
        Err(error) if fault::machine_error(&error).is_some() => Err(error),
        read => Ok(read.unwrap_or_default()),
    }
}
