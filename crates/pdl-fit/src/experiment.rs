//! Records of runs, series of runs, tuning, and comparisons of schedules.

pub(crate) mod compare;
pub(crate) mod cross_validation;
pub(crate) mod run_record;
pub(crate) mod runner;
pub(crate) mod tuning;

pub use compare::FOLDER as COMPARISON_FOLDER;
pub use compare::arm_tuning::{FILE as TUNED_FILE, Tuned, tune as tune_arms};
pub use compare::protocol::Protocol;
pub use compare::report::{ComparisonRow, FILE as COMPARISON_FILE, report as report_comparison};
pub use cross_validation::{
    CrossValidation, FILE as OUT_OF_FOLD_FILE, FoldEvent, OutOfFoldRow, cross_validate,
    schema as out_of_fold_schema,
};
pub use run_record::{
    ExtensionLength, FILE as RUN_FILE, FILES as RUN_FILES, Initialisation, RunRecord, read as read_run,
};
pub use runner::{RunEvent, Runs};
pub use tuning::{
    OWN as TUNED_OPTIONS, Search, Sides, Trial, TuneRequest, Tuning, files as tuning_files, tune,
    tuned as tuned_settings,
};
