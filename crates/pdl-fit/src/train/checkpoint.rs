//! Checkpoint: the state from which an interrupted run resumes, in one safetensors file.
//!
//! Random streams are functions of seed and step, so no generator state is saved.

use std::collections::HashMap;
use std::path::Path;

use pdl_store::lock::FolderLock;
use pdl_store::safe_path::SafePath;
use pdl_store::{StoreError, atomic, regular_file};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::error::{FitError, Record, Result};
use crate::experiment::run_record::{Extension, Initialisation};
use crate::model::weights;
use crate::plan::run_plan::RunPlan;
use crate::plan::settings::Settings;
use crate::train::history::HistoryRow;

/// Name of the file in a run's folder; a finished run has none.
pub const FILE: &str = "checkpoint.safetensors";
/// Entry with [`State`] as JSON.
const STATE: &str = "state";
/// Entry with the history as a matrix, one row per evaluation.
const HISTORY: &str = "history";
/// Columns of the history before the Dice of the labels, which the Dice of the cases follows.
const FIGURES: usize = 7;

/// Version of [`State`]; 0 is for those before versions were recorded.
const FORMAT: u32 = 1;

/// Progress of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainingProgress {
    /// Steps completed.
    pub step: u64,
    /// Seconds of training, without evaluations.
    pub seconds: f64,
    /// Seconds of training in which the network waited for the data loader.
    pub waited: f64,
    /// Seconds spent in evaluations.
    pub evaluation_seconds: f64,
    /// Sum of the losses since the last evaluation.
    pub loss_sum: f64,
    /// Steps in the sum of the losses.
    pub loss_steps: u32,
}

/// Contents of a checkpoint besides the tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Settings of the run.
    pub settings: Settings,
    /// Plan of the run.
    pub plan: RunPlan,
    /// BLAKE3 of `manifest.parquet`.
    pub manifest_blake3: String,
    /// Progress of the run.
    pub progress: TrainingProgress,
    /// Weights that the run started from.
    #[serde(default)]
    pub initialisation: Option<Initialisation>,
    /// Extensions; the last one is in progress.
    #[serde(default)]
    pub extensions: Vec<Extension>,
}

/// A checkpoint in memory.
#[derive(Debug)]
pub struct Checkpoint {
    /// Settings, plan and progress.
    pub state: State,
    /// Evaluations so far.
    pub history: Vec<HistoryRow>,
    tensors: HashMap<String, Tensor>,
}

/// Writes a checkpoint atomically: the previous one stays if the write fails.
///
/// # Errors
/// [`FitError::Checkpoint`].
pub fn write(
    run: &Path,
    state: &State,
    history: &[HistoryRow],
    tensors: Vec<(String, Tensor)>,
) -> Result<()> {
    let path = run.join(FILE);
    let failed = |problem: String| FitError::Checkpoint { problem, path: path.clone() };
    let json = to_json(state).map_err(|e| failed(e.to_string()))?;
    let mut named = tensors;
    named.push((STATE.to_owned(), Tensor::f_from_slice(&json)?));
    if !history.is_empty() {
        let numbers: Vec<f64> = history.iter().flat_map(figures).collect();
        named.push((HISTORY.to_owned(), Tensor::f_from_slice(&numbers)?.f_view([history.len() as i64, -1])?));
    }
    atomic::write_with(&path, |temporary| {
        // An error of the disk, without the name of the temporary file.
        Tensor::write_safetensors(&named, temporary)
            .map_err(|e| StoreError::io("write the file", &path)(std::io::Error::other(cause(&e))))
    })
    .map_err(|e: StoreError| match e {
        StoreError::Io { source, .. } => failed(source.to_string()),
        other => failed(other.to_string()),
    })
}

/// A state with the version of its format.
fn to_json(state: &State) -> serde_json::Result<Vec<u8>> {
    #[derive(Serialize)]
    struct Versioned<'a> {
        format: u32,
        #[serde(flatten)]
        state: &'a State,
    }
    serde_json::to_vec(&Versioned { format: FORMAT, state })
}

/// Cause of an error in libtorch's file functions, without the name of the temporary file.
fn cause(error: &tch::TchError) -> String {
    match error {
        tch::TchError::SafeTensorError { err, .. } => err.to_string(),
        other => other.to_string().lines().next().unwrap_or_default().to_owned(),
    }
}

/// Removes the checkpoint of a finished run that was stopped between its record and the removal.
/// Kept are that of an interrupted extension, which has more `extensions` than the record, one that
/// cannot be read, and that of a run in progress.
///
/// # Errors
/// [`FitError`] if it cannot be removed.
pub(crate) fn remove_remnant(run: &Path, extensions: usize) -> Result<()> {
    if !regular_file::is_there(&run.join(FILE))? {
        return Ok(());
    }
    let _lock = match FolderLock::take(run) {
        Err(StoreError::Locked { .. }) => return Ok(()),
        taken => taken?,
    };
    match read(run) {
        Ok(Some(found)) if found.state.extensions.len() <= extensions => {
            Ok(atomic::remove(&SafePath::new(run, FILE)?)?)
        }
        _ => Ok(()),
    }
}

