//! A dataset repository for Hugging Face's `datasets.load_dataset`.

use arrow::datatypes::{DataType, Schema};
use pdl_cohort::attributes::Split;
use pdl_store::atomic;
use pdl_store::table::{self, column, nullable};

use crate::ExchangeError;
use crate::export::context::ExportContext;
use crate::export::lists::listed;

/// Writes a Parquet file for each split that has cases, training cases by rank, and a `README.md`
/// that lists them.
pub(crate) fn write(export: &ExportContext<'_>) -> Result<Vec<String>, ExchangeError> {
    let splits = [(Split::Train, "train"), (Split::Val, "validation"), (Split::Test, "test")];
    let mut lists = Vec::new();
    let mut readme = "---\nconfigs:\n- config_name: default\n  data_files:\n".to_owned();
    for (split, name) in splits {
        let rows = listed(export, export.of(split));
        if rows.is_empty() {
            continue;
        }
        let file = format!("data/{name}.parquet");
        table::write_rows(
            &export.dest.join(&file),
            &schema(export.partly_annotated() > 0),
            &rows,
            Vec::new(),
        )?;
        readme += &format!("  - split: {name}\n    path: {file}\n");
        lists.push(file);
    }
    readme += "---\n\nMade by pdl. `image` and `label` are paths relative to this folder; training cases are in the order of\n\
               the curriculum: `rank` from 1, and the `stage` (from 0) at which each joins.\n";
    atomic::write_if_changed(&export.dest.join("README.md"), readme.as_bytes())?;
    lists.push("README.md".to_owned());
    Ok(lists)
}

/// The columns of a list; with `labels_annotated` where some case was not searched for every label.
fn schema(partly_annotated: bool) -> Schema {
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
    columns.extend(partly_annotated.then(|| nullable("labels_annotated", Utf8)));
    Schema::new(columns)
}
