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
//! | [`data`] | cases, patches, augmentation and the data loader |
//! | [`model`] | U-Net, instance norm, weights, device and export |
//! | [`optim`] | loss, learning-rate schedule, optimiser and EMA |
//! | [`plan`] | settings, and the plan and curriculum schedule derived from them |
//! | [`train`] | training loop, fine-tuning, extension, checkpoints, history and early stopping |
//! | [`inference`] | sliding window, resampling, prediction and domain-shift warnings |
//! | [`metrics`] | Dice, surface distances and evaluation of a split |
//! | [`experiment`] | run records, series of runs, tuning, cross-validation, comparisons |
//!
//! The learning rate of a step is computed in `optim/lr_schedule.rs` (`Rates::at`) from what
//! `plan/run_plan.rs` (`rates`) derives from the [`plan::Settings`].

pub mod data;
mod error;
pub mod experiment;
pub mod inference;
pub mod metrics;
pub mod model;
pub mod optim;
pub mod plan;
pub mod train;

pub use error::{Difference, FitError, Record, Result};
