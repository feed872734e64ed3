//! The reported runs: every arm as it chose, on seeds on which nothing was chosen.

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
use crate::metrics::dice::mean;
use crate::plan::settings::Settings;
use crate::train::early_stop;

/// The table's name inside the folder of a comparison.
pub const FILE: &str = "comparison.parquet";
/// Evaluations lie at most this share of the conventional arm's time to the target apart.
const GAP: f64 = 0.02;
/// A schedule whose median ratio is below this, or whose interval reaches down to 1, is said not to help.
const HELPS: f64 = 1.05;

/// One reported run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ComparisonRow {
    /// The arm's name.
    pub arm: String,
    /// The run's seed.
    pub seed: u64,
    /// Its peak learning rate.
    pub rate: f64,
    /// Its length in steps.
    pub steps: u64,
    /// The Dice to be reached.
    pub target: f64,
    /// Seconds of training until it was reached; null when it was not.
    pub seconds_to_target: Option<f64>,
    /// Steps until then.
    pub steps_to_target: Option<f64>,
    /// Samples until then.
    pub samples_to_target: Option<f64>,
    /// How many times sooner than the conventional run of the same seed; null when one of them missed it.
    pub ratio: Option<f64>,
    /// Seconds of training of the whole run; null when it diverged.
    pub training_seconds: Option<f64>,
    /// Mean validation Dice at its end.
    pub dice_mean: Option<f64>,
    /// Mean Dice of its last averaged weights over the test split; null when there is none.
    pub test_dice_mean: Option<f64>,
}

/// The table's columns.
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

/// What came of a comparison.
#[derive(Debug)]
pub struct Comparison {
    /// The runs, by arm and then seed.
    pub rows: Vec<ComparisonRow>,
    /// Of each arm, in the protocol's order, where its median ratio lies; nothing for the conventional arm.
    pub intervals: Vec<Option<Interval>>,
    /// The table and its sentences.
    pub text: String,
}

/// Makes the reported runs, seed by seed and within a seed arm by arm, and writes `comparison.parquet` to `folder`.
///
/// # Errors
/// [`FitError`] as for [`crate::train::training::train`]; [`FitError::InvalidOption`] when a seed was used for tuning.
pub fn report(tuned: &Tuned, seeds: &[u64], folder: &Path, runs: &mut Runs<'_>) -> Result<Comparison> {
    let protocol = &tuned.protocol;
    if let Some(seed) = seeds.iter().find(|seed| protocol.tuning_seeds.contains(seed)) {
        let problem = format!("must not include {seed}, which was used for tuning");
        return Err(FitError::option("seeds", problem));
    }
    let gap = tuned.gap_seconds(GAP);
    // libtorch's first steps are slow, whichever arm makes them.
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
    table::write_rows(&folder.join(FILE), &schema(), &rows, Vec::new())?;
    Ok(Comparison { rows, intervals, text })
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
    let labels = made.iter().flatten().flatten().next().map_or(1, |run| run.record.labels.len());
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

/// An arm's figures over the seeds.
struct Summary<'a> {
    rows: Vec<&'a ComparisonRow>,
    /// Median (of an even number the lower middle), smallest and largest ratio. No run is dropped: one that missed the
    /// target counts as 0, one that reached it where the conventional run did not as infinity.
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

/// What speaks against an arm of this median ratio, which lies in this interval.
fn why_not(median: f64, interval: Option<Interval>, seeds: usize) -> String {
    match median {
        0.0 => format!("it misses the target on half of its {seeds} seeds or more"),
        f64::INFINITY => {
            "conventional training misses the target where it does not, which gives no ratio, and cases are too few \
             to tell"
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

/// What order, growth, resolution and the samples' sides and number each contribute: medians of arms that differ in one
/// of them, divided.
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
    // Sides and number as one: an arm may let both grow.
    let samples = |s: &Settings| (s.patch_share, s.batch, s.batch_start);
    let [growth, order] = [(Conventional, Random), (Random, Pdl)];
    for (from, a) in &arms {
        for (to, b) in &arms {
            let schedules = (a.schedule, b.schedule);
            // What differs, whether it does, and whether the second arm has it and the first has not.
            let changes = [
                ("growth", a.schedule != b.schedule, schedules == growth),
                ("order", a.schedule != b.schedule, schedules == order),
                ("resolution", a.coarse_share != b.coarse_share, a.coarse_share == 0.0),
                ("samples", samples(a) != samples(b), samples(a) == (0.0, None, None)),
            ];
            // Growth and order both are a difference of schedules: one difference.
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
