//! A table of the subjects of a data set beside its images, such as `participants.tsv` of BIDS or
//! `meta.csv` of TotalSegmentator.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use pdl_store::memory::MemoryShare;
use pdl_store::{StoreError, fault};

use super::description::{read, shown, table_error};
use super::table::no_column;
use super::table_row::ORIGIN_COLUMNS;
use super::table_text::{is_missing, separated, utf8};
use super::{DiscoveredCase, ExtraColumns};
use crate::CohortError;

/// Further columns that state the origin of a subject.
const SITES: [&str; 2] = ["institute", "hospital"];

/// The rows of a table of subjects.
#[derive(Debug, Default)]
pub(super) struct SubjectTable {
    path: PathBuf,
    columns: Vec<String>,
    rows: BTreeMap<String, BTreeMap<String, String>>,
}

impl SubjectTable {
    /// Reads a table whose column `key` names the subjects; fields are separated by tabs,
    /// semicolons or commas, whichever its first line has. `None` if there is no such file.
    ///
    /// # Errors
    /// [`CohortError::Table`] if it is not a table, or has no such column.
    pub fn read(path: &Path, key: &str, memory: &MemoryShare<'_>) -> Result<Option<Self>, CohortError> {
        if !fault::is_file(path).map_err(StoreError::io("look at the file", path))? {
            return Ok(None);
        }
        let part = memory.part();
        let bytes = utf8(read(path, 6, &part)?).map_err(|problem| table_error(path, &problem))?;
        let (separator, text) = separated(&bytes, b"\t;,");
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(separator)
            .trim(csv::Trim::All)
            .flexible(true)
            .quoting(separator != b'\t')
            .from_reader(text);
        let headers = reader.headers().map_err(|error| table_error(path, &error))?;
        let columns: Vec<String> = headers.iter().map(str::to_owned).collect();
        let place = columns.iter().position(|name| name == key);
        let place = place.ok_or_else(|| table_error(path, &format!("it has no column named {key}")))?;
        let mut rows = BTreeMap::new();
        for record in reader.records() {
            let record = record.map_err(|error| table_error(path, &error))?;
            let values = columns.iter().cloned().zip(record.iter().map(str::to_owned));
            let values: BTreeMap<String, String> = values.filter(|(_, value)| !is_missing(value)).collect();
            let subject = record.get(place).unwrap_or_default().to_owned();
            match rows.entry(subject) {
                Entry::Vacant(free) => {
                    free.insert(values);
                }
                // What rows of one subject state differently, such as an age, is stated by none.
                Entry::Occupied(mut row) => {
                    row.get_mut().retain(|column, value| values.get(column) == Some(value));
                }
            }
        }
        Ok(Some(Self { path: path.to_owned(), columns, rows }))
    }

    /// The values of a column by the numbers that the key column holds.
    pub fn names_of_values(&self, column: &str) -> BTreeMap<u16, String> {
        let one = |(key, row): (&String, &BTreeMap<String, String>)| {
            Some((key.parse().ok()?, shown(row.get(column)?)))
        };
        self.rows.iter().filter_map(one).collect()
    }

    /// Sets the facts about the subject of a case: its origin, its split if the table has one, and
    /// the columns `carry`.
    ///
    /// # Errors
    /// [`CohortError::NoColumn`] when the table has no such column.
    pub fn describe(
        &self,
        found: &mut DiscoveredCase,
        subject: &str,
        carry: &BTreeSet<String>,
    ) -> Result<(), CohortError> {
        if let Some(column) = carry.iter().find(|column| !self.columns.contains(column)) {
            let columns: Vec<&str> = self.columns.iter().map(String::as_str).collect();
            return Err(no_column(&self.path, column, &columns));
        }
        let none = BTreeMap::new();
        let row = self.rows.get(subject).unwrap_or(&none);
        let value = |column: &str| row.get(column).map(|text| shown(text));
        let own = ORIGIN_COLUMNS.into_iter().filter_map(|column| Some((column.to_owned(), value(column)?)));
        let sites = SITES.into_iter().filter_map(|column| Some(("site".to_owned(), value(column)?)));
        found.origins = sites.chain(own).collect();
        found.split = value("split").and_then(|text| text.parse().ok());
        let carried = carry.iter().map(|column| (column.clone(), value(column)));
        found.carried = carried.collect::<ExtraColumns>();
        Ok(())
    }
}
