//! The training run: from a curation folder to weights, a history and a record.

use std::path::{Path, PathBuf};
use std::time::Instant;

use pdl_curriculum::manifest::Label;
use pdl_store::lock::FolderLock;
use pdl_store::{hash, json};
use tch::{Cuda, Device};

use crate::case::Case;
use crate::error::{FitError, Result};
use crate::evaluate::Predictor;
use crate::folder::{Folder, HeldOut, Loaded};
use crate::history::{self, HistoryRow};
use crate::loss;
use crate::network::UNet;
use crate::optimiser::{AdamW, Average, poly_rate};
use crate::random::{Purpose, Random};
use crate::run::{self, Programs, Results, RunRecord, Standing};
use crate::sampling::Sampler;
use crate::schedule::Schedule;
use crate::settings::{DeviceChoice, RunPlan, ScheduleKind, Settings};
use crate::weights::Weights;

/// What to train, and how it is kept.
#[derive(Clone, Debug)]
pub struct Request {
    /// The curation folder, or the folder of one of its folds.
    pub out: PathBuf,
    /// The run's name; from schedule and seed when not given.
    pub name: Option<String>,
    /// How to train.
    pub settings: Settings,
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

impl Request {
    fn folder(&self) -> Result<(String, PathBuf)> {
        let kind = match self.settings.schedule {
            ScheduleKind::Pdl => "pdl",
            ScheduleKind::Conventional => "conventional",
        };
        let name = self.name.clone().unwrap_or_else(|| format!("{kind}-seed{}", self.settings.seed));
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
            return Err(FitError::Setting("--name may hold letters, digits, '-', '_' and '.' only".into()));
        }
        let folder = self.out.join("runs").join(&name);
        Ok((name, folder))
    }
}

/// Trains as requested; tells `watch` how it goes.
///
/// # Errors
/// [`FitError`]: everything about the folder is checked before training begins.
pub fn train(request: &Request, watch: &mut dyn FnMut(&Event<'_>)) -> Result<Outcome> {
    let (name, folder) = request.folder()?;
    let cohort = Folder::open(&request.out)?;
    let manifest_blake3 = cohort.manifest.info.hashes.manifest.clone();
    if !request.force
        && let Standing::Same(record) = run::standing(&folder, &request.settings, &manifest_blake3)?
    {
        return Ok(Outcome { folder, record: *record, existed: true });
    }
    let programs = prepare_libtorch(&request.settings)?;
    let loaded = cohort.load(&request.out, request.trust_files)?;
    let shapes: Vec<[usize; 3]> = loaded.training.iter().map(|case| case.shape).collect();
    let (plan, schedule) = request.settings.plan(&cohort.manifest, &shapes, cohort.channels.len())?;
    let (training, validation) = (loaded.training.len(), loaded.validation.len());
    watch(&Event::Begins { plan: &plan, training, validation, programs: &programs });
    let _lock = clear(&folder)?;
    let mut trainer = Trainer::new(&request.settings, &plan, device_of(request.settings.device)?)?;
    let evaluation_seconds = trainer.run(&loaded, &schedule, |history| {
        history.last().into_iter().for_each(|row| watch(&Event::Evaluated(row)));
        history::write(&folder, history)
    })?;
    let weights = folder.join(run::WEIGHTS_FILE);
    trainer.average.weights().save(&weights)?;
    let results = results(trainer.history.last(), evaluation_seconds, hash::of_file(&weights)?)?;
    let labels = cohort.channels.labels().iter().zip(&cohort.names);
    let record = RunRecord {
        schema_version: run::SCHEMA_VERSION,
        name,
        settings: request.settings.clone(),
        plan,
        labels: labels.map(|(&value, name)| Label { value, name: name.clone() }).collect(),
        training_cases: training,
        validation_cases: validation,
        manifest_blake3,
        programs,
        results,
    };
    json::write(&folder.join(run::FILE), &record)?;
    Ok(Outcome { folder, record, existed: false })
}

/// Takes the run's folder for this run and removes the record of an earlier one, which no longer holds.
fn clear(folder: &Path) -> Result<FolderLock> {
    let lock = FolderLock::take(folder)?;
    pdl_store::atomic::sweep(folder)?;
    for file in [run::FILE, history::FILE, run::WEIGHTS_FILE] {
        let path = folder.join(file);
        if path.exists() {
            std::fs::remove_file(&path).map_err(pdl_store::StoreError::io("remove the file", &path))?;
        }
    }
    Ok(lock)
}

fn results(last: Option<&HistoryRow>, evaluation_seconds: f64, weights_blake3: String) -> Result<Results> {
    let last = last.ok_or_else(|| FitError::Setting("a run needs at least one step".into()))?;
    let number = |dice: f64| (!dice.is_nan()).then_some(dice);
    Ok(Results {
        steps: last.step,
        samples: last.samples,
        training_seconds: last.seconds,
        evaluation_seconds,
        loss: last.loss,
        dice: last.dice.iter().copied().map(number).collect(),
        dice_mean: number(last.dice_mean),
        weights_blake3,
    })
}

fn device_of(choice: DeviceChoice) -> Result<Device> {
    match choice {
        DeviceChoice::Cpu => Ok(Device::Cpu),
        DeviceChoice::Auto => Ok(Device::cuda_if_available()),
        DeviceChoice::Cuda if Cuda::is_available() => Ok(Device::Cuda(0)),
        DeviceChoice::Cuda => {
            Err(FitError::Setting("this libtorch finds no CUDA device: use --device cpu".into()))
        }
    }
}

/// Sets libtorch's threads, and says what will run.
fn prepare_libtorch(settings: &Settings) -> Result<Programs> {
    let device = match device_of(settings.device)? {
        Device::Cuda(n) => format!("cuda {n}"),
        _ => "cpu".to_owned(),
    };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = settings.threads.unwrap_or(cores);
    tch::set_num_threads(i32::try_from(threads).unwrap_or(i32::MAX));
    let libtorch = option_env!("PDL_LIBTORCH_VERSION").unwrap_or("unknown").to_owned();
    Ok(Programs { pdl: env!("CARGO_PKG_VERSION").to_owned(), libtorch, device, threads })
}

/// A network in training.
#[derive(Debug)]
pub struct Trainer<'a> {
    settings: &'a Settings,
    plan: &'a RunPlan,
    device: Device,
    net: UNet,
    weights: Weights,
    average: Average,
    optimiser: AdamW,
    sampler: Sampler,
    history: Vec<HistoryRow>,
}

