//! Tuning of learning rate, width, depth, patch and batch size on the manifest's coarse subset by
//! successive halving (Jamieson and Talwalkar 2016).
//!
//! All candidates train for the same short time; the best advance to the next rung, where they
//! train from the start and longer. A trial is an ordinary conventional run on the coarse subset in
//! `tuning/runs/`, scored by its final validation Dice. Seconds are converted into steps once, by
//! the speed measured before the first trial, so that an interrupted tuning resumes with the same
//! trials.

mod search;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use arrow::datatypes::{DataType, Schema};
use pdl_cohort::attributes::Split;
use pdl_store::lock::FolderLock;
use pdl_store::memory::MemoryLimit;
use pdl_store::safe_path::SafePath;
use pdl_store::table::{self, column, list, nullable};
use pdl_store::{atomic, hash, json, regular_file};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use search::{Candidate, Search, Sides, own_settings};

use crate::data::dataset::Dataset;
use crate::data::subset::Subset;
use crate::error::{self, Difference, FitError, Record, Result};
use crate::experiment::run_record::{Programs, Reference};
use crate::experiment::runner::{RunEvent, Runs};
use crate::plan::settings::{Augment, Settings};
use crate::plan::speed::Speed;
use crate::train::training;

/// Folder of a tuning in the curation folder.
pub const FOLDER: &str = "tuning";
/// Name of the file with search and result in it.
pub const FILE: &str = "tuning.json";
/// Name of the table of trials in it.
pub const TRIALS_FILE: &str = "trials.parquet";
/// Version of the format of the trials' table.
const TRIALS_VERSION: u32 = 1;

/// The files that a tuning writes for the curation folder `out`: its result, and its trials.
pub fn files(out: &Path) -> [PathBuf; 2] {
    [FILE, TRIALS_FILE].map(|file| out.join(FOLDER).join(file))
}
/// Minimum steps of a trial, whatever the budget.
const LEAST_STEPS: u64 = 20;
/// Version of the file format.
const SCHEMA_VERSION: u32 = 3;
/// Settings that a run takes from a tuning: network, patches and optimiser. Curriculum, length and
/// machine remain the run's own.
const TAKEN: [&str; 21] = [
    "dims",
    "width",
    "depth",
    "norm",
    "residual",
    "deep_supervision",
    "patch",
    "batch",
    "activation_memory",
    "cases_per_step",
    "foreground",
    "augment",
    "mirror",
    "optimiser",
    "lr",
    "lr_schedule",
    "warm_up",
    "momentum",
    "weight_decay",
    "clip",
    "ema",
];

/// Search space and result of a tuning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Tuning {
    /// Version of the file format.
    pub schema_version: u32,
    /// Search space and budget.
    pub search: Search,
    /// Settings of all trials besides the tuned ones and the length; their seed also draws the
    /// candidates.
    pub settings: Settings,
    /// BLAKE3 of `manifest.parquet`.
    pub manifest_blake3: String,
    /// Number of cases in the coarse subset, the training cases of every trial.
    pub training_cases: usize,
    /// Number of validation cases.
    pub validation_cases: usize,
    /// Versions and device of the trials.
    pub programs: Programs,
    /// Candidates; numbers start at 1.
    pub candidates: Vec<Timed>,
    /// Rungs; numbers start at 1.
    pub rungs: Vec<Rung>,
    /// Result; null until all trials have finished.
    pub winner: Option<Winner>,
}

/// A candidate with its measured speed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Timed {
    /// Tuned settings.
    #[serde(flatten)]
    pub candidate: Candidate,
    /// Seconds per step, which convert the seconds of a rung into steps.
    pub speed: Speed,
}

/// Candidates that train for the same time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Rung {
    /// Number of candidates.
    pub candidates: usize,
    /// Seconds of training of each candidate.
    pub seconds: f64,
}

