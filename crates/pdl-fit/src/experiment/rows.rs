//! Rows of finished runs and measured times in one file of JSON lines, so that a run that was made
//! is never made again: the file can be kept beside a protocol and copied between machines.
//!
//! A run's key is the BLAKE3 of all that determines its result: training version, manifest, stages,
//! settings without those of the machine, fold and the split of its evaluations.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;

use pdl_cohort::attributes::Split;
use pdl_curriculum::manifest::Manifest;
use pdl_curriculum::pacing::CurriculumStage;
use pdl_store::hash::Key;
use pdl_store::lock::FolderLock;
use pdl_store::safe_path::SafePath;
use pdl_store::{StoreError, json, regular_file};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{FitError, Result};
use crate::experiment::run_record::Programs;
use crate::model::unet::NetworkPlan;
use crate::optim::optimiser::Method;
use crate::plan::curriculum_schedule::PatchSpec;
use crate::plan::settings::{Augment, Settings};

/// Version of training. Raise it with every change that changes results: rows of other versions are
/// ignored.
pub const TRAINING_VERSION: u32 = 1;
/// Name of the file in the folder of experiments, unless another is given.
pub const FILE: &str = "runs.jsonl";
/// Settings of the machine, which change no result.
const OF_THE_MACHINE: [&str; 3] = ["device", "threads", "workers"];
/// Interval between attempts to take the lock of the file.
const PATIENCE: Duration = Duration::from_millis(20);
/// Figures of Dice that are kept: 6 decimals.
const DECIMALS: f64 = 1e6;

/// A row of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Row {
    /// A finished run.
    Run(RunRow),
    /// The time of a kind of step.
    Step(StepRow),
    /// Seconds of comparing or ranking a cohort.
    Cost(CostRow),
}

/// A finished run with its evaluations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunRow {
    /// BLAKE3 of all that determines the result.
    pub key: String,
    /// Name of the arm, or of the selection of training cases.
    pub name: String,
    /// Name of the order of the training cases.
    pub order: String,
    /// Fold, if the cohort was divided for the experiment.
    pub fold: Option<u32>,
    /// Split of the evaluations.
    pub evaluated_on: Split,
    /// Seed of the run.
    pub seed: u64,
    /// Peak learning rate.
    pub lr: f64,
    /// Planned length in steps.
    pub steps: u64,
    /// Number of training cases.
    pub training_cases: usize,
    /// Steps completed at each evaluation; none if the run diverged.
    pub evaluated_at: Vec<u64>,
    /// Mean Dice of each evaluation to 6 decimals; 0 if no case counts.
    pub dice: Vec<f64>,
    /// Seconds of training on the machine that made the run, with whatever else it did.
    pub training_seconds: f64,
    /// Versions and device; null if the run diverged.
    pub programs: Option<Programs>,
}

/// When steps were timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Timing {
    /// Before the first run; lengths in seconds are converted into steps by it.
    Before,
    /// After the last run.
    After,
    /// On request, on a quiet machine; it replaces the other two in the result.
    Again,
}

/// The time of a kind of step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StepRow {
    /// BLAKE3 of network, patches, optimiser, augmentation and training version.
    pub key: String,
    /// When it was measured.
    pub timing: Timing,
    /// Patches of the step.
    #[serde(flatten)]
    pub patches: PatchSpec,
    /// Optimisation method.
    pub optimiser: Method,
    /// Median seconds of a step, over rounds in which all kinds took turns.
    pub seconds: f64,
    /// Versions, device and threads.
    pub programs: Programs,
}

/// Seconds of comparing or ranking a cohort.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CostRow {
    /// BLAKE3 of what was compared or ranked.
    pub key: String,
    /// Experiment of the run, such as `compare` or `rank k-centre`.
    pub what: String,
    /// Seconds that it took.
    pub seconds: f64,
}

/// The manifest of a run, as far as its key depends on it.
#[derive(Clone, Debug, PartialEq)]
pub struct ManifestKey {
    /// BLAKE3 of `manifest.parquet`.
    pub blake3: String,
    /// Stages of the curriculum.
    pub stages: Vec<CurriculumStage>,
}

impl ManifestKey {
    /// Reads that of the manifest in `folder`.
    ///
    /// # Errors
    /// [`FitError::Curriculum`] if there is none or it is invalid.
    pub fn of(folder: &Path) -> Result<Self> {
        let info = Manifest::open(folder)?.info;
        Ok(Self { blake3: info.hashes.manifest, stages: info.stages })
    }
}

