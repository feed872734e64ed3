//! The schemas of runs, tunings and experiments are those of their types (`just schemas` writes
//! them), and the columns of the history are those that other programs rely on.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests may fail loudly")]

use pdl_fit::{
    Comparison, ComparisonRow, FitError, HistoryRow, OutOfFoldRow, Postprocessing, PredictionRow, Row,
    RunRecord, SubsetRow, Subsets, Trial, Tuning, comparison_schema, history_schema, out_of_fold_schema,
    predictions_schema, read_run, subsets_schema,
};
use pdl_metrics::EvaluationRow;
use schemars::schema_for;
use std::path::Path;

#[test]
fn schemas_are_those_of_the_types() {
    let schemas = [
        ("run", schema_for!(RunRecord)),
        ("history", schema_for!(HistoryRow)),
        ("comparison", schema_for!(ComparisonRow)),
        ("comparison-info", schema_for!(Comparison)),
        ("experiment-rows", schema_for!(Row)),
        ("subsets", schema_for!(SubsetRow)),
        ("subsets-info", schema_for!(Subsets)),
        ("tuning", schema_for!(Tuning)),
        ("trials", schema_for!(Trial)),
        ("evaluation", schema_for!(EvaluationRow)),
        ("out-of-fold", schema_for!(OutOfFoldRow)),
        ("postprocessing", schema_for!(Postprocessing)),
        ("predictions", schema_for!(PredictionRow)),
    ];
    for (name, schema) in schemas {
        pdl_tests::check_schema(name, &schema);
    }
}

#[test]
fn rows_and_columns_agree() {
    let tables = [
        ("comparison", schema_for!(ComparisonRow), comparison_schema()),
        ("subsets", schema_for!(SubsetRow), subsets_schema()),
        ("out-of-fold", schema_for!(OutOfFoldRow), out_of_fold_schema()),
        ("predictions", schema_for!(PredictionRow), predictions_schema()),
    ];
    for (name, row, table) in tables {
        pdl_tests::check_columns(name, row, &table);
    }
}

#[test]
fn a_folder_without_a_run_is_told() {
    let read = read_run(Path::new("missing"));
    assert!(matches!(read, Err(FitError::NoSuchRun { .. })), "{read:?}");
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
