//! Plans a run: from settings and cohort to network, patch and batch size, schedule, length and
//! learning rate.

use pdl_curriculum::pacing;

use crate::data::laterality;
use crate::error::{FitError, Result};
use crate::model::unet::NetworkPlan;
use crate::optim::lr_schedule::LearningRates;
use crate::plan::curriculum_schedule::{CaseOrder, PatchSpec, Schedule};
use crate::plan::growth::{Growth, patches_per_step, phases};
use crate::plan::network_topology::{COARSEST_SIDE, bytes_per_voxel, topology};
use crate::plan::run_plan::{Cohort, RunPlan};
use crate::plan::settings::{Augment, PatchSettings, ScheduleKind, Settings};
use crate::plan::speed::{Speed, TimedSegment};

/// Voxels of a step that the planned batch size aims at.
const STEP_VOXELS: usize = 65_536;
/// The longest side of a planned patch in voxels, for planes and for volumes.
const LONGEST_SIDE: [usize; 2] = [128, 64];
/// Default number of levels of a network.
const DEPTH: usize = 3;
/// Minimum of the default length, in steps.
const LEAST_STEPS: u64 = 400;
/// Minimum of the default length, in epochs over all training cases.
const LEAST_EPOCHS: u64 = 60;
/// Minimum of the default length, as a multiple of the steps until all cases are active.
const AFTER_ALL_ACTIVE: f64 = 1.5;
/// Minimum number of times that the patches of a run cover the training images for augmentation to
/// be on by default.
const AUGMENTED_FROM: f64 = 100.0;

/// Inputs of a plan: settings, cohort and measured speed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Planner<'a> {
    /// Settings of the user.
    pub settings: &'a Settings,
    /// Properties of the cohort.
    pub cohort: &'a Cohort<'a>,
    /// Converts a length in seconds; without it, as before steps are timed, the default length is
    /// used.
    pub speed: Option<&'a Speed>,
}

