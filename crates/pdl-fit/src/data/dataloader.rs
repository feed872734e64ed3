//! Data loader: worker threads that prefetch the batches of a run.

use std::ops::Range;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use crate::data::case::Case;
use crate::data::patch_sampler::{PatchBatch, Sampler};
use crate::error::{FitError, Result};
use crate::plan::curriculum_schedule::{Schedule, StepPlan, Steps};

/// Batches that each worker prefetches.
const PREFETCHED: usize = 2;

/// Patches of one step in host memory.
#[derive(Debug)]
pub struct HostBatch {
    /// Step plan, with the case of every patch.
    pub step_plan: StepPlan,
    /// One patch per entry of the step plan's cases.
    pub patches: PatchBatch,
}

/// Source of batches.
#[derive(Clone, Copy, Debug)]
pub struct DataLoader<'a> {
    /// Training cases by rank.
    pub cases: &'a [Case],
    /// Cases, patch size and resolution of every step.
    pub schedule: &'a Schedule,
    /// Cropping and augmentation.
    pub sampler: &'a Sampler,
}

impl DataLoader<'_> {
    fn batch(&self, plan: &mut Steps<'_>, step: u64) -> Result<HostBatch> {
        let step_plan = plan.at(step);
        let cases: Vec<&Case> = step_plan.cases.iter().map(|&case| &self.cases[case]).collect();
        Ok(HostBatch { patches: self.sampler.draw(&cases, step, step_plan.spec)?, step_plan })
    }

    /// Starts `workers` threads for the batches of `steps`, and calls `consume` with an iterator
    /// over them in the order of the steps. Worker i prepares every `workers`-th step from the i-th
    /// on.
    pub fn batches<T>(
        &self,
        steps: Range<u64>,
        workers: usize,
        consume: impl FnOnce(&mut BatchIter) -> T,
    ) -> T {
        std::thread::scope(|scope| {
            let start = |worker: usize| {
                let (sender, receiver) = sync_channel(PREFETCHED);
                let mut steps = steps.clone().skip(worker).step_by(workers);
                // Ends after the last step, after an error, or when the receiver is dropped.
                scope.spawn(move || {
                    let mut plan = self.schedule.steps();
                    steps.all(|step| {
                        let batch = self.batch(&mut plan, step);
                        let goes_on = batch.is_ok();
                        sender.send(batch).is_ok() && goes_on
                    })
                });
                receiver
            };
            let mut batches =
                BatchIter { workers: (0..workers).map(start).collect(), taken: 0, waited: Duration::ZERO };
            consume(&mut batches)
        })
    }
}

/// Batches of a run in the order of the steps.
#[derive(Debug)]
pub struct BatchIter {
    workers: Vec<Receiver<Result<HostBatch>>>,
    taken: usize,
    waited: Duration,
}

impl BatchIter {
    /// The batch of the next step; blocks until it is ready.
    ///
    /// # Errors
    /// The worker's error while reading a patch; [`FitError::WorkerStopped`] if it has ended early.
    pub fn take(&mut self) -> Result<HostBatch> {
        let clock = Instant::now();
        let worker = self.taken % self.workers.len();
        let batch = self.workers[worker].recv();
        self.taken += 1;
        self.waited += clock.elapsed();
        batch.unwrap_or(Err(FitError::WorkerStopped))
    }

    /// Time that [`BatchIter::take`] has blocked since the last call.
    pub fn take_waited(&mut self) -> Duration {
        std::mem::take(&mut self.waited)
    }
}
