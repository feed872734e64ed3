//! Training run: from a curation folder to weights, history and record.

use std::path::{Path, PathBuf};

use pdl_cohort::attributes::Split;
use pdl_cohort::parameters::IndexParameters;
use pdl_cohort::read_options::ImageReading;
use pdl_cohort::table::cases::{self, Cases};
use pdl_curriculum::manifest::Label;
use pdl_store::lock::FolderLock;
use pdl_store::memory::MemoryLimit;
use pdl_store::safe_path::SafePath;
use pdl_store::{StoreError, atomic, fault, hash, json};

use crate::data::dataset::{Dataset, Loaded};
use crate::data::subset::Subset;
use crate::error::{Difference, FitError, Record, Result};
use crate::experiment::run_record::{
    self, ExtensionLength, Initialisation, Programs, Reference, Results, RunFolderState, RunRecord,
};
use crate::model::device::ComputeDevice;
use crate::model::unet::NetworkPlan;
use crate::plan::curriculum_schedule::PatchSpec;
use crate::plan::growth::Growth;
use crate::plan::planner::Planner;
use crate::plan::run_plan::RunPlan;
use crate::plan::settings::{Augment, LengthSettings, MOST_THREADS, Settings};
use crate::plan::speed::{Speed, TimedPart};
use crate::train::checkpoint::{self, Checkpoint, State, TrainingProgress};
use crate::train::extension;
use crate::train::history::{self, HistoryRow};
use crate::train::initialisation::InitialWeights;
use crate::train::run_events::RunEvents;
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
    /// Split whose cases the run is evaluated on: the validation set, or the test set of an
    /// experiment, which must not end a run.
    pub evaluate_on: Split,
    /// Tuning from which the settings were taken.
    pub tuned: Option<Reference>,
    /// Folder of a finished run, or file of weights, that the run starts from; `None`: random
    /// weights.
    pub init: Option<PathBuf>,
    /// Length by which to extend the finished run of this name; its settings must be those of the
    /// request.
    pub extend: Option<ExtensionLength>,
    /// Whether to write event files of TensorBoard.
    pub tensorboard: bool,
    /// Whether to replace an existing run.
    pub force: bool,
    /// Whether to skip the comparison of files with their recorded hashes.
    pub trust_files: bool,
    /// Memory limit in bytes; half of the free memory if `None`. Cases that take more than half of
    /// it are read from files while training, which changes no result.
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
    /// The run starts from the weights of another one.
    Initialised {
        /// Parameters and labels that they gave.
        taken: &'a Initialisation,
        /// How the preparation of the other run's images differs, a sentence for each difference.
        differences: &'a [String],
    },
    /// A finished run is extended.
    Extends {
        /// Steps before the extension.
        from: u64,
        /// Steps after it.
        to: u64,
        /// Learning rate of the first step; it follows the schedule of the whole length.
        lr: f64,
    },
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
    /// Refuses early stopping by the test set.
    fn check_evaluation(&self) -> Result<()> {
        let LengthSettings { until_dice, patience, .. } = &self.settings.length;
        let stops = [("until_dice", until_dice.is_some()), ("patience", patience.is_some())];
        match stops.into_iter().find(|(_, given)| *given && self.evaluate_on == Split::Test) {
            Some((name, _)) => {
                Err(FitError::option(name, "must not be given where runs are evaluated on test cases"))
            }
            None => Ok(()),
        }
    }

    /// Reads the training cases of the request, and those of its evaluations.
    fn load(&self, cohort: &Dataset) -> Result<Loaded> {
        let limit = MemoryLimit::or_half_of_free(self.memory);
        cohort.load(&self.out, (self.sample, self.evaluate_on), self.trust_files, &limit)
    }

    /// Name and folder of the run.
    ///
    /// # Errors
    /// [`FitError::InvalidOption`] if the name cannot be a folder's.
    pub fn folder(&self) -> Result<(String, PathBuf)> {
        let kind = self.settings.curriculum.schedule.name();
        let name = self.name.clone().unwrap_or_else(|| format!("{kind}-seed{}", self.settings.machine.seed));
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
            let problem = "must consist of letters, digits, '-', '_' and '.', and not begin with '.'";
            return Err(FitError::option("name", problem));
        }
        let folder = SafePath::new(&self.out, self.runs.join(&name))?.folder()?;
        Ok((name, folder))
    }

    /// The finished run in `folder`; `None` if there is none, or it is to be replaced.
    fn existing(
        &self,
        folder: &Path,
        manifest_blake3: &str,
        initial: Option<&InitialWeights>,
    ) -> Result<Option<RunRecord>> {
        if self.force {
            return Ok(None);
        }
        let record = match run_record::standing(folder, &self.settings, manifest_blake3)? {
            RunFolderState::Same(record) => *record,
            RunFolderState::Free => return Ok(None),
        };
        if record.evaluated_on != self.evaluate_on {
            let (record, difference) = (Record::Run, Difference::Settings);
            return Err(FitError::Occupied { record, difference, path: folder.to_owned() });
        }
        let theirs = record.initialisation.as_ref().map(|taken| taken.weights_blake3.as_str());
        if self.extend.is_none() && theirs != initial.map(|initial| initial.blake3.as_str()) {
            let (record, difference) = (Record::Run, Difference::Initialisation);
            return Err(FitError::Occupied { record, difference, path: folder.to_owned() });
        }
        Ok(Some(record))
    }
}