/// The best candidate of the last rung.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Winner {
    /// Number of the candidate, from 1.
    pub number: usize,
    /// Tuned settings.
    #[serde(flatten)]
    pub candidate: Candidate,
    /// Mean validation Dice at the end of its last trial.
    pub dice_mean: f64,
}

/// A run of one candidate in one rung.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Trial {
    /// Number of the rung, from 1.
    pub rung: u32,
    /// Number of the candidate, from 1.
    pub candidate: u32,
    /// Peak learning rate.
    pub rate: f64,
    /// Channels of the network's finest level.
    pub width: i64,
    /// Levels of the network.
    pub depth: u32,
    /// Patch size in voxels: y, x of planes or z, y, x of volumes.
    pub patch: Vec<u32>,
    /// Patches per step (batch size).
    pub batch: u32,
    /// Length in steps.
    pub steps: u64,
    /// Seed of the run.
    pub seed: u64,
    /// Seconds of training; null if the trial diverged.
    pub training_seconds: Option<f64>,
    /// Final mean validation Dice; null if the trial diverged.
    pub dice_mean: Option<f64>,
}

/// Columns of `trials.parquet`.
pub fn schema() -> Schema {
    use DataType::{Float64, Int64, UInt32, UInt64};
    Schema::new(vec![
        column("rung", UInt32),
        column("candidate", UInt32),
        column("rate", Float64),
        column("width", Int64),
        column("depth", UInt32),
        column("patch", list(UInt32)),
        column("batch", UInt32),
        column("steps", UInt64),
        column("seed", UInt64),
        nullable("training_seconds", Float64),
        nullable("dice_mean", Float64),
    ])
}

/// A tuning, with its input folder.
#[derive(Clone, Debug)]
pub struct TuneRequest {
    /// Curation folder, or the folder of one of its folds.
    pub out: PathBuf,
    /// Search space and budget.
    pub search: Search,
    /// Settings of all trials besides the tuned ones.
    pub settings: Settings,
    /// Whether to replace an existing tuning.
    pub force: bool,
    /// Whether to skip the comparison of files with their recorded hashes.
    pub trust_files: bool,
    /// Memory limit in bytes, as in [`crate::train::TrainRequest`].
    pub memory: Option<u64>,
}

