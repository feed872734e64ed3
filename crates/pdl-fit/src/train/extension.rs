//! Extension of a finished run: it is trained for more steps, or for more seconds.
//!
//! A finished run keeps the EMA of its weights and its history, but no optimiser state. An extended
//! run starts with the EMA, and its optimiser with empty moments. The learning rate is that of the
//! same schedule over the whole length, from the present step on; the curriculum stays in its last
//! stage.

use std::path::Path;

use crate::data::dataset::Loaded;
use crate::error::{Difference, FitError, Record, Result};
use crate::experiment::run_record::{self, Extension, ExtensionLength, RunRecord};
use crate::model::device::ComputeDevice;
use crate::model::unet::UNet;
use crate::model::weights::Weights;
use crate::plan::run_plan::RunPlan;
use crate::plan::settings::Settings;
use crate::train::checkpoint::{self, Checkpoint, State, TrainingProgress};
use crate::train::history;
use crate::train::initialisation::InitialWeights;
use crate::train::trainer::Trainer;

/// Starts an extension of the finished run in `folder`: the state from which it resumes.
///
/// # Errors
/// [`FitError`] if weights or history of the run cannot be read.
pub(crate) fn start(
    length: ExtensionLength,
    record: RunRecord,
    folder: &Path,
    loaded: &Loaded,
    device: ComputeDevice,
) -> Result<Checkpoint> {
    let RunRecord { settings, results, manifest_blake3, initialisation, .. } = record;
    let (from_step, from_seconds) = (results.steps, results.training_seconds);
    let steps = match length {
        ExtensionLength::Steps(steps) => steps,
        ExtensionLength::Seconds(seconds) => {
            let spec = record.plan.schedule.spec_of_last_phase();
            let step = Trainer::new(&settings, &record.plan, device)?.seconds_of_step(loaded, spec)?;
            ((seconds / step).round() as u64).max(1)
        }
    };
    let plan = longer(&record.plan, from_step + steps);
    InitialWeights::open(folder)?; // checks that the weights are the run's
    let weights =
        Weights::load(UNet::new(plan.network).parameters(), &folder.join(run_record::WEIGHTS_FILE), device)?;
    let mut trainer = Trainer::new(&settings, &plan, device)?;
    trainer.start_from(&weights)?;
    let tensors = trainer.tensors()?;
    let progress = TrainingProgress {
        step: from_step,
        seconds: from_seconds,
        waited: results.waiting_share * from_seconds,
        evaluation_seconds: results.evaluation_seconds,
        ..TrainingProgress::default()
    };
    let mut extensions = record.extensions;
    extensions.push(Extension { length, from_step, from_seconds });
    let state = State { settings, plan, manifest_blake3, progress, initialisation, extensions };
    Ok(Checkpoint::new(state, history::read(folder)?, tensors))
}

/// The plan of a run whose length is `steps` now.
fn longer(plan: &RunPlan, steps: u64) -> RunPlan {
    let mut plan = plan.clone();
    plan.steps = steps;
    plan.rates.steps = steps;
    plan
}

/// Settings of the finished or interrupted run in `folder`, by which it is extended.
///
/// # Errors
/// [`FitError::NoSuchRun`] if there is none.
pub fn settings_of(folder: &Path) -> Result<Settings> {
    // A run that was killed at the end of its extension has a checkpoint alone.
    match (run_record::read(folder), checkpoint::read(folder)?) {
        (Ok(record), _) => Ok(record.settings),
        (Err(FitError::NoSuchRun { .. }), Some(checkpoint)) => Ok(checkpoint.state.settings),
        (Err(error), _) => Err(error),
    }
}

/// Refuses to extend a run that is interrupted, or whose interrupted extension is another one.
pub(crate) fn check_interrupted(
    checkpoint: &Checkpoint,
    length: ExtensionLength,
    folder: &Path,
) -> Result<()> {
    match checkpoint.state.extensions.last() {
        Some(extension) if extension.length == length => Ok(()),
        Some(_) => {
            let (record, difference) = (Record::Checkpoint, Difference::Extension);
            Err(FitError::Occupied { record, difference, path: folder.to_owned() })
        }
        None => Err(FitError::option(
            "extend",
            "needs a finished run, and this one is interrupted: resume it first",
        )),
    }
}
