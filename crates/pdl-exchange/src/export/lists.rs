//! Plain lists: a CSV table, which pdl also reads as a cohort, and JSON Lines for TorchIO.

use std::borrow::Cow;

use pdl_cohort::attributes::Split;
use pdl_store::printable::{cell, path_cell};
use pdl_store::{atomic, json};
use serde::Serialize;

use crate::ExchangeError;
use crate::export::context::{ExportContext, ExportedCase, ImagePaths};
use crate::export::files::CaseFiles;

/// One case; paths are relative to the list. pdl reads the first five columns as a cohort's.
#[derive(Serialize)]
pub(crate) struct Listed<'a> {
    pub image: ImagePaths<'a>,
    pub label: &'a str,
    pub patient: &'a str,
    pub modality: String,
    pub split: Split,
    pub case_id: &'a str,
    pub rank: Option<u32>,
    pub score: Option<f64>,
    pub stage: Option<u32>,
    pub tune: bool,
    /// The annotated labels, if some case is not annotated for all; values separated by ;.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels_annotated: Option<String>,
}

/// The entries of these cases, in their order.
pub(crate) fn listed<'a>(
    export: &'a ExportContext<'_>,
    cases: impl Iterator<Item = &'a ExportedCase<'a>>,
) -> Vec<Listed<'a>> {
    let partly = export.partly_annotated() > 0;
    cases.map(|case| one(case, partly)).collect()
}

fn one<'a>(case: &'a ExportedCase<'_>, partly: bool) -> Listed<'a> {
    let labels = || match case.row.labels_annotated.as_slice() {
        [] => "none".to_owned(),
        labels => labels.iter().map(u16::to_string).collect::<Vec<_>>().join(";"),
    };
    Listed {
        labels_annotated: partly.then(labels),
        image: ImagePaths::of(&case.files),
        label: &case.files.label,
        patient: &case.row.patient_id,
        modality: case.row.modality.to_string(),
        split: case.row.split,
        case_id: &case.row.case_id,
        rank: case.row.rank,
        score: case.row.score,
        stage: case.row.stage,
        tune: case.row.tune,
    }
}

/// A row of the table, in which no spreadsheet sees a formula.
#[derive(Serialize)]
struct CsvRow<'a> {
    image: Cow<'a, str>,
    label: Cow<'a, str>,
    patient: Cow<'a, str>,
    modality: &'a str,
    split: Split,
    case_id: Cow<'a, str>,
    rank: Option<u32>,
    score: Option<f64>,
    stage: Option<u32>,
    tune: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels_annotated: Option<&'a str>,
}

fn row<'a>(case: &'a Listed<'_>, files: &'a CaseFiles) -> CsvRow<'a> {
    CsvRow {
        image: path_cell(files.image()),
        label: path_cell(case.label),
        patient: cell(case.patient),
        modality: &case.modality,
        split: case.split,
        case_id: cell(case.case_id),
        rank: case.rank,
        score: case.score,
        stage: case.stage,
        tune: case.tune,
        labels_annotated: case.labels_annotated.as_deref(),
    }
}

/// The names of the columns of a row, and its cells.
fn cells(row: &CsvRow<'_>) -> Result<[Vec<String>; 2], csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.serialize(row)?;
    writer.flush()?;
    let bytes = writer.get_ref().as_slice();
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(bytes);
    let mut records = reader.records();
    let mut next = || -> Result<Vec<String>, csv::Error> {
        let record = records.next().transpose()?.unwrap_or_default();
        Ok(record.iter().map(str::to_owned).collect())
    };
    Ok([next()?, next()?])
}

/// Writes `cohort.csv`; where cases have several channels, with a column `image_NAME` for each.
pub(crate) fn csv(export: &ExportContext<'_>) -> Result<Vec<String>, ExchangeError> {
    let name = "cohort.csv";
    let path = export.dest.join(name);
    let problem = |error: &dyn std::fmt::Display| ExchangeError::Table {
        path: path.clone(),
        problem: error.to_string(),
    };
    let mut writer = csv::Writer::from_writer(Vec::new());
    let names: Vec<String> = export.channels().map(|(_, name)| format!("image_{name}")).collect();
    for (number, (case, files)) in listed(export, export.cases.iter()).iter().zip(&export.cases).enumerate() {
        let files = &files.files;
        if !export.has_channels() {
            writer.serialize(row(case, files)).map_err(|error| problem(&error))?;
            continue;
        }
        let [head, cells] = cells(&row(case, files)).map_err(|error| problem(&error))?;
        if number == 0 {
            writer.write_record(head.iter().chain(&names)).map_err(|error| problem(&error))?;
        }
        let images = files.images.iter().map(|path| path_cell(path).into_owned());
        writer.write_record(cells.into_iter().chain(images)).map_err(|error| problem(&error))?;
    }
    let bytes = writer.into_inner().map_err(|error| problem(&error))?;
    atomic::write_if_changed(&path, &bytes)?;
    Ok(vec![name.to_owned()])
}

/// Writes `subjects.jsonl`.
pub(crate) fn torchio(export: &ExportContext<'_>) -> Result<Vec<String>, ExchangeError> {
    let name = "subjects.jsonl";
    let rows = listed(export, export.cases.iter());
    json::write_lines(&export.dest.join(name), &rows)?;
    Ok(vec![name.to_owned()])
}