/// Key of a run.
///
/// # Errors
/// [`FitError::InvalidSettings`] if a setting has no JSON form.
pub fn run_key(
    manifest: &ManifestKey,
    settings: &Settings,
    fold: Option<u32>,
    evaluated_on: Split,
) -> Result<String> {
    // Values that are the default are left out, so that a new setting changes no key.
    let defaults = Settings::defaults()?.values()?;
    let values = settings.with_method_defaults().values()?;
    let counts = |(name, value): &(String, Value)| {
        !OF_THE_MACHINE.contains(&name.as_str()) && defaults.get(name) != Some(value)
    };
    let values: BTreeMap<String, Value> = values.into_iter().filter(counts).collect();
    Ok(Key::new("run 1")
        .part("training", &TRAINING_VERSION)
        .part("manifest", &manifest.blake3)
        .part("stages", &manifest.stages)
        .part("settings", &values)
        .part("fold", &fold)
        .part("evaluated_on", &evaluated_on)
        .finish())
}

/// Key of a kind of step.
pub fn step_key(network: &NetworkPlan, patches: &PatchSpec, optimiser: Method, augment: Augment) -> String {
    Key::new("step 1")
        .part("training", &TRAINING_VERSION)
        .part("network", network)
        .part("patches", patches)
        .part("optimiser", &optimiser)
        .part("augment", &augment)
        .finish()
}

/// Dice as it is kept: 6 decimals, 0 if no case counts.
pub fn kept(dice: f64) -> f64 {
    if dice.is_nan() { 0.0 } else { (dice * DECIMALS).round() / DECIMALS }
}

/// All rows of a file.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    runs: HashMap<String, RunRow>,
    steps: Vec<StepRow>,
    costs: HashMap<String, CostRow>,
}

impl Rows {
    /// The run of a key.
    pub fn run(&self, key: &str) -> Option<&RunRow> {
        self.runs.get(key)
    }

    /// The latest time of a kind of step that was measured then.
    pub fn step(&self, key: &str, timing: Timing) -> Option<&StepRow> {
        self.steps.iter().rev().find(|row| row.key == key && row.timing == timing)
    }

    /// The seconds of a key.
    pub fn cost(&self, key: &str) -> Option<f64> {
        self.costs.get(key).map(|row| row.seconds)
    }

    fn add(&mut self, row: Row) {
        match row {
            Row::Run(row) => {
                self.runs.entry(row.key.clone()).or_insert(row);
            }
            Row::Step(row) => self.steps.push(row),
            Row::Cost(row) => {
                self.costs.entry(row.key.clone()).or_insert(row);
            }
        }
    }

    /// Whether a row tells nothing new. Times that are measured again do.
    fn has(&self, row: &Row) -> bool {
        match row {
            Row::Run(row) => self.runs.contains_key(&row.key),
            Row::Step(row) => row.timing != Timing::Again && self.step(&row.key, row.timing).is_some(),
            Row::Cost(row) => self.costs.contains_key(&row.key),
        }
    }
}

/// The file, which several processes may extend at once.
#[derive(Clone, Debug)]
pub struct RowFile {
    path: PathBuf,
    /// Folder whose lock guards the file.
    lock: PathBuf,
}

impl RowFile {
    /// The file `path`, or that of the folder of experiments, `folder`, which exists.
    ///
    /// # Errors
    /// [`FitError::Store`] if the folder of the lock cannot be created.
    pub fn new(path: Option<PathBuf>, folder: &Path) -> Result<Self> {
        let lock = SafePath::new(folder, "lock")?.create()?;
        // A lock whose folder existed is not removed when it is released, so that no process can
        // hold the lock of a removed file.
        SafePath::new(&lock, pdl_store::journal::FOLDER)?.create()?;
        Ok(Self { path: path.unwrap_or_else(|| folder.join(FILE)), lock })
    }

    /// Path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the lock of the file; blocks while another process holds it.
    ///
    /// # Errors
    /// [`FitError::Store`] if the lock cannot be taken.
    pub fn lock(&self) -> Result<FolderLock> {
        loop {
            match FolderLock::take(&self.lock) {
                Err(StoreError::Locked { .. }) => std::thread::sleep(PATIENCE),
                taken => return Ok(taken?),
            }
        }
    }

