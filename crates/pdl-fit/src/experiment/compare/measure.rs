//! A whole comparison: folds, times, plateaus, choices, reported runs, and the result.

use std::path::Path;

use pdl_cohort::attributes::Split;
use pdl_curriculum::manifest::Manifest;
use pdl_store::{json, table};

use crate::error::{FitError, Result};
use crate::experiment::compare::FOLDER;
use crate::experiment::compare::choices::{ArmChoice, FoldTarget, Planner, RunPurpose};
use crate::experiment::compare::comparison_row::{
    ComparisonRow, FILE as TABLE_FILE, censored_seconds, schema,
};
use crate::experiment::compare::contributions::contributions;
use crate::experiment::compare::cost;
use crate::experiment::compare::folds::Folds;
use crate::experiment::compare::protocol::{PLAIN_ORDER, Protocol, Roles};
use crate::experiment::compare::ratio::curve;
use crate::experiment::compare::result::{Comparison, FILE, SCHEMA_VERSION, StepTime, dice};
use crate::experiment::compare::timing::{StepKinds, final_seconds};
use crate::experiment::planned::{PlannedRun, RunMaker};
use crate::experiment::rows::{Rows, RunRow, TRAINING_VERSION, Timing};
use crate::experiment::runner::RunEvent;
use crate::train::early_stop;

/// Measures a protocol on the curation folder `out` and writes `comparison.json` and
/// `comparison.parquet`; runs whose rows exist are not made again. With `time_again` all kinds of
/// steps are timed once more at the end.
///
/// # Errors
/// As [`RunMaker::rows_of`]; [`FitError::Curriculum`] if the cohort cannot be divided or ranked.
pub fn measure(
    out: &Path,
    protocol: &Protocol,
    time_again: bool,
    maker: &mut RunMaker<'_>,
) -> Result<(Comparison, Vec<ComparisonRow>)> {
    let folds = Folds::make(out, protocol, &maker.rows)?;
    let kinds = StepKinds::of(protocol, &folds, maker.memory)?;
    (maker.watch)(&RunEvent::Kinds(kinds.count()));
    let compare_seconds = cost::compare_seconds(out, protocol, &folds, &maker.rows, maker.memory)?;
    let before = kinds.measure(Timing::Before, (protocol, &folds), &maker.rows, maker.memory)?;
    let planner = Planner { protocol, folds: &folds, kinds: &kinds, rows: &before };
    let targets = planner.targets(maker)?;
    (maker.watch)(&RunEvent::Plateaus(targets.iter().map(|target| target.plateau).collect()));
    let choices = planner.choices(&targets, maker)?;
    let reported = reported(&planner, &choices, maker)?;
    let last = if time_again { Timing::Again } else { Timing::After };
    let rows = kinds.measure(last, (protocol, &folds), &maker.rows, maker.memory)?;
    let made = Measurements {
        planner: &planner,
        targets: &targets,
        choices: &choices,
        compare_seconds,
        rows: &rows,
    };
    let table = made.rows(&reported)?;
    let comparison = made.comparison(&table)?;
    let folder = out.join(FOLDER);
    table::write_rows(&folder.join(TABLE_FILE), &schema(), &table, table::versioned(SCHEMA_VERSION))?;
    json::write(&folder.join(FILE), &comparison)?;
    Ok((comparison, table))
}

/// A reported run with its arm's number and choice.
struct Reported {
    arm: usize,
    choice: ArmChoice,
    row: RunRow,
}

/// The reported runs, seed by seed, so that an unfinished comparison has whole seeds.
fn reported(planner: &Planner<'_>, choices: &[ArmChoice], maker: &mut RunMaker<'_>) -> Result<Vec<Reported>> {
    let (mut planned, mut of): (Vec<PlannedRun>, Vec<(usize, ArmChoice)>) = (Vec::new(), Vec::new());
    for &seed in &planner.protocol.seeds {
        let fold = planner.folds.of_seed(seed);
        for (number, arm) in planner.protocol.arms.iter().enumerate() {
            let chosen = choices.iter().find(|own| own.arm == arm.name && own.fold == fold);
            let chosen = chosen.ok_or(FitError::NoCandidates)?;
            let used = RunPurpose { seed, evaluate_on: Split::Test, until_dice: None };
            planned.push(planner.run((arm, &arm.name), fold, chosen.choice, used)?);
            of.push((number, chosen.clone()));
        }
    }
    let rows = maker.rows_of(&planned)?;
    Ok(of.into_iter().zip(rows).map(|((arm, choice), row)| Reported { arm, choice, row }).collect())
}

