//! Metrics of predictions: Dice, surface distances, and the evaluation of a split.

pub(crate) mod dice;
pub(crate) mod evaluate;
pub(crate) mod surface;

pub use evaluate::{
    Evaluation, EvaluationRow, EvaluationSummary, default_tolerance_mm, evaluate,
    file_name as evaluation_file,
};
