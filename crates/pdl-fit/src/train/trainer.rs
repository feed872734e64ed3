//! A network in training.

use std::time::Instant;

use tch::{Device, Tensor};

use crate::data::augment::intensity::Augmenter;
use crate::data::dataloader::{DataLoader, HostBatch};
use crate::data::dataset::{EvalCase, Loaded};
use crate::data::patch_sampler::Sampler;
use crate::error::{FitError, Result};
use crate::inference::sliding_window::Predictor;
use crate::model::instance_norm::Tape;
use crate::model::unet::UNet;
use crate::model::weights::Weights;
use crate::optim::loss;
use crate::optim::optimiser::{Ema, Optimiser, copy_into};
use crate::plan::curriculum_schedule::{PatchSpec, ResolutionPhase, StepPlan};
use crate::plan::run_plan::RunPlan;
use crate::plan::settings::{Augment, Settings};
use crate::train::checkpoint::{Checkpoint, TrainingProgress};
use crate::train::early_stop;
use crate::train::history::HistoryRow;
use crate::train::interrupt::{self, Attentive};

/// Seconds of training after which a run is kept between evaluations, too.
const KEEP_SECONDS: f64 = 60.0;
/// At least so many steps of the warm-up are not timed, and for so many seconds: libtorch chooses its kernels in them,
/// and the processor its clock.
const UNTIMED: (usize, f64) = (3, 1.0);
/// Then so many at least, and for so many seconds: their median is taken.
const TIMED: (usize, f64) = (9, 1.0);

/// A network in training, with all that its next step depends on.
#[derive(Debug)]
pub struct Trainer<'a> {
    plan: &'a RunPlan,
    device: Device,
    workers: usize,
    until: Option<f64>,
    net: UNet,
    weights: Weights,
    average: Ema,
    optimiser: Optimiser,
    sampler: Sampler,
    progress: TrainingProgress,
    history: Vec<HistoryRow>,
}

/// When a run is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// After an evaluation.
    Evaluated,
    /// After some time without one, or when it is asked to stop.
    Between,
    /// After every other step: nothing is to be kept.
    No,
}

impl<'a> Trainer<'a> {
    /// A fresh network.
    ///
    /// # Errors
    /// [`FitError::Torch`] when libtorch refuses.
    pub fn new(settings: &Settings, plan: &'a RunPlan, device: Device) -> Result<Self> {
        let net = UNet::new(plan.network);
        let weights = Weights::new(net.parameters(), settings.seed, device)?;
        let average = Ema::new(&weights, settings.ema)?;
        let optimiser = Optimiser::new(&weights, settings.choice())?;
        let sampler = Sampler {
            dims: plan.network.dims,
            batch: plan.batch,
            foreground: settings.foreground,
            augmenter: Augmenter {
                intensity: settings.augment != Augment::None,
                space: settings.augment == Augment::Full,
                mirror: plan.mirror,
                swapped: plan.swapped.clone(),
            },
            seed: settings.seed,
        };
        let (progress, history) = (TrainingProgress::default(), Vec::new());
        let (workers, until) = (settings.workers, settings.until_dice);
        Ok(Self {
            plan,
            device,
            workers,
            until,
            net,
            weights,
            average,
            optimiser,
            sampler,
            progress,
            history,
        })
    }

    /// Goes on where a checkpoint was written.
    ///
    /// # Errors
    /// [`FitError::Weights`] when the checkpoint is another network's.
    pub fn restore(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        for (name, mut tensor) in self.flat_weights() {
            copy_into(&mut tensor, &checkpoint.tensor(name)?, name)?;
        }
        self.progress = checkpoint.state.progress.clone();
        self.optimiser.restore(self.progress.step, |name| checkpoint.tensor(name))?;
        self.history.clone_from(&checkpoint.history);
        Ok(())
    }

    /// The numbers that a checkpoint holds.
    pub fn tensors(&self) -> Vec<(String, Tensor)> {
        let state = self.optimiser.state().iter().map(|(name, tensor)| (*name, tensor.shallow_clone()));
        let all = self.flat_weights().into_iter().chain(state);
        all.map(|(name, tensor)| (name.to_owned(), tensor.to_device(Device::Cpu))).collect()
    }

