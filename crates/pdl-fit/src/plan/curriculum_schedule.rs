//! Schedule of a curriculum: active cases, resolution and batch size of every step.
//!
//! An epoch is one pass over the active cases. It ends once as many cases were drawn
//! ([`Schedule::cases_per_step`] per step, or the step's number of patches if that is smaller) as
//! are active. Its patches are distributed over the active cases in random order so that each case
//! gets equally many, within one, even if the batch size changes within the epoch. Steps at the end
//! of a stage that do not fill an epoch belong to the stage's last epoch.

use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::random::{Purpose, Random};
use crate::error::{FitError, Result};

/// Stage of a curriculum: a number of active cases from a step on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ScheduleStage {
    /// First step (from 0).
    pub first_step: u64,
    /// First epoch (from 0); an epoch is one pass over the active cases.
    pub first_epoch: u32,
    /// Number of active cases: the first ones of the case order.
    pub active_cases: usize,
}

/// Size, resolution and number of the patches of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PatchSpec {
    /// Size along z, y, x, in voxels of the prepared image before pooling; z is 1 for planes.
    pub patch: [usize; 3],
    /// Pooling factor along z, y, x; 1, 1, 1 is full resolution.
    pub pool: [usize; 3],
    /// Patches per step (batch size).
    pub batch: usize,
}

/// Phase of a run with one patch size, resolution and batch size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ResolutionPhase {
    /// First step (from 0).
    pub first_step: u64,
    /// Patches of its steps.
    #[serde(flatten)]
    pub spec: PatchSpec,
}

/// Order in which training cases become active.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CaseOrder {
    /// Ascending rank of the manifest.
    Ranked,
    /// A permutation drawn from the seed.
    Random,
}

/// Input of one step.
#[derive(Clone, Debug, PartialEq)]
pub struct StepPlan {
    /// Case of every patch of the step, as indices into the training cases by rank.
    pub cases: Vec<usize>,
    /// Size, resolution and number of the patches.
    pub spec: PatchSpec,
    /// Stage of the curriculum, from 0.
    pub stage: usize,
    /// Epoch, from 0.
    pub epoch: u32,
    /// Number of active cases.
    pub active: usize,
}

/// Schedule of a run; with the step it determines a [`StepPlan`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Schedule {
    /// Order in which cases become active.
    #[serde(rename = "joining")] // as in the records of all runs
    pub case_order: CaseOrder,
    /// Number of training cases.
    pub cases: usize,
    /// Stages in ascending order; the first starts at step 0.
    pub stages: Vec<ScheduleStage>,
    /// Phases in ascending order; the first starts at step 0.
    pub phases: Vec<ResolutionPhase>,
    /// Cases from which the patches of a step are drawn: fewer if it has fewer patches, one more if
    /// the patches of a case continue in the next step.
    pub cases_per_step: usize,
    /// Preference w for early ranks: the last active case is drawn e^-w times as often as the
    /// first. At 0 all active cases are drawn equally often.
    pub rank_weight: f64,
    /// Seed of the order of cases within an epoch and of a random case order.
    pub seed: u64,
}

impl Schedule {
    /// A schedule for `cases` training cases from a table of (first epoch, active cases), with one
    /// patch specification throughout.
    ///
    /// # Errors
    /// [`FitError::InvalidStages`] if the table is empty, does not start at epoch 0 with at least
    /// one case, decreases, or does not end with all cases.
    pub fn new(
        case_order: CaseOrder,
        cases: usize,
        table: &[(u32, usize)],
        cases_per_step: usize,
        spec: PatchSpec,
        seed: u64,
    ) -> Result<Self> {
        check(table, cases)?;
        let stage = |&(first_epoch, active_cases)| ScheduleStage { first_step: 0, first_epoch, active_cases };
        let stages = table.iter().map(stage).collect();
        let (phases, rank_weight) = (Vec::new(), 0.0);
        let schedule = Self { case_order, cases, stages, phases, cases_per_step, rank_weight, seed };
        Ok(schedule.in_phases(vec![ResolutionPhase { first_step: 0, spec }]))
    }

