//! Which cases a run learns from, at which resolution and in how many samples, at every step.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{FitError, Result};
use crate::random::{Purpose, Random};

/// From a step on, so many cases are active.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stage {
    /// The first optimiser step (from 0) at which it holds.
    pub first_step: u64,
    /// The epoch (from 0) that begins with it; an epoch is one pass over the active cases.
    pub first_epoch: u32,
    /// How many cases of the joining order are active.
    pub active_cases: usize,
}

/// What the samples of a step are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Grain {
    /// Sides of a sample along z, y, x, in voxels of the prepared image; z is 1 for planes.
    pub patch: [usize; 3],
    /// Voxels of these along z, y, x that become one: 1, 1, 1 is full resolution.
    pub pool: [usize; 3],
    /// Samples of a step.
    pub batch: usize,
}

/// From a step on, samples are like this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Phase {
    /// The first optimiser step (from 0) at which it holds.
    pub first_step: u64,
    /// What holds.
    #[serde(flatten)]
    pub grain: Grain,
}

/// In which order training cases join.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Joining {
    /// By rank.
    Ranked,
    /// By chance, from the seed.
    Random,
}

/// What a step learns from.
#[derive(Clone, Debug, PartialEq)]
pub struct Moment {
    /// The cases of the step, as indices of the training cases by rank.
    pub cases: Vec<usize>,
    /// What its samples are like.
    pub grain: Grain,
    /// The stage, from 0.
    pub stage: usize,
    /// The epoch, from 0.
    pub epoch: u32,
    /// Active cases.
    pub active: usize,
}

/// The plan of a run over its steps: all that [`Schedule::at`] needs but the step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Schedule {
    /// In which order cases join.
    pub joining: Joining,
    /// Training cases.
    pub cases: usize,
    /// When they join.
    pub stages: Vec<Stage>,
    /// At which resolution, and how many of them, samples are taken.
    pub phases: Vec<Phase>,
    /// Cases of a step.
    pub cases_per_step: usize,
    /// How strongly early cases are preferred: the last active case is drawn e^-this times as often as the first.
    /// 0 passes over all active cases alike.
    pub rank_weight: f64,
    /// Seed of the order of cases within an epoch, and of joining by chance.
    pub seed: u64,
}

impl Schedule {
    /// For `cases` training cases, by a table of (first epoch, active cases), with samples of one `grain`.
    ///
    /// # Errors
    /// [`FitError::Folder`] when the table is empty, does not begin at epoch 0 with a case, shrinks, or does
    /// not end with all cases.
    pub fn new(
        joining: Joining,
        cases: usize,
        table: &[(u32, usize)],
        cases_per_step: usize,
        grain: Grain,
        seed: u64,
    ) -> Result<Self> {
        check(table, cases)?;
        let mut stages: Vec<Stage> = Vec::with_capacity(table.len());
        for &(first_epoch, active_cases) in table {
            let first_step = stages.last().map_or(0, |before| {
                let epochs = u64::from(first_epoch - before.first_epoch);
                before.first_step + epochs * steps_of_epoch(before.active_cases, cases_per_step)
            });
            stages.push(Stage { first_step, first_epoch, active_cases });
        }
        let phases = vec![Phase { first_step: 0, grain }];
        Ok(Self { joining, cases, stages, phases, cases_per_step, rank_weight: 0.0, seed })
    }

    /// Stretches or shortens all stages alike, so that the last cases join after `steps`.
    #[must_use]
    pub fn joined_after(mut self, steps: u64) -> Self {
        let joined = self.steps_until_all();
        if joined == 0 {
            return self;
        }
        let mut before: Option<Stage> = None;
        for stage in &mut self.stages {
            let wish = (stage.first_step as f64 * steps as f64 / joined as f64).round() as u64;
            if let Some(before) = before {
                stage.first_step = wish.max(before.first_step + 1);
                let passed = stage.first_step - before.first_step;
                let epochs = passed.div_ceil(steps_of_epoch(before.active_cases, self.cases_per_step));
                stage.first_epoch = before.first_epoch + epochs as u32;
            }
            before = Some(*stage);
        }
        self
    }

    /// Takes samples as `phases` say, which begin at step 0 and ascend.
    #[must_use]
    pub fn in_phases(mut self, phases: Vec<Phase>) -> Self {
        self.phases = phases;
        self
    }

    /// Samples that are learnt from before `step`.
    pub fn samples_before(&self, step: u64) -> u64 {
        let ends = self.phases.iter().skip(1).map(|phase| phase.first_step).chain([u64::MAX]);
        let of_phase = |(phase, end): (&Phase, u64)| {
            step.min(end).saturating_sub(phase.first_step) * phase.grain.batch as u64
        };
        self.phases.iter().zip(ends).map(of_phase).sum()
    }

    /// What samples are like at a step.
    fn grain_at(&self, step: u64) -> Grain {
        let phase = self.phases.iter().rposition(|phase| phase.first_step <= step).unwrap_or(0);
        self.phases[phase].grain
    }

