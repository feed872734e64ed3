//! How unsure a network is of the cases of a cohort, from the table of its predictions.

use std::collections::HashMap;
use std::path::Path;

use pdl_cohort::table::case_row::CaseRow;
use pdl_store::memory::MemoryLimit;
use pdl_store::{StoreError, fault, table};
use serde::Deserialize;

use crate::CurriculumError;

/// Name of the table in the folder of the label maps.
const FILE: &str = "predictions.parquet";

/// Columns that are read of the table.
#[derive(Debug, Deserialize)]
struct Prediction {
    /// Name of the image without its ending, with its folders below the predicted one.
    name: String,
    #[serde(default)]
    uncertainty: Option<f64>,
}

/// Uncertainty of each of `wanted`, cases of the cohort `all`; `None` for cases of which the table
/// has none. `path` is the table or its folder. An image is a case's if it bears its id, or its
/// file's name with some of its folders, and no other case could bear that name.
///
/// # Errors
/// [`CurriculumError::Uncertainties`] if the table has no uncertainty of any of the `candidates`,
/// or two different ones of a case; [`CurriculumError::Store`] if it cannot be read.
pub(super) fn of_cases(
    path: &Path,
    all: &[CaseRow],
    wanted: &[&CaseRow],
    candidates: &[usize],
    limit: &MemoryLimit,
) -> Result<Vec<Option<f64>>, CurriculumError> {
    let is_folder = fault::is_dir(path).map_err(StoreError::io("look at the folder", path))?;
    let path = &if is_folder { path.join(FILE) } else { path.to_owned() };
    let bytes = size_of::<Prediction>() as u64;
    let read: Vec<Prediction> = table::read_columns(path, &["name", "uncertainty"], bytes, &limit.alone())?;
    let wrong = |problem: String| CurriculumError::Uncertainties { problem, path: path.clone() };
    let owners = owners(all);
    let mut of_case: HashMap<&str, (&str, f64)> = HashMap::new();
    for row in &read {
        let Some(unsure) = row.uncertainty.filter(|unsure| (0.0..=1.0).contains(unsure)) else { continue };
        let Some(Some(case)) = owners.get(row.name.as_str()) else { continue };
        match of_case.insert(case, (row.name.as_str(), unsure)) {
            Some((other, value)) if value != unsure => {
                let name = &row.name;
                return Err(wrong(format!(
                    "{other} ({value:.3}) and {name} ({unsure:.3}) are of case {case}"
                )));
            }
            _ => {}
        }
    }
    let found: Vec<Option<f64>> =
        wanted.iter().map(|row| of_case.get(row.case_id.as_str()).map(|(_, unsure)| *unsure)).collect();
    match candidates.first() {
        Some(first) if candidates.iter().all(|case| found[*case].is_none()) => {
            Err(wrong(why_none(&read, wanted[*first])))
        }
        _ => Ok(found),
    }
}

/// Why the table has no uncertainty of any candidate, of which `first` is one.
fn why_none(read: &[Prediction], first: &CaseRow) -> String {
    match read.first() {
        None => "it has no row".to_owned(),
        Some(_) if read.iter().all(|row| row.uncertainty.is_none()) => {
            "its images have none; predict them with --uncertainty".to_owned()
        }
        Some(row) => format!(
            "none of its {} images is known to be of an unlabelled case: the first is {}, the first case {} ({})",
            read.len(),
            row.name,
            first.case_id,
            first.image
        ),
    }
}

/// The case of each name that an image may have; `None` for names of several cases.
fn owners(all: &[CaseRow]) -> HashMap<String, Option<&str>> {
    let mut owners = HashMap::new();
    for row in all {
        for name in names_of(row) {
            let owner = owners.entry(name).or_insert(Some(row.case_id.as_str()));
            *owner = owner.filter(|owner| *owner == row.case_id);
        }
    }
    owners
}

/// Names that an image of the case may have in the table: its id, and its file without the ending,
/// with none, some or all of its folders.
fn names_of(row: &CaseRow) -> Vec<String> {
    let image = row.image.replace('\\', "/");
    let (folders, file) = image.rsplit_once('/').unwrap_or(("", &image));
    let mut name = pdl_io::stem(file).to_owned();
    let mut names = vec![row.case_id.clone(), name.clone()];
    for folder in folders.rsplit('/').filter(|folder| !folder.is_empty()) {
        name = format!("{folder}/{name}");
        names.push(name.clone());
    }
    names
}
