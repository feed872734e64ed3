//! Length of a run, its evaluations, and when it stops early.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::checks::{require, share_above_0};
use crate::error::Result;

/// Length of a run, its evaluations, and when it stops early.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, clap::Args)]
#[command(next_help_heading = "Length and evaluation")]
pub struct LengthSettings {
    /// Length of the run in steps [default: the largest of 400, 60 epochs over all training cases,
    /// and 1.5 times the steps until all cases are active].
    #[arg(long, value_name = "STEPS", group = "horizon")]
    pub steps: Option<u64>,
    /// Length of the run in seconds of training. It is converted into steps after timing some of
    /// them, and again while the run gets slower or faster.
    #[arg(long, value_name = "SECONDS", group = "horizon")]
    pub seconds: Option<f64>,
    /// Length of the run in training patches.
    #[arg(long, value_name = "PATCHES", group = "horizon")]
    #[serde(alias = "samples")]
    pub patch_count: Option<u64>,
    /// Length of the run in epochs (passes over the active cases).
    #[arg(long, value_name = "EPOCHS", group = "horizon")]
    pub epochs: Option<u32>,
    /// Steps between evaluations on the validation set [default: a tenth of the run].
    #[arg(long, value_name = "STEPS")]
    pub eval_every: Option<u64>,
    /// Stop early once the median of three consecutive evaluations reaches this mean validation
    /// Dice. The learning rate and the stages still follow the full length.
    #[arg(long, value_name = "DICE")]
    pub until_dice: Option<f64>,
    /// Stop early once the median of three consecutive evaluations has not risen for this many
    /// evaluations. The weights are those of the last step, not of the best evaluation.
    #[arg(long, value_name = "EVALUATIONS", value_parser = clap::value_parser!(u32).range(1..))]
    #[serde(default)]
    pub patience: Option<u32>,
}

impl LengthSettings {
    /// Validates everything that does not depend on the cohort.
    pub(super) fn check(&self) -> Result<()> {
        let at_least_1 = [
            ("steps", self.steps != Some(0)),
            ("patch_count", self.patch_count != Some(0)),
            ("epochs", self.epochs != Some(0)),
            ("eval_every", self.eval_every != Some(0)),
        ];
        require(&at_least_1, "must be at least 1")?;
        let above_0 = self.seconds.is_none_or(|seconds| seconds > 0.0 && seconds.is_finite());
        require(&[("seconds", above_0)], "must be above 0")?;
        require(&[("until_dice", share_above_0(self.until_dice))], "must be above 0 and at most 1")
    }
}
