//! Cases that a stage could not work on (`failures.json`), and what is no fault of a case.

use std::path::Path;

use pdl_cohort::table::case_row::CaseRow;
use pdl_store::safe_path::SafePath;
use pdl_store::{StoreError, atomic, json, regular_file};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::PrepareError;

/// The list of cases that failed, inside a curation folder; absent when none did.
pub const FILE: &str = "failures.json";
/// Version of the file's format. A list states none; a later version is an object that does.
pub const SCHEMA_VERSION: u32 = 1;

/// A case that a stage could not work on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    /// The case that failed, by its id.
    pub case_id: String,
    /// The stage that could not work on it.
    pub stage: String,
    /// Why.
    pub message: String,
}

/// Reads `failures.json` of a curation folder; there are none where the file is absent.
///
/// # Errors
/// [`StoreError`] if it is not such a file.
pub fn read(out: &Path) -> Result<Vec<Failure>, StoreError> {
    let path = out.join(FILE);
    if regular_file::is_there(&path)? { json::read_versioned(&path, SCHEMA_VERSION) } else { Ok(Vec::new()) }
}

/// Writes `failures.json`, or removes that of an earlier run where no case failed.
pub(crate) fn write(out: &Path, failures: &[Failure]) -> Result<(), StoreError> {
    let path = out.join(FILE);
    if !failures.is_empty() {
        json::write(&path, &failures)?;
    } else {
        atomic::remove(&SafePath::from(&path))?;
    }
    Ok(())
}

/// The machine's error in the sources of a case's error; it ends the run, as it is no defect of the
/// case.
pub(crate) fn of_machine(row: &CaseRow, error: &PrepareError) -> Option<StoreError> {
    let what = format!("case {}", row.case_id);
    match error {
        PrepareError::Memory(error) => StoreError::no_memory(&what, *error),
        PrepareError::Read(error) => error.machine(&what),
        PrepareError::Store(StoreError::Io { path, .. }) => StoreError::machine(&what, Some(path), error),
        _ => StoreError::machine(&what, None, error),
    }
}
