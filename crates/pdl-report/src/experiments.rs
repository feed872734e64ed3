//! Results of `pdl-fit compare` and `pdl-fit subsets`, read by the names of their fields, so that
//! the report does not depend on the trainer.

use std::path::Path;

use pdl_curriculum::manifest::EXPERIMENTS_FOLDER;
use pdl_store::{json, regular_file};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{Result, unless_unreadable};

/// Results of experiments, as far as they were made.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Experiments {
    /// Ratio of seconds against the level.
    pub comparison: Option<ShownComparison>,
    /// Dice against the number of training cases.
    pub subsets: Option<ShownSubsets>,
}

/// The part of `comparison.json` that is shown.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ShownComparison {
    protocol: ShownProtocol,
    limit_seconds: f64,
    curves: Vec<ShownCurve>,
    contributions: Vec<ShownContribution>,
    dice: Vec<ShownDice>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct ShownProtocol {
    headline: f64,
    folds: u32,
    seeds: Vec<u64>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct ShownCurve {
    name: String,
    slower: String,
    faster: String,
    points: Vec<ShownPoint>,
    power: Option<f64>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct ShownPoint {
    level: f64,
    mean: f64,
    low: f64,
    high: f64,
    slower_missed: usize,
    faster_missed: usize,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct ShownContribution {
    factor: String,
    arm: String,
    mean: f64,
    low: f64,
    high: f64,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct ShownDice {
    arm: String,
    dice: Option<f64>,
    difference: Option<ShownEstimate>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct ShownEstimate {
    mean: f64,
    low: f64,
    high: f64,
}

/// The part of `subsets.json` that is shown.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ShownSubsets {
    steps: u64,
    training_cases: u64,
    test_cases: usize,
    all: f64,
    orders: Vec<ShownOrder>,
    random: Vec<ShownRandom>,
    verdict: String,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct ShownOrder {
    order: String,
    percent: u32,
    cases: u64,
    dice: f64,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct ShownRandom {
    percent: u32,
    cases: u64,
    dice: f64,
    low: f64,
    high: f64,
    draws: Vec<f64>,
}

/// Reads the results of the experiments on the curation folder `out`.
///
/// # Errors
/// Errors of the machine that prevent one from being read.
pub fn experiments(out: &Path) -> Result<Experiments> {
    let folder = out.join(EXPERIMENTS_FOLDER);
    Ok(Experiments {
        comparison: read(&folder.join("comparison.json"))?,
        subsets: read(&folder.join("subsets.json"))?,
    })
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    match regular_file::is_there(path)? {
        true => unless_unreadable(json::read(path)),
        false => Ok(None),
    }
}