    /// Rescales all stages so that the last one starts at `steps`.
    #[must_use]
    pub fn all_active_after(mut self, steps: u64) -> Self {
        let joined = self.steps_until_all();
        if joined == 0 {
            return self;
        }
        for next in 1..self.stages.len() {
            let (before, stage) = (self.stages[next - 1], self.stages[next]);
            let wish = (stage.first_step as f64 * steps as f64 / joined as f64).round() as u64;
            let first_step = wish.max(before.first_step + 1);
            let (epochs, _) = self.passes(before, u64::MAX, first_step);
            let first_epoch = before.first_epoch + epochs.max(1) as u32;
            self.stages[next] = ScheduleStage { first_step, first_epoch, ..stage };
        }
        self
    }

    /// Replaces the phases, which start at step 0 and ascend. Stages keep their first epochs; their
    /// first steps are recomputed.
    #[must_use]
    pub fn in_phases(mut self, phases: Vec<ResolutionPhase>) -> Self {
        self.phases = phases;
        for next in 1..self.stages.len() {
            let (before, stage) = (self.stages[next - 1], self.stages[next]);
            let epochs = u64::from(stage.first_epoch - before.first_epoch);
            let (_, first_step) = self.passes(before, epochs, u64::MAX);
            self.stages[next] = ScheduleStage { first_step, ..stage };
        }
        self
    }

    /// Number of patches in the steps before `step`.
    pub fn samples_before(&self, step: u64) -> u64 {
        self.sum_before(step, |spec| spec.batch)
    }

    /// Voxels of the patches in the steps before `step`.
    pub fn voxels_before(&self, step: u64) -> u64 {
        self.sum_before(step, |spec| spec.batch * spec.patch.iter().product::<usize>())
    }

    fn sum_before(&self, step: u64, of_step: impl Fn(PatchSpec) -> usize) -> u64 {
        let ends = self.phases.iter().skip(1).map(|phase| phase.first_step).chain([u64::MAX]);
        let of_phase = |(phase, end): (&ResolutionPhase, u64)| {
            step.min(end).saturating_sub(phase.first_step) * of_step(phase.spec) as u64
        };
        self.phases.iter().zip(ends).map(of_phase).sum()
    }

    /// Phase of a step, and the first step of the next phase.
    fn phase_at(&self, step: u64) -> (ResolutionPhase, u64) {
        let next = self.phases.partition_point(|phase| phase.first_step <= step).max(1);
        (self.phases[next - 1], self.phases.get(next).map_or(u64::MAX, |phase| phase.first_step))
    }

    /// Steps of an epoch over `active` cases in a phase.
    fn steps_of_pass(&self, active: usize, phase: ResolutionPhase) -> u64 {
        active.div_ceil(self.cases_per_step.min(phase.spec.batch)) as u64
    }

    /// Epochs of a stage that end at or before step `end`, at most `most`: their number, and the
    /// step after the last.
    fn passes(&self, stage: ScheduleStage, most: u64, end: u64) -> (u64, u64) {
        let (mut passed, mut step) = (0, stage.first_step);
        while passed < most {
            let (phase, phase_end) = self.phase_at(step);
            let length = self.steps_of_pass(stage.active_cases, phase);
            let whole = (phase_end.min(end) - step) / length;
            let after = match whole {
                0 => self.end_of_pass(step, stage.active_cases),
                _ => step + whole.min(most - passed) * length,
            };
            if after > end {
                break;
            }
            (passed, step) = (passed + whole.min(most - passed).max(1), after);
        }
        (passed, step)
    }

    /// Step after an epoch over `active` cases that starts with `step` and may span phases.
    fn end_of_pass(&self, mut step: u64, active: usize) -> u64 {
        let mut missing = active;
        loop {
            let (phase, phase_end) = self.phase_at(step);
            let length = self.steps_of_pass(missing, phase);
            if length <= phase_end - step || phase_end == u64::MAX {
                return step.saturating_add(length);
            }
            missing -= self.cases_per_step.min(phase.spec.batch) * (phase_end - step) as usize;
            step = phase_end;
        }
    }

