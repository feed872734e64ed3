//! Runs of an experiment that are planned, and the rows of those that are finished: a run whose row
//! exists is never made again, and several processes share the rest.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use pdl_cohort::attributes::Split;
use pdl_store::safe_path::SafePath;
use pdl_store::{StoreError, atomic};

use crate::data::subset::Subset;
use crate::error::{FitError, Result};
use crate::experiment::rows::{ManifestKey, Row, RowFile, RunRow, kept, run_key};
use crate::experiment::run_record::{RunRecord, WEIGHTS_FILE};
use crate::experiment::runner::RunEvent;
use crate::plan::settings::Settings;
use crate::train::history;
use crate::train::training::{self, TrainRequest};

/// Folder of runs inside that of their manifest.
const RUNS: &str = "runs";
/// Length of a run's name: the beginning of its key.
const NAME: usize = 24;
/// Interval between checks for runs of other processes.
const PATIENCE: Duration = Duration::from_secs(2);

/// A run before it is made.
#[derive(Clone, Debug)]
pub struct PlannedRun {
    /// Name of the arm or selection in the row.
    pub name: String,
    /// Name of the order of the training cases in the row.
    pub order: String,
    /// Folder of the manifest.
    pub folder: PathBuf,
    /// The manifest, as far as the run depends on it.
    pub manifest: ManifestKey,
    /// Fold, if the cohort was divided for the experiment.
    pub fold: Option<u32>,
    /// Split of the evaluations.
    pub evaluate_on: Split,
    /// Settings of the run.
    pub settings: Settings,
}

impl PlannedRun {
    /// Key of its row.
    ///
    /// # Errors
    /// As [`run_key`].
    pub fn key(&self) -> Result<String> {
        run_key(&self.manifest, &self.settings, self.fold, self.evaluate_on)
    }
}

/// Maker of planned runs.
pub struct RunMaker<'a> {
    /// File of the rows.
    pub rows: RowFile,
    /// Whether to skip the comparison of files with their recorded hashes.
    pub trust_files: bool,
    /// Memory limit of a run in bytes.
    pub memory: Option<u64>,
    /// No run starts after this moment.
    pub deadline: Option<Instant>,
    /// Runs that this process trained.
    pub trained: usize,
    /// Receives the progress.
    pub watch: &'a mut dyn FnMut(&RunEvent<'_>),
}

impl RunMaker<'_> {
    /// The rows of all planned runs, in their order; those that are missing are trained. Runs that
    /// another process is training are left to it and awaited.
    ///
    /// # Errors
    /// As [`training::train`]; [`FitError::TimeUp`] if runs are missing at the deadline.
    pub fn rows_of(&mut self, planned: &[PlannedRun]) -> Result<Vec<RunRow>> {
        let keys = planned.iter().map(PlannedRun::key).collect::<Result<Vec<_>>>()?;
        loop {
            let rows = self.rows.read()?;
            let missing: Vec<usize> = (0..keys.len()).filter(|&n| rows.run(&keys[n]).is_none()).collect();
            if missing.is_empty() {
                return Ok(keys.iter().filter_map(|key| rows.run(key).cloned()).collect());
            }
            let mut made = false;
            for number in missing {
                self.check_deadline(&keys)?;
                made |= self.make(&planned[number], &keys[number], (number + 1, keys.len()))?;
            }
            if !made {
                std::thread::sleep(PATIENCE);
            }
        }
    }

    /// Whether no further work may start; the number of runs that are missing.
    fn check_deadline(&self, keys: &[String]) -> Result<()> {
        if self.deadline.is_none_or(|deadline| Instant::now() < deadline) {
            return Ok(());
        }
        let rows = self.rows.read()?;
        let missing = keys.iter().filter(|key| rows.run(key).is_none()).count();
        Err(FitError::TimeUp { missing })
    }

    /// Makes a run unless its row exists by now; false if another process is training it.
    fn make(&mut self, planned: &PlannedRun, key: &str, (number, of): (usize, usize)) -> Result<bool> {
        if self.rows.read()?.run(key).is_some() {
            return Ok(true);
        }
        let label = format!("{}, {}, seed {}", planned.name, place(planned), planned.settings.machine.seed);
        (self.watch)(&RunEvent::Begins(&label, number, of));
        let mut request = self.request(planned, key);
        let mut trained = training::train(&request, &mut |_| {});
        // Folders of runs belong to the experiment: one of another version is replaced.
        if matches!(trained, Err(FitError::Occupied { .. })) {
            request.force = true;
            trained = training::train(&request, &mut |_| {});
        }
        let row = match trained {
            Ok(outcome) => {
                let history = history::read(&outcome.folder)?;
                let row = row(planned, key, &outcome.record, &history);
                self.rows.add(vec![Row::Run(row.clone())])?;
                atomic::remove(&SafePath::new(&outcome.folder, WEIGHTS_FILE)?)?;
                row
            }
            Err(FitError::Diverged { .. }) => {
                let row = diverged(planned, key);
                self.rows.add(vec![Row::Run(row.clone())])?;
                row
            }
            Err(FitError::Store(StoreError::Locked { .. })) => {
                (self.watch)(&RunEvent::Elsewhere);
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        self.trained += 1;
        (self.watch)(&RunEvent::Ended(row.dice.last().copied()));
        Ok(true)
    }

    fn request(&self, planned: &PlannedRun, key: &str) -> TrainRequest {
        TrainRequest {
            out: planned.folder.clone(),
            runs: PathBuf::from(RUNS),
            name: Some(key.chars().take(NAME).collect()),
            settings: planned.settings.clone(),
            sample: Subset::All,
            evaluate_on: planned.evaluate_on,
            tuned: None,
            init: None,
            extend: None,
            tensorboard: false,
            force: false,
            trust_files: self.trust_files,
            memory: self.memory,
        }
    }
}

/// Where a run takes its cases from, in words.
fn place(planned: &PlannedRun) -> String {
    let part = planned.evaluate_on;
    planned.fold.map_or_else(|| format!("{part}"), |fold| format!("fold {fold}, {part}"))
}

fn row(planned: &PlannedRun, key: &str, record: &RunRecord, history: &[history::HistoryRow]) -> RunRow {
    RunRow {
        evaluated_at: history.iter().map(|row| row.step).collect(),
        dice: history.iter().map(|row| kept(row.dice_mean)).collect(),
        training_seconds: record.results.training_seconds,
        training_cases: record.training_cases,
        programs: Some(record.programs.clone()),
        ..diverged(planned, key)
    }
}

/// The row of a run without evaluations.
fn diverged(planned: &PlannedRun, key: &str) -> RunRow {
    let PlannedRun { name, order, fold, evaluate_on, settings, .. } = planned;
    RunRow {
        key: key.to_owned(),
        name: name.clone(),
        order: order.clone(),
        fold: *fold,
        evaluated_on: *evaluate_on,
        seed: settings.machine.seed,
        lr: settings.optimisation.peak_lr(),
        steps: settings.length.steps.unwrap_or_default(),
        training_cases: 0,
        evaluated_at: Vec::new(),
        dice: Vec::new(),
        training_seconds: 0.0,
        programs: None,
    }
}
