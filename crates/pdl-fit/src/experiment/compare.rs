//! Comparison of schedules with conventional training: time to the same Dice, on the same network
//! and data.
//!
//! A [`protocol`] defines the arms. On tuning seeds, which are never reported, long conventional
//! runs define the target Dice, and every arm selects its learning rate and length from the same
//! grid ([`arm_tuning`]). On other seeds each arm then runs with its selection, and its time to the
//! target ([`crate::train::early_stop`]) is reported with that of the conventional arm of the same
//! seed ([`report`]). The runs are ordinary ones in `comparison/runs/`, so that an interrupted
//! comparison resumes.

pub(crate) mod arm_tuning;
pub(crate) mod bootstrap;
pub(crate) mod protocol;
pub(crate) mod report;

/// Folder of a comparison in the curation folder.
pub const FOLDER: &str = "comparison";