/// Runs all trials that are missing; returns the tuning and all trials.
///
/// # Errors
/// As [`training::train`]; [`FitError::Occupied`] if the folder contains another tuning,
/// [`FitError::AllDiverged`] if every trial of a rung diverges.
pub fn tune(request: &TuneRequest, watch: &mut dyn FnMut(&RunEvent<'_>)) -> Result<(Tuning, Vec<Trial>)> {
    let clock = Instant::now();
    let folder = SafePath::new(&request.out, FOLDER)?.folder()?;
    let settings = search::conventional(&request.settings);
    request.search.check(&request.settings)?;
    let _lock = FolderLock::take(&folder)?;
    let existing = if request.force { None } else { existing(request, &settings, &folder)? };
    let mut tuning = match existing {
        Some(tuning) => tuning,
        None => start(request, &settings, &folder, clock, watch)?,
    };
    let mut trials = Trials {
        tuning: &tuning,
        table: folder.join(TRIALS_FILE),
        rows: Vec::new(),
        runs: Runs::new(&request.out, FOLDER, Subset::Tuning, request.trust_files, watch)
            .within(request.memory),
    };
    let winner = trials.all()?;
    let rows = trials.rows;
    tuning.winner = Some(winner);
    json::write(&folder.join(FILE), &tuning)?;
    Ok((tuning, rows))
}

/// Removes an earlier tuning.
fn clear(folder: &Path) -> Result<()> {
    for file in [FILE, TRIALS_FILE] {
        atomic::remove(&SafePath::new(folder, file)?)?;
    }
    Ok(atomic::remove_folder(&SafePath::new(folder, "runs")?)?)
}

/// The interrupted or finished tuning of the same request, if any.
fn existing(request: &TuneRequest, settings: &Settings, folder: &Path) -> Result<Option<Tuning>> {
    let path = folder.join(FILE);
    if !regular_file::is_there(&path)? {
        return Ok(None);
    }
    let tuning = read(&path)?;
    let manifest = Dataset::open(&request.out)?.manifest.info.hashes.manifest;
    let same = tuning.search == request.search && tuning.settings.same_as(settings);
    let difference = match (same, tuning.manifest_blake3 == manifest) {
        (true, true) => return Ok(Some(tuning)),
        (false, _) => Difference::Settings,
        (true, false) => Difference::Manifest,
    };
    Err(FitError::Occupied { record: Record::Tuning, difference, path })
}

fn read(path: &Path) -> Result<Tuning> {
    json::read_versioned(path, SCHEMA_VERSION).map_err(|error| error::record(Record::Tuning, error, path))
}

/// Draws the candidates and times their steps and evaluations; the result is saved before the first
/// trial. The rest of the budget since `clock` is shared among the trials.
fn start(
    request: &TuneRequest,
    settings: &Settings,
    folder: &Path,
    clock: Instant,
    watch: &mut dyn FnMut(&RunEvent<'_>),
) -> Result<Tuning> {
    let TuneRequest { out, search, .. } = request;
    let programs = training::prepare_libtorch(settings)?;
    let loading = Instant::now();
    let cohort = Dataset::open(out)?;
    let limit = MemoryLimit::or_half_of_free(request.memory);
    let loaded = cohort.load(out, (Subset::Tuning, Split::Val), request.trust_files, &limit)?;
    let loading = loading.elapsed().as_secs_f64();
    let candidates = search.draw(settings, &cohort.with(&cohort.training_images(&loaded, Augment::None)?))?;
    let (mut timed, mut known) = (Vec::new(), training::Known::new());
    let mut evaluating = 0.0;
    for candidate in candidates {
        let settings = candidate.trial(settings);
        let speed = training::speed_of(&settings, &cohort, &loaded, &mut known)?;
        evaluating += training::seconds_of_evaluation(&settings, &cohort, &loaded)?;
        watch(&RunEvent::Timed(&speed));
        timed.push(Timed { candidate, speed });
    }
    let beside = loading + evaluating / timed.len() as f64;
    let left = search.budget - clock.elapsed().as_secs_f64();
    let rungs = rungs(search, timed.len(), left, beside);
    if rungs.iter().any(|rung| rung.seconds <= 0.0) {
        watch(&RunEvent::SmallBudget(search.budget));
    }
    let tuning = Tuning {
        schema_version: SCHEMA_VERSION,
        search: search.clone(),
        settings: settings.clone(),
        manifest_blake3: cohort.manifest.info.hashes.manifest,
        training_cases: loaded.training.len(),
        validation_cases: loaded.validation.len(),
        programs,
        rungs,
        candidates: timed,
        winner: None,
    };
    clear(folder)?;
    json::write(&folder.join(FILE), &tuning)?;
    Ok(tuning)
}

/// Rungs until one candidate would remain. Each rung gets an equal part of the `left` seconds;
/// every trial spends `beside` seconds besides training.
fn rungs(search: &Search, candidates: usize, left: f64, beside: f64) -> Vec<Rung> {
    let fewer = |n: &usize| Some(n.div_ceil(search.one_of));
    let sizes: Vec<usize> = std::iter::successors(Some(candidates), fewer).take_while(|&n| n > 1).collect();
    let of_rung = left / sizes.len() as f64;
    let seconds = |n: usize| (of_rung / n as f64 - beside).max(0.0);
    sizes.into_iter().map(|n| Rung { candidates: n, seconds: seconds(n) }).collect()
}

/// The trials of a tuning.
struct Trials<'a> {
    tuning: &'a Tuning,
    table: PathBuf,
    /// Finished trials; the table is rewritten after each.
    rows: Vec<Trial>,
    runs: Runs<'a>,
}

impl Trials<'_> {
    /// Runs all trials.
    fn all(&mut self) -> Result<Winner> {
        if regular_file::is_there(&self.table)? {
            // Trials of an interrupted tuning, in the same order.
            self.rows = table::read_rows(&self.table, TRIALS_VERSION)?.0;
        }
        let made = std::mem::take(&mut self.rows);
        let mut going: Vec<usize> = (0..self.tuning.candidates.len()).collect();
        for number in 0..self.tuning.rungs.len() {
            for &candidate in &going {
                let before = made
                    .iter()
                    .find(|row| (row.rung as usize, row.candidate as usize) == (number + 1, candidate + 1));
                let row = match before {
                    Some(row) => row.clone(),
                    None => self.trial(number, candidate)?,
                };
                self.rows.push(row);
                if before.is_none() {
                    table::write_rows(&self.table, &schema(), &self.rows, table::versioned(TRIALS_VERSION))?;
                }
            }
            let next = self.tuning.rungs.get(number + 1).map_or(1, |rung| rung.candidates);
            going = self.best(number, next);
        }
        table::write_rows(&self.table, &schema(), &self.rows, table::versioned(TRIALS_VERSION))?;
        let won = self.rows.iter().rev().find(|row| going.first() == Some(&(row.candidate as usize - 1)));
        won.and_then(|row| {
            let number = row.candidate as usize;
            let candidate = self.tuning.candidates[number - 1].candidate.clone();
            Some(Winner { number, candidate, dice_mean: row.dice_mean? })
        })
        .ok_or(FitError::AllDiverged)
    }

    /// Candidates of a rung's best trials, in ascending order; the earlier one in a tie.
    fn best(&self, rung: usize, count: usize) -> Vec<usize> {
        let mut rows: Vec<&Trial> = self.rows.iter().filter(|row| row.rung as usize == rung + 1).collect();
        let dice = |row: &Trial| row.dice_mean.unwrap_or(f64::NEG_INFINITY);
        rows.sort_by(|a, b| dice(b).total_cmp(&dice(a)).then(a.candidate.cmp(&b.candidate)));
        let best: BTreeSet<usize> = rows.iter().take(count).map(|row| row.candidate as usize - 1).collect();
        best.into_iter().collect()
    }

    fn trial(&mut self, rung: usize, candidate: usize) -> Result<Trial> {
        let Timed { candidate: values, speed } = &self.tuning.candidates[candidate];
        let steps = speed.steps(self.tuning.rungs[rung].seconds).max(LEAST_STEPS);
        let settings = values.trial(&self.tuning.settings).with(|settings| {
            (settings.length.steps, settings.length.eval_every) = (Some(steps), Some(steps));
        });
        let name = format!("rung{}-candidate{}", rung + 1, candidate + 1);
        let planned = self.tuning.rungs.iter().map(|rung| rung.candidates).sum();
        let run = self.runs.make(&name, &settings, (self.rows.len() + 1, planned))?;
        let results = run.map(|record| record.results);
        Ok(Trial {
            rung: rung as u32 + 1,
            candidate: candidate as u32 + 1,
            rate: values.lr,
            width: values.width,
            depth: values.depth as u32,
            patch: values.patch.iter().map(|&side| side as u32).collect(),
            batch: values.batch as u32,
            steps,
            seed: settings.machine.seed,
            training_seconds: results.as_ref().map(|results| results.training_seconds),
            dice_mean: results.and_then(|results| results.dice_mean),
        })
    }
}

