//! Patches drawn ahead by worker threads, so that the network does not wait for them.

use std::ops::Range;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use crate::data::case::Case;
use crate::data::patch_sampler::{PatchBatch, Sampler};
use crate::error::{FitError, Result};
use crate::plan::curriculum_schedule::{Schedule, StepPlan, Steps};

/// Steps that every worker may be ahead.
const AHEAD: usize = 2;

/// What a step is to learn from.
#[derive(Debug)]
pub struct HostBatch {
    /// Which step.
    pub moment: StepPlan,
    /// Its samples.
    pub samples: PatchBatch,
}

/// Where samples come from.
#[derive(Clone, Copy, Debug)]
pub struct DataLoader<'a> {
    /// The training cases by rank.
    pub cases: &'a [Case],
    /// Which of them at which step.
    pub schedule: &'a Schedule,
    /// How they are drawn.
    pub sampler: &'a Sampler,
}

impl DataLoader<'_> {
    fn ready(&self, plan: &mut Steps<'_>, step: u64) -> HostBatch {
        let moment = plan.at(step);
        let cases: Vec<&Case> = moment.cases.iter().map(|&case| &self.cases[case]).collect();
        HostBatch { samples: self.sampler.draw(&cases, step, moment.grain), moment }
    }

    /// Has `workers` threads draw the samples of `steps`, and lets `learn` take them in order.
    pub fn feed<T>(&self, steps: Range<u64>, workers: usize, learn: impl FnOnce(&mut BatchIter) -> T) -> T {
        std::thread::scope(|scope| {
            let lane = |worker: usize| {
                let (sender, receiver) = sync_channel(AHEAD);
                let mut steps = steps.clone().skip(worker).step_by(workers);
                // Ends when all is drawn, or when nobody listens any more.
                scope.spawn(move || {
                    let mut plan = self.schedule.steps();
                    steps.all(|step| sender.send(self.ready(&mut plan, step)).is_ok())
                });
                receiver
            };
            let mut feed =
                BatchIter { lanes: (0..workers).map(lane).collect(), taken: 0, waited: Duration::ZERO };
            learn(&mut feed)
        })
    }
}

/// The samples of a run's steps in order.
#[derive(Debug)]
pub struct BatchIter {
    lanes: Vec<Receiver<HostBatch>>,
    taken: usize,
    waited: Duration,
}

impl BatchIter {
    /// The samples of the next step.
    ///
    /// # Errors
    /// [`FitError::WorkerStopped`] when a worker has stopped.
    pub fn take(&mut self) -> Result<HostBatch> {
        let clock = Instant::now();
        let lane = self.taken % self.lanes.len();
        let ready = self.lanes[lane].recv();
        self.taken += 1;
        self.waited += clock.elapsed();
        ready.map_err(|_| FitError::WorkerStopped)
    }

    /// How long [`BatchIter::take`] waited since it was asked last.
    pub fn take_waited(&mut self) -> Duration {
        std::mem::take(&mut self.waited)
    }
}
