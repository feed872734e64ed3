//! Many runs of one cohort: ordinary ones, kept in a folder of their own and found there again.

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
use crate::metrics::dice::CohortDice;
use crate::plan::run_plan::Speed;
use crate::plan::settings::Settings;
use crate::train::history::{self, HistoryRow};
use crate::train::training::{self, TrainRequest};

/// Between looks at runs that other processes make.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where runs are made, and who is told.
pub struct Runs<'a> {
    out: &'a Path,
    folder: PathBuf,
    sample: Subset,
    trust_files: bool,
    watch: &'a mut dyn FnMut(&RunEvent<'_>),
}

/// How they go, for a display.
#[derive(Debug)]
pub enum RunEvent<'a> {
    /// Steps were timed.
    Timed(&'a Speed),
    /// So many seconds are too few for the trials of a tuning, which have the fewest steps.
    SmallBudget(f64),
    /// The target stands.
    Target(f64),
    /// A run begins: its name, its number, and how many there are.
    Begins(&'a str, usize, usize),
    /// Another process is at what was to begin.
    Elsewhere,
    /// A run has ended with this validation Dice; nothing when it went astray.
    Ended(Option<f64>),
}

/// A run that came to its end.
#[derive(Debug)]
pub struct Finished {
    /// Its evaluations.
    pub history: Vec<HistoryRow>,
    /// Its record.
    pub record: RunRecord,
    /// Where its weights lie.
    pub folder: PathBuf,
}

impl Finished {
    /// The mean validation Dice of every evaluation.
    pub fn dice(&self) -> Vec<f64> {
        self.history.iter().map(|row| row.dice_mean).collect()
    }
}

impl<'a> Runs<'a> {
    /// Of the curation folder `out`, kept in `folder`/runs inside it.
    pub fn new(
        out: &'a Path,
        folder: &str,
        sample: Subset,
        trust_files: bool,
        watch: &'a mut dyn FnMut(&RunEvent<'_>),
    ) -> Self {
        Self { out, folder: Path::new(folder).join("runs"), sample, trust_files, watch }
    }

    /// Tells the display.
    pub fn tell(&mut self, told: &RunEvent<'_>) {
        (self.watch)(told);
    }

    /// The curation folder.
    pub fn out(&self) -> &'a Path {
        self.out
    }

    /// Times the steps of runs with these settings on this machine, which also warms libtorch up.
    ///
    /// # Errors
    /// [`FitError`] as for [`training::train`].
    pub fn speeds(&mut self, settings: &[Settings]) -> Result<(Vec<Speed>, Programs)> {
        let first = settings.first().ok_or(FitError::NoCandidates)?;
        let (speeds, programs) = training::speeds(&self.request(None, first), settings)?;
        speeds.iter().for_each(|speed| self.tell(&RunEvent::Timed(speed)));
        Ok((speeds, programs))
    }

    /// Holds a folder; as long as another process does, this one waits.
    ///
    /// # Errors
    /// [`FitError::Store`] when the folder cannot be made.
    pub fn wait_for(&mut self, folder: &Path) -> Result<FolderLock> {
        let mut taken = FolderLock::take(folder);
        if matches!(taken, Err(StoreError::Locked { .. })) {
            self.tell(&RunEvent::Elsewhere);
        }
        while matches!(taken, Err(StoreError::Locked { .. })) {
            std::thread::sleep(PATIENCE);
            taken = FolderLock::take(folder);
        }
        Ok(taken?)
    }

    /// Makes runs of these names and settings, or finds them made. Those that another process is at meanwhile are left
    /// to it, and waited for at the end, so that several share the work.
    ///
    /// # Errors
    /// [`FitError`] as for [`training::train`].
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
                    Err(FitError::Store(StoreError::Locked { .. })) => self.tell(&RunEvent::Elsewhere),
                    Err(error) => return Err(error),
                }
            }
            if made.iter().flatten().count() == before {
                std::thread::sleep(PATIENCE);
            }
        }
        Ok(made.into_iter().flatten().collect())
    }

    /// Makes a run, or finds it made; another run in its place is made anew; nothing when its loss went astray.
    ///
    /// # Errors
    /// [`FitError`] as for [`training::train`].
    pub fn make(&mut self, name: &str, settings: &Settings, of: (usize, usize)) -> Result<Option<Finished>> {
        self.tell(&RunEvent::Begins(name, of.0, of.1));
        let mut request = self.request(Some(name), settings);
        let mut trained = training::train(&request, &mut |_| {});
        // The folder of runs is nobody else's: what other settings, or another version, left in this one's place goes.
        if matches!(trained, Err(FitError::Occupied { .. })) {
            request.force = true;
            trained = training::train(&request, &mut |_| {});
        }
        let outcome = match trained {
            Ok(outcome) => outcome,
            Err(FitError::Diverged { .. }) => {
                self.tell(&RunEvent::Ended(None));
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let history = history::read(&outcome.folder)?;
        self.tell(&RunEvent::Ended(history.last().map(|row| row.dice_mean)));
        Ok(Some(Finished { history, record: outcome.record, folder: outcome.folder }))
    }

    /// The Dice of runs' last averaged weights over the test split; nothing without test cases.
    ///
    /// # Errors
    /// [`FitError`] when a case or the weights cannot be read.
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
            name: name.map(str::to_owned),
            settings: settings.clone(),
            force: false,
            trust_files: self.trust_files,
        }
    }
}
