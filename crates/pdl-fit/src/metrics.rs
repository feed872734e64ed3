//! Metrics of predictions: the evaluation of a split and of cohorts that arrive later. The metrics
//! themselves (Dice, HD95) are in [`pdl_metrics`], those of pairs of cases in
//! `pdl_similarity::metrics`.

pub(crate) mod evaluate;
pub(crate) mod evaluate_cohort;
