//! Metrics of predictions: the evaluation of a split and of cohorts that arrive later.

pub(crate) mod evaluate;
pub(crate) mod evaluate_cohort;

pub use pdl_metrics::summary_table::summary_lines;
pub use pdl_metrics::{
    Detection, EvaluationRow, EvaluationSummary, LesionDetection, SurfaceMeasure, SurfaceOptions,
};

pub use evaluate::{Evaluation, EvaluationOptions, evaluate, evaluate_with, file_name as evaluation_file};
pub use evaluate_cohort::{CohortEvaluation, CohortRequest, evaluate_cohort};
