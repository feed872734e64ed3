//! The training run: from a curation folder to weights, a history and a record.

use std::path::{Path, PathBuf};

use pdl_curriculum::manifest::Label;
use pdl_store::lock::FolderLock;
use pdl_store::{hash, json};
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

/// What to train, and how it is kept.
#[derive(Clone, Debug)]
pub struct TrainRequest {
    /// The curation folder, or the folder of one of its folds.
    pub out: PathBuf,
    /// The folder of runs inside it.
    pub runs: PathBuf,
    /// The run's name; from schedule and seed when not given.
    pub name: Option<String>,
    /// How to train.
    pub settings: Settings,
    /// Which cases to train on.
    pub sample: Subset,
    /// The tuning that the settings were taken from.
    pub tuned: Option<Reference>,
    /// Train anew even when the run exists.
    pub force: bool,
    /// Do not compare the files with their recorded hashes.
    pub trust_files: bool,
}

/// How a run goes, for a display.
#[derive(Debug)]
pub enum Event<'a> {
    /// All is read; training begins.
    Begins {
        /// What will be done.
        plan: &'a RunPlan,
        /// Cases learnt from.
        training: usize,
        /// Cases evaluated on.
        validation: usize,
        /// What runs it.
        programs: &'a Programs,
    },
    /// An interrupted run goes on after so many steps.
    Resumes(u64),
    /// A step was made, the so manieth.
    Stepped(u64),
    /// An evaluation was made.
    Evaluated(&'a HistoryRow),
}

/// What became of a request.
#[derive(Debug)]
pub struct Outcome {
    /// The run's folder.
    pub folder: PathBuf,
    /// Its record.
    pub record: RunRecord,
    /// Whether the run existed already and nothing was done.
    pub existed: bool,
}

impl TrainRequest {
    fn folder(&self) -> Result<(String, PathBuf)> {
        let kind = self.settings.schedule.name();
        let name = self.name.clone().unwrap_or_else(|| format!("{kind}-seed{}", self.settings.seed));
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
            let problem = "must consist of letters, digits, '-', '_' and '.', and not begin with '.'";
            return Err(FitError::option("name", problem));
        }
        let folder = self.out.join(&self.runs).join(&name);
        Ok((name, folder))
    }
}

/// Trains as requested; tells `watch` how it goes.
///
/// # Errors
/// [`FitError`]: everything about the folder is checked before training begins.
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
    let loaded = cohort.load(&request.out, request.sample, request.trust_files)?;
    let _lock = FolderLock::take(&folder)?;
    let interrupted = if request.force { None } else { checkpoint::read(&folder)? };
    if let Some(checkpoint) = &interrupted {
        same_run(checkpoint, request, &manifest_blake3, &folder)?;
    }
    let plan = match &interrupted {
        Some(checkpoint) => checkpoint.state.plan.clone(),
        None => plan(&request.settings, &cohort, &loaded)?,
    };
    // Only now: a plan that cannot be leaves an earlier run as it was.
    clear(&folder, interrupted.is_some())?;
    let (training, validation) = (loaded.training.len(), loaded.validation.len());
    watch(&Event::Begins { plan: &plan, training, validation, programs: &programs });
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
        // The plan stands before the first step: a length in seconds is turned into steps only once.
        None => checkpoint::write(&folder, &state, &[], trainer.tensors())?,
    }
    trainer.run(&loaded, |trainer, pause| {
        watch(&Event::Stepped(trainer.progress().step));
        if pause == Pause::No {
            return Ok(());
        }
        state.progress = trainer.progress().clone();
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
        labels: labels.map(|(&value, name)| Label { value, name: name.clone() }).collect(),
        training_cases: training,
        validation_cases: validation,
        manifest_blake3: state.manifest_blake3,
        programs,
        results,
        plan: state.plan,
        preparation: cohort.manifest.info.plan.clone(),
    };
    json::write(&folder.join(run_record::FILE), &record)?;
    remove(&folder.join(checkpoint::FILE))?;
    Ok(Outcome { folder, record, existed: false })
}

