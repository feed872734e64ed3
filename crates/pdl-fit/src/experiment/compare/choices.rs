//! Plateaus of the folds, and what every arm chooses on each fold's validation part.

use pdl_cohort::attributes::Split;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{FitError, Result};
use crate::experiment::compare::folds::Folds;
use crate::experiment::compare::protocol::{Arm, Choice, Protocol};
use crate::experiment::compare::timing::StepKinds;
use crate::experiment::planned::{PlannedRun, RunMaker};
use crate::experiment::rows::{Rows, RunRow, Timing, kept};
use crate::plan::speed::Speed;
use crate::train::early_stop;

/// The long conventional runs of a fold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FoldTarget {
    /// Fold, from 0.
    pub fold: u32,
    /// Learning rate, length and batch that reach the highest validation Dice.
    pub choice: FixedChoice,
    /// Validation Dice of the plateau: the highest running median of five evaluations.
    pub validation_plateau: f64,
    /// Final test Dice of the long runs with that choice, one for each plateau seed.
    pub finals: Vec<f64>,
    /// Mean over the runs. A level is a fraction of it: each fold has its own, as test parts differ
    /// in difficulty.
    pub plateau: f64,
}

/// A choice with its length in steps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FixedChoice {
    /// Peak learning rate.
    pub lr: f64,
    /// Length in steps.
    pub steps: u64,
    /// Batch size, where the arm chooses it.
    pub batch: Option<usize>,
}

/// Choice of an arm on a fold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ArmChoice {
    /// Name of the arm.
    pub arm: String,
    /// Fold, from 0.
    pub fold: u32,
    /// Learning rate, length and batch of its reported runs.
    pub choice: FixedChoice,
    /// Trials; none if the arm is not tuned.
    pub trials: Vec<ArmTrial>,
}

/// A trial of an arm on the validation part of a fold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ArmTrial {
    /// Settings that were tried.
    pub choice: FixedChoice,
    /// Seconds to the headline level of the fold's reference; null if the trial missed it.
    pub seconds: Option<f64>,
    /// Highest running median of five evaluations; null if the trial diverged.
    pub highest: Option<f64>,
}

/// Planner of a comparison's runs.
pub struct Planner<'a> {
    /// Levels, grid, seeds and arms.
    pub protocol: &'a Protocol,
    /// The fold folders.
    pub folds: &'a Folds,
    /// The kinds of steps.
    pub kinds: &'a StepKinds,
    /// Rows with the times before the first run.
    pub rows: &'a Rows,
}

/// How a run is made.
#[derive(Clone, Copy, Debug)]
pub struct RunPurpose {
    /// Seed of the run.
    pub seed: u64,
    /// Split of its evaluations.
    pub evaluate_on: Split,
    /// Validation Dice at which it stops.
    pub until_dice: Option<f64>,
}