impl Planner<'_> {
    /// Plans a run.
    ///
    /// # Errors
    /// [`FitError::InvalidOption`] if a setting is invalid, [`FitError::InvalidStages`] if the
    /// stages of the manifest are.
    pub fn plan(&self) -> Result<RunPlan> {
        let Self { settings, cohort, .. } = *self;
        settings.check()?;
        let (patch, network) = self.network()?;
        let (patch, batch, activation_bytes) = fitted(&settings.patches, patch, &network)?;
        let growth = Growth { settings: &settings.curriculum, network: &network, patch, batch };
        let (schedule, steps) = self.schedule(&growth)?;
        let default = || default_augment(&schedule, steps, cohort.shapes);
        let augment = settings.patches.augment.unwrap_or_else(default);
        let (mirror, swapped) = mirrored(settings, augment, cohort.names, cohort.mirrored);
        Ok(RunPlan {
            patch,
            batch,
            activation_bytes,
            spacing_mm: self.spacing_mm(),
            regions: cohort.regions.to_vec(),
            augment: Some(augment),
            mirror,
            swapped,
            sides_by_position: cohort.mirrored.to_vec(),
            stages_overridden: settings.curriculum.overrides_stages(),
            rates: self.rates(&schedule, steps),
            steps,
            steps_until_all_joined: schedule.steps_until_all(),
            schedule,
            eval_every: settings.length.eval_every.unwrap_or(steps.div_ceil(10)),
            network,
        })
    }

    /// Voxel spacing along z, y, x in mm.
    fn spacing_mm(&self) -> [f64; 3] {
        let [x, y, z] = self.cohort.info.plan.spacing_mm;
        [z, y, x]
    }

    /// Patch size (z, y, x) and a network that fits it.
    fn network(&self) -> Result<([usize; 3], NetworkPlan)> {
        let (settings, cohort) = (&self.settings.network, self.cohort);
        let dims = settings.dims;
        let wish = settings.depth.unwrap_or(DEPTH);
        let size = self.patch_size()?;
        let (depth, first_halved, halvings) = topology(size, self.spacing_mm(), dims, wish);
        let classes = if cohort.regions.is_empty() { cohort.names.len() + 1 } else { cohort.regions.len() };
        let network = NetworkPlan {
            inputs: cohort.inputs as i64,
            norm: settings.norm,
            residual: settings.residual,
            deep_supervision: settings.deep_supervision,
            first_halved,
            halvings,
            ..NetworkPlan::plain(dims, settings.width, depth, classes as i64)
        };
        let axes = 3 - dims..3;
        if self.settings.patches.patch.is_some() {
            let fits = |axis: usize| size[axis] > 0 && size[axis].is_multiple_of(1 << halvings[axis]);
            if !axes.clone().all(fits) {
                let strides: Vec<usize> = axes.map(|axis| 1 << halvings[axis]).collect();
                let problem = format!("must have sides that are multiples of {strides:?} for {depth} levels");
                return Err(FitError::option("patch", problem));
            }
            return Ok((size, network));
        }
        let planned = |axis: usize| {
            if axis < axes.start { 1 } else { size[axis].next_multiple_of(1 << halvings[axis]) }
        };
        Ok((std::array::from_fn(planned), network))
    }

    /// The patch size (z, y, x) that is set, or the largest that is planned.
    fn patch_size(&self) -> Result<[usize; 3]> {
        let dims = self.settings.network.dims;
        let Some(sides) = &self.settings.patches.patch else {
            return Ok(largest_patch(self.cohort.shapes, dims));
        };
        match (dims, sides.as_slice()) {
            (2, &[y, x]) => Ok([1, y, x]),
            (3, &[z, y, x]) => Ok([z, y, x]),
            _ => Err(FitError::option("patch", "must be Y,X in 2 dimensions and Z,Y,X in 3")),
        }
    }

    /// Cases, patch size and resolution of every step, and the number of steps.
    fn schedule(&self, growth: &Growth<'_>) -> Result<(Schedule, u64)> {
        let (settings, batch) = (&self.settings.curriculum, growth.batch);
        if let Some(start) = settings.batch_start.filter(|&start| start > batch) {
            let problem = format!("must be at most batch, which is {batch}; found {start}");
            return Err(FitError::option("batch_start", problem));
        }
        let order = match settings.schedule {
            ScheduleKind::Random => CaseOrder::Random,
            _ => CaseOrder::Ranked,
        };
        let (cases, seed) = (self.cohort.shapes.len(), self.settings.machine.seed);
        let full = PatchSpec { patch: growth.patch, pool: [1; 3], batch };
        let per_step = self.settings.patches.cases_per_step;
        let schedule = Schedule::new(order, cases, &self.stage_table(), per_step, full, seed)?
            .weighted_by_rank(settings.rank_weight);
        let segments = growth.segments();
        let steps = horizon(self.settings, self.speed, &schedule, &segments);
        let schedule = schedule.in_phases(phases(&segments, steps));
        let schedule = match settings.grow_share {
            Some(share) => schedule.all_active_after((share * steps as f64).round() as u64),
            None => schedule,
        };
        Ok((schedule, steps))
    }

    /// The stages as (first epoch, active cases).
    fn stage_table(&self) -> Vec<(u32, usize)> {
        let (settings, info, cases) = (&self.settings.curriculum, self.cohort.info, self.cohort.shapes.len());
        if settings.schedule == ScheduleKind::Conventional {
            return vec![(0, cases)];
        }
        let mut stages = info.stages.clone();
        if settings.overrides_stages() {
            let mut parameters = info.parameters.clone();
            parameters.pacing = settings.pacing.unwrap_or(parameters.pacing);
            parameters.start = settings.start.unwrap_or(parameters.start);
            parameters.add = settings.add.unwrap_or(parameters.add);
            parameters.epochs = settings.pacing_epochs.unwrap_or(parameters.epochs);
            parameters.full_at = settings.full_at.unwrap_or(parameters.full_at);
            parameters.power = settings.power.unwrap_or(parameters.power);
            let every = settings.every.unwrap_or(parameters.every(info.modality));
            stages = pacing::stages(cases, &parameters, every);
        }
        stages.iter().map(|stage| (stage.first_epoch, stage.active_cases as usize)).collect()
    }

    fn rates(&self, schedule: &Schedule, steps: u64) -> LearningRates {
        let settings = &self.settings.optimisation;
        let firsts = schedule.stages.iter().map(|stage| stage.first_step).filter(|&first| first < steps);
        let restarts = if settings.restart_lr { firsts.collect() } else { vec![0] };
        let (curve, warm_up) = (settings.lr_schedule, settings.warm_up);
        LearningRates { highest: settings.peak_lr(), curve, warm_up, restarts, steps }
    }
}