    /// Sides (z, y, x) of the sliding window for a network after `steps` training steps: those of the patches of the
    /// last step, the field of view whose statistics it has learnt. Patches of a lower resolution are as large as
    /// they were before pooling.
    pub fn window_after(&self, steps: u64) -> [usize; 3] {
        self.grain_at(steps.saturating_sub(1)).patch
    }

    /// Prefers early cases: see [`Schedule::rank_weight`].
    #[must_use]
    pub fn weighted_by_rank(mut self, strength: f64) -> Self {
        self.rank_weight = strength;
        self
    }

    /// Which cases, at which resolution, in how many samples, at this step. The answer depends on nothing else, so that a run can go on
    /// from any step.
    pub fn at(&self, step: u64) -> Moment {
        let number = self.stages.iter().rposition(|stage| stage.first_step <= step).unwrap_or(0);
        let stage = self.stages[number];
        let length = steps_of_epoch(stage.active_cases, self.cases_per_step);
        let since = step - stage.first_step;
        let epoch = stage.first_epoch + (since / length) as u32;
        let order = self.order();
        let active = &order[..stage.active_cases];
        let cases = if self.rank_weight > 0.0 {
            self.draw_by_rank(active, step)
        } else {
            self.draw_of_pass(active, epoch, (since % length) as usize)
        };
        Moment { cases, grain: self.grain_at(step), stage: number, epoch, active: active.len() }
    }

    /// The cases in the order in which they join.
    fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.cases).collect();
        if self.joining == Joining::Random {
            Random::new(self.seed, Purpose::Joining, 0).shuffle(&mut order);
        }
        order
    }

    /// The cases of one step of a pass over all active ones in random order.
    fn draw_of_pass(&self, active: &[usize], epoch: u32, step_of_epoch: usize) -> Vec<usize> {
        let mut order = active.to_vec();
        Random::new(self.seed, Purpose::Order, u64::from(epoch)).shuffle(&mut order);
        let first = step_of_epoch * self.cases_per_step;
        order[first..order.len().min(first + self.cases_per_step)].to_vec()
    }

    /// Cases drawn without repetition, early ones more often: those that come first when every case waits for
    /// an exponential time, the shorter the larger its weight (Efraimidis and Spirakis 2006).
    fn draw_by_rank(&self, active: &[usize], step: u64) -> Vec<usize> {
        let mut random = Random::new(self.seed, Purpose::Ranks, step);
        let last = (active.len() - 1).max(1) as f64;
        let mut waits: Vec<(f64, usize)> = active
            .iter()
            .enumerate()
            .map(|(place, &case)| {
                let weight = (-self.rank_weight * place as f64 / last).exp();
                (-random.unit().ln() / weight, case)
            })
            .collect();
        waits.sort_by(|a, b| a.0.total_cmp(&b.0));
        waits.iter().take(self.cases_per_step).map(|&(_, case)| case).collect()
    }

    /// How many optimiser steps pass until the last cases join.
    pub fn steps_until_all(&self) -> u64 {
        self.stages.last().map_or(0, |stage| stage.first_step)
    }

    /// The steps of `epochs` passes over the active cases.
    pub fn steps_of_epochs(&self, epochs: u32) -> u64 {
        let stage = self.stages.iter().rev().find(|stage| stage.first_epoch < epochs.max(1));
        stage.map_or(0, |stage| {
            let length = steps_of_epoch(stage.active_cases, self.cases_per_step);
            stage.first_step + u64::from(epochs - stage.first_epoch) * length
        })
    }
}

/// Steps of one pass.
fn steps_of_epoch(cases: usize, cases_per_step: usize) -> u64 {
    cases.div_ceil(cases_per_step) as u64
}

