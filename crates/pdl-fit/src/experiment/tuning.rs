//! Which learning rate, width, depth, patch and batch? Chosen on the coarse sample of the manifest by successive halving
//! (Jamieson and Talwalkar 2016).
//!
//! Every candidate trains for the same short time; the best go on to the next rung, where they train anew and longer.
//! A trial is an ordinary conventional run on the coarse sample, kept in `tuning/runs/` and measured by the validation
//! Dice at its end. Seconds are turned into steps once, by the speed of steps that is measured before the first trial,
//! so that a tuning that was interrupted goes on with the same trials.

mod search;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use arrow::datatypes::{DataType, Schema};
use pdl_store::lock::FolderLock;
use pdl_store::table::{self, column, list, nullable};
use pdl_store::{hash, json};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use search::{Candidate, OWN, Search, Sides};

use crate::data::dataset::Dataset;
use crate::data::subset::Subset;
use crate::error::{Difference, FitError, Record, Result};
use crate::experiment::run_record::{Programs, Reference};
use crate::experiment::runner::{RunEvent, Runs};
use crate::plan::run_plan::Speed;
use crate::plan::settings::Settings;
use crate::train::training;

/// The folder inside a curation folder that holds a tuning.
pub const FOLDER: &str = "tuning";
/// What was searched and found, inside it.
pub const FILE: &str = "tuning.json";
/// The trials, inside it.
pub const TRIALS_FILE: &str = "trials.parquet";
/// Steps that a trial has at least, however small the budget is: fewer say nothing of its settings.
const LEAST_STEPS: u64 = 20;
/// Version of the file's form.
const SCHEMA_VERSION: u32 = 3;
/// Settings that a run takes from a tuning: those of network, samples and optimiser. Its curriculum, its length and
/// the machine are its own.
const TAKEN: [&str; 21] = [
    "dims",
    "width",
    "depth",
    "norm",
    "residual",
    "deep_supervision",
    "patch",
    "batch",
    "memory",
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

/// What a tuning searched, and what it found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Tuning {
    /// Version of this file's form.
    pub schema_version: u32,
    /// What was asked for.
    pub search: Search,
    /// The settings of all trials, but for what is tuned and their length; their seed is that of the drawing, too.
    pub settings: Settings,
    /// BLAKE3 of `manifest.parquet`.
    pub manifest_blake3: String,
    /// Cases of the coarse sample, which every trial learns from.
    pub training_cases: usize,
    /// Cases that trials are measured on.
    pub validation_cases: usize,
    /// What ran the trials.
    pub programs: Programs,
    /// The candidates, from number 1 on.
    pub candidates: Vec<Timed>,
    /// The rungs, from number 1 on.
    pub rungs: Vec<Rung>,
    /// What was found; null as long as trials are to be made.
    pub winner: Option<Winner>,
}

/// A candidate, and how long its steps took when they were timed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Timed {
    /// The candidate.
    #[serde(flatten)]
    pub candidate: Candidate,
    /// Seconds of its steps: they turn the seconds of a rung into steps.
    pub speed: Speed,
}

/// Candidates that train for the same time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Rung {
    /// How many there are.
    pub candidates: usize,
    /// Seconds of training of each.
    pub seconds: f64,
}

/// The best of the last rung.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Winner {
    /// Its number.
    pub number: usize,
    /// What was chosen.
    #[serde(flatten)]
    pub candidate: Candidate,
    /// Mean validation Dice at the end of its last trial.
    pub dice_mean: f64,
}

/// One trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Trial {
    /// Its rung, from 1.
    pub rung: u32,
    /// Its candidate, from 1.
    pub candidate: u32,
    /// The highest learning rate.
    pub rate: f64,
    /// Channels of the network's finest level.
    pub width: i64,
    /// Levels of the network.
    pub depth: u32,
    /// Sides of a sample in voxels: y, x of planes or z, y, x of blocks.
    pub patch: Vec<u32>,
    /// Samples in a step.
    pub batch: u32,
    /// Its length in steps.
    pub steps: u64,
    /// Its seed.
    pub seed: u64,
    /// Seconds of training that it took; null when it diverged.
    pub training_seconds: Option<f64>,
    /// Mean validation Dice at its end; null when it diverged.
    pub dice_mean: Option<f64>,
}

/// The columns of `trials.parquet`.
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

/// What is to be tuned.
#[derive(Clone, Debug)]
pub struct TuneRequest {
    /// The curation folder, or the folder of one of its folds.
    pub out: PathBuf,
    /// What is tried.
    pub search: Search,
    /// The settings of all trials beside that.
    pub settings: Settings,
    /// Tune anew even when a tuning is there.
    pub force: bool,
    /// Do not compare the files with their recorded hashes.
    pub trust_files: bool,
}

