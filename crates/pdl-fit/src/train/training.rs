//! Training run: from a curation folder to weights, history and record.

use std::path::{Path, PathBuf};

use pdl_cohort::cases::{self, Cases};
use pdl_cohort::parameters::IndexParameters;
use pdl_cohort::reading::ImageReading;
use pdl_curriculum::manifest::Label;
use pdl_store::lock::FolderLock;
use pdl_store::memory::MemoryLimit;
use pdl_store::safe_path::SafePath;
use pdl_store::{StoreError, fault, hash, json};
use tch::{Cuda, Device};

use crate::data::dataset::{Dataset, Loaded};
use crate::data::subset::Subset;
use crate::error::{Difference, FitError, Record, Result};
use crate::experiment::run_record::{self, Programs, Reference, Results, RunRecord, Standing};
use crate::model::unet::NetworkPlan;
use crate::plan::curriculum_schedule::PatchSpec;
use crate::plan::run_plan::{RunPlan, Speed, TimedPart};
use crate::plan::settings::{DeviceChoice, Settings};
use crate::train::checkpoint::{self, Checkpoint, State, TrainingProgress};
use crate::train::history::{self, HistoryRow};
use crate::train::trainer::{Pause, Trainer};

/// A training run, with its input and output folders.
#[derive(Clone, Debug)]
pub struct TrainRequest {
    /// Curation folder, or the folder of one of its folds.
    pub out: PathBuf,
    /// Folder for runs inside it.
    pub runs: PathBuf,
    /// Name of the run; `None` derives it from schedule and seed.
    pub name: Option<String>,
    /// Settings of the run.
    pub settings: Settings,
    /// Subset of the training cases.
    pub sample: Subset,
    /// Tuning from which the settings were taken.
    pub tuned: Option<Reference>,
    /// Whether to replace an existing run.
    pub force: bool,
    /// Whether to skip the comparison of files with their recorded hashes.
    pub trust_files: bool,
    /// Most bytes of memory; half of what is free if `None`. Cases that take more than half of it
    /// are read from files while training, which changes no result.
    pub memory: Option<u64>,
}

/// Progress of a training run, for a display.
#[derive(Debug)]
pub enum Event<'a> {
    /// All cases have been read; training starts.
    Begins {
        /// Plan of the run.
        plan: &'a RunPlan,
        /// Number of training cases.
        training: usize,
        /// Number of validation cases.
        validation: usize,
        /// Names of the labels in channel order, from channel 1.
        labels: &'a [String],
        /// Versions and device.
        programs: &'a Programs,
    },
    /// The voxels of all cases are read from files in this folder, as memory does not hold them.
    ReadsFromFiles(&'a Path),
    /// An interrupted run resumes after this many steps.
    Resumes(u64),
    /// Step `n` (from 1) has finished.
    Stepped(u64),
    /// An evaluation has finished.
    Evaluated(&'a HistoryRow),
}

/// Result of a request.
#[derive(Debug)]
pub struct Outcome {
    /// Folder of the run.
    pub folder: PathBuf,
    /// Record of the finished run.
    pub record: RunRecord,
    /// Whether a finished run with the same settings existed, so that nothing was trained.
    pub existed: bool,
}

impl TrainRequest {
    /// Reads the training and validation cases of the request.
    fn load(&self, cohort: &Dataset) -> Result<Loaded> {
        let limit = MemoryLimit::or_half_of_free(self.memory);
        cohort.load(&self.out, self.sample, self.trust_files, &limit)
    }

    fn folder(&self) -> Result<(String, PathBuf)> {
        let kind = self.settings.schedule.name();
        let name = self.name.clone().unwrap_or_else(|| format!("{kind}-seed{}", self.settings.seed));
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
            let problem = "must consist of letters, digits, '-', '_' and '.', and not begin with '.'";
            return Err(FitError::option("name", problem));
        }
        let folder = SafePath::new(&self.out, self.runs.join(&name))?.folder()?;
        Ok((name, folder))
    }
}