    /// The epoch that contains a step.
    fn epoch_at(&self, step: u64) -> Epoch {
        let number = self.stages.iter().rposition(|stage| stage.first_step <= step).unwrap_or(0);
        let stage = self.stages[number];
        let end = self.stages.get(number + 1).map(|next| next.first_step);
        let last = end.map_or(u64::MAX, |end| self.passes(stage, u64::MAX, end).0.saturating_sub(1));
        let passed = self.passes(stage, u64::MAX, step).0.min(last);
        let begin = |passed| self.passes(stage, passed, u64::MAX).1;
        Epoch {
            stage: number,
            number: stage.first_epoch + passed as u32,
            steps: begin(passed)..end.filter(|_| passed == last).unwrap_or_else(|| begin(passed + 1)),
        }
    }

    /// Sliding-window size (z, y, x) of a network after `steps` training steps: the patch size of
    /// the last step, because instance norm has learnt the statistics of that field of view.
    /// Low-resolution patches count with their size before pooling.
    pub fn window_after(&self, steps: u64) -> [usize; 3] {
        self.phase_at(steps.saturating_sub(1)).0.spec.patch
    }

    /// Size, resolution and number of the patches of the last phase's steps.
    pub fn spec_of_last_phase(&self) -> PatchSpec {
        self.phase_at(u64::MAX).0.spec
    }

    /// Sets [`Schedule::rank_weight`].
    #[must_use]
    pub fn weighted_by_rank(mut self, strength: f64) -> Self {
        self.rank_weight = strength;
        self
    }

    /// The step plans of this schedule.
    pub fn steps(&self) -> Steps<'_> {
        Steps { schedule: self, case_order: self.order(), epoch: None }
    }

    /// Case indices in the order in which they become active.
    fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.cases).collect();
        if self.case_order == CaseOrder::Random {
            Random::new(self.seed, Purpose::CaseOrder, 0).shuffle(&mut order);
        }
        order
    }

    /// Draws `count` cases without replacement, early ranks preferred: the smallest exponential
    /// waiting times, whose rates are the weights (Efraimidis and Spirakis 2006).
    fn draw_by_rank(&self, active: &[usize], step: u64, count: usize) -> Vec<usize> {
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
        waits.iter().take(count).map(|&(_, case)| case).collect()
    }

    /// First step at which all cases are active.
    pub fn steps_until_all(&self) -> u64 {
        self.stages.last().map_or(0, |stage| stage.first_step)
    }

    /// Steps of the first `epochs` epochs.
    pub fn steps_of_epochs(&self, epochs: u32) -> u64 {
        let stage = self.stages.iter().rev().find(|stage| stage.first_epoch < epochs.max(1));
        stage.map_or(0, |&stage| self.passes(stage, (epochs - stage.first_epoch).into(), u64::MAX).1)
    }

    /// Steps of an epoch over all cases in the last phase.
    pub fn steps_of_last_pass(&self) -> u64 {
        self.steps_of_pass(self.cases, self.phase_at(u64::MAX).0)
    }
}

/// One pass over the active cases.
#[derive(Clone, Debug, PartialEq)]
struct Epoch {
    /// Stage, from 0.
    stage: usize,
    /// Epoch, from 0.
    number: u32,
    steps: Range<u64>,
}

/// Step plans of a schedule. Caches the order of the most recent epoch, so ascending steps are
/// cheapest; the order of calls does not change the result.
#[derive(Debug)]
pub struct Steps<'a> {
    schedule: &'a Schedule,
    /// All cases in the order in which they become active.
    case_order: Vec<usize>,
    /// The most recent epoch, and its cases in the order in which they are drawn.
    epoch: Option<(Epoch, Vec<usize>)>,
}

impl Steps<'_> {
    /// The plan of `step` (from 0). It depends on the schedule and the step alone, so that a run
    /// resumes at any step.
    pub fn at(&mut self, step: u64) -> StepPlan {
        let schedule = self.schedule;
        let present = self.epoch.take().filter(|(epoch, _)| epoch.steps.contains(&step));
        let (epoch, order) = self.epoch.insert(present.unwrap_or_else(|| {
            let epoch = schedule.epoch_at(step);
            let mut order = self.case_order[..schedule.stages[epoch.stage].active_cases].to_vec();
            Random::new(schedule.seed, Purpose::Order, epoch.number.into()).shuffle(&mut order);
            (epoch, order)
        }));
        let (active, spec) = (order.len(), schedule.phase_at(step).0.spec);
        let cases = if schedule.rank_weight > 0.0 {
            let count = schedule.cases_per_step.min(spec.batch);
            let drawn = schedule.draw_by_rank(&self.case_order[..active], step, count);
            (0..spec.batch).map(|patch| drawn[patch * drawn.len() / spec.batch]).collect()
        } else {
            let before = |step| schedule.samples_before(step);
            let (first, end) = (before(epoch.steps.start), before(epoch.steps.end));
            let patches = before(step) - first..before(step + 1) - first;
            patches.map(|patch| order[(patch * active as u64 / (end - first)) as usize]).collect()
        };
        StepPlan { cases, spec, stage: epoch.stage, epoch: epoch.number, active }
    }
}