/// Trains a run, resumes it, or extends it; `watch` receives its progress.
///
/// # Errors
/// [`FitError`]; the curation folder is validated before the first step.
pub fn train(request: &TrainRequest, watch: &mut dyn FnMut(&Event<'_>)) -> Result<Outcome> {
    request.check_evaluation()?;
    let (name, folder) = request.folder()?;
    let cohort = Dataset::open(&request.out)?;
    let manifest_blake3 = cohort.manifest.info.hashes.manifest.clone();
    let initial = request.init.as_deref().map(InitialWeights::open).transpose()?;
    let existing = request.existing(&folder, &manifest_blake3, initial.as_ref())?;
    if let Some(record) = &existing {
        checkpoint::remove_remnant(&folder, record.extensions.len())?;
    }
    if let (Some(record), None) = (&existing, request.extend) {
        return Ok(Outcome { folder, record: record.clone(), existed: true });
    }
    let programs = prepare_libtorch(&request.settings)?;
    let device = ComputeDevice::choose(request.settings.machine.device)?;
    let loaded = request.load(&cohort)?;
    let _lock = FolderLock::take(&folder)?;
    let interrupted = if request.force { None } else { checkpoint::read(&folder)? };
    if let Some(checkpoint) = &interrupted {
        same_run(checkpoint, request, &manifest_blake3, initial.as_ref(), &folder)?;
    }
    let resumes = interrupted.is_some();
    let started = match (request.extend, existing, interrupted) {
        (None, _, Some(checkpoint)) => checkpoint,
        (None, _, None) => {
            let plan = plan(&request.settings, &cohort, &loaded)?;
            start(request, &cohort, plan, initial.as_ref(), device)?
        }
        (Some(length), _, Some(checkpoint)) => {
            extension::check_interrupted(&checkpoint, length, &folder)?;
            checkpoint
        }
        (Some(length), Some(record), None) => extension::start(length, record, &folder, &loaded, device)?,
        (Some(_), None, None) => return Err(FitError::NoSuchRun { path: folder }),
    };
    // After planning: an invalid plan leaves an earlier run unchanged. So does an extension until
    // its end.
    let extends = !started.state.extensions.is_empty();
    atomic::sweep(&SafePath::root(&folder))?;
    if !extends {
        clear_results(&folder)?;
    }
    if !resumes && !extends {
        atomic::remove(&SafePath::new(&folder, history::FILE)?)?;
    }
    let plan = started.state.plan.clone();
    let (training, validation) = (loaded.training.len(), loaded.validation.len());
    let labels = &cohort.names;
    watch(&Event::Begins { plan: &plan, training, validation, labels, programs: &programs });
    loaded.cache.iter().for_each(|folder| watch(&Event::ReadsFromFiles(folder)));
    tell_start(&started, resumes, initial.as_ref(), &cohort, watch);
    let mut trainer = Trainer::new(&request.settings, &plan, device)?;
    trainer.restore(&started)?;
    if !resumes {
        // The plan is saved before the first step, so that a length in seconds is converted into
        // steps only once.
        started.save(&folder)?;
    }
    let events = match request.tensorboard {
        true => Some(RunEvents::start(&folder, trainer.progress().step, &loaded, &cohort.names)?),
        false => None,
    };
    let state = to_the_end(&mut trainer, started.state, (&loaded, &folder), events, watch)?;
    history::write(&folder, trainer.history())?;
    clear_results(&folder)?;
    let weights = folder.join(run_record::WEIGHTS_FILE);
    trainer.averaged().save(&weights)?;
    let results = results(&trainer, hash::of_file(&weights)?)?;
    let labels = cohort.channels.labels().iter().zip(&cohort.names);
    let record = RunRecord {
        schema_version: run_record::SCHEMA_VERSION,
        name,
        settings: request.settings.clone(),
        sample: request.sample,
        evaluated_on: request.evaluate_on,
        initialisation: state.initialisation,
        extensions: state.extensions,
        tuned: request.tuned.clone(),
        channels: cohort.inputs.clone(),
        labels: labels.map(|(&value, name)| Label { value, name: name.clone() }).collect(),
        regions: cohort.manifest.info.regions.clone(),
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
    atomic::remove(&SafePath::new(&folder, checkpoint::FILE)?)?;
    Ok(Outcome { folder, record, existed: false })
}

/// Tells how a run starts, if not with random weights.
fn tell_start(
    started: &Checkpoint,
    resumes: bool,
    initial: Option<&InitialWeights>,
    cohort: &Dataset,
    watch: &mut dyn FnMut(&Event<'_>),
) {
    let State { progress, plan, initialisation, extensions, .. } = &started.state;
    if resumes {
        watch(&Event::Resumes(progress.step));
    } else if !extensions.is_empty() {
        let (from, lr) = (progress.step, plan.rates.at(progress.step));
        watch(&Event::Extends { from, to: plan.steps, lr });
    } else if let (Some(taken), Some(initial)) = (initialisation, initial) {
        let differences = initial.preparation_differences(&cohort.manifest.info.plan);
        watch(&Event::Initialised { taken, differences: &differences });
    }
}

/// Trains to the end with checkpoints; returns the state at the end.
fn to_the_end(
    trainer: &mut Trainer<'_>,
    mut state: State,
    (loaded, folder): (&Loaded, &Path),
    mut events: Option<RunEvents<'_>>,
    watch: &mut dyn FnMut(&Event<'_>),
) -> Result<State> {
    trainer.run(loaded, |trainer, pause| {
        watch(&Event::Stepped(trainer.progress().step));
        if let Some(events) = &mut events {
            events.append(trainer, pause)?;
        }
        if pause == Pause::No {
            return Ok(());
        }
        state.progress = trainer.progress().clone();
        state.plan = trainer.plan();
        checkpoint::write(folder, &state, trainer.history(), trainer.tensors()?)?;
        if pause == Pause::Evaluated {
            history::write(folder, trainer.history())?;
            trainer.history().last().into_iter().for_each(|row| watch(&Event::Evaluated(row)));
        }
        Ok(())
    })?;
    Ok(state)
}

/// A new run before its first step.
fn start(
    request: &TrainRequest,
    cohort: &Dataset,
    plan: RunPlan,
    initial: Option<&InitialWeights>,
    device: ComputeDevice,
) -> Result<Checkpoint> {
    let mut trainer = Trainer::new(&request.settings, &plan, device)?;
    let initialisation = initial.map(|initial| trainer.initialise(initial, &cohort.names)).transpose()?;
    let tensors = trainer.tensors()?;
    let state = State {
        settings: request.settings.clone(),
        plan,
        manifest_blake3: cohort.manifest.info.hashes.manifest.clone(),
        progress: TrainingProgress::default(),
        initialisation,
        extensions: Vec::new(),
    };
    Ok(Checkpoint::new(state, Vec::new(), tensors))
}

/// How the images were read; decisions of the index stage come from its table, if present.
fn reading(out: &Path, index: &IndexParameters) -> Result<ImageReading> {
    let table = out.join(cases::FILE);
    match fault::is_file(&table).map_err(StoreError::io("look at the file", &table))? {
        true => Ok(ImageReading::of(&Cases::read(out)?)),
        false => Ok(ImageReading::from(index)),
    }
}

/// Measured seconds per step, by network and patch specification.
pub(crate) type Known = Vec<((NetworkPlan, PatchSpec), f64)>;

/// Times the steps of a run without training it. Each network and patch specification is timed
/// once, so that noise does not separate equal runs.
pub(crate) fn speed_of(
    settings: &Settings,
    cohort: &Dataset,
    loaded: &Loaded,
    known: &mut Known,
) -> Result<Speed> {
    let device = ComputeDevice::choose(settings.machine.device)?;
    let plan = plan_at(settings, cohort, loaded, None)?;
    let mut parts = Vec::new();
    for part in Growth::of(&settings.curriculum, &plan).segments() {
        let key = (plan.network, part.spec);
        let before = known.iter().find(|(known, _)| *known == key).map(|(_, seconds)| *seconds);
        let seconds = match before {
            Some(seconds) => seconds,
            None => {
                let seconds = Trainer::new(settings, &plan, device)?.seconds_of_step(loaded, part.spec)?;
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
    let plan = plan_at(settings, cohort, loaded, None)?;
    let trainer = Trainer::new(settings, &plan, ComputeDevice::choose(settings.machine.device)?)?;
    trainer.seconds_of_evaluation(&loaded.validation)
}

/// Plans the run; a length in seconds is converted into steps after timing some.
fn plan(settings: &Settings, cohort: &Dataset, loaded: &Loaded) -> Result<RunPlan> {
    let speed = match settings.length.seconds {
        Some(_) => Some(speed_of(settings, cohort, loaded, &mut Known::new())?),
        None => None,
    };
    plan_at(settings, cohort, loaded, speed.as_ref())
}

/// Plans the run. Only one that is augmented needs the positions of the labels.
pub(crate) fn plan_at(
    settings: &Settings,
    cohort: &Dataset,
    loaded: &Loaded,
    speed: Option<&Speed>,
) -> Result<RunPlan> {
    let plan = |augment: Augment| {
        let images = cohort.training_images(loaded, augment)?;
        Planner { settings, cohort: &cohort.with(&images), speed }.plan()
    };
    let planned = plan(settings.patches.augment.unwrap_or(Augment::None))?;
    match (settings.patches.augment, planned.augment) {
        (None, Some(augment)) if augment != Augment::None => plan(augment),
        _ => Ok(planned),
    }
}

/// Refuses to resume from a checkpoint with other settings or another manifest.
fn same_run(
    checkpoint: &Checkpoint,
    request: &TrainRequest,
    manifest_blake3: &str,
    initial: Option<&InitialWeights>,
    folder: &Path,
) -> Result<()> {
    let State { settings, manifest_blake3: manifest, initialisation, .. } = &checkpoint.state;
    let theirs = initialisation.as_ref().map(|taken| taken.weights_blake3.as_str());
    let same_start = request.extend.is_some() || theirs == initial.map(|initial| initial.blake3.as_str());
    let difference = if !settings.same_as(&request.settings) {
        Difference::Settings
    } else if manifest != manifest_blake3 {
        Difference::Manifest
    } else if !same_start {
        Difference::Initialisation
    } else {
        return Ok(());
    };
    Err(FitError::Occupied { record: Record::Checkpoint, difference, path: folder.to_owned() })
}

/// Removes the results of an earlier run from the folder.
fn clear_results(folder: &Path) -> Result<()> {
    // The record is removed first: without it there is no finished run.
    for file in [run_record::FILE, run_record::WEIGHTS_FILE] {
        atomic::remove(&SafePath::new(folder, file)?)?;
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
        ended: trainer.end_reason(),
        dice: last.dice.iter().copied().map(number).collect(),
        dice_mean: number(last.dice_mean),
        weights_blake3,
    })
}

/// Sets libtorch's threads; returns versions, device and threads.
pub(crate) fn prepare_libtorch(settings: &Settings) -> Result<Programs> {
    let device = ComputeDevice::choose(settings.machine.device)?.name();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let told = std::env::var("OMP_NUM_THREADS").ok().and_then(|threads| threads.parse().ok());
    let threads = settings.machine.threads.or(told.filter(|&threads| threads > 0)).unwrap_or(cores);
    if threads > MOST_THREADS {
        return Err(FitError::option("threads", format!("must be at most {MOST_THREADS}, and is {threads}")));
    }
    tch::set_num_threads(threads as i32);
    // Threads of the instance norm; a second training in this process keeps those of the first.
    let _ = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
    let libtorch = option_env!("PDL_LIBTORCH_VERSION").unwrap_or("unknown").to_owned();
    Ok(Programs { pdl: env!("CARGO_PKG_VERSION").to_owned(), libtorch, device, threads })
}
