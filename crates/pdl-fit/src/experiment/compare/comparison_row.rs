//! Table of a comparison: a row for every reported run and level.

use arrow::datatypes::{DataType, Schema};
use pdl_store::table::{column, nullable};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Name of the table in the folder of a comparison.
pub const FILE: &str = "comparison.parquet";

/// A reported run at one level.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ComparisonRow {
    /// Name of the arm.
    pub arm: String,
    /// Name of the order of the training cases.
    pub order: String,
    /// Seed of the run.
    pub seed: u64,
    /// Fold of the seed, from 0.
    pub fold: u32,
    /// Peak learning rate.
    pub lr: f64,
    /// Length in steps.
    pub steps: u64,
    /// Batch size, where the arm chose it.
    pub batch: Option<u64>,
    /// Fraction of the fold's plateau.
    pub level: f64,
    /// Test Dice of the level.
    pub target: f64,
    /// Steps to the level; null if the run missed it.
    pub steps_to_level: Option<f64>,
    /// Seconds that count: to the level, with the arm's comparing and ranking; twice the limit if
    /// the run missed it.
    pub seconds: f64,
    /// Whether the run missed the level.
    pub missed: bool,
    /// Seconds of the arm's comparing and ranking.
    pub cost_seconds: f64,
    /// Final test Dice; null if the run diverged.
    pub final_dice: Option<f64>,
}

/// Columns of the table.
pub fn schema() -> Schema {
    use DataType::{Boolean, Float64, UInt32, UInt64, Utf8};
    Schema::new(vec![
        column("arm", Utf8),
        column("order", Utf8),
        column("seed", UInt64),
        column("fold", UInt32),
        column("lr", Float64),
        column("steps", UInt64),
        nullable("batch", UInt64),
        column("level", Float64),
        column("target", Float64),
        nullable("steps_to_level", Float64),
        column("seconds", Float64),
        column("missed", Boolean),
        column("cost_seconds", Float64),
        nullable("final_dice", Float64),
    ])
}

/// Seconds that count for a run: those to the level, or twice the limit if it missed the level.
pub fn censored_seconds(reached: Option<f64>, limit: f64) -> f64 {
    reached.unwrap_or(2.0 * limit)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn row(arm: &str, seed: u64, level: f64, reached: Option<f64>) -> ComparisonRow {
        ComparisonRow {
            arm: arm.to_owned(),
            order: "plain".to_owned(),
            seed,
            fold: (seed % 2) as u32,
            lr: 0.1,
            steps: 10,
            batch: None,
            level,
            target: 0.8,
            steps_to_level: reached,
            seconds: censored_seconds(reached, 40.0),
            missed: reached.is_none(),
            cost_seconds: 0.0,
            final_dice: Some(0.8 + 0.01 * seed as f64),
        }
    }
}