/// Reads the checkpoint of a run; `None` if it has none.
///
/// # Errors
/// [`FitError::Checkpoint`] if the file cannot be read, [`FitError::OtherFormat`] if it is of a
/// version that cannot be read, [`FitError::UnreadableRecord`] if it is damaged.
pub fn read(run: &Path) -> Result<Option<Checkpoint>> {
    let path = run.join(FILE);
    if !regular_file::is_there(&path)? {
        return Ok(None);
    }
    let failed = |problem: String| FitError::Checkpoint { problem, path: path.clone() };
    let tensors = Tensor::read_safetensors(&path).map_err(|e| failed(cause(&e)))?;
    let tensors: HashMap<String, Tensor> = tensors.into_iter().collect();
    let json = tensors.get(STATE).filter(|json| json.kind() == Kind::Uint8);
    let json = json.ok_or_else(|| failed("it holds no state".to_owned()))?;
    let mut bytes = vec![0_u8; json.numel()];
    json.f_copy_data(&mut bytes, json.numel())?;
    let state = state_from(&bytes, &path)?;
    let of_regions = state.plan.regions.iter().flat_map(|region| &region.channels).copied().max();
    let labels = of_regions.map_or(state.plan.structures(), usize::from);
    let structures = state.plan.structures();
    if let Some(problem) = state.plan.problem(labels) {
        return Err(failed(format!("{problem}; --force starts the run again")));
    }
    for (name, tensor) in tensors.iter().filter(|(name, _)| *name != HISTORY && *name != STATE) {
        if !weights::are_finite(tensor)? {
            return Err(failed(format!("{name} contains NaN or infinity; --force starts the run again")));
        }
    }
    let history = match tensors.get(HISTORY) {
        Some(numbers) => {
            rows(numbers, structures)?.ok_or_else(|| failed("its history has too few columns".to_owned()))?
        }
        None => Vec::new(),
    };
    Ok(Some(Checkpoint { state, history, tensors }))
}

/// The state in a checkpoint, or its format if it cannot be read.
fn state_from(json: &[u8], path: &Path) -> Result<State> {
    #[derive(Deserialize)]
    struct Versioned {
        #[serde(default)]
        format: u32,
    }
    let (record, supported, path) = (Record::Checkpoint, FORMAT, path.to_owned());
    let found = serde_json::from_slice(json).map(|Versioned { format }| format);
    match (serde_json::from_slice::<State>(json), found) {
        (Ok(state), Ok(found)) if found <= supported => Ok(state),
        (_, Ok(found)) if found != supported => Err(FitError::OtherFormat { record, found, supported, path }),
        _ => Err(FitError::UnreadableRecord { record, path }),
    }
}

impl Checkpoint {
    /// A checkpoint of this state, before it is written.
    pub fn new(state: State, history: Vec<HistoryRow>, tensors: Vec<(String, Tensor)>) -> Self {
        Self { state, history, tensors: tensors.into_iter().collect() }
    }

    /// Writes the checkpoint to a run's folder.
    ///
    /// # Errors
    /// [`FitError::Checkpoint`].
    pub fn save(&self, run: &Path) -> Result<()> {
        let tensors = self.tensors.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone()));
        write(run, &self.state, &self.history, tensors.collect())
    }

    /// The tensor of an entry.
    ///
    /// # Errors
    /// [`FitError::Weights`] if there is no such entry.
    pub fn tensor(&self, name: &str) -> Result<Tensor> {
        let found = self.tensors.get(name).map(Tensor::shallow_clone);
        found.ok_or_else(|| FitError::Weights { name: name.to_owned(), shape: vec![] })
    }
}

/// A row of the history as f64, in which counts are exact; a missing Dice is NaN.
fn figures(row: &HistoryRow) -> Vec<f64> {
    let counts = [row.step as f64, row.samples as f64, f64::from(row.epoch), f64::from(row.active)];
    let others = [row.seconds, row.loss, row.dice_mean];
    let cases = row.case_dice.iter().map(|dice| dice.unwrap_or(f64::NAN));
    counts.into_iter().chain(others).chain(row.dice.iter().copied()).chain(cases).collect()
}

/// The rows of a history; `None` if they have too few columns for the labels.
fn rows(numbers: &Tensor, labels: usize) -> Result<Option<Vec<HistoryRow>>> {
    let mut all = vec![0.0_f64; numbers.numel()];
    numbers.f_to_kind(Kind::Double)?.f_copy_data(&mut all, numbers.numel())?;
    let width = numbers.size().get(1).map_or(1, |&n| (n as usize).max(1));
    if width < FIGURES + labels || !all.len().is_multiple_of(width) {
        return Ok(None);
    }
    let row = |row: &[f64]| match *row {
        [step, samples, epoch, active, seconds, loss, dice_mean, ..] => Some(HistoryRow {
            step: step as u64,
            samples: samples as u64,
            seconds,
            epoch: epoch as u32,
            active: active as u32,
            loss,
            dice: row[FIGURES..FIGURES + labels].to_vec(),
            dice_mean,
            case_dice: row[FIGURES + labels..].iter().map(|dice| (!dice.is_nan()).then_some(*dice)).collect(),
        }),
        _ => None,
    };
    Ok(Some(all.chunks(width).filter_map(row).collect()))
}