/// Makes all trials that are not made yet, and gives what was found and the trials.
///
/// # Errors
/// [`FitError`] as for [`training::train`]; [`FitError::Occupied`] when another tuning is in the folder,
/// [`FitError::AllDiverged`].
pub fn tune(request: &TuneRequest, watch: &mut dyn FnMut(&RunEvent<'_>)) -> Result<(Tuning, Vec<Trial>)> {
    let clock = Instant::now();
    let folder = request.out.join(FOLDER);
    let settings = search::conventional(&request.settings);
    request.search.check(&request.settings)?;
    let _lock = FolderLock::take(&folder)?;
    let begun = if request.force { None } else { begun(request, &settings, &folder)? };
    let mut tuning = match begun {
        Some(tuning) => tuning,
        None => begin(request, &settings, &folder, clock, watch)?,
    };
    let mut trials = Trials {
        tuning: &tuning,
        table: folder.join(TRIALS_FILE),
        rows: Vec::new(),
        runs: Runs::new(&request.out, FOLDER, Subset::Tuning, request.trust_files, watch),
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
        training::remove(&folder.join(file))?;
    }
    let runs = folder.join("runs");
    if runs.exists() {
        std::fs::remove_dir_all(&runs).map_err(pdl_store::StoreError::io("remove the folder", &runs))?;
    }
    Ok(())
}

/// The same tuning, begun earlier.
fn begun(request: &TuneRequest, settings: &Settings, folder: &Path) -> Result<Option<Tuning>> {
    let path = folder.join(FILE);
    if !path.exists() {
        return Ok(None);
    }
    let tuning = read(&path)?;
    let manifest = Dataset::open(&request.out)?.manifest.info.hashes.manifest;
    let same = tuning.search == request.search && tuning.settings == *settings;
    let difference = match (same, tuning.manifest_blake3 == manifest) {
        (true, true) => return Ok(Some(tuning)),
        (false, _) => Difference::Settings,
        (true, false) => Difference::Manifest,
    };
    Err(FitError::Occupied { record: Record::Tuning, difference, path })
}

fn read(path: &Path) -> Result<Tuning> {
    json::read(path).map_err(|_| FitError::UnreadableRecord { record: Record::Tuning, path: path.to_owned() })
}

/// Draws the candidates and times their steps and evaluations; this stands before the first trial.
/// What is left of the budget since `clock` is shared among the trials.
fn begin(
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
    let loaded = cohort.load(out, Subset::Tuning, request.trust_files)?;
    let loading = loading.elapsed().as_secs_f64();
    let candidates = search.draw(settings, &cohort.with(&training::shapes(&loaded)))?;
    let (mut timed, mut known) = (Vec::new(), training::Known::new());
    let mut evaluating = 0.0;
    for candidate in candidates {
        let settings = candidate.applied(settings);
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

/// The rungs of so many candidates, until one would be left: each has an equal part of the `left`
/// seconds, in which every trial spends `beside` seconds on other things than training.
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
    /// Those made so far; after every trial they are written anew.
    rows: Vec<Trial>,
    runs: Runs<'a>,
}

impl Trials<'_> {
    /// Makes all of them.
    fn all(&mut self) -> Result<Winner> {
        if self.table.exists() {
            // What was made before; it is asked for in the same order now.
            self.rows = table::read_rows(&self.table)?.0;
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
                    table::write_rows(&self.table, &schema(), &self.rows, Vec::new())?;
                }
            }
            let next = self.tuning.rungs.get(number + 1).map_or(1, |rung| rung.candidates);
            going = self.best(number, next);
        }
        table::write_rows(&self.table, &schema(), &self.rows, Vec::new())?;
        let won = self.rows.iter().rev().find(|row| going.first() == Some(&(row.candidate as usize - 1)));
        won.and_then(|row| {
            let number = row.candidate as usize;
            let candidate = self.tuning.candidates[number - 1].candidate.clone();
            Some(Winner { number, candidate, dice_mean: row.dice_mean? })
        })
        .ok_or(FitError::AllDiverged)
    }

    /// The candidates of a rung's best trials, in the order of their numbers; of two alike the earlier.
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
        let settings =
            Settings { steps: Some(steps), eval_every: Some(steps), ..values.applied(&self.tuning.settings) };
        let name = format!("rung{}-candidate{}", rung + 1, candidate + 1);
        let planned = self.tuning.rungs.iter().map(|rung| rung.candidates).sum();
        let run = self.runs.make(&name, &settings, (self.rows.len() + 1, planned))?;
        let results = run.map(|run| run.record.results);
        Ok(Trial {
            rung: rung as u32 + 1,
            candidate: candidate as u32 + 1,
            rate: values.lr,
            width: values.width,
            depth: values.depth as u32,
            patch: values.patch.iter().map(|&side| side as u32).collect(),
            batch: values.batch as u32,
            steps,
            seed: settings.seed,
            training_seconds: results.as_ref().map(|results| results.training_seconds),
            dice_mean: results.and_then(|results| results.dice_mean),
        })
    }
}

/// Settings of a run with what the tuning in the curation folder `out` found: those of network, samples and optimiser
/// are the tuning's, unless they were `given` (by name). With the reference that the run records.
///
/// # Errors
/// [`FitError::NoTuning`], [`FitError::UnfinishedTuning`], [`FitError::OtherManifest`].
pub fn tuned(out: &Path, settings: &Settings, given: impl Fn(&str) -> bool) -> Result<(Settings, Reference)> {
    let file = format!("{FOLDER}/{FILE}");
    let path = out.join(&file);
    if !path.exists() {
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
        // 3 seconds of loading and evaluating a trial: 9 x (7 + 3) and 3 x (27 + 3) are all of it.
        assert_eq!(of("", 9, 180.0, 3.0), [(9, 7.0), (3, 27.0)]);
        assert_eq!(of("", 9, 90.0, 6.0), [(9, 0.0), (3, 9.0)]);
        assert_eq!(of("", 2, -5.0, 1.0), [(2, 0.0)], "timing took longer than the budget");
    }

    #[test]
    fn what_cannot_be_searched_is_refused() {
        let told = |flags: &str| {
            let Line { search, settings } = line(flags);
            search.check(&settings).unwrap_err().to_string()
        };
        assert!(told("--steps 10").contains("steps is not for a tuning"));
        assert!(told("--schedule random").contains("schedule is not for a tuning"));
        assert!(told("--grow-share 0.5").contains("grow_share is not for a tuning"));
        for flags in ["--budget 0", "--candidates 1", "--one-of 1"] {
            assert!(told(flags).contains("must be"), "{flags}");
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
