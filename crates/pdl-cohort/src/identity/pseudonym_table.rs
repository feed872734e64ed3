//! The table of pseudonyms and original names, written only on request.

use std::path::Path;

use pdl_store::atomic;
use pdl_store::printable::{cell, escaped};
use serde::Serialize;

use crate::CohortError;
use crate::discover::DiscoveredCase;
use crate::import::{OriginalNames, VolumeSource};

#[derive(Serialize)]
struct Row<'a> {
    case_id: &'a str,
    patient_id: &'a str,
    original_case: String,
    original_patient: String,
}

/// Writes a CSV file with the pseudonyms and the original names of all cases; only the user can
/// read it (mode 0600). A DICOM case's original name is its SeriesInstanceUID; a blank patient is
/// one that the cohort does not name.
pub(crate) fn write(
    path: &Path,
    cases: &[DiscoveredCase],
    origin: &dyn VolumeSource,
) -> Result<(), CohortError> {
    let problem = |error: &dyn std::fmt::Display| CohortError::Table {
        path: path.to_owned(),
        problem: error.to_string(),
    };
    let original = |name: &str| cell(&escaped(name)).into_owned();
    let mut table = csv::Writer::from_writer(Vec::new());
    for (number, found) in cases.iter().enumerate() {
        let OriginalNames { case, patient } = origin.original(number);
        let row = Row {
            case_id: &found.case_id,
            patient_id: found.patient.as_deref().unwrap_or(&found.case_id),
            original_case: original(&case),
            original_patient: original(patient.as_deref().unwrap_or_default()),
        };
        table.serialize(row).map_err(|error| problem(&error))?;
    }
    let bytes = table.into_inner().map_err(|error| problem(&error))?;
    atomic::write_private_if_changed(path, &bytes)?;
    Ok(())
}