impl<'a> Trainer<'a> {
    /// A fresh network.
    ///
    /// # Errors
    /// [`FitError::Torch`] when libtorch refuses.
    pub fn new(settings: &'a Settings, plan: &'a RunPlan, device: Device) -> Result<Self> {
        let net = UNet::new(plan.network);
        let weights = Weights::new(net.parameters(), settings.seed, device)?;
        let average = Average::new(&weights)?;
        let optimiser = AdamW::new(&weights, settings.weight_decay, settings.clip)?;
        let sampler = Sampler { dims: plan.network.dims, patch: plan.patch, batch: plan.batch };
        Ok(Self { settings, plan, device, net, weights, average, optimiser, sampler, history: Vec::new() })
    }

    /// What the evaluations found so far.
    pub fn history(&self) -> &[HistoryRow] {
        &self.history
    }

    /// Trains to the horizon; `evaluated` sees the history after every evaluation. Gives the seconds that the
    /// evaluations took.
    ///
    /// # Errors
    /// [`FitError`] of libtorch or of `evaluated`, and [`FitError::Diverged`].
    pub fn run(
        &mut self,
        cases: &Loaded,
        schedule: &Schedule,
        mut evaluated: impl FnMut(&[HistoryRow]) -> Result<()>,
    ) -> Result<f64> {
        let (mut step, mut seconds, mut evaluation_seconds) = (0, 0.0, 0.0);
        let (mut loss_sum, mut loss_steps) = (0.0, 0_u32);
        for epoch in 0.. {
            let mut order = schedule.active(epoch).to_vec();
            Random::new(self.settings.seed, Purpose::Order, u64::from(epoch)).shuffle(&mut order);
            for chosen in order.chunks(self.plan.cases_per_step) {
                let clock = Instant::now();
                let chosen: Vec<&Case> = chosen.iter().map(|&case| &cases.training[case]).collect();
                loss_sum += self.step(&chosen, step)?;
                loss_steps += 1;
                step += 1;
                seconds += clock.elapsed().as_secs_f64();
                if step % self.plan.eval_every != 0 && step != self.plan.steps {
                    continue;
                }
                let clock = Instant::now();
                let progress = Progress { step, seconds, epoch, active: order.len() as u32 };
                self.evaluate(&cases.validation, &progress, loss_sum / f64::from(loss_steps))?;
                (loss_sum, loss_steps) = (0.0, 0);
                evaluated(&self.history)?;
                evaluation_seconds += clock.elapsed().as_secs_f64();
                if step == self.plan.steps {
                    return Ok(evaluation_seconds);
                }
            }
        }
        Ok(evaluation_seconds)
    }

    /// One optimiser step; gives its loss.
    fn step(&mut self, cases: &[&Case], step: u64) -> Result<f64> {
        let mut random = Random::new(self.settings.seed, Purpose::Samples, step);
        let batch = self.sampler.draw(cases, &mut random, self.device)?;
        let logits = self.net.forward(&self.weights, &batch.images)?;
        let loss = loss::dice_cross_entropy(&logits, &batch.target, &batch.annotated)?;
        let gradient = self.weights.gradient(&loss)?;
        let value = loss.f_double_value(&[])?;
        if !value.is_finite() {
            return Err(FitError::Diverged { step, loss: value });
        }
        let rate = poly_rate(self.settings.rate, step, self.plan.steps);
        self.optimiser.step(&self.weights, &gradient, rate)?;
        self.average.update(&self.weights, step + 1)?;
        Ok(value)
    }

    fn evaluate(&mut self, cases: &[HeldOut], progress: &Progress, loss: f64) -> Result<()> {
        let (net, weights) = (&self.net, self.average.weights());
        let predictor = Predictor { net, weights, patch: self.plan.patch, device: self.device };
        let dice = predictor.dice(cases)?;
        self.history.push(HistoryRow {
            step: progress.step,
            samples: progress.step * self.plan.batch as u64,
            seconds: progress.seconds,
            epoch: progress.epoch,
            active: progress.active,
            loss,
            dice: dice.labels,
            dice_mean: dice.mean,
        });
        Ok(())
    }
}

/// How far a run is.
struct Progress {
    step: u64,
    seconds: f64,
    epoch: u32,
    active: u32,
}