/// Patch size, batch size and bytes of activations within the memory limit: first a planned
/// batch shrinks, then the longest side of a planned patch.
fn fitted(
    settings: &PatchSettings,
    mut patch: [usize; 3],
    network: &NetworkPlan,
) -> Result<([usize; 3], usize, u64)> {
    let bytes = |patch: [usize; 3], batch: usize| {
        (patch.iter().product::<usize>() * batch) as u64 * bytes_per_voxel(network)
    };
    loop {
        let wish = settings.batch.unwrap_or((STEP_VOXELS / patch.iter().product::<usize>()).max(2));
        let least = settings.batch.unwrap_or(2);
        let fits = |batch: &usize| bytes(patch, *batch) <= settings.activation_memory;
        if let Some(batch) = (least..=wish).rev().find(fits) {
            return Ok((patch, batch, bytes(patch, batch)));
        }
        let longest = (0..3).rev().max_by_key(|&axis| patch[axis]).unwrap_or(2);
        let stride = 1 << network.halvings[longest];
        let shorter = (patch[longest] / 2).next_multiple_of(stride);
        if settings.patch.is_some() || shorter < COARSEST_SIDE * stride || shorter >= patch[longest] {
            let needed = bytesize::ByteSize(bytes(patch, least));
            let problem = format!(
                "is too small: a step of {least} patches of {patch:?} voxels (z, y, x) needs about {needed}; \
                 raise it, or lower patch, batch or width"
            );
            return Err(FitError::option("activation_memory", problem));
        }
        patch[longest] = shorter;
    }
}

/// Length of a run in steps.
fn horizon(
    settings: &Settings,
    speed: Option<&Speed>,
    schedule: &Schedule,
    segments: &[TimedSegment],
) -> u64 {
    let length = &settings.length;
    let timed = length.seconds.zip(speed).map(|(seconds, speed)| speed.steps(seconds));
    let counted =
        length.patch_count.map(|patches| (patches as f64 / patches_per_step(segments)).ceil() as u64);
    if let Some(steps) = length.steps.or(timed).or(counted) {
        return steps.max(1);
    }
    let needed = |schedule: &Schedule| match length.epochs {
        Some(epochs) => schedule.steps_of_epochs(epochs).max(1),
        None => default_steps(schedule.steps_of_last_pass(), schedule.steps_until_all()),
    };
    // An epoch has more steps while batches are small, and the number of small batches follows
    // from the run's length: iterate until the length suffices.
    let mut steps = needed(schedule);
    loop {
        let more = needed(&schedule.clone().in_phases(phases(segments, steps)));
        if more <= steps {
            return steps;
        }
        steps = more;
    }
}

