//! Units of work and their results, as rows of the tables that travel through the engine.
//!
//! ```text
//! to an executor    row, col, case
//! to the client     row, col, case, total, computed, executor
//! ```
//!
//! A row has either `row` and `col` (a tile) or `case`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, UInt32Array, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt32Type};
use arrow::error::ArrowError;
use pdl_similarity::compare::TileDone;
use pdl_similarity::tile::Tile;

use crate::error::ClusterError;

/// The smallest work that is distributed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkUnit {
    /// A tile of the pair matrix, to be computed.
    Tile(Tile),
    /// A case, to be prepared: its number among the usable cases of `cases.parquet`.
    Case(usize),
}

impl WorkUnit {
    fn tile(self) -> Option<Tile> {
        if let Self::Tile(tile) = self { Some(tile) } else { None }
    }

    fn case(self) -> Option<usize> {
        if let Self::Case(case) = self { Some(case) } else { None }
    }
}

/// A unit of work that an executor has completed or, for a case, given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnitDone {
    /// The tile or the case that was computed.
    pub unit: WorkUnit,
    /// Pairs of the tile; 1 for a case.
    pub total: u64,
    /// How many of them were computed now and did not exist before. 0 for a case that failed: the
    /// client then prepares it itself, which reports the reason.
    pub computed: u64,
}

impl From<TileDone> for UnitDone {
    fn from(done: TileDone) -> Self {
        Self { unit: WorkUnit::Tile(done.tile), total: done.pairs, computed: done.computed }
    }
}

fn unit_fields() -> Vec<Field> {
    ["row", "col", "case"].map(|name| Field::new(name, DataType::UInt32, true)).to_vec()
}

/// Columns of the table that is sent to an executor.
pub fn input_schema() -> SchemaRef {
    Arc::new(Schema::new(unit_fields()))
}

/// Columns of the table that comes back.
pub fn output_schema() -> SchemaRef {
    let mut fields = unit_fields();
    fields.push(Field::new("total", DataType::UInt64, false));
    fields.push(Field::new("computed", DataType::UInt64, false));
    fields.push(Field::new("executor", DataType::Utf8, false));
    Arc::new(Schema::new(fields))
}

fn unit_columns(units: &(impl Iterator<Item = WorkUnit> + Clone)) -> Vec<ArrayRef> {
    let column = |of: fn(WorkUnit) -> Option<usize>| -> ArrayRef {
        Arc::new(units.clone().map(|unit| of(unit).map(|number| number as u32)).collect::<UInt32Array>())
    };
    vec![
        column(|unit| unit.tile().map(|tile| tile.row)),
        column(|unit| unit.tile().map(|tile| tile.col)),
        column(WorkUnit::case),
    ]
}

/// A table of [`input_schema`].
///
/// # Errors
/// When arrow refuses it.
pub fn to_batch(units: &[WorkUnit]) -> Result<RecordBatch, ArrowError> {
    RecordBatch::try_new(input_schema(), unit_columns(&units.iter().copied()))
}

/// The units of a table of [`input_schema`].
///
/// # Errors
/// [`ClusterError::InvalidPlan`] for another table.
pub fn from_batch(batch: &RecordBatch) -> Result<Vec<WorkUnit>, ClusterError> {
    let column = |name: &str| {
        let found = batch.column_by_name(name).and_then(|column| column.as_primitive_opt::<UInt32Type>());
        found.ok_or_else(|| ClusterError::InvalidPlan { problem: format!("no column '{name}'") })
    };
    let (rows, cols, cases) = (column("row")?, column("col")?, column("case")?);
    let value = |column: &UInt32Array, at| column.is_valid(at).then(|| column.value(at) as usize);
    let unit = |at| match (value(rows, at), value(cols, at), value(cases, at)) {
        (Some(row), Some(col), None) => Ok(WorkUnit::Tile(Tile { row, col })),
        (None, None, Some(case)) => Ok(WorkUnit::Case(case)),
        _ => Err(ClusterError::InvalidPlan { problem: format!("row {at} is not a unit of work") }),
    };
    (0..batch.num_rows()).map(unit).collect()
}

/// A table of [`output_schema`]; `executor` names who did the work.
///
/// # Errors
/// When arrow refuses it.
pub fn results_to_batch(done: &[UnitDone], executor: &str) -> Result<RecordBatch, ArrowError> {
    let column =
        |of: fn(&UnitDone) -> u64| -> ArrayRef { Arc::new(done.iter().map(of).collect::<UInt64Array>()) };
    let mut columns = unit_columns(&done.iter().map(|done| done.unit));
    columns.push(column(|done| done.total));
    columns.push(column(|done| done.computed));
    columns.push(Arc::new(StringArray::from(vec![executor; done.len()])));
    RecordBatch::try_new(output_schema(), columns)
}

/// The executor of every row of a table of [`output_schema`].
///
/// # Errors
/// [`ClusterError::InvalidPlan`] for another table.
pub fn executors(batch: &RecordBatch) -> Result<impl Iterator<Item = &str>, ClusterError> {
    let column = batch.column_by_name("executor").and_then(|column| column.as_string_opt::<i32>());
    let missing = || ClusterError::InvalidPlan { problem: "no column 'executor'".to_owned() };
    Ok(column.ok_or_else(missing)?.iter().flatten())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn tiles_and_cases_stay_apart_on_the_way() {
        let units = [
            WorkUnit::Tile(Tile { row: 2, col: 5 }),
            WorkUnit::Case(2),
            WorkUnit::Tile(Tile { row: 0, col: 0 }),
            WorkUnit::Case(0),
        ];
        assert_eq!(from_batch(&to_batch(&units).unwrap()).unwrap(), units);
    }

    #[test]
    fn a_row_that_is_neither_is_refused() {
        let columns =
            [Some(1), None, Some(1)].map(|value| Arc::new(UInt32Array::from(vec![value])) as ArrayRef);
        let batch = RecordBatch::try_new(input_schema(), columns.to_vec()).unwrap();
        assert!(matches!(from_batch(&batch), Err(ClusterError::InvalidPlan { .. })));
        let other = batch.project(&[0, 1]).unwrap();
        assert!(matches!(from_batch(&other), Err(ClusterError::InvalidPlan { .. })));
    }
}
