//! Comparison of training recipes: seconds to the same Dice, on the same networks and cases.
//!
//! A [`protocol`] is written down before the runs. All labelled cases are divided by patient into
//! folds ([`folds`]). On each fold, long conventional runs give the plateau, and every arm chooses
//! learning rate and length from a grid of equally many trials, judged on the validation part
//! ([`choices`]). Reported runs are evaluated on the test part, outside of the clock, and never end
//! by it. Seconds are steps times a quiet timing of each kind of step ([`timing`]) plus what an
//! arm's order costs ([`cost`]). Target levels are fractions of the fold's plateau, so that the
//! result is a curve of the ratio of seconds against the level, as MLPerf's time to a quality
//! target, but for several; a run that misses a level counts as twice the limit (PAR2 of algorithm
//! configuration). [`statistics`] has the means, intervals and power, [`ratio`] the curves.
//!
//! The runs are rows ([`crate::experiment::rows`]), made by [`crate::experiment::planned`], so that
//! an interrupted comparison resumes and processes share it.

pub(crate) mod choices;
pub(crate) mod comparison_row;
pub(crate) mod comparison_table;
pub(crate) mod contributions;
pub(crate) mod cost;
pub(crate) mod folds;
pub(crate) mod measure;
pub(crate) mod protocol;
pub(crate) mod ratio;
pub(crate) mod result;
pub(crate) mod statistics;
pub(crate) mod timing;

/// Folder of a comparison in the curation folder.
pub const FOLDER: &str = pdl_curriculum::manifest::EXPERIMENTS_FOLDER;