/// Trains a run, or resumes it; `watch` receives its progress.
///
/// # Errors
/// [`FitError`]; the curation folder is validated before the first step.
pub fn train(request: &TrainRequest, watch: &mut dyn FnMut(&Event<'_>)) -> Result<Outcome> {
    let (name, folder) = request.folder()?;
    let cohort = Dataset::open(&request.out)?;
    let manifest_blake3 = cohort.manifest.info.hashes.manifest.clone();
    if !request.force
        && let Standing::Same(record) = run_record::standing(&folder, &request.settings, &manifest_blake3)?
    {
        return Ok(Outcome { folder, record: *record, existed: true });
    }
    let programs = prepare_libtorch(&request.settings)?;
    let device = device_of(request.settings.device)?;
    let loaded = request.load(&cohort)?;
    let _lock = FolderLock::take(&folder)?;
    let interrupted = if request.force { None } else { checkpoint::read(&folder)? };
    if let Some(checkpoint) = &interrupted {
        same_run(checkpoint, request, &manifest_blake3, &folder)?;
    }
    let plan = match &interrupted {
        Some(checkpoint) => checkpoint.state.plan.clone(),
        None => plan(&request.settings, &cohort, &loaded)?,
    };
    // After planning: an invalid plan leaves an earlier run unchanged.
    clear(&folder, interrupted.is_some())?;
    let (training, validation) = (loaded.training.len(), loaded.validation.len());
    let labels = &cohort.names;
    watch(&Event::Begins { plan: &plan, training, validation, labels, programs: &programs });
    loaded.cache.iter().for_each(|folder| watch(&Event::ReadsFromFiles(folder)));
    let mut trainer = Trainer::new(&request.settings, &plan, device)?;
    let mut state = State {
        settings: request.settings.clone(),
        plan: plan.clone(),
        manifest_blake3,
        progress: TrainingProgress::default(),
    };
    match &interrupted {
        Some(checkpoint) => {
            trainer.restore(checkpoint)?;
            watch(&Event::Resumes(trainer.progress().step));
        }
        // The plan is saved before the first step, so that a length in seconds is converted into
        // steps only once.
        None => checkpoint::write(&folder, &state, &[], trainer.tensors())?,
    }
    trainer.run(&loaded, |trainer, pause| {
        watch(&Event::Stepped(trainer.progress().step));
        if pause == Pause::No {
            return Ok(());
        }
        state.progress = trainer.progress().clone();
        state.plan = trainer.plan();
        checkpoint::write(&folder, &state, trainer.history(), trainer.tensors())?;
        if pause == Pause::Evaluated {
            history::write(&folder, trainer.history())?;
            trainer.history().last().into_iter().for_each(|row| watch(&Event::Evaluated(row)));
        }
        Ok(())
    })?;
    history::write(&folder, trainer.history())?;
    let weights = folder.join(run_record::WEIGHTS_FILE);
    trainer.averaged().save(&weights)?;
    let results = results(&trainer, hash::of_file(&weights)?)?;
    let labels = cohort.channels.labels().iter().zip(&cohort.names);
    let record = RunRecord {
        schema_version: run_record::SCHEMA_VERSION,
        name,
        settings: request.settings.clone(),
        sample: request.sample,
        tuned: request.tuned.clone(),
        channels: cohort.inputs.clone(),
        labels: labels.map(|(&value, name)| Label { value, name: name.clone() }).collect(),
        training_cases: training,
        validation_cases: validation,
        manifest_blake3: state.manifest_blake3,
        programs,
        results,
        plan: state.plan,
        preparation: cohort.manifest.info.plan.clone(),
        reading: Some(reading(&request.out, &cohort.manifest.info.index)?),
    };
    json::write(&folder.join(run_record::FILE), &record)?;
    remove(&folder.join(checkpoint::FILE))?;
    Ok(Outcome { folder, record, existed: false })
}

/// How the images were read; the index stage's table says what it decided, where it is there.
fn reading(out: &Path, index: &IndexParameters) -> Result<ImageReading> {
    let table = out.join(cases::FILE);
    match fault::is_file(&table).map_err(StoreError::io("look at the file", &table))? {
        true => Ok(ImageReading::of(&Cases::read(out)?)),
        false => Ok(ImageReading::from(index)),
    }
}

/// Times the steps of the runs that `all` describe, without training them to the end.
///
/// # Errors
/// As [`train`].
pub fn speeds(request: &TrainRequest, all: &[Settings]) -> Result<(Vec<Speed>, Programs)> {
    let cohort = Dataset::open(&request.out)?;
    let programs = prepare_libtorch(&request.settings)?;
    let loaded = request.load(&cohort)?;
    let mut known = Vec::new();
    let speeds = all.iter().map(|settings| speed_of(settings, &cohort, &loaded, &mut known));
    Ok((speeds.collect::<Result<_>>()?, programs))
}

/// Measured seconds per step, by network and patch specification.
pub(crate) type Known = Vec<((NetworkPlan, PatchSpec), f64)>;

/// As [`speeds`], for one run and cases in memory. Each network and patch specification is timed
/// once, so that noise does not separate equal runs.
pub(crate) fn speed_of(
    settings: &Settings,
    cohort: &Dataset,
    loaded: &Loaded,
    known: &mut Known,
) -> Result<Speed> {
    let device = device_of(settings.device)?;
    let images = cohort.training_images(loaded, settings.augment)?;
    let cohort = cohort.with(&images);
    let plan = settings.plan(&cohort, None)?;
    let mut parts = Vec::new();
    for part in settings.parts(&plan.network, plan.patch, plan.batch) {
        let key = (plan.network, part.grain);
        let before = known.iter().find(|(known, _)| *known == key).map(|(_, seconds)| *seconds);
        let seconds = match before {
            Some(seconds) => seconds,
            None => {
                let seconds = Trainer::new(settings, &plan, device)?.seconds_of_step(loaded, part.grain)?;
                known.push((key, seconds));
                seconds
            }
        };
        parts.push(TimedPart { part, seconds });
    }
    Ok(Speed { parts })
}

/// Seconds of one evaluation of such a run.
pub(crate) fn seconds_of_evaluation(settings: &Settings, cohort: &Dataset, loaded: &Loaded) -> Result<f64> {
    let plan = settings.plan(&cohort.with(&cohort.training_images(loaded, settings.augment)?), None)?;
    let trainer = Trainer::new(settings, &plan, device_of(settings.device)?)?;
    trainer.seconds_of_evaluation(&loaded.validation)
}

/// Plans the run; a length in seconds is converted into steps after timing some.
fn plan(settings: &Settings, cohort: &Dataset, loaded: &Loaded) -> Result<RunPlan> {
    let speed = match settings.seconds {
        Some(_) => Some(speed_of(settings, cohort, loaded, &mut Known::new())?),
        None => None,
    };
    settings.plan(&cohort.with(&cohort.training_images(loaded, settings.augment)?), speed.as_ref())
}

/// Refuses to resume from a checkpoint with other settings or another manifest.
fn same_run(
    checkpoint: &Checkpoint,
    request: &TrainRequest,
    manifest_blake3: &str,
    folder: &Path,
) -> Result<()> {
    let State { settings, manifest_blake3: manifest, .. } = &checkpoint.state;
    let difference = match (*settings == request.settings, manifest == manifest_blake3) {
        (true, true) => return Ok(()),
        (false, _) => Difference::Settings,
        (true, false) => Difference::Manifest,
    };
    Err(FitError::Occupied { record: Record::Checkpoint, difference, path: folder.to_owned() })
}

/// Removes results of an earlier run from the folder; a run that resumes keeps checkpoint and
/// history.
fn clear(folder: &Path, goes_on: bool) -> Result<()> {
    pdl_store::atomic::sweep(&SafePath::root(folder))?;
    let results = [run_record::FILE, run_record::WEIGHTS_FILE];
    let state = [history::FILE, checkpoint::FILE];
    results.iter().chain(state.iter().filter(|_| !goes_on)).try_for_each(|file| remove(&folder.join(file)))
}

pub(crate) fn remove(path: &Path) -> Result<()> {
    if path.exists() {
        std::fs::remove_file(path).map_err(StoreError::io("remove the file", path))?;
    }
    Ok(())
}

fn results(trainer: &Trainer<'_>, weights_blake3: String) -> Result<Results> {
    let (last, progress) = (trainer.history().last(), trainer.progress());
    let last = last.ok_or_else(|| FitError::option("steps", "must be at least 1"))?;
    let number = |dice: f64| (!dice.is_nan()).then_some(dice);
    Ok(Results {
        steps: last.step,
        samples: last.samples,
        training_seconds: last.seconds,
        evaluation_seconds: progress.evaluation_seconds,
        waiting_share: progress.waited / progress.seconds,
        loss: last.loss,
        dice: last.dice.iter().copied().map(number).collect(),
        dice_mean: number(last.dice_mean),
        weights_blake3,
    })
}

/// The libtorch device of a choice.
///
/// # Errors
/// [`FitError::InvalidOption`] if there is no such device.
pub fn device_of(choice: DeviceChoice) -> Result<Device> {
    match choice {
        DeviceChoice::Cpu => Ok(Device::Cpu),
        DeviceChoice::Auto => Ok(Device::cuda_if_available()),
        DeviceChoice::Cuda if Cuda::is_available() => Ok(Device::Cuda(0)),
        DeviceChoice::Cuda => Err(FitError::option("device", "is cuda, but libtorch finds no CUDA device")),
    }
}

/// Sets libtorch's threads; returns versions, device and threads.
pub(crate) fn prepare_libtorch(settings: &Settings) -> Result<Programs> {
    let device = match device_of(settings.device)? {
        Device::Cuda(n) => format!("cuda {n}"),
        _ => "cpu".to_owned(),
    };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let told = std::env::var("OMP_NUM_THREADS").ok().and_then(|threads| threads.parse().ok());
    let threads = settings.threads.or(told.filter(|&threads| threads > 0)).unwrap_or(cores);
    tch::set_num_threads(i32::try_from(threads).unwrap_or(i32::MAX));
    // Threads of the instance norm; a second training in this process keeps those of the first.
    let _ = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
    let libtorch = option_env!("PDL_LIBTORCH_VERSION").unwrap_or("unknown").to_owned();
    Ok(Programs { pdl: env!("CARGO_PKG_VERSION").to_owned(), libtorch, device, threads })
}