/// Times the steps of runs that a request with these settings would make, and makes none.
///
/// # Errors
/// [`FitError`] as for [`train`].
pub fn speeds(request: &TrainRequest, all: &[Settings]) -> Result<(Vec<Speed>, Programs)> {
    let cohort = Dataset::open(&request.out)?;
    let programs = prepare_libtorch(&request.settings)?;
    let loaded = cohort.load(&request.out, request.sample, request.trust_files)?;
    let mut known = Vec::new();
    let speeds = all.iter().map(|settings| speed_of(settings, &cohort, &loaded, &mut known));
    Ok((speeds.collect::<Result<_>>()?, programs))
}

/// Seconds of steps that were timed before.
pub(crate) type Known = Vec<((NetworkPlan, PatchSpec), f64)>;

/// As [`speeds`], of one run and of cases that have been read. Equal steps are timed once, lest noise tell runs apart.
pub(crate) fn speed_of(
    settings: &Settings,
    cohort: &Dataset,
    loaded: &Loaded,
    known: &mut Known,
) -> Result<Speed> {
    let device = device_of(settings.device)?;
    let shapes = shapes(loaded);
    let cohort = cohort.with(&shapes);
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

/// Seconds that an evaluation of such a run takes.
pub(crate) fn seconds_of_evaluation(settings: &Settings, cohort: &Dataset, loaded: &Loaded) -> Result<f64> {
    let plan = settings.plan(&cohort.with(&shapes(loaded)), None)?;
    let trainer = Trainer::new(settings, &plan, device_of(settings.device)?)?;
    trainer.seconds_of_evaluation(&loaded.validation)
}

/// Voxels along z, y, x of the training images.
pub(crate) fn shapes(loaded: &Loaded) -> Vec<[usize; 3]> {
    loaded.training.iter().map(|case| case.shape).collect()
}

/// Plans the run; a length in seconds is turned into steps after a warm-up.
fn plan(settings: &Settings, cohort: &Dataset, loaded: &Loaded) -> Result<RunPlan> {
    let speed = match settings.seconds {
        Some(_) => Some(speed_of(settings, cohort, loaded, &mut Known::new())?),
        None => None,
    };
    settings.plan(&cohort.with(&shapes(loaded)), speed.as_ref())
}

/// Refuses to go on with what another run left.
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

/// Removes what an earlier run left in the folder, which no longer holds; of an interrupted one that goes on,
/// the checkpoint and the history stay.
fn clear(folder: &Path, goes_on: bool) -> Result<()> {
    pdl_store::atomic::sweep(folder)?;
    let results = [run_record::FILE, run_record::WEIGHTS_FILE];
    let state = [history::FILE, checkpoint::FILE];
    results.iter().chain(state.iter().filter(|_| !goes_on)).try_for_each(|file| remove(&folder.join(file)))
}

pub(crate) fn remove(path: &Path) -> Result<()> {
    if path.exists() {
        std::fs::remove_file(path).map_err(pdl_store::StoreError::io("remove the file", path))?;
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

/// The device of a choice.
///
/// # Errors
/// [`FitError::InvalidOption`] when there is no such device.
pub fn device_of(choice: DeviceChoice) -> Result<Device> {
    match choice {
        DeviceChoice::Cpu => Ok(Device::Cpu),
        DeviceChoice::Auto => Ok(Device::cuda_if_available()),
        DeviceChoice::Cuda if Cuda::is_available() => Ok(Device::Cuda(0)),
        DeviceChoice::Cuda => Err(FitError::option("device", "is cuda, but libtorch finds no CUDA device")),
    }
}

/// Sets libtorch's threads, and says what will run.
pub(crate) fn prepare_libtorch(settings: &Settings) -> Result<Programs> {
    let device = match device_of(settings.device)? {
        Device::Cuda(n) => format!("cuda {n}"),
        _ => "cpu".to_owned(),
    };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let told = std::env::var("OMP_NUM_THREADS").ok().and_then(|threads| threads.parse().ok());
    let threads = settings.threads.or(told.filter(|&threads| threads > 0)).unwrap_or(cores);
    tch::set_num_threads(i32::try_from(threads).unwrap_or(i32::MAX));
    // The norms' threads; a second training of this process keeps those of the first.
    let _ = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
    let libtorch = option_env!("PDL_LIBTORCH_VERSION").unwrap_or("unknown").to_owned();
    Ok(Programs { pdl: env!("CARGO_PKG_VERSION").to_owned(), libtorch, device, threads })
}
