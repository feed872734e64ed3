//! Training loop over steps, with evaluations.

use std::time::Instant;

use tch::Tensor;

use crate::data::augment::intensity::Augmenter;
use crate::data::case::Case;
use crate::data::dataloader::{DataLoader, HostBatch};
use crate::data::dataset::{EvalCase, Loaded};
use crate::data::patch_sampler::Sampler;
use crate::error::{FitError, Result};
use crate::experiment::run_record::{EndReason, ExtensionLength, Initialisation};
use crate::inference::sliding_window::SlidingWindow;
use crate::model::device::ComputeDevice;
use crate::model::instance_norm::Tape;
use crate::model::unet::UNet;
use crate::model::weights::Weights;
use crate::optim::loss;
use crate::optim::lr_schedule::LearningRates;
use crate::optim::optimiser::{Ema, Optimiser, copy_into};
use crate::plan::curriculum_schedule::{PatchSpec, ResolutionPhase, StepPlan};
use crate::plan::run_plan::RunPlan;
use crate::plan::settings::{Augment, Settings};
use crate::train::checkpoint::{Checkpoint, TrainingProgress};
use crate::train::early_stop;
use crate::train::history::HistoryRow;
use crate::train::initialisation::InitialWeights;
use crate::train::interrupt::{self, InterruptScope};
use crate::train::time_budget::TimeBudget;

/// Seconds of training between checkpoints without an evaluation.
const CHECKPOINT_SECONDS: f64 = 60.0;
/// Minimum number of steps, and minimum seconds, that are not timed: libtorch selects its kernels
/// and the processor its clock rate in them.
const UNTIMED: (usize, f64) = (3, 1.0);
/// Minimum number of timed steps, and minimum seconds; the result is their median.
const TIMED: (usize, f64) = (9, 1.0);

/// A network in training, with the state that its next step depends on.
#[derive(Debug)]
pub struct Trainer<'a> {
    plan: &'a RunPlan,
    /// Length of the run in steps, and its learning rates: those of the plan, unless its length is
    /// given in seconds.
    rates: LearningRates,
    budget: Option<TimeBudget>,
    device: ComputeDevice,
    workers: usize,
    until: Option<f64>,
    patience: Option<u32>,
    /// Step at which the present extension started; 0 without one.
    extended_at: u64,
    net: UNet,
    weights: Weights,
    ema: Ema,
    optimiser: Optimiser,
    sampler: Sampler,
    progress: TrainingProgress,
    last_loss: f64,
    history: Vec<HistoryRow>,
}

/// Reason for which the loop calls back after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// An evaluation has finished.
    Evaluated,
    /// A checkpoint is due, or an interruption has been requested.
    Between,
    /// A step without evaluation or checkpoint.
    No,
}

impl<'a> Trainer<'a> {
    /// A network with initial weights.
    ///
    /// # Errors
    /// [`FitError::Torch`] if libtorch fails.
    pub fn new(settings: &Settings, plan: &'a RunPlan, device: ComputeDevice) -> Result<Self> {
        let net = UNet::new(plan.network).on(device);
        let weights = Weights::new(net.parameters(), settings.machine.seed, device)?;
        let ema = Ema::new(&weights, settings.optimisation.ema)?;
        let optimiser = Optimiser::new(&weights, settings.optimisation.optimiser_config())?;
        let augment = settings.patches.augment.or(plan.augment).unwrap_or(Augment::None);
        let sampler = Sampler {
            dims: plan.network.dims,
            batch: plan.batch,
            foreground: settings.patches.foreground,
            augmenter: Augmenter {
                intensity: augment != Augment::None,
                space: augment == Augment::Full,
                mirror: plan.mirror,
                swapped: plan.swapped.clone(),
            },
            seed: settings.machine.seed,
        };
        let (progress, history) = (TrainingProgress::default(), Vec::new());
        let (workers, until, patience) =
            (settings.machine.workers, settings.length.until_dice, settings.length.patience);
        let last_phase = plan.schedule.phases.last().map_or(0, |phase| phase.first_step);
        let budget = settings.length.seconds.map(|seconds| TimeBudget::new(seconds, last_phase));
        let rates = plan.rates.clone();
        Ok(Self {
            plan,
            rates,
            budget,
            device,
            workers,
            until,
            patience,
            extended_at: 0,
            net,
            weights,
            ema,
            optimiser,
            sampler,
            progress,
            last_loss: f64::NAN,
            history,
        })
    }

    /// Sets the number format of convolutions.
    #[cfg(test)]
    pub(crate) fn with_convolutions_in(&mut self, kind: tch::Kind) {
        self.net = self.net.with_convolutions_in(Some(kind));
    }

    /// Replaces the initial weights by those of another run, as far as they fit the labels (names
    /// in channel order, from channel 1).
    ///
    /// # Errors
    /// [`FitError::OtherNetwork`] if they are of another network.
    pub fn initialise(&mut self, initial: &InitialWeights, labels: &[String]) -> Result<Initialisation> {
        let taken = initial.copy_to(&self.weights, self.net.plan(), labels)?;
        copy_into(&mut self.ema.weights().flat(), &self.weights.flat(), "average")?;
        Ok(taken)
    }

