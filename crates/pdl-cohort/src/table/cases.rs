//! `cases.parquet`: one row per discovered case.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use pdl_findings::Finding;
use pdl_store::StoreError;
use pdl_store::table::{self, nullable};
use serde::de::DeserializeOwned;

use crate::attributes::PetUnits;
use crate::labels::regions::LabelRegion;
use crate::parameters::IndexParameters;
use crate::split::same_patient::SamePatient;
use crate::table::case_row::{CaseRow, schema};

/// The table's name inside a curation folder.
pub const FILE: &str = "cases.parquet";
/// Version of the table's format.
pub const SCHEMA_VERSION: u32 = 1;

/// The whole table, with facts about the cohort.
#[derive(Clone, Debug, PartialEq)]
pub struct Cases {
    /// One row per discovered case; row numbers of later stages count the usable ones in this
    /// order.
    pub rows: Vec<CaseRow>,
    /// The cohort it was made from, relative to the curation folder.
    pub cohort: String,
    /// Names of the labels, if the cohort gives them.
    pub label_names: BTreeMap<u16, String>,
    /// Regions that are learnt instead of labels, in the order in which they are written; none
    /// where labels are learnt.
    pub regions: Vec<LabelRegion>,
    /// Findings about the cohort as a whole.
    pub findings: Vec<Finding>,
    /// How the cohort was indexed; the seed of the split included.
    pub parameters: IndexParameters,
    /// Patients that were joined, by the names that the cohort gives them.
    pub same_patient: SamePatient,
    /// The unit of the PET values, which the first index of a DICOM cohort of PET decides.
    pub pet_units: Option<PetUnits>,
}

impl Cases {
    /// The rows that later stages use.
    pub fn usable(&self) -> impl Iterator<Item = &CaseRow> {
        self.rows.iter().filter(|row| row.is_usable())
    }

    /// The rows that can be used and have a label.
    pub fn labelled(&self) -> impl Iterator<Item = &CaseRow> {
        self.rows.iter().filter(|row| row.is_labelled())
    }

    /// Reads `cases.parquet` of a curation folder.
    ///
    /// # Errors
    /// [`StoreError`] if it is missing or not such a table, or two cases have one id: their outputs
    /// cannot be distinguished, and indexing the cohort again gives each an id of its own.
    pub fn read(out: &Path) -> Result<Self, StoreError> {
        let cases = Self::read_unchecked(out)?;
        cases.check_ids(&out.join(FILE))?;
        Ok(cases)
    }

    /// Whether the table of a curation folder can be read but has one id for several cases.
    pub fn has_shared_ids(out: &Path) -> bool {
        Self::read_unchecked(out).is_ok_and(|cases| cases.check_ids(out).is_err())
    }

    /// # Errors
    /// [`StoreError::Table`] when two cases have one id.
    fn check_ids(&self, path: &Path) -> Result<(), StoreError> {
        let mut ids = BTreeSet::new();
        let shared = self.rows.iter().find(|row| !ids.insert(row.case_id.to_lowercase()));
        shared.map_or(Ok(()), |row| {
            let problem = format!(
                "two cases have the id {}; index the cohort again, which gives each its own id",
                row.case_id
            );
            Err(StoreError::Table { path: path.to_owned(), problem })
        })
    }

    /// Like [`Cases::read`], but several cases may have one id.
    ///
    /// # Errors
    /// [`StoreError`] if it is missing or not such a table.
    pub(crate) fn read_unchecked(out: &Path) -> Result<Self, StoreError> {
        let path = out.join(FILE);
        let (rows, metadata) = table::read_rows(&path, SCHEMA_VERSION)?;
        Ok(Self {
            rows,
            cohort: metadata.get("pdl.cohort").cloned().unwrap_or_default(),
            label_names: fact(&path, &metadata, "pdl.label_names")?,
            regions: fact(&path, &metadata, "pdl.regions")?,
            findings: fact(&path, &metadata, "pdl.findings")?,
            parameters: fact(&path, &metadata, "pdl.parameters")?,
            same_patient: fact(&path, &metadata, "pdl.same_patient")?,
            pet_units: fact(&path, &metadata, "pdl.pet_units")?,
        })
    }

    /// Writes `cases.parquet`, and returns whether that changed it.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be written, or two cases have one id.
    pub fn write(&self, out: &Path) -> Result<bool, StoreError> {
        let path = out.join(FILE);
        self.check_ids(&path)?;
        let text = |value: serde_json::Result<String>| {
            value.map_err(|source| StoreError::Json { path: path.clone(), source })
        };
        let mut metadata = table::versioned(SCHEMA_VERSION);
        metadata.extend([
            ("pdl.cohort".to_owned(), self.cohort.clone()),
            ("pdl.label_names".to_owned(), text(serde_json::to_string(&self.label_names))?),
            ("pdl.findings".to_owned(), text(serde_json::to_string(&self.findings))?),
            ("pdl.parameters".to_owned(), text(serde_json::to_string(&self.parameters))?),
        ]);
        if !self.regions.is_empty() {
            metadata.push(("pdl.regions".to_owned(), text(serde_json::to_string(&self.regions))?));
        }
        if !self.same_patient.is_empty() {
            metadata.push(("pdl.same_patient".to_owned(), text(serde_json::to_string(&self.same_patient))?));
        }
        if self.pet_units.is_some() {
            metadata.push(("pdl.pet_units".to_owned(), text(serde_json::to_string(&self.pet_units))?));
        }
        let mut columns = schema().fields().to_vec();
        let carried = self.rows.first().into_iter().flat_map(|row| row.carried.keys());
        columns.extend(carried.map(|name| Arc::new(nullable(name, DataType::Utf8))));
        table::write_rows(&path, &Schema::new(columns), &self.rows, metadata)
    }
}

/// A fact of the file's metadata; its default where the file does not state it.
pub(crate) fn fact<T: DeserializeOwned + Default>(
    path: &Path,
    metadata: &HashMap<String, String>,
    key: &str,
) -> Result<T, StoreError> {
    let parsed = metadata.get(key).map(|text| serde_json::from_str(text)).transpose();
    let parsed = parsed.map_err(|source| StoreError::Json { path: path.to_owned(), source })?;
    Ok(parsed.unwrap_or_default())
}
