//! Runner of many runs on one dataset: trains them in one folder, and reuses those that are
//! finished.

use std::path::{Path, PathBuf};
use std::time::Duration;

use pdl_cohort::attributes::Split;
use pdl_store::StoreError;
use pdl_store::lock::FolderLock;

use crate::data::dataset::Dataset;
use crate::data::subset::Subset;
use crate::error::{FitError, Result};
use crate::experiment::run_record::{Programs, RunRecord};
use crate::inference::model::Model;
use crate::plan::run_plan::Speed;
use crate::plan::settings::Settings;
use crate::train::history::{self, HistoryRow};
use crate::train::training::{self, TrainRequest};
use pdl_metrics::dice::CohortDice;

/// Interval between checks for runs of other processes.
const PATIENCE: Duration = Duration::from_secs(2);

/// Runner for one curation folder.
pub struct Runs<'a> {
    out: &'a Path,
    folder: PathBuf,
    sample: Subset,
    trust_files: bool,
    memory: Option<u64>,
    watch: &'a mut dyn FnMut(&RunEvent<'_>),
}

/// Progress of a series of runs, for a display.
#[derive(Debug)]
pub enum RunEvent<'a> {
    /// Steps have been timed.
    Timed(&'a Speed),
    /// The budget, in seconds, is too small for trials with more than the minimum number of steps.
    SmallBudget(f64),
    /// The target Dice is fixed.
    Target(f64),
    /// A run starts: its name, its number (from 1), and the number of runs.
    Begins(&'a str, usize, usize),
    /// Another process holds the folder of the next run; this one waits.
    Elsewhere,
    /// A run has ended with this validation Dice; `None` if it diverged.
    Ended(Option<f64>),
}

/// A finished run.
#[derive(Debug)]
pub struct Finished {
    /// Evaluations on the validation set.
    pub history: Vec<HistoryRow>,
    /// Record of the run.
    pub record: RunRecord,
    /// Folder of the run.
    pub folder: PathBuf,
}

impl Finished {
    /// Mean validation Dice of every evaluation.
    pub fn dice(&self) -> Vec<f64> {
        self.history.iter().map(|row| row.dice_mean).collect()
    }
}

impl<'a> Runs<'a> {
    /// A runner for the curation folder `out` with its runs in `folder`/runs inside it.
    pub fn new(
        out: &'a Path,
        folder: &str,
        sample: Subset,
        trust_files: bool,
        watch: &'a mut dyn FnMut(&RunEvent<'_>),
    ) -> Self {
        let folder = Path::new(folder).join("runs");
        Self { out, folder, sample, trust_files, memory: None, watch }
    }

    /// The same with a limit for the memory of a run, in bytes.
    #[must_use]
    pub fn within(self, memory: Option<u64>) -> Self {
        Self { memory, ..self }
    }

    /// Passes an event to the display.
    pub fn notify(&mut self, event: &RunEvent<'_>) {
        (self.watch)(event);
    }

    /// The curation folder.
    pub fn out(&self) -> &'a Path {
        self.out
    }

    /// Times the steps of runs with these settings on this machine; this also warms up libtorch.
    ///
    /// # Errors
    /// As [`training::train`].
    pub fn speeds(&mut self, settings: &[Settings]) -> Result<(Vec<Speed>, Programs)> {
        let first = settings.first().ok_or(FitError::NoCandidates)?;
        let (speeds, programs) = training::speeds(&self.request(None, first), settings)?;
        speeds.iter().for_each(|speed| self.notify(&RunEvent::Timed(speed)));
        Ok((speeds, programs))
    }

    /// Locks a folder; blocks while another process holds it.
    ///
    /// # Errors
    /// [`FitError::Store`] if the folder cannot be created.
    pub fn wait_for(&mut self, folder: &Path) -> Result<FolderLock> {
        let mut taken = FolderLock::take(folder);
        if matches!(taken, Err(StoreError::Locked { .. })) {
            self.notify(&RunEvent::Elsewhere);
        }
        while matches!(taken, Err(StoreError::Locked { .. })) {
            std::thread::sleep(PATIENCE);
            taken = FolderLock::take(folder);
        }
        Ok(taken?)
    }

    /// Trains runs of these names and settings, or reuses finished ones. Runs that another process
    /// is training are left to it and awaited at the end, so that several processes share the work.
    ///
    /// # Errors
    /// As [`training::train`].
    pub fn make_all(&mut self, wanted: &[(String, Settings)]) -> Result<Vec<Option<Finished>>> {
        let mut made: Vec<Option<Option<Finished>>> = wanted.iter().map(|_| None).collect();
        while made.iter().any(Option::is_none) {
            let before = made.iter().flatten().count();
            for (number, (name, settings)) in wanted.iter().enumerate() {
                if made[number].is_some() {
                    continue;
                }
                match self.make(name, settings, (number + 1, wanted.len())) {
                    Ok(run) => made[number] = Some(run),
                    Err(FitError::Store(StoreError::Locked { .. })) => self.notify(&RunEvent::Elsewhere),
                    Err(error) => return Err(error),
                }
            }
            if made.iter().flatten().count() == before {
                std::thread::sleep(PATIENCE);
            }
        }
        Ok(made.into_iter().flatten().collect())
    }

    /// Trains a run, or reuses the finished one; another run in its folder is replaced. `None` if
    /// it diverged.
    ///
    /// # Errors
    /// As [`training::train`].
    pub fn make(&mut self, name: &str, settings: &Settings, of: (usize, usize)) -> Result<Option<Finished>> {
        self.notify(&RunEvent::Begins(name, of.0, of.1));
        let mut request = self.request(Some(name), settings);
        let mut trained = training::train(&request, &mut |_| {});
        // The folder of runs belongs to this runner: runs of other settings or versions are
        // replaced.
        if matches!(trained, Err(FitError::Occupied { .. })) {
            request.force = true;
            trained = training::train(&request, &mut |_| {});
        }
        let outcome = match trained {
            Ok(outcome) => outcome,
            Err(FitError::Diverged { .. }) => {
                self.notify(&RunEvent::Ended(None));
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let history = history::read(&outcome.folder)?;
        self.notify(&RunEvent::Ended(history.last().map(|row| row.dice_mean)));
        Ok(Some(Finished { history, record: outcome.record, folder: outcome.folder }))
    }

    /// Test-set Dice of the runs' EMA; `None` without test cases.
    ///
    /// # Errors
    /// [`FitError`] if a case or the weights cannot be read.
    pub fn test_dice(&self, runs: &[&Finished]) -> Result<Vec<Option<CohortDice>>> {
        let folder = Dataset::open(self.out)?;
        let cases = folder.held_out(self.out, Split::Test, self.trust_files)?;
        if cases.is_empty() {
            return Ok(runs.iter().map(|_| None).collect());
        }
        let dice = |run: &&Finished| {
            let Settings { device, threads, .. } = run.record.settings;
            Model::load(&run.folder, device, threads)?.predictor().dice(&cases).map(Some)
        };
        runs.iter().map(dice).collect()
    }

    fn request(&self, name: Option<&str>, settings: &Settings) -> TrainRequest {
        TrainRequest {
            out: self.out.to_owned(),
            runs: self.folder.clone(),
            sample: self.sample,
            tuned: None,
            init: None,
            extend: None,
            tensorboard: false,
            name: name.map(str::to_owned),
            settings: settings.clone(),
            force: false,
            trust_files: self.trust_files,
            memory: self.memory,
        }
    }
}
