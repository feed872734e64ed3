//! Reported runs of a comparison: every arm with its selection, on seeds that were not used for
//! tuning.

use std::fmt::Write;
use std::path::Path;

use arrow::datatypes::{DataType, Schema};
use pdl_store::table::{self, column, nullable};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{FitError, Result};
use crate::experiment::compare::arm_tuning::{self, Tuned};
use crate::experiment::compare::bootstrap::{self, Interval, SEEDS_ENOUGH};
use crate::experiment::compare::protocol::Choice;
use crate::experiment::runner::{Finished, Runs};
use crate::plan::settings::Settings;
use crate::train::early_stop;
use pdl_metrics::dice::mean;

/// Name of the table in the folder of a comparison.
pub const FILE: &str = "comparison.parquet";
/// Version of the table's format.
const SCHEMA_VERSION: u32 = 1;
/// Largest interval between evaluations, as a fraction of the conventional arm's time to the
/// target.
const GAP: f64 = 0.02;
/// Minimum median ratio of a schedule that helps; its interval must also stay above 1.
const HELPS: f64 = 1.05;

/// One reported run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ComparisonRow {
    /// Name of the arm.
    pub arm: String,
    /// Seed of the run.
    pub seed: u64,
    /// Peak learning rate.
    pub rate: f64,
    /// Length in steps.
    pub steps: u64,
    /// Target Dice.
    pub target: f64,
    /// Seconds of training to the target; null if the run missed it.
    pub seconds_to_target: Option<f64>,
    /// Steps to the target; null if the run missed it.
    pub steps_to_target: Option<f64>,
    /// Training patches to the target; null if the run missed it.
    pub samples_to_target: Option<f64>,
    /// Speed-up over the conventional run of the same seed; null if one of them missed the target.
    pub ratio: Option<f64>,
    /// Seconds of training of the whole run; null if it diverged.
    pub training_seconds: Option<f64>,
    /// Mean validation Dice at the end of the run.
    pub dice_mean: Option<f64>,
    /// Mean Dice of the final EMA over the test set; null without test cases.
    pub test_dice_mean: Option<f64>,
}

/// Columns of the table.
pub fn schema() -> Schema {
    use DataType::{Float64, UInt64, Utf8};
    let required =
        [("arm", Utf8), ("seed", UInt64), ("rate", Float64), ("steps", UInt64), ("target", Float64)];
    let figures = [
        "seconds_to_target",
        "steps_to_target",
        "samples_to_target",
        "ratio",
        "training_seconds",
        "dice_mean",
        "test_dice_mean",
    ];
    let required = required.into_iter().map(|(name, kind)| column(name, kind));
    Schema::new(required.chain(figures.map(|name| nullable(name, Float64))).collect::<Vec<_>>())
}

/// Result of a comparison.
#[derive(Debug)]
pub struct Comparison {
    /// Runs, by arm and then seed.
    pub rows: Vec<ComparisonRow>,
    /// Table and conclusions as text.
    pub text: String,
}

/// Trains the reported runs, seed by seed and arm by arm within a seed, and writes
/// `comparison.parquet` to `folder`.
///
/// # Errors
/// As [`crate::train::training::train`]; [`FitError::InvalidOption`] if a seed was used for tuning.
pub fn report(tuned: &Tuned, seeds: &[u64], folder: &Path, runs: &mut Runs<'_>) -> Result<Comparison> {
    let protocol = &tuned.protocol;
    if let Some(seed) = seeds.iter().find(|seed| protocol.tuning_seeds.contains(seed)) {
        let problem = format!("must not include {seed}, which was used for tuning");
        return Err(FitError::option("seeds", problem));
    }
    let gap = tuned.gap_seconds(GAP);
    // Warm-up: the first steps of a process are slow, whichever arm runs them.
    let baseline = protocol.baseline();
    runs.speeds(&[arm_tuning::settings(
        protocol,
        &protocol.arms[baseline],
        tuned.chosen[baseline],
        seeds[0],
        1,
    )?])?;
    let mut made: Vec<Vec<Option<Finished>>> = protocol.arms.iter().map(|_| Vec::new()).collect();
    let mut number = 0;
    for &seed in seeds {
        for (place, ((arm, choice), made)) in
            protocol.arms.iter().zip(&tuned.chosen).zip(&mut made).enumerate()
        {
            number += 1;
            let eval_every = tuned.steps_within(place, gap);
            let settings = arm_tuning::settings(protocol, arm, *choice, seed, eval_every)?;
            let name = format!("{}-rate{}-steps{}-seed{seed}", arm.file_name(), choice.lr, choice.steps);
            made.push(runs.make(&name, &settings, (number, seeds.len() * protocol.arms.len()))?);
        }
    }
    let rows = rows(tuned, seeds, &made, runs)?;
    let intervals = intervals(tuned, &made);
    let text = text(tuned, seeds, &rows, &intervals, gap);
    table::write_rows(&folder.join(FILE), &schema(), &rows, table::versioned(SCHEMA_VERSION))?;
    Ok(Comparison { rows, text })
}