impl Planner<'_> {
    fn number_of(&self, arm: &Arm) -> Result<usize> {
        self.protocol.arms.iter().position(|own| own.name == arm.name).ok_or(FitError::NoCandidates)
    }

    /// Seconds of the steps of an arm by the timing before the first run.
    ///
    /// # Errors
    /// [`FitError::NoCandidates`] if there is no such arm or time.
    pub fn speed_before(&self, arm: &Arm, fold: u32, batch: Option<usize>) -> Result<Speed> {
        let seconds = |key: &str| self.rows.step(key, Timing::Before).map(|row| row.seconds);
        self.kinds.speed((self.number_of(arm)?, fold, batch), seconds)
    }

    /// A choice with its length in steps.
    ///
    /// # Errors
    /// As [`Planner::speed_before`].
    pub fn fixed(&self, arm: &Arm, fold: u32, point: Choice) -> Result<FixedChoice> {
        let Choice { lr, seconds, steps, batch } = point;
        let steps = match (steps, seconds) {
            (Some(steps), _) => steps,
            (None, seconds) => {
                rounded(self.speed_before(arm, fold, batch)?.steps(seconds.unwrap_or_default()))
            }
        };
        Ok(FixedChoice { lr, steps, batch })
    }

    /// The run of an arm on a fold.
    ///
    /// # Errors
    /// As [`Protocol::settings`] and [`Planner::speed_before`].
    pub fn run(
        &self,
        (arm, name): (&Arm, &str),
        fold: u32,
        choice: FixedChoice,
        of: RunPurpose,
    ) -> Result<PlannedRun> {
        let slowest = self.speed_before(arm, fold, choice.batch)?.slowest();
        let gap = (self.protocol.evaluation_gap() / slowest).floor() as u64;
        let settings = self.protocol.settings(arm)?;
        let settings = settings.with(|settings| {
            settings.optimisation.lr = Some(choice.lr);
            settings.length.steps = Some(choice.steps);
            settings.patches.batch = choice.batch.or(settings.patches.batch);
            settings.length.eval_every = Some(rounded_down(gap.max(1)));
            settings.machine.seed = of.seed;
            settings.length.until_dice = of.until_dice;
        });
        let own = self.folds.of(arm.order_name(), fold)?;
        Ok(PlannedRun {
            name: name.to_owned(),
            order: own.order.clone(),
            folder: own.folder.clone(),
            manifest: own.manifest.clone(),
            fold: Some(fold),
            evaluate_on: of.evaluate_on,
            settings,
        })
    }

    /// The plateau of every fold, by long conventional runs.
    ///
    /// # Errors
    /// As [`RunMaker::rows_of`]; [`FitError::NothingLearnt`] if none of a fold's runs learns.
    pub fn targets(&self, maker: &mut RunMaker<'_>) -> Result<Vec<FoldTarget>> {
        let arm = self.protocol.baseline()?;
        let (mut of, mut planned) = (Vec::new(), Vec::new());
        for fold in 0..self.folds.count {
            for point in self.protocol.reference_grid()? {
                let choice = self.fixed(arm, fold, point)?;
                let seed = self.protocol.tuning_seed;
                let used = RunPurpose { seed, evaluate_on: Split::Val, until_dice: None };
                planned.push(self.run((arm, "reference"), fold, choice, used)?);
                of.push((fold, choice));
            }
        }
        let rows = maker.rows_of(&planned)?;
        let chosen: Vec<(FixedChoice, f64)> =
            (0..self.folds.count).map(|fold| best_long(fold, &of, &rows)).collect::<Result<_>>()?;
        let mut finals = Vec::new();
        for (fold, (choice, _)) in (0..).zip(&chosen) {
            for &seed in &self.protocol.plateau_seeds {
                let used = RunPurpose { seed, evaluate_on: Split::Test, until_dice: None };
                finals.push(self.run((arm, "plateau"), fold, *choice, used)?);
            }
        }
        let rows = maker.rows_of(&finals)?;
        let per_fold = rows.chunks(self.protocol.plateau_seeds.len());
        (0..).zip(chosen).zip(per_fold).map(|((fold, chosen), rows)| target(fold, chosen, rows)).collect()
    }

    /// Choices of every arm on every fold.
    ///
    /// # Errors
    /// As [`RunMaker::rows_of`].
    pub fn choices(&self, targets: &[FoldTarget], maker: &mut RunMaker<'_>) -> Result<Vec<ArmChoice>> {
        let (mut of, mut planned) = (Vec::new(), Vec::new());
        for target in targets {
            for arm in self.protocol.arms.iter().filter(|arm| arm.untuned.is_none()) {
                for point in self.protocol.grid(arm) {
                    let choice = self.fixed(arm, target.fold, point)?;
                    let until_dice = Some(kept(self.protocol.headline * target.validation_plateau));
                    let seed = self.protocol.tuning_seed;
                    let used = RunPurpose { seed, evaluate_on: Split::Val, until_dice };
                    planned.push(self.run((arm, &arm.name), target.fold, choice, used)?);
                    of.push((&arm.name, target.fold, choice));
                }
            }
        }
        let rows = maker.rows_of(&planned)?;
        let mut choices = Vec::new();
        for target in targets {
            for arm in &self.protocol.arms {
                let level = kept(self.protocol.headline * target.validation_plateau);
                let own = of
                    .iter()
                    .zip(&rows)
                    .filter(|((name, fold, _), _)| **name == arm.name && *fold == target.fold);
                let trials = own
                    .map(|((_, fold, choice), row)| self.trial(arm, *fold, *choice, row, level))
                    .collect::<Result<Vec<_>>>()?;
                let choice = match arm.untuned {
                    Some(_) => self.fixed(arm, target.fold, self.protocol.grid(arm)[0])?,
                    None => choose(&trials).ok_or(FitError::NoCandidates)?,
                };
                choices.push(ArmChoice { arm: arm.name.clone(), fold: target.fold, choice, trials });
            }
        }
        Ok(choices)
    }

    fn trial(&self, arm: &Arm, fold: u32, choice: FixedChoice, row: &RunRow, level: f64) -> Result<ArmTrial> {
        let speed = self.speed_before(arm, fold, choice.batch)?;
        let steps = early_stop::steps_to(&row.evaluated_at, &row.dice, level);
        Ok(ArmTrial {
            choice,
            seconds: steps.map(|steps| speed.seconds_until(steps, choice.steps as f64)),
            highest: early_stop::highest(&row.dice),
        })
    }
}

