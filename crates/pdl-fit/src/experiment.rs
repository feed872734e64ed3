//! Records of runs, series of runs, tuning, comparisons of recipes, and subsets of training cases.

pub(crate) mod compare;
pub(crate) mod cross_validation;
pub(crate) mod difficulty;
pub(crate) mod planned;
pub(crate) mod rows;
pub(crate) mod run_record;
pub(crate) mod runner;
pub(crate) mod subsets;
pub(crate) mod tuning;
