//! How long until the same Dice? Schedules held against conventional training, on the same network and data.
//!
//! A [`protocol`] names the arms. On seeds that are never reported, long conventional runs fix the target, and every
//! arm chooses its learning rate and its length from the same grid ([`arm_tuning`]); on other seeds each arm then runs as it chose,
//! and its time to the [`crate::train::early_stop`] is reported beside that of the conventional arm of the same seed ([`report`]).
//! Every run is an ordinary one, kept in `comparison/runs/`, so that a comparison that was interrupted goes on.

pub mod arm_tuning;
pub mod bootstrap;
pub mod protocol;
pub mod report;

/// The folder inside a curation folder that holds a comparison.
pub const FOLDER: &str = "comparison";
