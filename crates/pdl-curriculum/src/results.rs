//! `results.parquet`: figures of single cases from outside of the stages, such as the Dice of a
//! cross-validation, by which cases can be ranked.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use arrow::datatypes::{DataType, Schema};
use pdl_cohort::table::case_row::CaseRow;
use pdl_store::table::{self, column};
use pdl_store::{StoreError, fault, safe_name};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Name of the table inside a curation folder.
pub const FILE: &str = "results.parquet";
/// Version of the table's format.
pub const SCHEMA_VERSION: u32 = 1;

/// One figure of one case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ResultRow {
    /// Identifier in `cases.parquet`.
    #[serde(deserialize_with = "safe_name::deserialize")]
    pub case_id: String,
    /// Name of the figure, such as `nnunet_dice`.
    pub column: String,
    /// The figure.
    pub value: f64,
}

/// Columns of the table.
pub fn schema() -> Schema {
    Schema::new(vec![
        column("case_id", DataType::Utf8),
        column("column", DataType::Utf8),
        column("value", DataType::Float64),
    ])
}

/// Reads the table of a curation folder; no rows if there is none.
///
/// # Errors
/// [`StoreError`] if it cannot be read.
pub fn read(out: &Path) -> Result<Vec<ResultRow>, StoreError> {
    let path = out.join(FILE);
    match fault::is_file(&path).map_err(StoreError::io("look at the file", &path))? {
        true => Ok(table::read_rows(&path, SCHEMA_VERSION)?.0),
        false => Ok(Vec::new()),
    }
}

/// Adds rows to the table of a curation folder. They replace all earlier ones of their columns.
///
/// # Errors
/// [`StoreError`] if the table cannot be read or written.
pub fn add(out: &Path, mut rows: Vec<ResultRow>) -> Result<(), StoreError> {
    let replaced: BTreeSet<String> = rows.iter().map(|row| row.column.clone()).collect();
    rows.extend(read(out)?.into_iter().filter(|row| !replaced.contains(&row.column)));
    rows.sort_by(|a, b| (&a.column, &a.case_id).cmp(&(&b.column, &b.case_id)));
    table::write_rows(&out.join(FILE), &schema(), &rows, table::versioned(SCHEMA_VERSION))?;
    Ok(())
}

/// The figures of a column by case: of `results.parquet`, else of `cases.parquet` if the column
/// holds numbers. An error with the columns of `results.parquet` if neither has it.
///
/// # Errors
/// [`StoreError`] if the table cannot be read.
pub(crate) fn by_case<'a>(
    out: &Path,
    name: &str,
    cases: impl Iterator<Item = &'a CaseRow>,
) -> Result<Result<BTreeMap<String, f64>, Vec<String>>, StoreError> {
    let rows = read(out)?;
    let of_results: BTreeMap<String, f64> = rows
        .iter()
        .filter(|row| row.column == name && row.value.is_finite())
        .map(|row| (row.case_id.clone(), row.value))
        .collect();
    if !of_results.is_empty() {
        return Ok(Ok(of_results));
    }
    let number = |case: &CaseRow| {
        let value: f64 = case.value(name)?.parse().ok()?;
        value.is_finite().then(|| (case.case_id.clone(), value))
    };
    let of_cases: BTreeMap<String, f64> = cases.filter_map(number).collect();
    if !of_cases.is_empty() {
        return Ok(Ok(of_cases));
    }
    let names: BTreeSet<String> = rows.into_iter().map(|row| row.column).collect();
    Ok(Err(names.into_iter().collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_replaced_and_the_others_stay() {
        let out = tempfile::tempdir().unwrap();
        let row = |case: &str, column: &str, value| ResultRow {
            case_id: case.to_owned(),
            column: column.to_owned(),
            value,
        };
        assert_eq!(read(out.path()).unwrap(), []);
        add(out.path(), vec![row("b", "dice", 0.5), row("a", "dice", 0.25), row("a", "hd95", 3.0)]).unwrap();
        add(out.path(), vec![row("c", "dice", 1.0)]).unwrap();
        assert_eq!(read(out.path()).unwrap(), [row("c", "dice", 1.0), row("a", "hd95", 3.0)]);
        let found = by_case(out.path(), "hd95", std::iter::empty()).unwrap();
        assert_eq!(found, Ok(BTreeMap::from([("a".to_owned(), 3.0)])));
        let missing = by_case(out.path(), "volume", std::iter::empty()).unwrap();
        assert_eq!(missing, Err(vec!["dice".to_owned(), "hd95".to_owned()]));
    }
}