    /// Replaces the weights and their EMA.
    ///
    /// # Errors
    /// [`FitError::Weights`] if they are of another network.
    pub fn start_from(&mut self, weights: &Weights) -> Result<()> {
        let mut all = self.flat_weights().into_iter();
        all.try_for_each(|(name, mut tensor)| copy_into(&mut tensor, &weights.flat(), name))
    }

    /// Resumes from a checkpoint.
    ///
    /// # Errors
    /// [`FitError::Weights`] if the checkpoint belongs to another network.
    pub fn restore(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        for (name, mut tensor) in self.flat_weights() {
            copy_into(&mut tensor, &checkpoint.tensor(name)?, name)?;
        }
        self.progress = checkpoint.state.progress.clone();
        if let Some(extension) = checkpoint.state.extensions.last() {
            self.extended_at = extension.from_step;
            self.budget = match extension.length {
                ExtensionLength::Steps(_) => None,
                ExtensionLength::Seconds(seconds) => {
                    Some(TimeBudget::after(extension.from_step, extension.from_seconds, seconds))
                }
            };
        }
        let steps = self.progress.step - self.extended_at;
        self.optimiser.restore(steps, |name| checkpoint.tensor(name))?;
        self.history.clone_from(&checkpoint.history);
        Ok(())
    }

    /// Tensors of a checkpoint by name, on the CPU: weights, EMA and optimiser state.
    ///
    /// # Errors
    /// [`FitError::Torch`] if libtorch fails.
    pub fn tensors(&self) -> Result<Vec<(String, Tensor)>> {
        let state = self.optimiser.state().iter().map(|(name, tensor)| (*name, tensor.shallow_clone()));
        let all = self.flat_weights().into_iter().chain(state);
        all.map(|(name, tensor)| Ok((name.to_owned(), ComputeDevice::download(&tensor)?))).collect()
    }