fn rows(
    tuned: &Tuned,
    seeds: &[u64],
    made: &[Vec<Option<Finished>>],
    runs: &Runs<'_>,
) -> Result<Vec<ComparisonRow>> {
    let finished: Vec<&Finished> = made.iter().flatten().flatten().collect();
    let mut test_dice = runs.test_dice(&finished)?.into_iter();
    let seconds = |run: &Option<Finished>| {
        let run = run.as_ref()?;
        early_stop::reached(&run.history, &run.dice(), tuned.target)
    };
    let baseline = &made[tuned.protocol.baseline()];
    let mut rows = Vec::new();
    for ((arm, Choice { lr, steps, .. }), made) in tuned.protocol.arms.iter().zip(&tuned.chosen).zip(made) {
        for ((seed, run), baseline) in seeds.iter().zip(made).zip(baseline) {
            let reached = seconds(run);
            let last = run.as_ref().and_then(|run| run.history.last());
            let test = run.as_ref().and_then(|_| test_dice.next().flatten());
            rows.push(ComparisonRow {
                arm: arm.name.clone(),
                seed: *seed,
                rate: *lr,
                steps: *steps,
                target: tuned.target,
                seconds_to_target: reached.map(|reached| reached.seconds),
                steps_to_target: reached.map(|reached| reached.steps),
                samples_to_target: reached.map(|reached| reached.samples),
                ratio: seconds(baseline).zip(reached).map(|(a, b)| a.seconds / b.seconds),
                training_seconds: last.map(|row| row.seconds),
                dice_mean: last.map(|row| row.dice_mean).filter(|dice| !dice.is_nan()),
                test_dice_mean: test.map(|dice| dice.mean).filter(|dice| !dice.is_nan()),
            });
        }
    }
    Ok(rows)
}

fn intervals(tuned: &Tuned, made: &[Vec<Option<Finished>>]) -> Vec<Option<Interval>> {
    let baseline = tuned.protocol.baseline();
    let labels = made.iter().flatten().flatten().next().map_or(1, |run| run.record.plan.structures());
    let of_arm = |(number, runs): (usize, &Vec<Option<Finished>>)| {
        if number == baseline {
            return None;
        }
        let pairs: Vec<_> = made[baseline]
            .iter()
            .zip(runs)
            .filter_map(|(first, second)| first.as_ref().zip(second.as_ref()))
            .map(|(first, second)| (first.history.as_slice(), second.history.as_slice()))
            .collect();
        bootstrap::interval(&pairs, tuned.target, labels)
    };
    made.iter().enumerate().map(of_arm).collect()
}

/// Results of one arm over the seeds.
struct Summary<'a> {
    rows: Vec<&'a ComparisonRow>,
    /// Median (lower median of an even number), smallest and largest ratio. Every run counts: one
    /// that missed the target as 0, one that reached it when the conventional run did not as
    /// infinity.
    ratios: [f64; 3],
}

fn summary<'a>(rows: &'a [ComparisonRow], arm: &str) -> Summary<'a> {
    let rows: Vec<&ComparisonRow> = rows.iter().filter(|row| row.arm == arm).collect();
    let ratio = |row: &&ComparisonRow| match (row.ratio, row.seconds_to_target) {
        (Some(ratio), _) => ratio,
        (None, Some(_)) => f64::INFINITY,
        (None, None) => 0.0,
    };
    let mut ratios: Vec<f64> = rows.iter().map(ratio).collect();
    ratios.sort_by(f64::total_cmp);
    let at = |place: usize| ratios.get(place).copied().unwrap_or(0.0);
    let last = ratios.len().saturating_sub(1);
    Summary { ratios: [at(last / 2), at(0), at(last)], rows }
}

