//! `run.json`: everything needed to repeat a run, and its results. It is written last, so that its
//! presence marks a finished run.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use pdl_cohort::attributes::Split;
use pdl_cohort::labels::regions::LabelRegion;
use pdl_cohort::read_options::ImageReading;
use pdl_curriculum::manifest::Label;
use pdl_metrics::{ChannelUnion, MeasuredStructure};
use pdl_prepare::plan::Plan;
use pdl_report::run_history::RUN_VERSION;
use pdl_store::{StoreError, json, regular_file};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::regions::RegionOutput;
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
const _: () = assert!(SCHEMA_VERSION == RUN_VERSION, "the report reads the records of runs, too");

/// Name of the one image of a case in records of earlier versions.
pub const ONE_INPUT: &str = "image";

/// The split on which runs of earlier versions were evaluated.
fn validation() -> Split {
    Split::Val
}

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
    /// Why the run ended.
    #[serde(default)]
    pub ended: EndReason,
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

/// Weights that a run started from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Initialisation {
    /// Name of the run that they are of; null for a file that is in no run's folder.
    pub run: Option<String>,
    /// BLAKE3 of their file.
    pub weights_blake3: String,
    /// Number of parameters (kernels, biases, norms) that were copied, without those of heads.
    pub parameters: usize,
    /// Labels whose channels of the heads were taken.
    pub labels_taken: Vec<String>,
    /// Labels whose channels of the heads started with random values.
    pub labels_new: Vec<String>,
}

/// Length of an extension of a finished run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExtensionLength {
    /// Optimiser steps to add.
    Steps(u64),
    /// Seconds of training to add, without evaluations.
    Seconds(f64),
}

impl FromStr for ExtensionLength {
    type Err = String;

    /// Reads a number of steps, such as `500`, or of seconds, such as `600s`.
    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let expected = || format!("expected steps such as 500 or seconds such as 600s, found {text:?}");
        let length = match text.strip_suffix('s') {
            Some(seconds) => Self::Seconds(seconds.parse().map_err(|_| expected())?),
            None => Self::Steps(text.parse().map_err(|_| expected())?),
        };
        let positive = match length {
            Self::Steps(steps) => steps > 0,
            Self::Seconds(seconds) => seconds > 0.0 && seconds.is_finite(),
        };
        if positive { Ok(length) } else { Err(expected()) }
    }
}

