//! `run.json`: everything needed to repeat a run, and its results. It is written last, so that its
//! presence marks a finished run.

use std::path::Path;

use pdl_cohort::reading::ImageReading;
use pdl_curriculum::manifest::Label;
use pdl_prepare::plan::Plan;
use pdl_store::{StoreError, json};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::subset::Subset;
use crate::error::{Difference, FitError, Record, Result};
use crate::plan::run_plan::RunPlan;
use crate::plan::settings::Settings;
use crate::train::history;

/// Name of the file in a run's folder.
pub const FILE: &str = "run.json";
/// Name of the weights file in a run's folder.
pub const WEIGHTS_FILE: &str = "weights.safetensors";
/// The files of a finished run, each with what it holds.
pub const FILES: [(&str, &str); 3] = [
    (WEIGHTS_FILE, "weights"),
    (history::FILE, "loss and Dice of every evaluation"),
    (FILE, "settings, plan, versions and results"),
];
/// Version of the file format.
pub const SCHEMA_VERSION: u32 = 5;

/// Name of the one image of a case in records of earlier versions.
pub const ONE_INPUT: &str = "image";

fn one_channel() -> Vec<String> {
    vec![ONE_INPUT.to_owned()]
}

/// Versions, device and threads of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Programs {
    /// Version of pdl.
    pub pdl: String,
    /// Version of libtorch.
    pub libtorch: String,
    /// Device: "cpu", or "cuda" and a number.
    pub device: String,
    /// Threads of libtorch.
    pub threads: usize,
}

/// Results of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Results {
    /// Steps completed.
    pub steps: u64,
    /// Training patches.
    pub samples: u64,
    /// Seconds of training, without evaluations.
    pub training_seconds: f64,
    /// Seconds spent in evaluations.
    pub evaluation_seconds: f64,
    /// Fraction of the training time in which the network waited for the data loader.
    pub waiting_share: f64,
    /// Mean loss of the steps between the last two evaluations.
    pub loss: f64,
    /// Validation Dice of each label at the end, in label order; null if no case counts.
    pub dice: Vec<Option<f64>>,
    /// Mean of the labels' Dice; null if no label counts.
    pub dice_mean: Option<f64>,
    /// BLAKE3 of the weights file.
    pub weights_blake3: String,
}

/// A file from which a run took settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reference {
    /// Path in the curation folder.
    pub file: String,
    /// BLAKE3 of the file.
    pub blake3: String,
}

/// Record of a finished run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunRecord {
    /// Version of the file format.
    pub schema_version: u32,
    /// Name of the run.
    pub name: String,
    /// Settings of the run; null values were planned. `stages_overridden` in the plan says whether
    /// they replace the stages of the manifest.
    pub settings: Settings,
    /// Tuning that supplied learning rate, width, depth, patch and batch size; null without one.
    #[serde(default)]
    pub tuned: Option<Reference>,
    /// Subset of the training cases.
    #[serde(default)]
    pub sample: Subset,
    /// Plan of the run.
    pub plan: RunPlan,
    /// Names of the images of a case in the order of the network's input channels; records of
    /// earlier versions have one.
    #[serde(default = "one_channel")]
    pub channels: Vec<String>,
    /// Labels in channel order, from channel 1; channel 0 is background.
    pub labels: Vec<Label>,
    /// Number of training cases.
    pub training_cases: usize,
    /// Number of validation cases.
    pub validation_cases: usize,
    /// BLAKE3 of `manifest.parquet`.
    pub manifest_blake3: String,
    /// Versions, device and threads.
    pub programs: Programs,
    /// Results of the run.
    pub results: Results,
    /// Preparation of every image before the network; prediction repeats it.
    pub preparation: Plan,
    /// How the images of the cohort were read; prediction repeats it. Null in records of earlier
    /// versions.
    #[serde(default)]
    pub reading: Option<ImageReading>,
}

/// Occupant of a run's folder.
#[derive(Debug)]
pub enum Standing {
    /// None, or an interrupted run.
    Free,
    /// The same run, finished.
    Same(Box<RunRecord>),
}

/// Reads the record of a finished run.
///
/// # Errors
/// [`FitError::NoSuchRun`] if there is none, [`FitError::UnreadableRecord`] if its version differs,
/// [`FitError::InvalidFile`] if it holds what cannot be.
pub fn read(run: &Path) -> Result<RunRecord> {
    let path = run.join(FILE);
    if !path.exists() {
        return Err(FitError::NoSuchRun { path: run.to_owned() });
    }
    let record: RunRecord = match json::read(&path) {
        Err(StoreError::Json { .. }) => return Err(FitError::UnreadableRecord { record: Record::Run, path }),
        read => read?,
    };
    if record.schema_version > SCHEMA_VERSION {
        return Err(FitError::UnreadableRecord { record: Record::Run, path });
    }
    match record.problem() {
        Some(problem) => {
            let problem = format!("the record of the run cannot be used ({problem}); train the run again");
            Err(FitError::InvalidFile { problem, path })
        }
        None => Ok(record),
    }
}

impl RunRecord {
    /// What cannot be of a record that may have been edited or damaged.
    fn problem(&self) -> Option<String> {
        let values: Vec<u16> = self.labels.iter().map(|label| label.value).collect();
        if values.first() == Some(&0) || !values.windows(2).all(|pair| pair[0] < pair[1]) {
            return Some(format!("its labels are {values:?}, expected ascending values above 0"));
        }
        if self.channels.len() as i64 != self.plan.network.inputs {
            let (named, inputs) = (self.channels.len(), self.plan.network.inputs);
            return Some(format!("it names {named} channels, but its network has {inputs} inputs"));
        }
        self.plan.problem(values.len()).map(str::to_owned).or_else(|| self.preparation.problem())
    }
}

/// Checks the folder `run` for a finished run.
///
/// # Errors
/// [`FitError::Occupied`] if it contains another run or a record that cannot be read.
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
