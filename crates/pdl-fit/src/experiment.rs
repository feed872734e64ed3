//! Records of runs, series of runs, tuning, and comparisons of schedules.

pub mod compare;
pub mod run_record;
pub mod runner;
pub mod tuning;
