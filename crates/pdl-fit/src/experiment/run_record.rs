//! `run.json`: everything needed to repeat a run, and what it reached. Written last: a run that has it is whole.

use std::path::Path;

use pdl_curriculum::manifest::Label;
use pdl_prepare::plan::Plan;
use pdl_store::json;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::subset::Subset;
use crate::error::{Difference, FitError, Record, Result};
use crate::plan::run_plan::RunPlan;
use crate::plan::settings::Settings;

/// The file's name inside a run's folder.
pub const FILE: &str = "run.json";
/// The weights' file inside a run's folder.
pub const WEIGHTS_FILE: &str = "weights.safetensors";
/// Version of the file's form.
pub const SCHEMA_VERSION: u32 = 4;

/// What ran the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Programs {
    /// Version of pdl.
    pub pdl: String,
    /// Version of libtorch.
    pub libtorch: String,
    /// Where the network ran: "cpu", or "cuda" and a number.
    pub device: String,
    /// Threads of libtorch.
    pub threads: usize,
}

/// What a run reached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Results {
    /// Optimiser steps made.
    pub steps: u64,
    /// Samples (planes or blocks) learnt from.
    pub samples: u64,
    /// Seconds of training, evaluations left out.
    pub training_seconds: f64,
    /// Seconds of evaluation.
    pub evaluation_seconds: f64,
    /// The share of the training seconds in which the network waited for samples.
    pub waiting_share: f64,
    /// Mean loss of the last steps.
    pub loss: f64,
    /// Validation Dice of each label at the end, in label order; null where no case counts.
    pub dice: Vec<Option<f64>>,
    /// Mean of them; null when there is none.
    pub dice_mean: Option<f64>,
    /// BLAKE3 of the weights' file.
    pub weights_blake3: String,
}

/// A file that a run took something from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reference {
    /// Its path inside the curation folder.
    pub file: String,
    /// BLAKE3 of its bytes.
    pub blake3: String,
}

/// A finished run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunRecord {
    /// Version of this file's form.
    pub schema_version: u32,
    /// The run's name.
    pub name: String,
    /// What was asked for; what is null was planned. `stages_overridden` in the plan says whether the
    /// manifest's stages were followed.
    pub settings: Settings,
    /// The tuning that learning rate, width, depth, patch and batch were taken from; null when there is none.
    #[serde(default)]
    pub tuned: Option<Reference>,
    /// The training cases that it was to learn from.
    #[serde(default)]
    pub sample: Subset,
    /// What was done.
    pub plan: RunPlan,
    /// The labels in channel order, from channel 1; channel 0 is background.
    pub labels: Vec<Label>,
    /// Cases learnt from.
    pub training_cases: usize,
    /// Cases evaluated on.
    pub validation_cases: usize,
    /// BLAKE3 of `manifest.parquet`.
    pub manifest_blake3: String,
    /// What ran it.
    pub programs: Programs,
    /// What it reached.
    pub results: Results,
    /// What every image went through before the network saw it, and has to go through when it is used.
    pub preparation: Plan,
}

/// What stands in a run's place before it begins.
#[derive(Debug)]
pub enum Standing {
    /// Nothing, or a run that was interrupted.
    Free,
    /// The same run, finished.
    Same(Box<RunRecord>),
}

/// Reads the record of a finished run.
///
/// # Errors
/// [`FitError::NoSuchRun`], [`FitError::UnreadableRecord`].
pub fn read(run: &Path) -> Result<RunRecord> {
    let path = run.join(FILE);
    if !path.exists() {
        return Err(FitError::NoSuchRun { path: run.to_owned() });
    }
    json::read(&path).map_err(|_| FitError::UnreadableRecord { record: Record::Run, path })
}

/// Looks whether a finished run stands in the folder `run`.
///
/// # Errors
/// [`FitError::Occupied`] when it is another run of the same name, or cannot be read.
pub fn standing(run: &Path, settings: &Settings, manifest_blake3: &str) -> Result<Standing> {
    let path = run.join(FILE);
    if !path.exists() {
        return Ok(Standing::Free);
    }
    let occupied = |difference| FitError::Occupied { record: Record::Run, difference, path: run.to_owned() };
    let record = read(run).map_err(|_| occupied(Difference::Unreadable))?;
    if record.settings != *settings {
        return Err(occupied(Difference::Settings));
    }
    if record.manifest_blake3 != manifest_blake3 {
        return Err(occupied(Difference::Manifest));
    }
    Ok(Standing::Same(Box::new(record)))
}
