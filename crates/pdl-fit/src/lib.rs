//! Trains segmentation networks on a curation folder, follows its curriculum, and applies them.
//!
//! - **In:** the manifest (splits, ranks, stages), the prepared volumes that it lists, and
//!   `cases.parquet` for the grids and label maps of the originals.
//! - **Out:** `runs/NAME/` with the weights, the history of evaluations, and `run.json`, which has
//!   everything needed to repeat the run; a checkpoint while the run is in progress; on request
//!   event files of TensorBoard. From a finished run: label maps of new images, evaluations of a
//!   split, TorchScript and ONNX.
//! - **Never:** training, planning or tuning on the test set; writing to the original images or the
//!   prepared volumes; a result that depends on the number of data-loader workers.
//!
//! | module | contents |
//! |---|---|
//! | `data` | cases, patches, augmentation and the data loader |
//! | `model` | U-Net, instance norm, weights, device and export |
//! | `optim` | loss, learning-rate schedule, optimiser and EMA |
//! | `plan` | settings, and the plan and curriculum schedule derived from them |
//! | `train` | training loop, fine-tuning, extension, checkpoints, history and early stopping |
//! | `inference` | sliding window, resampling, prediction and domain-shift warnings |
//! | `metrics` | Dice, surface distances and evaluation of a split |
//! | `experiment` | run records, series of runs, tuning, cross-validation, comparisons, subsets |
//!
//! The learning rate of a step is computed in `optim/lr_schedule.rs` (`LearningRates::at`) from
//! what `plan/planner.rs` (`rates`) derives from the `Settings`.

mod cli;
mod data;
mod error;
mod experiment;
mod inference;
mod metrics;
mod model;
mod optim;
mod plan;
mod train;

pub use cli::main;
pub use data::subset::Subset;
pub use error::FitError;
pub use experiment::compare::comparison_row::{ComparisonRow, schema as comparison_schema};
pub use experiment::compare::protocol::Protocol;
pub use experiment::compare::result::Comparison;
pub use experiment::cross_validation::{OutOfFoldRow, schema as out_of_fold_schema};
pub use experiment::rows::{Row, RunRow};
pub use experiment::run_record::{RunRecord, read as read_run};
pub use experiment::subsets::summary::{SubsetRow, Subsets, schema as subsets_schema};
pub use experiment::tuning::{Trial, Tuning};
pub use inference::postprocessing::Postprocessing;
pub use inference::prediction_table::{PredictionRow, schema as predictions_schema};
pub use train::checkpoint::read as read_checkpoint;
pub use train::history::{HistoryRow, read as read_history, schema as history_schema};
