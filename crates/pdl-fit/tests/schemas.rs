//! The schemas of runs, tunings and comparisons are those of their types (`just schemas` writes
//! them), and the columns of the history are those that other programs rely on.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests may fail loudly")]

use pdl_fit::experiment::{ComparisonRow, RunRecord, Trial, Tuned, Tuning};
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