/// A ratio as text.
fn times(ratio: f64) -> String {
    match ratio {
        0.0 => "missed".to_owned(),
        f64::INFINITY => "only it".to_owned(),
        _ => format!("{ratio:.2}"),
    }
}

fn text(
    tuned: &Tuned,
    seeds: &[u64],
    rows: &[ComparisonRow],
    intervals: &[Option<Interval>],
    gap: f64,
) -> String {
    let arms = &tuned.protocol.arms;
    let baseline = tuned.protocol.baseline();
    let width = arms.iter().map(|arm| arm.name.chars().count()).max().unwrap_or(0);
    let digits =
        |value: Option<f64>, places: usize| value.map_or("-".to_owned(), |value| format!("{value:.places$}"));
    let mut text = String::new();
    let _ = writeln!(
        text,
        "target: mean validation Dice {:.4} ({:.0}% of what conventional runs of {:.0} s reach); seeds {seeds:?}; \
         evaluated at least every {gap:.2} s of training",
        tuned.target,
        100.0 * tuned.protocol.target_share,
        tuned.protocol.reference_seconds
    );
    let _ = writeln!(
        text,
        "{:<width$}  {:>7}  {:<28}  {:>7}  {:>7}  {:<26}  {:>6}  {:>6}",
        "arm", "lr", "seconds to the target", "steps", "patches", "times as soon (min, max)", "val", "test"
    );
    for arm in arms {
        let Summary { rows, ratios } = summary(rows, &arm.name);
        let seconds: Vec<String> = rows
            .iter()
            .map(|row| match (row.seconds_to_target, row.training_seconds) {
                (Some(seconds), _) => format!("{seconds:.1}"),
                (None, Some(budget)) => format!("> {budget:.0}"),
                (None, None) => "diverged".to_owned(),
            })
            .collect();
        let [middle, low, high] = ratios.map(times);
        let ratios = format!("{middle} ({low}, {high})");
        let _ = writeln!(
            text,
            "{:<width$}  {:>7}  {:<28}  {:>7}  {:>7}  {:<26}  {:>6}  {:>6}",
            arm.name,
            rows.first().map_or(0.0, |row| row.rate),
            seconds.join(" "),
            digits(mean(rows.iter().filter_map(|row| row.steps_to_target)), 0),
            digits(mean(rows.iter().filter_map(|row| row.samples_to_target)), 0),
            ratios,
            digits(mean(rows.iter().filter_map(|row| row.dice_mean)), 4),
            digits(mean(rows.iter().filter_map(|row| row.test_dice_mean)), 4)
        );
    }
    let over = if seeds.len() >= SEEDS_ENOUGH { "seeds" } else { "validation cases, as there are few seeds" };
    let _ = writeln!(text, "95% of medians when resampling {over}:");
    for (arm, interval) in arms.iter().zip(intervals) {
        if let Some(Interval { low, high }) = interval {
            let _ = writeln!(text, "  {:<width$}  {low:.2} to {high:.2}", arm.name);
        }
    }
    let _ = writeln!(text, "chosen as the best while tuning: {}", tuned.best);
    contributions(tuned, rows, &mut text);
    for (number, (arm, interval)) in arms.iter().zip(intervals).enumerate() {
        let Summary { rows, ratios } = summary(rows, &arm.name);
        let helps = ratios[0] >= HELPS && interval.is_some_and(|interval| interval.low > 1.0);
        if number != baseline && !helps {
            let why = why_not(ratios[0], *interval, rows.len());
            let _ = writeln!(text, "{} is not shown to help here: {why}.", arm.name);
        }
    }
    text
}