/// Axes (z, y, x) of mirroring, and the pairs of channels that mirroring along x exchanges.
fn mirrored(
    settings: &Settings,
    augment: Augment,
    names: &[String],
    by_position: &[[u8; 2]],
) -> ([bool; 3], Vec<[u8; 2]>) {
    let planned = || [true, true, !laterality::may_be_sided(names) && by_position.is_empty()];
    let mut mirror = match augment {
        Augment::None => [false; 3],
        _ => settings.patches.mirror.map_or_else(planned, |axes| axes.0),
    };
    mirror[0] &= settings.network.dims == 3; // a plane has one voxel along z
    let swapped = || laterality::pairs(names).into_iter().chain(by_position.iter().copied()).collect();
    (mirror, if mirror[2] { swapped() } else { Vec::new() })
}

/// Augmentation of a run that states none: memorised patches harm only a run that sees them often.
fn default_augment(schedule: &Schedule, steps: u64, shapes: &[[usize; 3]]) -> Augment {
    let voxels: f64 = shapes.iter().map(|shape| shape.iter().product::<usize>() as f64).sum();
    match schedule.voxels_before(steps) as f64 >= AUGMENTED_FROM * voxels {
        true => Augment::Light,
        false => Augment::None,
    }
}

/// Default length of a run in steps: the largest of the three minima.
fn default_steps(steps_of_pass: u64, joined: u64) -> u64 {
    let passes = LEAST_EPOCHS * steps_of_pass;
    LEAST_STEPS.max(passes).max((AFTER_ALL_ACTIVE * joined as f64).ceil() as u64)
}

/// Sides (z, y, x) that a planned patch has at most: those of the median image, and not more than
/// a step is planned for. The network's levels must fit them, not the images.
fn largest_patch(shapes: &[[usize; 3]], dims: usize) -> [usize; 3] {
    median_shape(shapes).map(|side| side.min(LONGEST_SIDE[dims - 2]))
}