    fn flat_weights(&self) -> [(&'static str, Tensor); 2] {
        [("weights", self.weights.flat()), ("average", self.average.weights().flat())]
    }

    /// What the evaluations found so far.
    pub fn history(&self) -> &[HistoryRow] {
        &self.history
    }

    /// How far it is.
    pub fn progress(&self) -> &TrainingProgress {
        &self.progress
    }

    /// The averaged weights, which are evaluated and saved.
    pub fn averaged(&self) -> &Weights {
        self.average.weights()
    }

    /// Trains to the horizon, or until the Dice that was asked for; `keep` is called after every step, and told to keep
    /// the run after every evaluation and at least once a minute.
    ///
    /// # Errors
    /// [`FitError`] of libtorch or of `keep`, [`FitError::Diverged`], and [`FitError::Stopped`] when that was asked for.
    pub fn run(&mut self, cases: &Loaded, mut keep: impl FnMut(&Self, Pause) -> Result<()>) -> Result<()> {
        let plan = self.plan;
        if self.has_arrived() {
            return Ok(());
        }
        let sampler = self.sampler.clone();
        let source = DataLoader { cases: &cases.training, schedule: &plan.schedule, sampler: &sampler };
        let mut kept = self.progress.seconds;
        let _attentive = Attentive::begin();
        source.feed(self.progress.step..plan.steps, self.workers, |feed| {
            for step in self.progress.step..plan.steps {
                let clock = Instant::now();
                let ready = feed.take()?;
                self.progress.loss_sum += self.step(&ready, step)?;
                self.progress.loss_steps += 1;
                self.progress.step = step + 1;
                self.progress.waited += feed.take_waited().as_secs_f64();
                self.progress.seconds += clock.elapsed().as_secs_f64();
                let mut last = step + 1 == plan.steps;
                let pause = if last || (step + 1) % plan.eval_every == 0 {
                    self.evaluate(&cases.validation, &ready.moment)?;
                    last |= self.has_arrived();
                    Pause::Evaluated
                } else if interrupt::is_asked() || self.progress.seconds - kept > KEEP_SECONDS {
                    Pause::Between
                } else {
                    Pause::No
                };
                keep(self, pause)?;
                if pause != Pause::No {
                    kept = self.progress.seconds;
                    if last {
                        break;
                    }
                    if interrupt::is_asked() {
                        return Err(FitError::Stopped);
                    }
                }
            }
            Ok(())
        })
    }

    /// Whether the Dice is reached at which the run ends before its horizon.
    fn has_arrived(&self) -> bool {
        self.until.is_some_and(|until| {
            let dice: Vec<f64> = self.history.iter().map(|row| row.dice_mean).collect();
            early_stop::reached(&self.history, &dice, until).is_some()
        })
    }

    /// One optimiser step; gives its loss.
    fn step(&mut self, ready: &HostBatch, step: u64) -> Result<f64> {
        let batch = self.sampler.batch(&ready.samples, self.device)?;
        let tape = Tape::default();
        let logits = self.net.forward_training(&self.weights, &batch.images, &tape)?;
        let loss = loss::supervised(&logits, &batch.target, &batch.annotated)?;
        let gradient = self.weights.gradient(&loss, tape)?;
        let value = loss.f_double_value(&[])?;
        if !value.is_finite() {
            return Err(FitError::Diverged { step, what: "loss", value });
        }
        let norm = self.optimiser.step(&self.weights, &gradient, self.plan.rates.at(step))?;
        if !norm.is_finite() {
            return Err(FitError::Diverged { step, what: "gradient norm", value: norm });
        }
        self.average.update(&self.weights, step + 1)?;
        Ok(value)
    }

    fn evaluate(&mut self, cases: &[EvalCase], moment: &StepPlan) -> Result<()> {
        let clock = Instant::now();
        let dice = self.predictor().dice(cases)?;
        let progress = &mut self.progress;
        self.history.push(HistoryRow {
            step: progress.step,
            samples: self.plan.schedule.samples_before(progress.step),
            seconds: progress.seconds,
            epoch: moment.epoch,
            active: moment.active as u32,
            loss: progress.loss_sum / f64::from(progress.loss_steps),
            dice: dice.labels,
            dice_mean: dice.mean,
            case_dice: dice.cases.concat(),
        });
        (progress.loss_sum, progress.loss_steps) = (0.0, 0);
        progress.evaluation_seconds += clock.elapsed().as_secs_f64();
        Ok(())
    }

    /// Applies the averaged weights in windows of the patch that the present step trains on.
    fn predictor(&self) -> Predictor<'_> {
        let (net, weights) = (&self.net, self.average.weights());
        let window = self.plan.schedule.window_after(self.progress.step);
        Predictor { net, weights, window, device: self.device }
    }

    /// How many seconds an evaluation on these cases takes.
    ///
    /// # Errors
    /// [`FitError::Torch`] when libtorch refuses.
    pub fn seconds_of_evaluation(&self, cases: &[EvalCase]) -> Result<f64> {
        let clock = Instant::now();
        self.predictor().dice(cases)?;
        Ok(clock.elapsed().as_secs_f64())
    }

    /// How many seconds a step takes with samples of this grain, which other threads draw: the median over a few, on
    /// weights that are thrown away.
    ///
    /// # Errors
    /// As [`Trainer::run`].
    pub fn seconds_of_step(mut self, cases: &Loaded, grain: PatchSpec) -> Result<f64> {
        let schedule = self.plan.schedule.clone().in_phases(vec![ResolutionPhase { first_step: 0, grain }]);
        let sampler = self.sampler.clone();
        let source = DataLoader { cases: &cases.training, schedule: &schedule, sampler: &sampler };
        source.feed(0..u64::MAX, self.workers, |feed| {
            let mut steps = 0..;
            let mut timed = |(least, enough): (usize, f64)| -> Result<Vec<f64>> {
                let (begin, mut seconds) = (Instant::now(), Vec::new());
                while seconds.len() < least || begin.elapsed().as_secs_f64() < enough {
                    let clock = Instant::now();
                    self.step(&feed.take()?, steps.next().unwrap_or_default())?;
                    seconds.push(clock.elapsed().as_secs_f64());
                }
                Ok(seconds)
            };
            timed(UNTIMED)?;
            let mut seconds = timed(TIMED)?;
            seconds.sort_by(f64::total_cmp);
            Ok(seconds[seconds.len() / 2])
        })
    }
}
