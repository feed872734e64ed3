//! Datalists for `monai.data.load_decathlon_datalist`.

use std::collections::BTreeMap;

use pdl_cohort::attributes::Split;
use pdl_store::json;
use serde::Serialize;

use crate::ExchangeError;
use crate::export::context::{ExportContext, ExportedCase, ImagePaths};

#[derive(Serialize)]
struct MonaiDatalist<'a> {
    name: &'static str,
    modality: BTreeMap<String, String>,
    labels: BTreeMap<String, &'a str>,
    #[serde(rename = "numTraining")]
    num_training: usize,
    #[serde(rename = "numTest")]
    num_test: usize,
    training: Vec<DatalistCase<'a>>,
    validation: Vec<DatalistCase<'a>>,
    testing: Vec<DatalistCase<'a>>,
}

/// Paths are relative to the datalist. MONAI also joins other strings to the folder where such a
/// file exists; a case id has no file extension, so none does.
#[derive(Serialize)]
struct DatalistCase<'a> {
    image: ImagePaths<'a>,
    label: &'a str,
    case_id: &'a str,
    patient: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rank: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<u32>,
}

/// Writes `datalist.json` with all cases, and `datalist-stage-K.json` with the training cases that
/// are active at stage K.
pub(crate) fn write(export: &ExportContext<'_>) -> Result<Vec<String>, ExchangeError> {
    let all = export.of(Split::Train).count();
    let mut lists = vec![("datalist.json".to_owned(), all)];
    let stages = &export.manifest.info.stages;
    lists
        .extend(stages.iter().map(|s| (format!("datalist-stage-{}.json", s.stage), s.active_cases as usize)));
    for (name, active) in &lists {
        json::write(&export.dest.join(name), &datalist(export, *active))?;
    }
    Ok(lists.into_iter().map(|(name, _)| name).collect())
}

fn datalist<'a>(export: &'a ExportContext<'_>, active: usize) -> MonaiDatalist<'a> {
    let info = &export.manifest.info;
    let background = [("0".to_owned(), "background")];
    let labels = info.labels.iter().map(|label| (label.value.to_string(), label.name.as_str()));
    MonaiDatalist {
        name: "pdl",
        modality: export.channels().map(|(number, name)| (number.to_string(), name)).collect(),
        labels: background.into_iter().chain(labels).collect(),
        num_training: active,
        num_test: export.of(Split::Test).count(),
        training: export.of(Split::Train).take(active).map(item).collect(),
        validation: export.of(Split::Val).map(item).collect(),
        testing: export.of(Split::Test).map(item).collect(),
    }
}

fn item<'a>(case: &'a ExportedCase<'_>) -> DatalistCase<'a> {
    DatalistCase {
        image: ImagePaths::of(&case.files),
        label: &case.files.label,
        case_id: &case.row.case_id,
        patient: &case.row.patient_id,
        rank: case.row.rank,
        stage: case.row.stage,
    }
}
