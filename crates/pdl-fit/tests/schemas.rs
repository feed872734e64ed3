//! The schemas of runs, tunings and comparisons are those of their types (`just schemas` writes
//! them), and the columns of the history are those that other programs rely on.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests may fail loudly")]

use pdl_fit::experiment::{ComparisonRow, OutOfFoldRow, RunRecord, Trial, Tuned, Tuning, out_of_fold_schema};
use pdl_fit::inference::{Postprocessing, PredictionRow, predictions_schema};
use pdl_fit::metrics::EvaluationRow;
use pdl_fit::train::{HistoryRow, history_schema};
use schemars::schema_for;
use std::path::Path;

#[test]
fn schemas_are_those_of_the_types() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas");
    let schemas = [
        ("run", schema_for!(RunRecord)),
        ("history", schema_for!(HistoryRow)),
        ("tuned", schema_for!(Tuned)),
        ("comparison", schema_for!(ComparisonRow)),
        ("tuning", schema_for!(Tuning)),
        ("trials", schema_for!(Trial)),
        ("evaluation", schema_for!(EvaluationRow)),
        ("out-of-fold", schema_for!(OutOfFoldRow)),
        ("postprocessing", schema_for!(Postprocessing)),
        ("predictions", schema_for!(PredictionRow)),
    ];
    for (name, schema) in schemas {
        let path = folder.join(format!("{name}.schema.json"));
        let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        if std::env::var_os("PDL_UPDATE_SCHEMAS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(kept == text, "schemas/{name}.schema.json is not that of its type: run `just schemas`");
    }
}

/// A row's schema names just the columns of its table.
#[test]
fn rows_and_columns_agree() {
    let tables = [
        ("out-of-fold", schema_for!(OutOfFoldRow), out_of_fold_schema()),
        ("predictions", schema_for!(PredictionRow), predictions_schema()),
    ];
    for (name, row, table) in tables {
        let row: serde_json::Value = row.into();
        let mut fields: Vec<&str> =
            row["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        let mut columns: Vec<&str> = table.fields().iter().map(|field| field.name().as_str()).collect();
        fields.sort_unstable();
        columns.sort_unstable();
        assert_eq!(fields, columns, "{name}");
    }
}

#[test]
fn columns_of_the_history() {
    let schema = history_schema();
    let columns: Vec<String> = schema
        .fields()
        .iter()
        .map(|field| format!("{} {} {}", field.name(), field.data_type(), field.is_nullable()))
        .collect();
    let expected = [
        "step UInt64 false",
        "samples UInt64 false",
        "seconds Float64 false",
        "epoch UInt32 false",
        "active UInt32 false",
        "loss Float64 false",
        "dice List(non-null Float64) false",
        "dice_mean Float64 false",
        "case_dice List(Float64) false",
    ];
    assert_eq!(columns, expected);
}