    fn flat_weights(&self) -> [(&'static str, Tensor); 2] {
        [("weights", self.weights.flat()), ("average", self.ema.weights().flat())]
    }

    /// Evaluations so far.
    pub fn history(&self) -> &[HistoryRow] {
        &self.history
    }

    /// The plan of the run, with the length that it has now.
    pub fn plan(&self) -> RunPlan {
        RunPlan { steps: self.rates.steps, rates: self.rates.clone(), ..self.plan.clone() }
    }

    /// Steps and seconds so far.
    pub fn progress(&self) -> &TrainingProgress {
        &self.progress
    }

    /// Loss and learning rate of the last step.
    pub fn last_step(&self) -> (f64, f64) {
        (self.last_loss, self.rates.at(self.progress.step.saturating_sub(1)))
    }

    /// Most probable channel of every voxel (z, y, x) of a prepared image.
    ///
    /// # Errors
    /// [`FitError::Torch`] if libtorch fails.
    pub fn segment(&self, case: &Case) -> Result<Vec<u8>> {
        self.predictor().channels(case, &case.grid)
    }

    /// The EMA of the weights, which is evaluated and saved.
    pub fn averaged(&self) -> &Weights {
        self.ema.weights()
    }

    /// Trains to the last step, or until early stopping ends the run. `save`
    /// is called after every step with the reason; it writes a checkpoint unless the reason is
    /// [`Pause::No`].
    ///
    /// # Errors
    /// Errors of libtorch and of `save`, [`FitError::Diverged`], and [`FitError::Stopped`] after an
    /// interruption.
    pub fn run(&mut self, cases: &Loaded, mut save: impl FnMut(&Self, Pause) -> Result<()>) -> Result<()> {
        let plan = self.plan;
        if self.stops_early().is_some() {
            return Ok(());
        }
        let sampler = self.sampler.clone();
        let loader = DataLoader { cases: &cases.training, schedule: &plan.schedule, sampler: &sampler };
        let mut saved_at = self.progress.seconds;
        let _scope = InterruptScope::enter();
        // A run whose length is given in seconds may take more steps than planned.
        let end = if self.budget.is_some() { u64::MAX } else { self.rates.steps };
        loader.batches(self.progress.step..end, self.workers, |batches| {
            while self.progress.step < self.rates.steps {
                let step = self.progress.step;
                let clock = Instant::now();
                let batch = batches.take()?;
                self.last_loss = self.step(&batch, step)?;
                self.progress.loss_sum += self.last_loss;
                self.progress.loss_steps += 1;
                self.progress.step = step + 1;
                self.progress.waited += batches.take_waited().as_secs_f64();
                self.progress.seconds += clock.elapsed().as_secs_f64();
                self.count_steps_anew();
                let mut last = step + 1 >= self.rates.steps;
                let pause = if last || (step + 1).is_multiple_of(plan.eval_every) {
                    self.evaluate(&cases.validation, &batch.step_plan)?;
                    last |= self.stops_early().is_some();
                    Pause::Evaluated
                } else if interrupt::is_asked() || self.progress.seconds - saved_at > CHECKPOINT_SECONDS {
                    Pause::Between
                } else {
                    Pause::No
                };
                save(self, pause)?;
                if pause != Pause::No {
                    saved_at = self.progress.seconds;
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

    /// Adapts the number of steps to their seconds, where the length of the run is given in these.
    fn count_steps_anew(&mut self) {
        let TrainingProgress { step, seconds, .. } = self.progress;
        if let Some(budget) = &mut self.budget {
            self.rates.steps = budget.steps(step, seconds, self.rates.steps);
        }
    }

    /// Why early stopping ends the run now; `None` if it goes on. Evaluations before an extension
    /// do not count.
    fn stops_early(&self) -> Option<EndReason> {
        let first = self.history.partition_point(|row| row.step <= self.extended_at);
        let rows = &self.history[first..];
        let (steps, dice): (Vec<u64>, Vec<f64>) = rows.iter().map(|row| (row.step, row.dice_mean)).unzip();
        if self.until.is_some_and(|until| early_stop::steps_to(&steps, &dice, until).is_some()) {
            return Some(EndReason::Dice);
        }
        self.patience
            .is_some_and(|patience| early_stop::has_stalled(&dice, patience))
            .then_some(EndReason::Patience)
    }

    /// Why the run, which has ended, did so.
    pub fn end_reason(&self) -> EndReason {
        self.stops_early().filter(|_| self.progress.step < self.rates.steps).unwrap_or_default()
    }

    /// Forward and backward pass, optimiser step and EMA update; returns the loss.
    fn step(&mut self, batch: &HostBatch, step: u64) -> Result<f64> {
        let batch = self.sampler.batch(&batch.patches, self.device)?;
        let tape = Tape::default();
        let logits = self.net.forward_training(&self.weights, &batch.images, &tape)?;
        let loss = loss::supervised(&logits, &batch.target, &batch.annotated, &self.plan.regions)?;
        let gradient = self.weights.gradient(&loss, tape)?;
        let value = loss.f_double_value(&[])?;
        if !value.is_finite() {
            return Err(FitError::Diverged { step, what: "loss", value });
        }
        let norm = self.optimiser.step(&self.weights, &gradient, self.rates.at(step))?;
        if !norm.is_finite() {
            return Err(FitError::Diverged { step, what: "gradient norm", value: norm });
        }
        self.ema.update(&self.weights, step + 1)?;
        Ok(value)
    }

    fn evaluate(&mut self, cases: &[EvalCase], step_plan: &StepPlan) -> Result<()> {
        let clock = Instant::now();
        let dice = self.predictor().dice(cases)?;
        let progress = &mut self.progress;
        self.history.push(HistoryRow {
            step: progress.step,
            samples: self.plan.schedule.samples_before(progress.step),
            seconds: progress.seconds,
            epoch: step_plan.epoch,
            active: step_plan.active as u32,
            loss: progress.loss_sum / f64::from(progress.loss_steps),
            dice: dice.labels,
            dice_mean: dice.mean,
            case_dice: dice.cases.concat(),
        });
        (progress.loss_sum, progress.loss_steps) = (0.0, 0);
        progress.evaluation_seconds += clock.elapsed().as_secs_f64();
        Ok(())
    }

    /// Sliding-window inference with the EMA, in windows of the current patch size.
    fn predictor(&self) -> SlidingWindow<'_> {
        let (net, weights) = (&self.net, self.ema.weights());
        let window = self.plan.schedule.window_after(self.progress.step);
        SlidingWindow { net, weights, regions: &self.plan.regions, window, device: self.device }
    }

    /// Seconds of one evaluation on `cases`.
    ///
    /// # Errors
    /// [`FitError::Torch`] if libtorch fails.
    pub fn seconds_of_evaluation(&self, cases: &[EvalCase]) -> Result<f64> {
        let clock = Instant::now();
        self.predictor().dice(cases)?;
        Ok(clock.elapsed().as_secs_f64())
    }

    /// Seconds of a step with patches of `spec`, prefetched by the data loader: the median of
    /// several steps. The trained weights are discarded.
    ///
    /// # Errors
    /// As [`Trainer::run`].
    pub fn seconds_of_step(mut self, cases: &Loaded, spec: PatchSpec) -> Result<f64> {
        let schedule = self.plan.schedule.clone().in_phases(vec![ResolutionPhase { first_step: 0, spec }]);
        let sampler = self.sampler.clone();
        let loader = DataLoader { cases: &cases.training, schedule: &schedule, sampler: &sampler };
        loader.batches(0..u64::MAX, self.workers, |batches| {
            let mut steps = 0..;
            let mut timed = |(least, enough): (usize, f64)| -> Result<Vec<f64>> {
                let (begin, mut seconds) = (Instant::now(), Vec::new());
                while seconds.len() < least || begin.elapsed().as_secs_f64() < enough {
                    let clock = Instant::now();
                    self.step(&batches.take()?, steps.next().unwrap_or_default())?;
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
