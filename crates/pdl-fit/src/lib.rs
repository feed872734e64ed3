//! Trains a segmenter on a curation folder.
//!
//! In: the manifest, the prepared volumes it lists, and `cases.parquet` for the grids of the originals
//! ([`folder`]). Out: `runs/NAME/` with the weights ([`weights`]), what every evaluation found
//! ([`history`]) and everything needed to repeat the run ([`run`]); while it trains, a [`checkpoint`]. A finished run is a [`model`]
//! that is applied to new images ([`predict`]) and to held-out ones ([`evaluate`]), or given to programs that know
//! nothing of pdl ([`torchscript`]). Training plans a network from the cohort ([`plan`]), follows the stages of the manifest ([`schedule`]) and never looks at the test
//! split; [`tuning`] chooses its settings, [`compare`] measures schedules against each other.

pub mod augment;
pub mod case;
pub mod checkpoint;
pub mod compare;
pub mod dice;
mod error;
pub mod evaluate;
pub mod feed;
pub mod folder;
pub mod history;
pub mod layout;
pub mod loss;
pub mod model;
pub mod network;
pub mod norm;
pub mod optimiser;
pub mod plan;
pub mod predict;
pub mod predictor;
pub mod random;
pub mod rate;
pub mod regrid;
pub mod run;
pub mod runs;
pub mod sampling;
pub mod schedule;
pub mod settings;
pub mod sides;
pub mod stop;
pub mod surface;
pub mod target;
pub mod torchscript;
pub mod train;
pub mod trainer;
pub mod tuning;
mod unlike;
pub mod warp;
pub mod weights;

pub use error::{FitError, Result};
