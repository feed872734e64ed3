//! `history.parquet`: the evaluations of a run on the validation set.

use std::path::Path;

use arrow::datatypes::{DataType, Schema};
use pdl_store::table::{self, column, list, nullable_list};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Result;

/// Name of the table in a run's folder.
pub const FILE: &str = "history.parquet";
/// Version of the table's format.
const SCHEMA_VERSION: u32 = 1;

/// One evaluation on the validation set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HistoryRow {
    /// Steps completed.
    pub step: u64,
    /// Training patches so far.
    pub samples: u64,
    /// Seconds of training, without evaluations.
    pub seconds: f64,
    /// Epoch (from 0); an epoch is one pass over the active cases.
    pub epoch: u32,
    /// Active training cases.
    pub active: u32,
    /// Mean loss of the steps since the previous evaluation.
    pub loss: f64,
    /// Mean Dice over the validation cases for each label, in label order; NaN if no case counts.
    pub dice: Vec<f64>,
    /// Mean Dice over the labels; NaN if no label counts.
    pub dice_mean: f64,
    /// Dice for each validation case, in the manifest's order, and label: all labels of one case,
    /// then those of the next; null if a label does not count.
    pub case_dice: Vec<Option<f64>>,
}

/// Columns of the table.
pub fn schema() -> Schema {
    use DataType::{Float64, UInt32, UInt64};
    Schema::new(vec![
        column("step", UInt64),
        column("samples", UInt64),
        column("seconds", Float64),
        column("epoch", UInt32),
        column("active", UInt32),
        column("loss", Float64),
        column("dice", list(Float64)),
        column("dice_mean", Float64),
        column("case_dice", nullable_list(Float64)),
    ])
}

/// Writes the table to a run's folder.
///
/// # Errors
/// [`crate::FitError::Store`] if the file cannot be written.
pub fn write(run: &Path, rows: &[HistoryRow]) -> Result<()> {
    table::write_rows(&run.join(FILE), &schema(), rows, table::versioned(SCHEMA_VERSION))?;
    Ok(())
}

/// Reads the table of a run's folder.
///
/// # Errors
/// [`crate::FitError::Store`] if the file is missing or has other columns.
pub fn read(run: &Path) -> Result<Vec<HistoryRow>> {
    Ok(table::read_rows(&run.join(FILE), SCHEMA_VERSION)?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_survive() {
        let row = HistoryRow {
            step: 10,
            samples: 400,
            seconds: 1.5,
            epoch: 2,
            active: 5,
            loss: 0.25,
            dice: vec![0.5, 1.0],
            dice_mean: 0.75,
            case_dice: vec![Some(0.5), None, Some(0.25), Some(1.0)],
        };
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), std::slice::from_ref(&row)).unwrap();
        assert_eq!(read(folder.path()).unwrap(), [row]);
    }
}
