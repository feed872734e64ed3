//! `predictions.parquet`: a row for every image that was segmented into a folder.

use std::path::Path;

use arrow::datatypes::{DataType, Schema};
use pdl_curriculum::manifest::Label;
use pdl_store::table::{self, column, list, nullable};
use pdl_store::{StoreError, fault};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Result;

/// Name of the table in the folder of the label maps.
pub const FILE: &str = "predictions.parquet";
/// Version of the table's format.
pub(crate) const SCHEMA_VERSION: u32 = 1;

/// One image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PredictionRow {
    /// Name of the image: that of its label map without `.nii.gz`, with folders.
    pub name: String,
    /// The label map, relative to the table; null if the image could not be used.
    pub label_map: Option<String>,
    /// Why the image could not be used.
    pub problem: Option<String>,
    /// Differences from the training cases; the label map may be wrong.
    pub warnings: Vec<String>,
    /// Mean entropy, from 0 to 1, of the voxels in which labels have a probability of 0.05 or more
    /// together; null without `--uncertainty`. The larger, the more an annotation would teach.
    pub uncertainty: Option<f64>,
    /// Mean entropy, from 0 to 1, of all voxels; null without `--uncertainty`.
    pub entropy: Option<f64>,
}

/// Columns of the table.
pub fn schema() -> Schema {
    use DataType::{Float64, Utf8};
    Schema::new(vec![
        column("name", Utf8),
        nullable("label_map", Utf8),
        nullable("problem", Utf8),
        column("warnings", list(Utf8)),
        nullable("uncertainty", Float64),
        nullable("entropy", Float64),
    ])
}

/// Writes rows to the table of the folder `out`, by name. Rows of images that were segmented into
/// the folder before stay while their label maps are there.
///
/// # Errors
/// [`crate::FitError`] if the table cannot be written.
pub(crate) fn write(out: &Path, mut rows: Vec<PredictionRow>) -> Result<()> {
    let file = out.join(FILE);
    let is_new = |row: &PredictionRow| rows.iter().all(|new| new.name != row.name);
    let is_there = |row: &PredictionRow| row.label_map.as_ref().is_some_and(|file| out.join(file).is_file());
    let mut earlier = read_earlier(&file)?;
    earlier.retain(|row| is_new(row) && is_there(row));
    rows.extend(earlier);
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    table::write_rows(&file, &schema(), &rows, table::versioned(SCHEMA_VERSION))?;
    Ok(())
}

/// The rows of an earlier table; empty if it is damaged.
fn read_earlier(file: &Path) -> Result<Vec<PredictionRow>> {
    if !fault::is_file(file).map_err(StoreError::io("look at the file", file))? {
        return Ok(Vec::new());
    }
    match table::read_rows(file, SCHEMA_VERSION) {
        Ok((rows, _)) => Ok(rows),
        Err(error @ StoreError::NewerFormat { .. }) => Err(error.into()),
        Err(error) if fault::machine_error(&error).is_some() => Err(error.into()),
        Err(_) => Ok(Vec::new()),
    }
}

/// Maximum length of a label's name in the name of a file, in characters.
const LONGEST_LABEL: usize = 100;

/// Name of the file of a label's probability map: its value and its name, in letters that every
/// file system takes.
pub(crate) fn label_file_name(label: &Label) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
    let name: String = label.name.chars().take(LONGEST_LABEL).map(plain).collect();
    format!("{}_{name}.nii.gz", label.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_name_files() {
        let name = |value, name: &str| label_file_name(&Label { value, name: name.to_owned() });
        assert_eq!(name(3, "left lung"), "3_left-lung.nii.gz");
        assert_eq!(name(12, "../a/b.c"), "12_---a-b-c.nii.gz");
    }
}
