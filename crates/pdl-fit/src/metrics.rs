//! Metrics of predictions: the evaluation of a split and of cohorts that arrive later.

pub(crate) mod evaluate;
pub(crate) mod evaluate_cohort;
