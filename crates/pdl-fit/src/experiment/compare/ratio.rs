//! Ratios of the seconds of two arms, seed by seed, at every level.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{FitError, Result};
use crate::experiment::compare::comparison_row::ComparisonRow;
use crate::experiment::compare::protocol::Protocol;
use crate::experiment::compare::statistics::{Estimate, SeedValue, geometric_mean, log_deviation, power};

/// Factor whose detection the power is of.
pub const FACTOR: f64 = 1.2;

/// Ratio of the seconds of two arms at every level.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RatioCurve {
    /// Name of the ratio: `product`, `curriculum alone`, `without the order`, or one of the
    /// protocol's own.
    pub name: String,
    /// The arm whose seconds are divided.
    pub slower: String,
    /// The arm by whose seconds they are divided.
    pub faster: String,
    /// The ratio at every level, ascending.
    pub points: Vec<RatioPoint>,
    /// Sample standard deviation of the log ratios at the headline; null with one seed.
    pub log_deviation: Option<f64>,
    /// Probability that a two-sided 5% test with as many seeds finds a true factor of 1.2; null
    /// with one seed, and if all ratios are equal.
    pub power: Option<f64>,
}

/// Geometric mean over the seeds of the ratio at a level, with its interval over folds and seeds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RatioPoint {
    /// Fraction of the fold's plateau.
    pub level: f64,
    /// The ratio.
    #[serde(flatten)]
    pub ratio: Estimate,
    /// Runs of the slower arm that missed the level.
    pub slower_missed: usize,
    /// Runs of the faster arm that missed the level.
    pub faster_missed: usize,
    /// Number of seeds.
    pub seeds: usize,
}

/// Ratios at every level of two arms, seed by seed.
///
/// # Errors
/// [`FitError::NoCandidates`] if an arm has no runs.
pub fn curve(
    rows: &[ComparisonRow],
    name: &str,
    (slower, faster): (&str, &str),
    protocol: &Protocol,
) -> Result<RatioCurve> {
    let points = protocol.levels.iter().map(|level| point(rows, (slower, faster), *level));
    let points = points.collect::<Result<Vec<_>>>()?;
    let ratios = ratios(rows, (slower, faster), protocol.headline);
    let log_deviation = log_deviation(&ratios);
    Ok(RatioCurve {
        name: name.to_owned(),
        slower: slower.to_owned(),
        faster: faster.to_owned(),
        points,
        log_deviation,
        // Equal ratios, as of runs that all missed, say nothing of how much they vary.
        power: log_deviation
            .filter(|deviation| *deviation > 0.0)
            .map(|deviation| power(FACTOR, deviation, ratios.len())),
    })
}

/// The ratio of two arms at a level.
///
/// # Errors
/// As [`curve`].
pub fn point(rows: &[ComparisonRow], (slower, faster): (&str, &str), level: f64) -> Result<RatioPoint> {
    let ratios = ratios(rows, (slower, faster), level);
    let missed =
        |arm: &str| rows.iter().filter(|row| row.arm == arm && row.level == level && row.missed).count();
    Ok(RatioPoint {
        level,
        ratio: geometric_mean(&ratios).ok_or(FitError::NoCandidates)?,
        slower_missed: missed(slower),
        faster_missed: missed(faster),
        seeds: ratios.len(),
    })
}

/// The ratio of the seconds of two arms for every seed that both have.
fn ratios(rows: &[ComparisonRow], (slower, faster): (&str, &str), level: f64) -> Vec<SeedValue> {
    let is = |row: &ComparisonRow, arm: &str| row.arm == arm && row.level == level;
    let ratio = |row: &ComparisonRow| {
        let other = rows.iter().find(|other| is(other, faster) && other.seed == row.seed)?;
        Some(SeedValue { fold: row.fold, value: row.seconds / other.seconds })
    };
    rows.iter().filter(|row| is(row, slower)).filter_map(ratio).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::compare::comparison_row::tests::row;

    #[test]
    fn a_miss_counts_as_twice_the_limit_and_is_shown() {
        let rows = [
            row("a", 1, 0.97, Some(20.0)),
            row("a", 2, 0.97, None),
            row("b", 1, 0.97, Some(10.0)),
            row("b", 2, 0.97, Some(10.0)),
        ];
        // 20 / 10 and 80 / 10: the geometric mean of 2 and 8.
        let found = point(&rows, ("a", "b"), 0.97).unwrap();
        assert!((found.ratio.mean - 4.0).abs() < 1e-12);
        assert_eq!((found.slower_missed, found.faster_missed, found.seeds), (1, 0, 2));
        let turned = point(&rows, ("b", "a"), 0.97).unwrap();
        assert!((turned.ratio.mean - 0.25).abs() < 1e-12);
        assert!(point(&rows, ("a", "c"), 0.97).is_err());
        assert!(point(&rows, ("a", "b"), 0.9).is_err(), "another level");
    }

    #[test]
    fn arms_are_compared_on_the_same_seeds() {
        let rows = [row("a", 1, 0.9, Some(8.0)), row("a", 3, 0.9, Some(1.0)), row("b", 1, 0.9, Some(4.0))];
        let found = point(&rows, ("a", "b"), 0.9).unwrap();
        assert!(found.seeds == 1 && (found.ratio.mean - 2.0).abs() < 1e-12);
    }

    #[test]
    fn both_missing_a_level_is_a_ratio_of_1() {
        let rows = [row("a", 1, 0.9, None), row("b", 1, 0.9, None)];
        let found = point(&rows, ("a", "b"), 0.9).unwrap();
        assert_eq!((found.ratio.mean, found.slower_missed, found.faster_missed), (1.0, 1, 1));
    }
}
