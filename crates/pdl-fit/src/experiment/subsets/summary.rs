//! Runs on subsets of the training cases, and what they show.

use arrow::datatypes::{DataType, Schema};
use pdl_metrics::dice::mean;
use pdl_store::table::{column, nullable};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{FitError, Result};
use crate::experiment::rows::RunRow;
use crate::experiment::subsets::selection::{ALL, RANDOM, Selection};

/// Version of `subsets.json`.
pub const SCHEMA_VERSION: u32 = 1;
/// Fraction of the Dice of all training cases that counts as nearly all of it.
const NEARLY_ALL: f64 = 0.99;
/// Two-sided 5% quantiles of Student's t for 1 to 30 degrees of freedom.
const T_95: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];
/// The same for more.
const T_95_MORE: f64 = 1.960;

/// A run on a subset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SubsetRow {
    /// How the cases were selected: typical, k-centre, facility-location, label-k-centre, random,
    /// or all.
    pub order: String,
    /// Percentage of the training cases.
    pub percent: u32,
    /// Number of the random draw, from 1; null for other orders.
    pub draw: Option<u64>,
    /// Seed of the run.
    pub seed: u64,
    /// Number of training cases.
    pub cases: u64,
    /// Mean Dice on the test set at the end of the run; null if it diverged.
    pub dice: Option<f64>,
}

/// Columns of the table.
pub fn schema() -> Schema {
    use DataType::{Float64, UInt32, UInt64, Utf8};
    Schema::new(vec![
        column("order", Utf8),
        column("percent", UInt32),
        nullable("draw", UInt64),
        column("seed", UInt64),
        column("cases", UInt64),
        nullable("dice", Float64),
    ])
}

impl SubsetRow {
    /// The row of a run on a selection.
    pub fn new(selection: &Selection, row: &RunRow) -> Self {
        Self {
            order: selection.order.clone(),
            percent: selection.percent,
            draw: selection.draw,
            seed: row.seed,
            cases: row.training_cases as u64,
            dice: row.dice.last().copied(),
        }
    }
}

/// Result of the runs on subsets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Subsets {
    /// Version of the file format.
    pub schema_version: u32,
    /// Steps of every run.
    pub steps: u64,
    /// Number of training cases.
    pub training_cases: u64,
    /// Number of test cases.
    pub test_cases: usize,
    /// Mean test Dice with all training cases.
    pub all: f64,
    /// Dice of every order and percentage.
    pub orders: Vec<OrderDice>,
    /// Dice of the random draws of every percentage.
    pub random: Vec<RandomDice>,
    /// Ways to select that are left out, and why.
    pub left_out: Vec<String>,
    /// Result in one sentence.
    pub verdict: String,
}

/// Dice of an order at a percentage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OrderDice {
    /// How the cases were selected.
    pub order: String,
    /// Percentage of the training cases.
    pub percent: u32,
    /// Number of training cases.
    pub cases: u64,
    /// Mean test Dice over the seeds.
    pub dice: f64,
    /// Number of random draws with a higher Dice.
    pub draws_above: usize,
    /// Whether it is above the interval in which 95% of random draws lie.
    pub beats_random: bool,
}

/// Dice of random draws at a percentage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RandomDice {
    /// Percentage of the training cases.
    pub percent: u32,
    /// Number of training cases.
    pub cases: u64,
    /// Mean test Dice over draws and seeds.
    pub dice: f64,
    /// Lower end of the interval in which 95% of further draws lie (prediction interval of
    /// Student's t).
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Mean Dice of each draw over the seeds.
    pub draws: Vec<f64>,
}

/// Summary of the runs.
///
/// # Errors
/// [`FitError::NothingLearnt`] if no run on all training cases, or on the draws of a percentage,
/// has a Dice.
pub fn summarised(
    rows: &[SubsetRow],
    steps: u64,
    test_cases: usize,
    left_out: Vec<String>,
) -> Result<Subsets> {
    let all: Vec<&SubsetRow> = rows.iter().filter(|row| row.order == ALL).collect();
    let of_all = mean_dice(all.iter().copied()).ok_or(FitError::NothingLearnt)?;
    let mut random = Vec::new();
    let mut orders = Vec::new();
    for percent in ascending(rows.iter().filter(|row| row.order != ALL).map(|row| row.percent)) {
        let own: Vec<&SubsetRow> =
            rows.iter().filter(|row| row.percent == percent && row.order != ALL).collect();
        let drawn = random_dice(percent, &own).ok_or(FitError::NothingLearnt)?;
        let names = own.iter().filter(|row| row.order != RANDOM).map(|row| &row.order);
        let mut seen: Vec<&String> = Vec::new();
        for name in names {
            if !seen.contains(&name) {
                seen.push(name);
            }
        }
        orders.extend(seen.into_iter().filter_map(|order| order_dice(order, &own, &drawn)));
        random.push(drawn);
    }
    let verdict = verdict(of_all, &orders, &random);
    let training_cases = all.iter().map(|row| row.cases).max().unwrap_or_default();
    let schema_version = SCHEMA_VERSION;
    Ok(Subsets {
        schema_version,
        steps,
        training_cases,
        test_cases,
        all: of_all,
        orders,
        random,
        left_out,
        verdict,
    })
}