/// The median along every axis.
fn median_shape(shapes: &[[usize; 3]]) -> [usize; 3] {
    std::array::from_fn(|axis| {
        let mut sides: Vec<usize> = shapes.iter().map(|shape| shape[axis]).collect();
        sides.sort_unstable();
        sides.get(sides.len() / 2).copied().unwrap_or(1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::curriculum_schedule::ResolutionPhase;
    use crate::plan::settings::tests::settings;
    use crate::plan::speed::TimedPart;

    #[test]
    fn a_small_memory_makes_the_batch_and_then_the_sample_smaller() {
        let network = NetworkPlan::plain(3, 16, 3, 3);
        let fits = |line: &str| fitted(&settings(line).patches, [64, 64, 64], &network);
        let (patch, batch, bytes) = fits("--dims 3 --activation-memory 4GiB").unwrap();
        assert_eq!((patch, batch), ([64; 3], 2));
        let (smaller, _, fewer) = fits("--dims 3 --activation-memory 400MiB").unwrap();
        assert!(smaller.iter().product::<usize>() < 64 * 64 * 64 && fewer < bytes && fewer <= 400 << 20);
        assert!(smaller.iter().all(|side| side % 4 == 0));
        let refusal = fits("--dims 3 --activation-memory 1MiB").unwrap_err().to_string();
        assert!(refusal.starts_with("activation_memory is too small"), "{refusal}");
    }

    /// A level with less than four voxels along an axis has hardly a statistic for its norms.
    #[test]
    fn levels_fit_the_patch_and_not_the_image() {
        for (dims, levels) in [(2, 6), (3, 5)] {
            let size = largest_patch(&[[300, 512, 512]; 3], dims);
            let (depth, _, halvings) = topology(size, [1.0; 3], dims, 8);
            assert_eq!(depth, levels);
            assert!((3 - dims..3).all(|axis| size[axis] >> halvings[axis] >= COARSEST_SIDE), "{halvings:?}");
        }
        assert_eq!(largest_patch(&[[20, 90, 130]], 2), [20, 90, 128]);
    }

    #[test]
    fn lengths_become_steps_once() {
        let network = NetworkPlan::plain(2, 16, 3, 3);
        let full = PatchSpec { patch: [1, 64, 64], pool: [1; 3], batch: 10 };
        let schedule = Schedule::new(CaseOrder::Ranked, 6, &[(0, 2), (3, 6)], 2, full, 1).unwrap();
        let steps = |line: &str| {
            let line = settings(line);
            let (settings, patch) = (&line.curriculum, [1, 64, 64]);
            let parts = Growth { settings, network: &network, patch, batch: 10 }.segments();
            let seconds = |part: &TimedSegment| if part.spec.pool == [1; 3] { 0.3 } else { 0.1 };
            let timed = parts.iter().map(|part| TimedPart { part: *part, seconds: seconds(part) });
            horizon(&line, Some(&Speed { parts: timed.collect() }), &schedule, &parts)
        };
        assert_eq!(steps("--steps 7"), 7);
        assert_eq!(steps("--patch-count 41"), 5);
        assert_eq!(steps("--patch-count 42 --batch-start 5 --batch-share 0.6"), 6);
        assert_eq!(steps("--epochs 5"), 3 + 2 * 3);
        // One patch per step, hence one case instead of two, for the first quarter: 2 + 2 + 1, then
        // 3 + 3.
        assert_eq!(steps("--epochs 5 --batch-start 1"), 11);
        assert_eq!(steps("--seconds 60"), 200);
        assert_eq!(steps("--seconds 60 --coarse-share 0.5"), 300);
    }

    #[test]
    fn sided_labels_are_not_mirrored_unless_asked_for_and_then_swapped() {
        let names = ["left lung", "right lung"].map(str::to_owned);
        let by = |line: &str, names: &[String], positions: &[[u8; 2]]| {
            let settings = settings(line);
            mirrored(&settings, settings.patches.augment.unwrap_or(Augment::None), names, positions)
        };
        let by_name = |line: &str| by(line, &names, &[]);
        assert_eq!(by_name("--augment light"), ([false, true, false], vec![]));
        assert_eq!(by_name("--augment light --mirror x"), ([false, false, true], vec![[1, 2]]));
        assert_eq!(by_name("--mirror x").0, [false; 3], "nothing is mirrored without augmentation");
        let heart = ["heart".to_owned()];
        assert_eq!(by("--augment light --dims 3", &heart, &[]).0, [true; 3]);
        let organs = ["organ a", "organ b"].map(str::to_owned);
        let by_position = |line: &str| by(line, &organs, &[[2, 1]]);
        assert_eq!(by_position("--augment light"), ([false, true, false], vec![]));
        assert_eq!(by_position("--augment light --mirror x"), ([false, false, true], vec![[2, 1]]));
    }

    #[test]
    fn runs_that_see_the_images_often_are_augmented() {
        let spec = |batch| PatchSpec { patch: [1, 10, 10], pool: [1; 3], batch };
        let schedule = Schedule::new(CaseOrder::Ranked, 4, &[(0, 4)], 2, spec(8), 1).unwrap();
        let phase = |first_step, batch| ResolutionPhase { first_step, spec: spec(batch) };
        let schedule = schedule.in_phases(vec![phase(0, 4), phase(10, 8)]);
        assert_eq!((schedule.voxels_before(10), schedule.voxels_before(11)), (4000, 4800));
        // Four images of 200 voxels: 100 times these are 80,000 voxels, 10 x 400 + 95 x 800.
        let shapes = [[2, 10, 10]; 4];
        assert_eq!(default_augment(&schedule, 104, &shapes), Augment::None);
        assert_eq!(default_augment(&schedule, 105, &shapes), Augment::Light);
    }

    #[test]
    fn the_horizon_follows_its_three_rules() {
        assert_eq!(default_steps(5, 110), 400);
        assert_eq!(default_steps(18, 400), 60 * 18);
        assert_eq!(default_steps(32, 1300), 1950);
    }
}
