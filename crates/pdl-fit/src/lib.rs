//! Trains a segmenter on a curation folder.
//!
//! In: the manifest, the prepared volumes it lists, and `cases.parquet` for the grids of the originals
//! ([`folder`]). Out: `runs/NAME/` with the weights ([`weights`]), what every evaluation found
//! ([`history`]) and everything needed to repeat the run ([`run`]). It follows the stages of the manifest
//! ([`schedule`]) and never looks at the test split.

pub mod case;
pub mod dice;
mod error;
pub mod evaluate;
pub mod folder;
pub mod history;
pub mod layout;
pub mod loss;
pub mod network;
pub mod optimiser;
pub mod random;
pub mod run;
pub mod sampling;
pub mod schedule;
pub mod settings;
pub mod train;
pub mod weights;

pub use error::{FitError, Result};