/// Settings of a run with the result of the tuning in the curation folder `out`: network, patches
/// and optimiser are the tuning's, except for `given` names. Also the reference for the run's
/// record.
///
/// # Errors
/// [`FitError::NoTuning`], [`FitError::UnfinishedTuning`] or [`FitError::OtherManifest`] if there
/// is no finished tuning of this manifest.
pub fn tuned(out: &Path, settings: &Settings, given: impl Fn(&str) -> bool) -> Result<(Settings, Reference)> {
    let file = format!("{FOLDER}/{FILE}");
    let path = out.join(&file);
    if !regular_file::is_there(&path)? {
        return Err(FitError::NoTuning { path: out.to_owned() });
    }
    let tuning = read(&path)?;
    let Some(winner) = &tuning.winner else {
        return Err(FitError::UnfinishedTuning { path });
    };
    if tuning.manifest_blake3 != Dataset::open(out)?.manifest.info.hashes.manifest {
        return Err(FitError::OtherManifest { record: Record::Tuning, path });
    }
    let found = winner.candidate.applied(&tuning.settings).values()?;
    let taken = found.iter().filter(|(name, _)| TAKEN.contains(&name.as_str()) && !given(name));
    Ok((settings.changed(taken)?, Reference { blake3: hash::of_file(&path)?, file }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        search: Search,
        #[command(flatten)]
        settings: Settings,
    }

    fn line(line: &str) -> Line {
        Line::try_parse_from(["x"].into_iter().chain(line.split_whitespace())).unwrap()
    }

    #[test]
    fn rungs_share_the_budget_until_one_is_left() {
        let of = |flags: &str, n, left, beside| -> Vec<(usize, f64)> {
            let rungs = rungs(&line(flags).search, n, left, beside);
            rungs.iter().map(|rung| (rung.candidates, rung.seconds)).collect()
        };
        assert_eq!(of("", 9, 180.0, 0.0), [(9, 10.0), (3, 30.0)]);
        assert_eq!(of("--one-of 2", 5, 60.0, 0.0), [(5, 4.0), (3, 20.0 / 3.0), (2, 10.0)]);
        assert_eq!(of("", 2, 60.0, 0.0), [(2, 30.0)]);
        // 3 seconds of loading and evaluation per trial: 9 x (7 + 3) and 3 x (27 + 3) are the whole
        // budget.
        assert_eq!(of("", 9, 180.0, 3.0), [(9, 7.0), (3, 27.0)]);
        assert_eq!(of("", 9, 90.0, 6.0), [(9, 0.0), (3, 9.0)]);
        assert_eq!(of("", 2, -5.0, 1.0), [(2, 0.0)], "timing took longer than the budget");
    }

    #[test]
    fn what_cannot_be_searched_is_refused() {
        let refusal = |flags: &str| {
            let Line { search, settings } = line(flags);
            search.check(&settings).unwrap_err().to_string()
        };
        assert!(refusal("--steps 10").contains("steps is not for a tuning"));
        assert!(refusal("--schedule random").contains("schedule is not for a tuning"));
        assert!(refusal("--grow-share 0.5").contains("grow_share is not for a tuning"));
        for flags in ["--budget 0", "--candidates 1", "--one-of 1"] {
            assert!(refusal(flags).contains("must be"), "{flags}");
        }
        let Line { search, settings } = line("--lr 0.01 --dims 3 --coarse-share 0.5");
        assert!(search.check(&settings).is_ok());
    }

    /// As a tuning of an earlier version stands in its file.
    #[test]
    fn a_candidate_with_the_old_name_of_the_learning_rate_is_read() {
        let old = serde_json::json!({
            "rate": 0.5, "width": 4, "depth": 2, "patch": [8, 8], "batch": 2, "speed": { "parts": [] }
        });
        assert_eq!(serde_json::from_value::<Timed>(old).unwrap().candidate.lr, 0.5);
    }

    #[test]
    fn what_a_run_takes_are_settings() {
        let all = Settings::defaults().unwrap().values().unwrap();
        assert!(TAKEN.iter().all(|name| all.contains_key(*name)));
    }
}
