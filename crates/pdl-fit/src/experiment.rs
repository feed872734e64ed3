//! Records of runs, series of runs, tuning, and comparisons of schedules.

pub(crate) mod compare;
pub(crate) mod cross_validation;
pub(crate) mod run_record;
pub(crate) mod runner;
pub(crate) mod tuning;