/// Reasons against an arm with this median ratio and interval.
fn why_not(median: f64, interval: Option<Interval>, seeds: usize) -> String {
    match median {
        0.0 => format!("it misses the target on half of its {seeds} seeds or more"),
        f64::INFINITY => {
            "conventional training misses the target where it does not, so there is no ratio, and there are too few \
             cases to decide"
                .to_owned()
        }
        _ => {
            let also = match interval {
                Some(Interval { low, high }) if median >= HELPS => {
                    format!(", but by what was resampled it might be {low:.2} to {high:.2}")
                }
                _ => String::new(),
            };
            format!("the target comes {median:.2} times as soon as with conventional training{also}")
        }
    }
}

/// Contributions of order, growth, resolution, and size and number of patches: ratios of the
/// medians of arms that differ in one of them.
fn contributions(tuned: &Tuned, rows: &[ComparisonRow], text: &mut String) {
    use crate::plan::settings::ScheduleKind::{Conventional, Pdl, Random};
    let arms: Vec<_> = tuned
        .protocol
        .arms
        .iter()
        .filter_map(|arm| Some((arm, tuned.protocol.settings(arm).ok()?)))
        .collect();
    let ratio = |name: &str| {
        let is_baseline = name == tuned.protocol.arms[tuned.protocol.baseline()].name;
        let [median, ..] = summary(rows, name).ratios;
        if is_baseline { Some(1.0) } else { Some(median).filter(|ratio| *ratio > 0.0 && ratio.is_finite()) }
    };
    // Size and number count as one factor, as an arm may let both grow.
    let samples = |s: &Settings| (s.patch_share, s.batch, s.batch_start);
    let [growth, order] = [(Conventional, Random), (Random, Pdl)];
    for (from, a) in &arms {
        for (to, b) in &arms {
            let schedules = (a.schedule, b.schedule);
            // The factor, whether it differs, and whether the second arm has it and the first does
            // not.
            let changes = [
                ("growth", a.schedule != b.schedule, schedules == growth),
                ("order", a.schedule != b.schedule, schedules == order),
                ("resolution", a.coarse_share != b.coarse_share, a.coarse_share == 0.0),
                ("samples", samples(a) != samples(b), samples(a) == (0.0, None, None)),
            ];
            // Growth and order are both a difference of schedules, hence one difference.
            let changed = changes[1..].iter().filter(|(_, differs, _)| *differs).count();
            for (what, _, _) in changes.iter().filter(|(_, differs, adds)| changed == 1 && *differs && *adds)
            {
                tell(what, &from.name, &to.name, ratio(&from.name), ratio(&to.name), text);
            }
        }
    }
}

fn tell(what: &str, from: &str, to: &str, before: Option<f64>, after: Option<f64>, text: &mut String) {
    let factor =
        before.zip(after).map_or("unknown".to_owned(), |(a, b)| format!("{:.2} times as soon", b / a));
    let _ = writeln!(text, "{what}: from {from} to {to}, {factor}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(arm: &str, ratio: Option<f64>) -> ComparisonRow {
        ComparisonRow {
            arm: arm.into(),
            seed: 1,
            rate: 0.1,
            steps: 10,
            target: 0.8,
            seconds_to_target: ratio.map(|ratio| 10.0 / ratio),
            steps_to_target: ratio,
            samples_to_target: ratio,
            ratio,
            training_seconds: Some(20.0),
            dice_mean: Some(0.8),
            test_dice_mean: None,
        }
    }

    #[test]
    fn a_run_that_misses_is_kept_and_counts_against_its_arm() {
        let rows = [row("a", Some(2.0)), row("a", None), row("a", Some(1.0)), row("a", Some(4.0))];
        let of_a = summary(&rows, "a");
        assert_eq!((of_a.rows.len(), of_a.ratios), (4, [1.0, 0.0, 4.0]));
        assert!(why_not(0.0, None, 4).contains("misses the target on half of its 4 seeds"));
        assert!(why_not(f64::INFINITY, None, 4).starts_with("conventional training misses the target"));
        let interval = Some(Interval { low: 0.9, high: 2.0 });
        assert!(why_not(1.031, interval, 4).ends_with("1.03 times as soon as with conventional training"));
        assert!(why_not(1.5, interval, 4).ends_with("it might be 0.90 to 2.00"));
        let alone = ComparisonRow { ratio: None, ..row("b", Some(2.0)) };
        assert_eq!(summary(&[row("b", Some(3.0)), alone], "b").ratios, [3.0, 3.0, f64::INFINITY]);
    }
}