    /// Reads the rows; none if the file is missing.
    ///
    /// # Errors
    /// [`FitError::InvalidFile`] if a line is not a run row.
    pub fn read(&self) -> Result<Rows> {
        let mut rows = Rows::default();
        self.lines()?.into_iter().for_each(|row| rows.add(row));
        Ok(rows)
    }

    fn lines(&self) -> Result<Vec<Row>> {
        if !regular_file::is_there(&self.path)? {
            return Ok(Vec::new());
        }
        let text =
            std::fs::read_to_string(&self.path).map_err(StoreError::io("read the file", &self.path))?;
        let row = |(number, line): (usize, &str)| {
            serde_json::from_str(line).map_err(|error| FitError::InvalidFile {
                problem: format!("line {} is not a run row: {error}", number + 1),
                path: self.path.clone(),
            })
        };
        text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(row).collect()
    }

    /// Adds rows that are new, and returns all.
    ///
    /// # Errors
    /// As [`RowFile::read`]; [`FitError::Store`] if the file cannot be written.
    pub fn add(&self, new: Vec<Row>) -> Result<Rows> {
        let _lock = self.lock()?;
        self.add_locked(new)
    }

    /// Like [`RowFile::add`], by the holder of the lock.
    ///
    /// # Errors
    /// As [`RowFile::add`].
    pub fn add_locked(&self, new: Vec<Row>) -> Result<Rows> {
        let mut lines = self.lines()?;
        let mut rows = Rows::default();
        lines.iter().cloned().for_each(|row| rows.add(row));
        for row in new {
            if !rows.has(&row) {
                lines.push(row.clone());
                rows.add(row);
            }
        }
        json::write_lines(self.path.as_path(), &lines)?;
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::settings::tests::settings;

    fn manifest() -> ManifestKey {
        ManifestKey { blake3: "a".to_owned(), stages: Vec::new() }
    }

    fn key(line: &str) -> String {
        run_key(&manifest(), &settings(line), Some(1), Split::Test).unwrap()
    }

    #[test]
    fn a_key_has_what_determines_the_result_and_nothing_of_the_machine() {
        assert_eq!(key("--threads 2 --workers 3 --device cpu"), key(""));
        assert_eq!(key("--lr 0.003"), key(""), "the default that is written out");
        for other in ["--lr 0.004", "--seed 2", "--optimiser muon", "--patch-share 0.5", "--steps 7"] {
            assert_ne!(key(other), key(""), "{other}");
        }
        let with =
            |manifest: &ManifestKey, fold, split| run_key(manifest, &settings(""), fold, split).unwrap();
        assert_ne!(with(&manifest(), Some(2), Split::Test), key(""));
        assert_ne!(with(&manifest(), Some(1), Split::Val), key(""));
        let other = ManifestKey { blake3: "b".to_owned(), ..manifest() };
        assert_ne!(with(&other, Some(1), Split::Test), key(""));
        let stages = vec![CurriculumStage { stage: 0, first_epoch: 0, active_cases: 3 }];
        assert_ne!(with(&ManifestKey { stages, ..manifest() }, Some(1), Split::Test), key(""));
    }

    #[test]
    fn rows_survive_and_a_run_is_kept_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = RowFile::new(None, folder.path()).unwrap();
        let row = |key: &str, dice| {
            Row::Run(RunRow {
                key: key.to_owned(),
                name: "a".to_owned(),
                order: "typical".to_owned(),
                fold: Some(0),
                evaluated_on: Split::Test,
                seed: 1,
                lr: 0.003,
                steps: 10,
                training_cases: 5,
                evaluated_at: vec![5, 10],
                dice,
                training_seconds: 1.0,
                programs: None,
            })
        };
        assert!(file.read().unwrap().run("x").is_none());
        file.add(vec![row("x", vec![0.1, kept(1.0 / 3.0)])]).unwrap();
        let cost = |seconds| Row::Cost(CostRow { key: "c".to_owned(), what: "compare".to_owned(), seconds });
        file.add(vec![row("x", vec![0.9, 0.9]), row("y", Vec::new()), cost(2.0), cost(3.0)]).unwrap();
        let rows = file.read().unwrap();
        assert_eq!(rows.run("x").unwrap().dice, [0.1, 0.333_333]);
        assert_eq!((rows.run("y").unwrap().dice.len(), rows.cost("c")), (0, Some(2.0)));
        assert_eq!(std::fs::read_to_string(file.path()).unwrap().lines().count(), 3);
        std::fs::write(file.path(), "{}").unwrap();
        assert!(file.read().unwrap_err().to_string().contains("line 1 is not a run row"));
    }
}
