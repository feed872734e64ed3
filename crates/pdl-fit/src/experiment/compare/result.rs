//! Result of a comparison: `comparison.json`.

use pdl_prepare::parameters::PlanFrom;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::experiment::compare::choices::{ArmChoice, FoldTarget};
use crate::experiment::compare::comparison_row::ComparisonRow;
use crate::experiment::compare::contributions::Contribution;
use crate::experiment::compare::folds::FoldParts;
use crate::experiment::compare::protocol::Protocol;
use crate::experiment::compare::ratio::RatioCurve;
use crate::experiment::compare::statistics::{Estimate, SeedValue, arithmetic_mean};
use crate::experiment::rows::StepRow;

/// Name of the result in the folder of a comparison.
pub const FILE: &str = "comparison.json";
/// Version of the file format.
pub const SCHEMA_VERSION: u32 = 1;

/// A comparison with all that it rests on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Comparison {
    /// Version of the file format.
    pub schema_version: u32,
    /// Version of training, as in the rows of runs.
    pub training_version: u32,
    /// Hash (BLAKE3) of levels, grid, seeds and arms: equal only for equal protocols.
    pub protocol_blake3: String,
    /// The protocol, written down before the runs.
    pub protocol: Protocol,
    /// Splits of the curation folder from whose cases its plan (spacing, normalisation) was made.
    /// All arms share the plan.
    pub plan_from: PlanFrom,
    /// Parts of every fold.
    pub folds: Vec<FoldParts>,
    /// Plateau of every fold.
    pub targets: Vec<FoldTarget>,
    /// Choices of every arm on every fold.
    pub choices: Vec<ArmChoice>,
    /// Times of the kinds of steps: the latest row of each, with the seconds that count.
    pub step_times: Vec<StepTime>,
    /// Seconds of comparing the cohort, part of the seconds of arms with an order from
    /// similarities.
    pub compare_seconds: f64,
    /// Longest length that an arm may choose, in seconds. A run that misses a level counts as twice
    /// this, or as twice its own length if that is longer.
    pub limit_seconds: f64,
    /// Ratios of the roles: the product, the curriculum alone, and baseline B over best.
    pub curves: Vec<RatioCurve>,
    /// Ratio of seconds, at the headline, of each arm that differs from the best in one factor.
    pub contributions: Vec<Contribution>,
    /// Final test Dice of every arm.
    pub dice: Vec<ArmDice>,
}

/// The seconds of a kind of step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StepTime {
    /// The latest measurement.
    pub latest: StepRow,
    /// Seconds that count: those measured again, else the mean of before and after.
    pub counted_seconds: f64,
}

/// Final test Dice of an arm, and the difference from baseline A.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ArmDice {
    /// Name of the arm.
    pub arm: String,
    /// Mean over the seeds; null if no run has one.
    pub dice: Option<f64>,
    /// Mean difference from baseline A on the same seeds.
    pub difference: Option<Estimate>,
}

/// Final test Dice of every arm, and its difference from the baseline.
pub fn dice(rows: &[ComparisonRow], protocol: &Protocol) -> Vec<ArmDice> {
    let of = |arm: &str| -> Vec<&ComparisonRow> {
        rows.iter().filter(|row| row.arm == arm && row.level == protocol.headline).collect()
    };
    let baseline = of(&protocol.roles.baseline_a);
    let of_arm = |arm: &str| {
        let own = of(arm);
        let difference = |row: &&ComparisonRow| {
            let base = baseline.iter().find(|base| base.seed == row.seed)?;
            Some(SeedValue { fold: row.fold, value: row.final_dice? - base.final_dice? })
        };
        let differences: Vec<SeedValue> = own.iter().filter_map(difference).collect();
        ArmDice {
            arm: arm.to_owned(),
            dice: pdl_metrics::dice::mean(own.iter().filter_map(|row| row.final_dice)),
            difference: arithmetic_mean(&differences),
        }
    };
    protocol.arms.iter().map(|arm| of_arm(&arm.name)).collect()
}
