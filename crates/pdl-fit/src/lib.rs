//! Trains a segmenter on a curation folder.
//!
//! In: the manifest, the prepared volumes it lists, and `cases.parquet` for the grids of the originals
//! ([`folder`]). Out: `runs/NAME/` with the weights ([`weights`]), what every evaluation found
//! ([`history`]) and everything needed to repeat the run ([`run`]); while it trains, a [`checkpoint`]. A finished run is a [`model`]
//! that is applied to new images ([`predict`]) and to held-out ones ([`evaluate`]), or given to programs that know
//! nothing of pdl ([`torchscript`]). Training plans a network from the cohort ([`plan`]), follows the stages of the manifest ([`schedule`]) and never looks at the test
//! split; [`tuning`] chooses its settings, [`compare`] measures schedules against each other.

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