/// Inputs of the result.
struct Measurements<'a> {
    planner: &'a Planner<'a>,
    targets: &'a [FoldTarget],
    choices: &'a [ArmChoice],
    compare_seconds: f64,
    rows: &'a Rows,
}

impl Measurements<'_> {
    /// A row for each reported run and level, by arm, seed and level.
    fn rows(&self, reported: &[Reported]) -> Result<Vec<ComparisonRow>> {
        let mut rows = Vec::new();
        for (number, _) in self.planner.protocol.arms.iter().enumerate() {
            for run in reported.iter().filter(|run| run.arm == number) {
                for &level in &self.planner.protocol.levels {
                    rows.push(self.row(run, level)?);
                }
            }
        }
        Ok(rows)
    }

    fn row(&self, run: &Reported, level: f64) -> Result<ComparisonRow> {
        let Planner { protocol, folds, kinds, .. } = self.planner;
        let Reported { arm, choice, row } = run;
        let (fold, own) = (choice.fold, choice.choice);
        let seconds = |key: &str| final_seconds(self.rows, key);
        let speed = kinds.speed((*arm, fold, own.batch), seconds)?;
        let plateau = self.targets.iter().find(|target| target.fold == fold);
        let target = level * plateau.ok_or(FitError::NoCandidates)?.plateau;
        let steps_to_level = early_stop::steps_to(&row.evaluated_at, &row.dice, target);
        let cost =
            cost::of_arm(protocol, &protocol.arms[*arm], (folds, fold), self.compare_seconds, self.rows)?;
        let length = own.steps as f64;
        let reached = steps_to_level.map(|steps| speed.seconds_until(steps, length) + cost);
        // Of arms that are not tuned the length is no part of the limit.
        let limit = match protocol.arms[*arm].untuned {
            Some(_) => protocol.limit_seconds().max(speed.seconds_until(length, length)),
            None => protocol.limit_seconds(),
        };
        Ok(ComparisonRow {
            arm: protocol.arms[*arm].name.clone(),
            order: row.order.clone(),
            seed: row.seed,
            fold,
            lr: own.lr,
            steps: own.steps,
            batch: own.batch.map(|batch| batch as u64),
            level,
            target,
            steps_to_level,
            seconds: censored_seconds(reached, limit),
            missed: reached.is_none(),
            cost_seconds: cost,
            final_dice: row.dice.last().copied(),
        })
    }

    fn comparison(&self, table: &[ComparisonRow]) -> Result<Comparison> {
        let Planner { protocol, folds, kinds, .. } = self.planner;
        let Roles { baseline_a, baseline_b, best, unordered } = &protocol.roles;
        let curves = [
            ("product", baseline_a, best),
            ("curriculum alone", unordered, best),
            ("without the order", baseline_b, best),
        ];
        let further = protocol.ratios.iter().map(|own| (own.name.as_str(), &own.slower, &own.faster));
        let curve = |(name, slower, faster): (&str, &String, &String)| {
            curve(table, name, (slower.as_str(), faster.as_str()), protocol)
        };
        let times = kinds.times(self.rows).into_iter();
        let plan = Manifest::open(&folds.of(PLAIN_ORDER, 0)?.folder)?.info.plan;
        Ok(Comparison {
            schema_version: SCHEMA_VERSION,
            training_version: TRAINING_VERSION,
            protocol_blake3: protocol.hash(),
            protocol: (*protocol).clone(),
            plan_from: plan.parameters.plan_from,
            folds: folds.parts.clone(),
            targets: self.targets.to_vec(),
            choices: self.choices.to_vec(),
            step_times: times.map(|(latest, counted_seconds)| StepTime { latest, counted_seconds }).collect(),
            compare_seconds: self.compare_seconds,
            limit_seconds: protocol.limit_seconds(),
            curves: curves.into_iter().chain(further).map(curve).collect::<Result<_>>()?,
            contributions: contributions(protocol, table)?,
            dice: dice(table, protocol),
        })
    }
}