pub(crate) fn check(table: &[(u32, usize)], cases: usize) -> Result<()> {
    let wrong = |problem: String| Err(FitError::InvalidStages { problem });
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
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const SPEC: PatchSpec = PatchSpec { patch: [1, 8, 8], pool: [1; 3], batch: 8 };

    fn growing() -> Schedule {
        Schedule::new(CaseOrder::Ranked, 5, &[(0, 2), (10, 3), (20, 5)], 2, SPEC, 7).unwrap()
    }

    #[test]
    fn follows_the_table_and_never_shrinks() {
        let schedule = growing();
        let firsts: Vec<u64> = schedule.stages.iter().map(|stage| stage.first_step).collect();
        assert_eq!(firsts, [0, 10, 10 + 10 * 2]);
        assert_eq!(schedule.steps_until_all(), 30);
        let at = |step| schedule.steps().at(step);
        let active = |step| at(step).active;
        assert_eq!(
            [active(0), active(9), active(10), active(29), active(30), active(999)],
            [2, 2, 3, 3, 5, 5]
        );
        let epoch = |step| at(step).epoch;
        assert_eq!(
            [epoch(9), epoch(10), epoch(11), epoch(12), epoch(30), epoch(33)],
            [9, 10, 10, 11, 20, 21]
        );
        assert_eq!(schedule.steps_of_epochs(10), 10);
        assert_eq!(schedule.steps_of_epochs(21), 33);
    }

    /// Six cases, by their position in the order of the first epoch.
    #[test]
    fn patches_are_dealt_out_over_the_whole_epoch() {
        let dealt = |cases_per_step, batch| -> Vec<Vec<usize>> {
            let spec = PatchSpec { batch, ..SPEC };
            let schedule = Schedule::new(CaseOrder::Ranked, 6, &[(0, 6)], cases_per_step, spec, 7).unwrap();
            let mut steps = schedule.steps();
            let cases: Vec<Vec<usize>> =
                (0..schedule.steps_of_epochs(1)).map(|step| steps.at(step).cases).collect();
            let (_, order) = steps.epoch.unwrap();
            let place = |case: usize| order.iter().position(|&other| other == case).unwrap();
            cases.into_iter().map(|cases| cases.into_iter().map(place).collect()).collect()
        };
        assert_eq!(dealt(3, 7), [[0, 0, 0, 1, 1, 2, 2], [3, 3, 3, 4, 4, 5, 5]]);
        assert_eq!(dealt(4, 6), [[0, 0, 1, 1, 2, 2], [3, 3, 4, 4, 5, 5]]);
        assert_eq!(dealt(4, 5), [[0, 0, 1, 1, 2], [3, 3, 4, 4, 5]]);
        assert_eq!(dealt(5, 6), [[0, 0, 1, 1, 2, 2], [3, 3, 4, 4, 5, 5]]);
        for cases_per_step in [2, 4, 9] {
            assert_eq!(dealt(cases_per_step, 2), [[0, 1], [2, 3], [4, 5]]);
        }
    }

    fn phases(batches: &[(u64, usize)]) -> Vec<ResolutionPhase> {
        let phase = |&(first_step, batch)| ResolutionPhase { first_step, spec: PatchSpec { batch, ..SPEC } };
        batches.iter().map(phase).collect()
    }

    /// Schedules of any size: stages, phases, steps smaller and larger than `cases_per_step`, with
    /// stages from the table or rescaled.
    fn any_schedule() -> impl Strategy<Value = Schedule> {
        let stages = prop::collection::vec((1..4_u32, 1..9_usize), 1..4);
        let parts = prop::collection::vec((1..30_u64, 1..13_usize), 1..5);
        let grown = prop::option::of(1..60_u64);
        (stages, parts, 1..9_usize, grown, any::<bool>(), any::<u64>()).prop_map(
            |(stages, parts, cases_per_step, grown, random, seed)| {
                let mut total = (0, 0);
                let mut table: Vec<(u32, usize)> = Vec::new();
                for (epochs, cases) in stages {
                    total.1 += cases;
                    table.push(total);
                    total.0 += epochs;
                }
                let mut first = 0;
                let mut batches: Vec<(u64, usize)> = Vec::new();
                for (steps, batch) in parts {
                    batches.push((first, batch));
                    first += steps;
                }
                let case_order = if random { CaseOrder::Random } else { CaseOrder::Ranked };
                let schedule =
                    Schedule::new(case_order, total.1, &table, cases_per_step, SPEC, seed).unwrap();
                let schedule = schedule.in_phases(phases(&batches));
                grown.map_or(schedule.clone(), |steps| schedule.all_active_after(steps))
            },
        )
    }

    proptest! {
        #[test]
        fn every_epoch_draws_every_active_case_equally_often(schedule in any_schedule()) {
            let mut steps = schedule.steps();
            let mut counts: BTreeMap<u32, BTreeMap<usize, usize>> = BTreeMap::new();
            let horizon = schedule.steps_until_all() + 200;
            for step in 0..horizon {
                let step_plan = steps.at(step);
                prop_assert_eq!(step_plan.cases.len(), step_plan.spec.batch);
                let active = &schedule.order()[..step_plan.active];
                let drawn = counts.entry(step_plan.epoch).or_insert_with(|| {
                    active.iter().map(|&case| (case, 0)).collect()
                });
                for case in step_plan.cases {
                    prop_assert!(active.contains(&case));
                    *drawn.entry(case).or_default() += 1;
                }
            }
            counts.pop_last(); // cut off by the end of the test
            for (epoch, drawn) in counts {
                let least = *drawn.values().min().unwrap();
                prop_assert!(drawn.values().all(|&n| n <= least + 1), "epoch {epoch}: {drawn:?}");
                // Only a stage shortened to less than an epoch leaves some cases without a patch.
                let alone = schedule.stages.windows(2).any(|stages| {
                    stages[0].first_epoch == epoch && stages[1].first_epoch == epoch + 1
                });
                prop_assert!(least > 0 || alone, "epoch {epoch}: {drawn:?}");
            }
        }

        #[test]
        fn where_steps_divide_the_cases_evenly_each_takes_the_next_of_the_order(
            (cases_per_step, steps_of_epoch) in (1..7_usize, 1..6_usize),
            (more, seed) in (0..9_usize, any::<u64>()),
        ) {
            let (cases, batch) = (cases_per_step * steps_of_epoch, cases_per_step + more);
            let (spec, table) = (PatchSpec { batch, ..SPEC }, [(0, cases)]);
            let schedule =
                Schedule::new(CaseOrder::Ranked, cases, &table, cases_per_step, spec, seed).unwrap();
            let mut steps = schedule.steps();
            for step in 0..3 * steps_of_epoch {
                let drawn = steps.at(step as u64).cases;
                let order = &steps.epoch.as_ref().unwrap().1;
                let next = &order[step % steps_of_epoch * cases_per_step..][..cases_per_step];
                let shared: Vec<usize> =
                    (0..batch).map(|patch| next[patch * cases_per_step / batch]).collect();
                prop_assert_eq!(drawn, shared);
            }
        }

        #[test]
        fn any_step_gives_the_same_plan_wherever_a_run_goes_on(
            schedule in any_schedule(),
            from in 0..80_u64,
            stride in 1..4_usize,
        ) {
            let mut all = schedule.steps();
            let step_plans: Vec<StepPlan> = (0..120).map(|step| all.at(step)).collect();
            let mut resumed = schedule.steps();
            for step in (from..120).step_by(stride).chain([from]) {
                prop_assert_eq!(&resumed.at(step), &step_plans[step as usize]);
            }
        }

        #[test]
        fn the_steps_of_epochs_are_where_the_next_epoch_begins(
            schedule in any_schedule().prop_filter("by the table", |s| s.stages.len() == 1),
            epochs in 1..9_u32,
        ) {
            let next = schedule.steps_of_epochs(epochs);
            let mut steps = schedule.steps();
            prop_assert_eq!((steps.at(next - 1).epoch, steps.at(next).epoch), (epochs - 1, epochs));
        }
    }

    #[test]
    fn cases_that_join_by_chance_stay() {
        let schedule = Schedule { case_order: CaseOrder::Random, ..growing() };
        let first = |step| {
            let mut cases = schedule.steps().at(step).cases;
            cases.sort_unstable();
            cases
        };
        assert_eq!(first(0), first(9));
        let order = |seed| Schedule { seed, ..schedule.clone() }.order();
        assert!((0..10).any(|seed| order(seed) != order(7)), "the seed decides");
    }

    #[test]
    fn stretched_stages_end_where_asked() {
        let schedule = growing().all_active_after(90);
        let stages: Vec<(u64, u32)> = schedule.stages.iter().map(|s| (s.first_step, s.first_epoch)).collect();
        assert_eq!(stages, [(0, 0), (30, 30), (90, 60)]);
        let squeezed = growing().all_active_after(1);
        let firsts: Vec<u64> = squeezed.stages.iter().map(|stage| stage.first_step).collect();
        assert_eq!(firsts, [0, 1, 2], "every stage keeps a step");
    }

    #[test]
    fn samples_depend_on_the_step_alone() {
        let coarse = PatchSpec { pool: [1, 2, 2], batch: 2, ..SPEC };
        let (first, second) =
            (ResolutionPhase { first_step: 0, spec: coarse }, ResolutionPhase { first_step: 5, spec: SPEC });
        let schedule = growing().in_phases(vec![first, second]);
        assert_eq!([4, 5].map(|step| schedule.steps().at(step).spec), [coarse, SPEC]);
        assert_eq!([0, 1, 5, 6].map(|step| schedule.samples_before(step)), [0, 2, 10, 18]);
        assert_eq!((growing().steps().at(0).spec, growing().samples_before(3)), (SPEC, 24));
    }

    #[test]
    fn the_window_is_the_patch_of_the_last_step() {
        let small = PatchSpec { patch: [1, 4, 6], pool: [1, 2, 2], ..SPEC };
        let (first, second) =
            (ResolutionPhase { first_step: 0, spec: small }, ResolutionPhase { first_step: 5, spec: SPEC });
        let schedule = growing().in_phases(vec![first, second]);
        assert_eq!([0, 1, 5].map(|steps| schedule.window_after(steps)), [small.patch; 3]);
        assert_eq!([6, 99].map(|steps| schedule.window_after(steps)), [SPEC.patch; 2]);
    }

    #[test]
    fn rank_weights_prefer_the_first_cases() {
        let schedule =
            Schedule::new(CaseOrder::Ranked, 10, &[(0, 10)], 1, SPEC, 1).unwrap().weighted_by_rank(2.0);
        let mut counts = [0_i32; 10];
        let mut steps = schedule.steps();
        (0..20_000).for_each(|step| counts[steps.at(step).cases[0]] += 1);
        // Expected fractions e^(-2 r / 9) / sum: 0.2249 of 20,000 for the first, e^-2 of that for
        // the last.
        assert!((counts[0] - 4497).abs() < 250 && (counts[9] - 609).abs() < 100, "{counts:?}");
        for (batch, pairs) in [(8, 2), (3, 2), (2, 2), (1, 1)] {
            let schedule = Schedule { cases_per_step: 2, ..schedule.clone() };
            let mut cases = schedule.in_phases(phases(&[(0, batch)])).steps().at(3).cases;
            cases.dedup();
            assert_eq!(cases.len(), pairs, "{batch} patches");
        }
    }

    #[test]
    fn refuses_tables_that_cannot_be_followed() {
        let wrong: [&[(u32, usize)]; 6] =
            [&[], &[(1, 3)], &[(0, 0), (1, 3)], &[(0, 2), (10, 1), (20, 3)], &[(0, 2), (0, 3)], &[(0, 2)]];
        for table in wrong {
            let refused = Schedule::new(CaseOrder::Ranked, 3, table, 1, SPEC, 1);
            assert!(matches!(refused, Err(FitError::InvalidStages { .. })), "{table:?}");
        }
    }
}
