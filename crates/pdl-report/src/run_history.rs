//! Training runs in `runs/`, read by the names of their fields, so that the report does not depend
//! on the trainer.

use std::path::Path;

use pdl_store::{StoreError, fault, json, table};
use serde::{Deserialize, Serialize};

use crate::{Result, unless_unreadable};

/// Folder of the runs inside a curation folder.
pub const FOLDER: &str = "runs";
/// Newest format version of `run.json` that is read.
pub const RUN_VERSION: u32 = 5;
/// Newest format version that is read of the tables of runs and of `out_of_fold.parquet`.
pub const TABLE_VERSION: u32 = 1;

/// The part of `run.json` that is shown.
#[derive(Clone, Debug, Deserialize)]
struct RunJson {
    settings: RecordedSettings,
    labels: Vec<RecordedLabel>,
    /// Regions of runs that learn regions; figures are then those of the regions.
    #[serde(default)]
    regions: Vec<RecordedLabel>,
    results: RecordedResults,
}

#[derive(Clone, Debug, Deserialize)]
struct RecordedSettings {
    schedule: String,
    seed: u64,
}

#[derive(Clone, Debug, Deserialize)]
struct RecordedLabel {
    name: String,
}

#[derive(Clone, Debug, Deserialize)]
struct RecordedResults {
    dice: Vec<Option<f64>>,
    dice_mean: Option<f64>,
    training_seconds: f64,
}

/// One evaluation on the validation split.
#[derive(Clone, Debug, Deserialize)]
struct HistoryLine {
    seconds: f64,
    active: u32,
    loss: f64,
    dice_mean: f64,
}

/// A finished run.
#[derive(Clone, Debug, Serialize)]
pub struct ShownRun {
    /// Name of its folder.
    pub name: String,
    /// Schedule by which cases joined.
    pub schedule: String,
    /// Seed of the run.
    pub seed: u64,
    /// Names of the labels.
    pub labels: Vec<String>,
    /// Final validation Dice of each label.
    pub dice: Vec<Option<f64>>,
    /// Mean of these Dice values.
    pub dice_mean: Option<f64>,
    /// Training time in seconds.
    pub seconds: f64,
    /// For each evaluation: seconds of training, mean Dice over labels (null when no case counts),
    /// mean loss, and active cases.
    pub curve: Vec<(f64, Option<f64>, f64, u32)>,
}

/// All finished runs of a curation folder, by name, and the number of folders that hold none.
///
/// # Errors
/// Errors of the machine that prevent one from being read.
pub fn runs(out: &Path) -> Result<(Vec<ShownRun>, usize)> {
    let folder = out.join(FOLDER);
    let listed = fault::list(&folder).map_err(StoreError::io("list the runs", &folder));
    let mut folders: Vec<_> = unless_unreadable(listed)?
        .unwrap_or_default()
        .iter()
        .map(|entry| entry.path())
        .filter(|path| {
            path.is_dir() && !path.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.'))
        })
        .collect();
    folders.sort();
    let read: Vec<Option<ShownRun>> = folders.iter().map(|folder| run(folder)).collect::<Result<_>>()?;
    let unread = read.iter().filter(|run| run.is_none()).count();
    Ok((read.into_iter().flatten().collect(), unread))
}

fn run(folder: &Path) -> Result<Option<ShownRun>> {
    let record = json::read_versioned::<RunJson>(&folder.join("run.json"), RUN_VERSION);
    let Some(record) = unless_unreadable(record)? else { return Ok(None) };
    let history = table::read_rows::<HistoryLine>(&folder.join("history.parquet"), TABLE_VERSION);
    let Some((history, _)) = unless_unreadable(history)? else { return Ok(None) };
    let finite = |value: f64| value.is_finite().then_some(value);
    let structures = if record.regions.is_empty() { record.labels } else { record.regions };
    Ok(Some(ShownRun {
        name: folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        schedule: record.settings.schedule,
        seed: record.settings.seed,
        labels: structures.into_iter().map(|label| label.name).collect(),
        dice: record.results.dice,
        dice_mean: record.results.dice_mean,
        seconds: record.results.training_seconds,
        curve: history.iter().map(|e| (e.seconds, finite(e.dice_mean), e.loss, e.active)).collect(),
    }))
}
