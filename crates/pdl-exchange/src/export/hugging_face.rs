//! A dataset repository for Hugging Face's `datasets.load_dataset`.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, Schema};
use pdl_cohort::attributes::Split;
use pdl_store::atomic;
use pdl_store::table::{self, column, nullable};
use serde::Serialize;

use crate::ExchangeError;
use crate::export::context::ExportContext;
use crate::export::files::CaseFiles;
use crate::export::lists::{Listed, listed};

/// Writes a Parquet file for each split that has cases, training cases by rank, and a `README.md`
/// that lists them.
pub(crate) fn write(export: &ExportContext<'_>) -> Result<Vec<String>, ExchangeError> {
    let splits = [(Split::Train, "train"), (Split::Val, "validation"), (Split::Test, "test")];
    let mut lists = Vec::new();
    let mut readme = "---\nconfigs:\n- config_name: default\n  data_files:\n".to_owned();
    for (split, name) in splits {
        let rows: Vec<HuggingFaceRow<'_>> = listed(export, export.of(split))
            .into_iter()
            .zip(export.of(split))
            .map(|(listed, case)| HuggingFaceRow::new(export, listed, &case.files))
            .collect();
        if rows.is_empty() {
            continue;
        }
        let file = format!("data/{name}.parquet");
        table::write_rows(&export.dest.join(&file), &schema(export), &rows, Vec::new())?;
        readme += &format!("  - split: {name}\n    path: {file}\n");
        lists.push(file);
    }
    let channels = channel_columns(export);
    let of_channels = match channels.as_slice() {
        [] => String::new(),
        _ => format!(
            "Cases have several images on one grid, in the columns {}; `image` is the first.\n",
            channels.join(", ")
        ),
    };
    readme += "---\n\nMade by pdl. `image` and `label` are paths relative to this folder; training cases are in the order of\n\
               the curriculum: `rank` from 1, and the `stage` (from 0) at which each joins.\n";
    readme += &of_channels;
    atomic::write_if_changed(&export.dest.join("README.md"), readme.as_bytes())?;
    lists.push("README.md".to_owned());
    Ok(lists)
}

/// A row of a split: `image` is the first channel; where cases have several, each has a column
/// `image_NAME`.
#[derive(Serialize)]
struct HuggingFaceRow<'a> {
    image: &'a str,
    label: &'a str,
    patient: &'a str,
    modality: String,
    split: Split,
    case_id: &'a str,
    rank: Option<u32>,
    score: Option<f64>,
    stage: Option<u32>,
    tune: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels_annotated: Option<String>,
    #[serde(flatten)]
    channels: BTreeMap<String, &'a str>,
}

impl<'a> HuggingFaceRow<'a> {
    fn new(export: &ExportContext<'_>, listed: Listed<'a>, files: &'a CaseFiles) -> Self {
        let columns = channel_columns(export).into_iter();
        Self {
            image: files.image(),
            label: listed.label,
            patient: listed.patient,
            modality: listed.modality,
            split: listed.split,
            case_id: listed.case_id,
            rank: listed.rank,
            score: listed.score,
            stage: listed.stage,
            tune: listed.tune,
            labels_annotated: listed.labels_annotated,
            channels: columns.zip(files.images.iter().map(String::as_str)).collect(),
        }
    }
}

/// The columns of the channels; none where cases have one image.
fn channel_columns(export: &ExportContext<'_>) -> Vec<String> {
    match export.has_channels() {
        true => export.channels().map(|(_, name)| format!("image_{name}")).collect(),
        false => Vec::new(),
    }
}

/// The columns of a list; with `labels_annotated` where some case was not searched for every label.
fn schema(export: &ExportContext<'_>) -> Schema {
    use DataType::{Boolean, Float64, UInt32, Utf8};
    let mut columns = vec![
        column("image", Utf8),
        column("label", Utf8),
        column("patient", Utf8),
        column("modality", Utf8),
        column("split", Utf8),
        column("case_id", Utf8),
        nullable("rank", UInt32),
        nullable("score", Float64),
        nullable("stage", UInt32),
        column("tune", Boolean),
    ];
    columns.extend((export.partly_annotated() > 0).then(|| nullable("labels_annotated", Utf8)));
    columns.extend(channel_columns(export).iter().map(|name| column(name, Utf8)));
    Schema::new(columns)
}