fn mean_dice<'a>(rows: impl Iterator<Item = &'a SubsetRow>) -> Option<f64> {
    mean(rows.filter_map(|row| row.dice))
}

fn ascending<T: Ord>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut values: Vec<T> = values.collect();
    values.sort_unstable();
    values.dedup();
    values
}

fn random_dice(percent: u32, rows: &[&SubsetRow]) -> Option<RandomDice> {
    let own: Vec<&SubsetRow> = rows.iter().copied().filter(|row| row.order == RANDOM).collect();
    let of_draw = |draw: &Option<u64>| mean_dice(own.iter().copied().filter(|row| row.draw == *draw));
    let draws: Vec<f64> = ascending(own.iter().map(|row| row.draw)).iter().filter_map(of_draw).collect();
    let dice = mean(draws.iter().copied())?;
    let n = draws.len() as f64;
    let variance = draws.iter().map(|draw| (draw - dice).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    let t = T_95.get(draws.len().saturating_sub(2)).copied().unwrap_or(T_95_MORE);
    let half = t * (variance * (1.0 + 1.0 / n)).sqrt();
    let cases = own.iter().map(|row| row.cases).max().unwrap_or_default();
    Some(RandomDice { percent, cases, dice, low: dice - half, high: dice + half, draws })
}

fn order_dice(order: &str, rows: &[&SubsetRow], random: &RandomDice) -> Option<OrderDice> {
    let own: Vec<&SubsetRow> = rows.iter().copied().filter(|row| row.order == order).collect();
    let dice = mean_dice(own.iter().copied())?;
    Some(OrderDice {
        order: order.to_owned(),
        percent: random.percent,
        cases: own.iter().map(|row| row.cases).max().unwrap_or_default(),
        dice,
        draws_above: random.draws.iter().filter(|draw| **draw > dice).count(),
        beats_random: dice > random.high,
    })
}

/// Result in one sentence.
fn verdict(all: f64, orders: &[OrderDice], random: &[RandomDice]) -> String {
    let of_random = random.iter().map(|own| (own.percent, "random draws", own.dice));
    let of_orders = orders.iter().map(|own| (own.percent, own.order.as_str(), own.dice));
    let enough = of_random.chain(of_orders).filter(|(_, _, dice)| *dice >= NEARLY_ALL * all);
    let fewest = enough.min_by(|a, b| a.0.cmp(&b.0).then(b.2.total_cmp(&a.2)));
    let few = match fewest {
        Some((percent, name, dice)) => {
            format!(
                "{percent}% of the training cases ({name}) give {:.1}% of the Dice of all",
                100.0 * dice / all
            )
        }
        None => format!("no kept share gives {:.0}% of the Dice of all", 100.0 * NEARLY_ALL),
    };
    let better: Vec<String> = orders
        .iter()
        .filter(|own| own.beats_random)
        .map(|own| format!("{} at {}%", own.order, own.percent))
        .collect();
    match better.as_slice() {
        [] => format!("{few}, and no order beats random draws"),
        _ => format!("{few}, and these beat random draws: {}", better.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(order: &str, percent: u32, draw: Option<u64>, dice: f64) -> SubsetRow {
        SubsetRow { order: order.to_owned(), percent, draw, seed: 1, cases: 9, dice: Some(dice) }
    }

    fn rows(k_centre: f64) -> Vec<SubsetRow> {
        let draws = [0.80, 0.82, 0.84].into_iter().zip(1..);
        let mut rows = vec![row(ALL, 100, None, 0.9), row("k-centre", 20, None, k_centre)];
        rows.extend(draws.map(|(dice, draw)| row(RANDOM, 20, Some(draw), dice)));
        rows
    }

    /// SciPy: 0.82 +- t.ppf(0.975, 2) * 0.02 * sqrt(1 + 1 / 3) is 0.7206 to 0.9194.
    #[test]
    fn an_order_beats_random_only_outside_the_interval_of_draws() {
        let found = summarised(&rows(0.86), 10, 4, Vec::new()).unwrap();
        let random = &found.random[0];
        assert!(
            (random.low - 0.720_634).abs() < 1e-4 && (random.high - 0.919_366).abs() < 1e-4,
            "{random:?}"
        );
        assert_eq!((found.orders[0].draws_above, found.orders[0].beats_random), (0, false));
        assert_eq!(
            found.verdict,
            "no kept share gives 99% of the Dice of all, and no order beats random draws"
        );
        let found = summarised(&rows(0.93), 10, 4, Vec::new()).unwrap();
        assert_eq!(
            found.verdict,
            "20% of the training cases (k-centre) give 103.3% of the Dice of all, and these beat random draws: \
             k-centre at 20%"
        );
    }

    #[test]
    fn without_a_run_on_all_cases_there_is_no_summary() {
        assert!(summarised(&rows(0.8)[1..], 10, 4, Vec::new()).is_err());
    }
}
