//! Runner of many runs on one dataset: trains them in one folder, and reuses those that are
//! finished.

use std::path::{Path, PathBuf};

use pdl_cohort::attributes::Split;

use crate::data::subset::Subset;
use crate::error::{FitError, Result};
use crate::experiment::run_record::RunRecord;
use crate::plan::settings::Settings;
use crate::plan::speed::Speed;
use crate::train::training::{self, TrainRequest};

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
    /// Kinds of steps of a comparison; those without a time are timed now.
    Kinds(usize),
    /// Plateau of every fold of a comparison.
    Plateaus(Vec<f64>),
    /// A run starts: its name, its number (from 1), and the number of runs.
    Begins(&'a str, usize, usize),
    /// Another process is training this run.
    Elsewhere,
    /// A run has ended with this validation Dice; `None` if it diverged.
    Ended(Option<f64>),
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
    fn notify(&mut self, event: &RunEvent<'_>) {
        (self.watch)(event);
    }

    /// Trains a run, or reuses the finished one; another run in its folder is replaced. `None` if
    /// it diverged.
    ///
    /// # Errors
    /// As [`training::train`].
    pub fn make(&mut self, name: &str, settings: &Settings, of: (usize, usize)) -> Result<Option<RunRecord>> {
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
        self.notify(&RunEvent::Ended(outcome.record.results.dice_mean));
        Ok(Some(outcome.record))
    }

    fn request(&self, name: Option<&str>, settings: &Settings) -> TrainRequest {
        TrainRequest {
            out: self.out.to_owned(),
            runs: self.folder.clone(),
            sample: self.sample,
            evaluate_on: Split::Val,
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