/// A number of steps to two digits, so that noise in a timing changes it seldom.
fn rounded(steps: u64) -> u64 {
    let unit = unit(steps);
    ((steps + unit / 2) / unit * unit).max(1)
}

fn rounded_down(steps: u64) -> u64 {
    let unit = unit(steps);
    steps / unit * unit
}

/// The power of ten of a number's second digit, at least 1.
fn unit(steps: u64) -> u64 {
    10_u64.pow(steps.max(1).ilog10().saturating_sub(1))
}

/// The long run of a fold with the highest Dice.
fn best_long(fold: u32, of: &[(u32, FixedChoice)], rows: &[RunRow]) -> Result<(FixedChoice, f64)> {
    let own = of.iter().zip(rows).filter(|((own, _), _)| *own == fold);
    let highest = own.filter_map(|((_, choice), row)| Some((*choice, early_stop::highest(&row.dice)?)));
    let best = highest.max_by(|(_, a), (_, b)| a.total_cmp(b));
    best.filter(|(_, dice)| *dice > 0.0).ok_or(FitError::NothingLearnt)
}

fn target(
    fold: u32,
    (choice, validation_plateau): (FixedChoice, f64),
    rows: &[RunRow],
) -> Result<FoldTarget> {
    let finals: Vec<f64> = rows.iter().filter_map(|row| row.dice.last().copied()).collect();
    let plateau = pdl_metrics::dice::mean(finals.iter().copied()).filter(|dice| *dice > 0.0);
    let plateau = plateau.ok_or(FitError::NothingLearnt)?;
    Ok(FoldTarget { fold, choice, validation_plateau, finals, plateau })
}

/// The trial that reaches the level soonest; if none does, that of the highest Dice. The first of
/// equals.
fn choose(trials: &[ArmTrial]) -> Option<FixedChoice> {
    let worth = |trial: &ArmTrial| match trial.seconds {
        Some(seconds) => (0, seconds),
        None => (1, -trial.highest.unwrap_or(0.0)),
    };
    let best = trials.iter().min_by(|a, b| {
        let ((a_missed, a), (b_missed, b)) = (worth(a), worth(b));
        a_missed.cmp(&b_missed).then(a.total_cmp(&b))
    });
    best.map(|trial| trial.choice)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(lr: f64, seconds: Option<f64>, highest: Option<f64>) -> ArmTrial {
        ArmTrial { choice: FixedChoice { lr, steps: 10, batch: None }, seconds, highest }
    }

    #[test]
    fn an_arm_takes_what_reaches_the_level_soonest_else_what_becomes_best() {
        let lr = |trials: &[ArmTrial]| choose(trials).unwrap().lr;
        let reached = [trial(0.1, Some(5.0), Some(0.8)), trial(0.2, Some(4.0), Some(0.8))];
        assert_eq!(lr(&reached), 0.2);
        assert_eq!(lr(&[trial(0.3, None, Some(0.99)), reached[0]]), 0.1);
        assert_eq!(
            lr(&[trial(0.1, None, None), trial(0.2, None, Some(0.5)), trial(0.3, None, Some(0.4))]),
            0.2
        );
        assert_eq!(choose(&[]), None);
    }

    #[test]
    fn lengths_have_two_digits() {
        let all: Vec<u64> = [0, 1, 7, 42, 99, 123, 125, 995, 1449].into_iter().map(rounded).collect();
        assert_eq!(all, [1, 1, 7, 42, 99, 120, 130, 1000, 1400]);
        assert_eq!([7, 42, 129, 1999].map(rounded_down), [7, 42, 120, 1900]);
    }
}