fn check(table: &[(u32, usize)], cases: usize) -> Result<()> {
    let wrong = |problem: String| {
        let help = "make the manifest anew with `pdl rank`, or give --start, --add and --every";
        Err(FitError::Folder(format!("the stage table cannot be followed: {problem}; {help}")))
    };
    let (Some(first), Some(last)) = (table.first(), table.last()) else {
        return wrong("it is empty".into());
    };
    if first.0 != 0 || first.1 == 0 {
        return wrong("its first stage must begin at epoch 0 with at least one case".into());
    }
    for pair in table.windows(2) {
        let (a, b) = (pair[0], pair[1]);
        if b.0 <= a.0 || b.1 < a.1 {
            return wrong(format!("it goes from {} cases at epoch {} to {} at epoch {}", a.1, a.0, b.1, b.0));
        }
    }
    if last.1 != cases {
        return wrong(format!("it ends with {} active cases, but there are {cases} training cases", last.1));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRAIN: Grain = Grain { patch: [1, 8, 8], pool: [1; 3], batch: 8 };

    fn growing() -> Schedule {
        Schedule::new(Joining::Ranked, 5, &[(0, 2), (10, 3), (20, 5)], 2, GRAIN, 7).unwrap()
    }

    #[test]
    fn follows_the_table_and_never_shrinks() {
        let schedule = growing();
        let firsts: Vec<u64> = schedule.stages.iter().map(|stage| stage.first_step).collect();
        assert_eq!(firsts, [0, 10, 10 + 10 * 2]);
        assert_eq!(schedule.steps_until_all(), 30);
        let active = |step| schedule.at(step).active;
        assert_eq!(
            [active(0), active(9), active(10), active(29), active(30), active(999)],
            [2, 2, 3, 3, 5, 5]
        );
        let epoch = |step| schedule.at(step).epoch;
        assert_eq!(
            [epoch(9), epoch(10), epoch(11), epoch(12), epoch(30), epoch(33)],
            [9, 10, 10, 11, 20, 21]
        );
        assert_eq!(schedule.steps_of_epochs(10), 10);
        assert_eq!(schedule.steps_of_epochs(21), 33);
    }

    #[test]
    fn every_epoch_passes_once_over_the_active_cases() {
        let schedule = growing();
        let mut seen: Vec<usize> = (30..33).flat_map(|step| schedule.at(step).cases).collect();
        seen.sort_unstable();
        assert_eq!(seen, [0, 1, 2, 3, 4]);
        let mut early: Vec<usize> = schedule.at(4).cases;
        early.sort_unstable();
        assert_eq!(early, [0, 1]);
    }

    #[test]
    fn cases_that_join_by_chance_stay() {
        let schedule = Schedule { joining: Joining::Random, ..growing() };
        let first = |step| {
            let mut cases = schedule.at(step).cases;
            cases.sort_unstable();
            cases
        };
        assert_eq!(first(0), first(9));
        let order = |seed| Schedule { seed, ..schedule.clone() }.order();
        assert!((0..10).any(|seed| order(seed) != order(7)), "the seed decides");
    }

    #[test]
    fn stretched_stages_end_where_asked() {
        let schedule = growing().joined_after(90);
        let stages: Vec<(u64, u32)> = schedule.stages.iter().map(|s| (s.first_step, s.first_epoch)).collect();
        assert_eq!(stages, [(0, 0), (30, 30), (90, 60)]);
        let squeezed = growing().joined_after(1);
        let firsts: Vec<u64> = squeezed.stages.iter().map(|stage| stage.first_step).collect();
        assert_eq!(firsts, [0, 1, 2], "every stage keeps a step");
    }

    #[test]
    fn samples_depend_on_the_step_alone() {
        let coarse = Grain { pool: [1, 2, 2], batch: 2, ..GRAIN };
        let (first, second) = (Phase { first_step: 0, grain: coarse }, Phase { first_step: 5, grain: GRAIN });
        let schedule = growing().in_phases(vec![first, second]);
        assert_eq!([4, 5].map(|step| schedule.at(step).grain), [coarse, GRAIN]);
        assert_eq!([0, 1, 5, 6].map(|step| schedule.samples_before(step)), [0, 2, 10, 18]);
        assert_eq!((growing().at(0).grain, growing().samples_before(3)), (GRAIN, 24));
    }

    #[test]
    fn the_window_is_the_patch_of_the_last_step() {
        let small = Grain { patch: [1, 4, 6], pool: [1, 2, 2], ..GRAIN };
        let (first, second) = (Phase { first_step: 0, grain: small }, Phase { first_step: 5, grain: GRAIN });
        let schedule = growing().in_phases(vec![first, second]);
        assert_eq!([0, 1, 5].map(|steps| schedule.window_after(steps)), [small.patch; 3]);
        assert_eq!([6, 99].map(|steps| schedule.window_after(steps)), [GRAIN.patch; 2]);
    }

    #[test]
    fn rank_weights_prefer_the_first_cases() {
        let schedule =
            Schedule::new(Joining::Ranked, 10, &[(0, 10)], 1, GRAIN, 1).unwrap().weighted_by_rank(2.0);
        let mut counts = [0_i32; 10];
        (0..20_000).for_each(|step| counts[schedule.at(step).cases[0]] += 1);
        // Expected shares e^(-2 r / 9) / sum: 0.2249 of 20,000 for the first, e^-2 of that for the last.
        assert!((counts[0] - 4497).abs() < 250 && (counts[9] - 609).abs() < 100, "{counts:?}");
        let pair = Schedule { cases_per_step: 2, ..schedule }.at(3).cases;
        assert!(pair.len() == 2 && pair[0] != pair[1], "no case twice in a step");
    }

    #[test]
    fn refuses_tables_that_cannot_be_followed() {
        let wrong: [&[(u32, usize)]; 6] =
            [&[], &[(1, 3)], &[(0, 0), (1, 3)], &[(0, 2), (10, 1), (20, 3)], &[(0, 2), (0, 3)], &[(0, 2)]];
        for table in wrong {
            let refused = Schedule::new(Joining::Ranked, 3, table, 1, GRAIN, 1);
            assert!(matches!(refused, Err(FitError::Folder(_))), "{table:?}");
        }
    }
}