/// Extension of a finished run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Extension {
    /// The length as requested.
    pub length: ExtensionLength,
    /// Steps of the run before it.
    pub from_step: u64,
    /// Seconds of training before it.
    pub from_seconds: f64,
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EndReason {
    /// The run reached its length.
    #[default]
    Length,
    /// The run reached the Dice of `until_dice`.
    Dice,
    /// Dice had not increased for `patience` evaluations.
    Patience,
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
    /// Split on which the run was evaluated: validation, or test in an experiment, where it ended
    /// no run.
    #[serde(default = "validation")]
    pub evaluated_on: Split,
    /// Weights that the run started from; null if they were random.
    #[serde(default)]
    pub initialisation: Option<Initialisation>,
    /// Extensions of the run after it had finished, the earliest first.
    #[serde(default)]
    pub extensions: Vec<Extension>,
    /// Plan of the run.
    pub plan: RunPlan,
    /// Names of the images of a case in the order of the network's input channels; records of
    /// earlier versions have one.
    #[serde(default = "one_channel")]
    pub channels: Vec<String>,
    /// Labels in channel order, from channel 1; channel 0 is background.
    pub labels: Vec<Label>,
    /// Regions that are learnt instead of the labels, in the order of the outputs; absent where
    /// labels are learnt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<LabelRegion>,
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
pub enum RunFolderState {
    /// None, or an interrupted run.
    Free,
    /// The same run, finished.
    Same(Box<RunRecord>),
}

/// Reads the record of a finished run.
///
/// # Errors
/// [`FitError::NoSuchRun`] if there is none, [`FitError::OtherFormat`] if it is of a version that
/// cannot be read, [`FitError::UnreadableRecord`] if it is damaged, [`FitError::InvalidFile`] if it
/// is invalid.
pub fn read(run: &Path) -> Result<RunRecord> {
    let path = run.join(FILE);
    if !regular_file::is_there(&path)? {
        return Err(FitError::NoSuchRun { path: run.to_owned() });
    }
    let record: RunRecord = match json::read(&path) {
        Err(StoreError::Json { .. }) => return Err(unreadable(path)),
        read => read?,
    };
    if record.schema_version > SCHEMA_VERSION {
        return Err(unreadable(path));
    }
    match record.problem() {
        Some(problem) => {
            let problem = format!("the record of the run cannot be used ({problem}); train the run again");
            Err(FitError::InvalidFile { problem, path })
        }
        None => Ok(record),
    }
}

/// Why a record cannot be read: its format, if it names another than this version's.
fn unreadable(path: PathBuf) -> FitError {
    #[derive(Deserialize)]
    struct Format {
        schema_version: u32,
    }
    let (record, supported) = (Record::Run, SCHEMA_VERSION);
    match json::read::<Format>(&path) {
        Ok(Format { schema_version: found }) if found != supported => {
            FitError::OtherFormat { record, found, supported, path }
        }
        _ => FitError::UnreadableRecord { record, path },
    }
}

impl RunRecord {
    /// The structures that are learnt, in the order of the figures: regions, each with its value in
    /// label maps, or labels.
    pub fn structures(&self) -> Vec<Label> {
        let of_region = |region: &LabelRegion| Label { value: region.value, name: region.name.clone() };
        match self.regions.as_slice() {
            [] => self.labels.clone(),
            regions => regions.iter().map(of_region).collect(),
        }
    }

    /// Like [`RunRecord::structures`], each with the channels of label maps that make it up.
    pub fn measured(&self) -> Vec<MeasuredStructure> {
        let unions: Vec<ChannelUnion> = match self.plan.regions.as_slice() {
            [] => (1..=self.labels.len()).map(|channel| ChannelUnion::of_label(channel as u8)).collect(),
            regions => regions.iter().map(RegionOutput::union).collect(),
        };
        let structures = self.structures().into_iter().zip(unions);
        structures.map(|(label, union)| MeasuredStructure { label, union }).collect()
    }

    /// The first invalid value of a record that may have been edited or damaged.
    fn problem(&self) -> Option<String> {
        let values: Vec<u16> = self.labels.iter().map(|label| label.value).collect();
        if values.first() == Some(&0) || !values.windows(2).all(|pair| pair[0] < pair[1]) {
            return Some(format!("its labels are {values:?}, expected ascending values above 0"));
        }
        if self.regions.len() != self.plan.regions.len() {
            return Some("its regions are not those of its plan".to_owned());
        }
        let (named, inputs) = (self.channels.len(), self.plan.network.inputs);
        let prepared = self.preparation.channels();
        if named as i64 != inputs || named != prepared {
            return Some(format!(
                "it names {named} channels, its network has {inputs} inputs, and {prepared} are prepared"
            ));
        }
        self.plan.problem(values.len()).map(str::to_owned).or_else(|| self.preparation.problem())
    }
}

/// Checks the folder `run` for a finished run.
///
/// # Errors
/// [`FitError::Occupied`] if it contains another run or a record that cannot be read.
pub fn standing(run: &Path, settings: &Settings, manifest_blake3: &str) -> Result<RunFolderState> {
    let path = run.join(FILE);
    if !regular_file::is_there(&path)? {
        return Ok(RunFolderState::Free);
    }
    let occupied = |difference| FitError::Occupied { record: Record::Run, difference, path: run.to_owned() };
    let record = read(run).map_err(|error| match error {
        FitError::OtherFormat { found, supported, .. } => occupied(Difference::Format { found, supported }),
        _ => occupied(Difference::Unreadable),
    })?;
    if !record.settings.same_as(settings) {
        return Err(occupied(Difference::Settings));
    }
    if record.manifest_blake3 != manifest_blake3 {
        return Err(occupied(Difference::Manifest));
    }
    Ok(RunFolderState::Same(Box::new(record)))
}
