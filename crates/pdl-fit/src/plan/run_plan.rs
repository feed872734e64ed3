//! The plan of a run: network, patch, batch, schedule and length, derived from the settings and the
//! cohort.

use pdl_curriculum::manifest::ManifestInfo;
use pdl_curriculum::pacing;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::laterality;
use crate::data::regions::RegionOutput;
use crate::error::{FitError, Result};
use crate::model::unet::NetworkPlan;
use crate::optim::lr_schedule::Rates;
use crate::plan::curriculum_schedule::{CaseOrder, PatchSpec, ResolutionPhase, Schedule};
use crate::plan::network_topology::{COARSEST_SIDE, bytes_per_voxel, topology};
use crate::plan::settings::{Augment, ScheduleKind, Settings};
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
/// Ratio of a pixel's longer side to the distance of the planes from which on these lie across the
/// slices of the scan.
const ACROSS_SLICES: f64 = 3.0;
/// A run is augmented by default from so many times on that its patches cover the training images.
const AUGMENTED_FROM: f64 = 100.0;

/// Everything that determines a run beside its data; recorded in `run.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunPlan {
    /// Architecture of the U-Net.
    pub network: NetworkPlan,
    /// Patch size along z, y, x in voxels; z is 1 for planes.
    pub patch: [usize; 3],
    /// Patches per step (batch size).
    pub batch: usize,
    /// Estimated memory of the activations of a step, in bytes.
    pub activation_bytes: u64,
    /// Voxel spacing along z, y, x in mm.
    pub spacing_mm: [f64; 3],
    /// The region of each output of the network; empty if its outputs are background and the
    /// labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<RegionOutput>,
    /// Augmentation of training patches; null in plans of earlier versions, whose settings state
    /// it.
    #[serde(default)]
    pub augment: Option<Augment>,
    /// Along z, y, x: whether patches are mirrored at random.
    pub mirror: [bool; 3],
    /// Pairs of channels (left, right) that are exchanged when a patch is mirrored along x.
    pub swapped: Vec<[u8; 2]>,
    /// Pairs of channels (left, right) identified by their positions, as their names do not state a
    /// side.
    #[serde(default)]
    pub sides_by_position: Vec<[u8; 2]>,
    /// Whether settings of the run replace the stages of the manifest.
    pub stages_overridden: bool,
    /// Cases, patch size and resolution of every step.
    pub schedule: Schedule,
    /// Learning rate of every step.
    pub rates: Rates,
    /// Length of the run in steps.
    pub steps: u64,
    /// Steps until all training cases are active.
    pub steps_until_all_joined: u64,
    /// Steps between evaluations on the validation set.
    pub eval_every: u64,
}

impl RunPlan {
    /// Number of structures that are learnt: regions, or labels.
    pub fn structures(&self) -> usize {
        let labels = usize::try_from(self.network.classes).unwrap_or(0).saturating_sub(1);
        if self.regions.is_empty() { labels } else { self.regions.len() }
    }

    /// The in-plane axis (1: y, 2: x) and its spacing in mm, if the network sees axial planes and
    /// these lie across thick slices: a side of a pixel is more than three times the distance of
    /// the planes (nnU-Net's threshold of anisotropy).
    pub fn thick_in_plane(&self) -> Option<(usize, f64)> {
        let [z, y, x] = self.spacing_mm;
        let (axis, thick) = if y > x { (1, y) } else { (2, x) };
        (self.network.dims == 2 && thick > ACROSS_SLICES * z).then_some((axis, thick))
    }

    /// Channels (from 1) of labels whose names state a side and have no partner, where patches are
    /// mirrored along x.
    pub fn sides_without_partner(&self, labels: &[String]) -> Vec<u8> {
        if self.mirror[2] { laterality::without_partner(labels) } else { Vec::new() }
    }
}

/// Properties of a cohort that a plan depends on.
#[derive(Clone, Copy, Debug)]
pub struct Cohort<'a> {
    /// Modality, labels, stages and preparation, as in the manifest.
    pub info: &'a ManifestInfo,
    /// Shapes (z, y, x) of the prepared training images in voxels.
    pub shapes: &'a [[usize; 3]],
    /// Names of the labels in channel order, from channel 1.
    pub names: &'a [String],
    /// Regions to learn, in the order of the outputs; empty where labels are learnt.
    pub regions: &'a [RegionOutput],
    /// Images of a case, the inputs of the network.
    pub inputs: usize,
    /// Pairs of channels (left, right) of labels that mirror each other by their positions.
    pub mirrored: &'a [[u8; 2]],
}

impl Settings {
    /// Plans a run. A length in seconds is converted by `speed`; without it, as before steps are
    /// timed, the default length is used.
    ///
    /// # Errors
    /// [`FitError::InvalidOption`] if a setting is invalid, [`FitError::InvalidStages`] if the
    /// stages of the manifest are.
    pub fn plan(&self, cohort: &Cohort<'_>, speed: Option<&Speed>) -> Result<RunPlan> {
        self.check()?;
        let cases = cohort.shapes.len();
        let [x, y, z] = cohort.info.plan.spacing_mm;
        let spacing_mm = [z, y, x];
        let (patch, network) = self.network(cohort, spacing_mm)?;
        let (patch, batch, activation_bytes) = self.fitted(patch, &network)?;
        let table = self.stage_table(cohort.info, cases);
        let joining =
            if self.schedule == ScheduleKind::Random { CaseOrder::Random } else { CaseOrder::Ranked };
        if let Some(start) = self.batch_start.filter(|&start| start > batch) {
            let problem = format!("must be at most batch, which is {batch}; found {start}");
            return Err(FitError::option("batch_start", problem));
        }
        let parts = self.parts(&network, patch, batch);
        let full = PatchSpec { patch, pool: [1; 3], batch };
        let schedule = Schedule::new(joining, cases, &table, self.cases_per_step, full, self.seed)?
            .weighted_by_rank(self.rank_weight);
        let steps = self.horizon(&schedule, &parts, speed);
        let schedule = schedule.in_phases(phases(&parts, steps));
        let schedule = match self.grow_share {
            Some(share) => schedule.joined_after((share * steps as f64).round() as u64),
            None => schedule,
        };
        let augment = self.augment.unwrap_or_else(|| default_augment(&schedule, steps, cohort.shapes));
        let (mirror, swapped) = self.mirrored(augment, cohort.names, cohort.mirrored);
        Ok(RunPlan {
            network,
            patch,
            batch,
            activation_bytes,
            spacing_mm,
            regions: cohort.regions.to_vec(),
            augment: Some(augment),
            mirror,
            swapped,
            sides_by_position: cohort.mirrored.to_vec(),
            stages_overridden: self.overrides_stages(),
            rates: self.rates(&schedule, steps),
            steps,
            steps_until_all_joined: schedule.steps_until_all(),
            schedule,
            eval_every: self.eval_every.unwrap_or(steps.div_ceil(10)),
        })
    }

    /// The stages as (first epoch, active cases).
    fn stage_table(&self, info: &ManifestInfo, cases: usize) -> Vec<(u32, usize)> {
        if self.schedule == ScheduleKind::Conventional {
            return vec![(0, cases)];
        }
        let mut stages = info.stages.clone();
        if self.overrides_stages() {
            let mut parameters = info.parameters.clone();
            parameters.pacing = self.pacing.unwrap_or(parameters.pacing);
            parameters.start = self.start.unwrap_or(parameters.start);
            parameters.add = self.add.unwrap_or(parameters.add);
            parameters.epochs = self.pacing_epochs.unwrap_or(parameters.epochs);
            parameters.full_at = self.full_at.unwrap_or(parameters.full_at);
            parameters.power = self.power.unwrap_or(parameters.power);
            let every = self.every.unwrap_or(parameters.every(info.modality));
            stages = pacing::stages(cases, &parameters, every);
        }
        stages.iter().map(|stage| (stage.first_epoch, stage.active_cases as usize)).collect()
    }

    /// The parts of a run whose last has `batch` patches of size `patch` (z, y, x) at full
    /// resolution.
    pub(crate) fn parts(&self, network: &NetworkPlan, patch: [usize; 3], batch: usize) -> Vec<TimedSegment> {
        let (smaller, pool) = (self.smaller_patches(network, patch), self.pool(network, patch));
        let sizes: Vec<usize> = match self.batch_start {
            Some(start) => {
                std::iter::successors(Some(start), |size| Some(2 * size)).take_while(|&b| b < batch).collect()
            }
            None => Vec::new(),
        };
        let grown = if sizes.is_empty() { 0.0 } else { self.batch_share };
        let begins = |number: usize| grown * number as f64 / sizes.len() as f64;
        let mut from: Vec<f64> =
            (0..sizes.len()).map(begins).chain([0.0, grown, self.coarse_share, self.patch_share]).collect();
        from.extend(smaller.iter().map(|(begins, _)| *begins));
        from.retain(|from| *from < 1.0);
        from.sort_by(f64::total_cmp);
        from.dedup();
        let spec = |from: f64| PatchSpec {
            patch: match smaller.iter().rev().find(|(begins, _)| *begins <= from) {
                Some((_, size)) if from < self.patch_share => *size,
                _ => patch,
            },
            pool: if from < self.coarse_share { pool } else { [1; 3] },
            batch: (0..sizes.len())
                .rev()
                .find(|&n| begins(n) <= from && from < grown)
                .map_or(batch, |n| sizes[n]),
        };
        from.into_iter().map(|from| TimedSegment { from, grain: spec(from) }).collect()
    }

    /// Length of the run in steps.
    fn horizon(&self, schedule: &Schedule, parts: &[TimedSegment], speed: Option<&Speed>) -> u64 {
        let timed = self.seconds.zip(speed).map(|(seconds, speed)| speed.steps(seconds));
        let samples = self.samples.map(|samples| (samples as f64 / patches_of_step(parts)).ceil() as u64);
        if let Some(steps) = self.steps.or(timed).or(samples) {
            return steps.max(1);
        }
        let needed = |schedule: &Schedule| match self.epochs {
            Some(epochs) => schedule.steps_of_epochs(epochs).max(1),
            None => default_steps(schedule.steps_of_last_pass(), schedule.steps_until_all()),
        };
        // An epoch has more steps while batches are small, and the number of small batches follows
        // from the run's length: iterate until the length suffices.
        let mut steps = needed(schedule);
        loop {
            let more = needed(&schedule.clone().in_phases(phases(parts, steps)));
            if more <= steps {
                return steps;
            }
            steps = more;
        }
    }

    fn rates(&self, schedule: &Schedule, steps: u64) -> Rates {
        let firsts = schedule.stages.iter().map(|stage| stage.first_step).filter(|&first| first < steps);
        let restarts = if self.restart_lr { firsts.collect() } else { vec![0] };
        Rates { highest: self.peak_lr(), curve: self.lr_schedule, warm_up: self.warm_up, restarts, steps }
    }

    /// Pooling factors (z, y, x) of coarse patches. An axis on which the coarsest level of the
    /// network would have no voxel left is not pooled.
    fn pool(&self, network: &NetworkPlan, patch: [usize; 3]) -> [usize; 3] {
        std::array::from_fn(|axis| {
            let least = self.coarse_factor << network.halvings[axis];
            let used = axis >= 3 - self.dims && patch[axis] >= least && network.first_halved[axis] == 0;
            if used { self.coarse_factor } else { 1 }
        })
    }

    /// The sizes (z, y, x) of patches before they have their full size, each with its start as a
    /// fraction of the run's steps: equal differences over equal parts of `patch_share`.
    fn smaller_patches(&self, network: &NetworkPlan, patch: [usize; 3]) -> Vec<(f64, [usize; 3])> {
        let (small, sizes) = (self.small_patch(network, patch), self.patch_steps - 1);
        let size = |number: usize| {
            std::array::from_fn(|axis| {
                let stride = 1 << network.halvings[axis];
                let grown = small[axis] + (patch[axis] - small[axis]) * number / sizes;
                if axis < 3 - self.dims { 1 } else { grown.next_multiple_of(stride).min(patch[axis]) }
            })
        };
        let begins = |number: usize| self.patch_share * number as f64 / sizes as f64;
        let mut smaller: Vec<(f64, [usize; 3])> = (0..sizes).map(|n| (begins(n), size(n))).collect();
        smaller.dedup_by_key(|(_, size)| *size);
        smaller
    }

    /// Size (z, y, x) of small patches: multiples of the network's stride.
    fn small_patch(&self, network: &NetworkPlan, patch: [usize; 3]) -> [usize; 3] {
        std::array::from_fn(|axis| {
            let stride = 1 << network.halvings[axis];
            let small =
                (patch[axis] / self.patch_factor).max(COARSEST_SIDE * stride).next_multiple_of(stride);
            if axis < 3 - self.dims { 1 } else { small.min(patch[axis]) }
        })
    }

    /// Axes (z, y, x) of mirroring, and the pairs of channels that mirroring along x exchanges.
    fn mirrored(
        &self,
        augment: Augment,
        names: &[String],
        by_position: &[[u8; 2]],
    ) -> ([bool; 3], Vec<[u8; 2]>) {
        let plane = self.dims == 2;
        let planned = || [true, true, !laterality::may_be_sided(names) && by_position.is_empty()];
        let mut mirror = match augment {
            Augment::None => [false; 3],
            _ => self.mirror.map_or_else(planned, |axes| axes.0),
        };
        mirror[0] &= !plane; // a plane has one voxel along z
        let swapped = || laterality::pairs(names).into_iter().chain(by_position.iter().copied()).collect();
        (mirror, if mirror[2] { swapped() } else { Vec::new() })
    }

    /// Patch size (z, y, x) and a network that fits it.
    fn network(&self, cohort: &Cohort<'_>, spacing_mm: [f64; 3]) -> Result<([usize; 3], NetworkPlan)> {
        let wish = self.depth.unwrap_or(DEPTH);
        let size = match &self.patch {
            Some(sides) => match (self.dims, sides.as_slice()) {
                (2, &[y, x]) => [1, y, x],
                (3, &[z, y, x]) => [z, y, x],
                _ => {
                    let problem = "must be Y,X in 2 dimensions and Z,Y,X in 3";
                    return Err(FitError::option("patch", problem));
                }
            },
            None => largest_patch(cohort.shapes, self.dims),
        };
        let (depth, first_halved, halvings) = topology(size, spacing_mm, self.dims, wish);
        let classes = if cohort.regions.is_empty() { cohort.names.len() + 1 } else { cohort.regions.len() };
        let network = NetworkPlan {
            inputs: cohort.inputs as i64,
            norm: self.norm,
            residual: self.residual,
            deep_supervision: self.deep_supervision,
            first_halved,
            halvings,
            ..NetworkPlan::plain(self.dims, self.width, depth, classes as i64)
        };
        let axes = 3 - self.dims..3;
        if self.patch.is_some() {
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

    /// Patch size, batch size and bytes of activations within the memory limit: first a planned
    /// batch shrinks, then the longest side of a planned patch.
    fn fitted(&self, mut patch: [usize; 3], network: &NetworkPlan) -> Result<([usize; 3], usize, u64)> {
        let bytes = |patch: [usize; 3], batch: usize| {
            (patch.iter().product::<usize>() * batch) as u64 * bytes_per_voxel(network)
        };
        loop {
            let wish = self.batch.unwrap_or((STEP_VOXELS / patch.iter().product::<usize>()).max(2));
            let least = self.batch.unwrap_or(2);
            let batch = (least..=wish).rev().find(|&batch| bytes(patch, batch) <= self.activation_memory);
            if let Some(batch) = batch {
                return Ok((patch, batch, bytes(patch, batch)));
            }
            let longest = (0..3).rev().max_by_key(|&axis| patch[axis]).unwrap_or(2);
            let stride = 1 << network.halvings[longest];
            let shorter = (patch[longest] / 2).next_multiple_of(stride);
            if self.patch.is_some() || shorter < COARSEST_SIDE * stride || shorter >= patch[longest] {
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
}

/// First step of each part in a run of `steps` steps; parts without a step are omitted.
fn phases(parts: &[TimedSegment], steps: u64) -> Vec<ResolutionPhase> {
    let first = |part: &TimedSegment| (part.from * steps as f64).round() as u64;
    let ends = parts.iter().skip(1).map(first).chain([steps.max(1)]);
    let some = parts.iter().zip(ends).filter(|(part, end)| first(part) < *end);
    some.map(|(part, _)| ResolutionPhase { first_step: first(part), grain: part.grain }).collect()
}

/// Patches per step, mean over the run.
fn patches_of_step(parts: &[TimedSegment]) -> f64 {
    let ends = parts.iter().skip(1).map(|part| part.from).chain([1.0]);
    parts.iter().zip(ends).map(|(part, end)| (end - part.from) * part.grain.batch as f64).sum()
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
    use crate::plan::settings::tests::settings;
    use crate::plan::speed::TimedPart;

    #[test]
    fn a_small_memory_makes_the_batch_and_then_the_sample_smaller() {
        let network = NetworkPlan::plain(3, 16, 3, 3);
        let fitted = |line: &str| settings(line).fitted([64, 64, 64], &network);
        let (patch, batch, bytes) = fitted("--dims 3 --activation-memory 4GiB").unwrap();
        assert_eq!((patch, batch), ([64; 3], 2));
        let (smaller, _, fewer) = fitted("--dims 3 --activation-memory 400MiB").unwrap();
        assert!(smaller.iter().product::<usize>() < 64 * 64 * 64 && fewer < bytes && fewer <= 400 << 20);
        assert!(smaller.iter().all(|side| side % 4 == 0));
        let refusal = fitted("--dims 3 --activation-memory 1MiB").unwrap_err().to_string();
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

    /// As PGPS (arXiv 2510.23241): sizes in equal differences for equal times.
    #[test]
    fn patches_grow_linearly_to_their_full_size() {
        let network = NetworkPlan::plain(2, 16, 3, 3);
        let parts = |line: &str| -> Vec<(f64, usize)> {
            let parts = settings(line).parts(&network, [1, 64, 64], 8);
            assert!(parts.iter().all(|part| part.grain.patch[1] == part.grain.patch[2]));
            parts.into_iter().map(|part| (part.from, part.grain.patch[1])).collect()
        };
        let linear = parts("--patch-share 0.75 --patch-steps 4 --patch-factor 4");
        assert_eq!(linear, [(0.0, 16), (0.25, 32), (0.5, 48), (0.75, 64)]);
        assert_eq!(parts("--patch-share 0.5"), [(0.0, 32), (0.5, 64)]);
        assert_eq!(parts("--patch-steps 4"), [(0.0, 64)]);
        // Sides stay multiples of the network's stride, 4; equal sizes are one part.
        let fine = parts("--patch-share 0.9 --patch-steps 32 --patch-factor 2");
        assert!(fine.len() <= 10 && fine.iter().all(|(_, side)| side % 4 == 0), "{fine:?}");
    }

    #[test]
    fn lengths_become_steps_once() {
        let network = NetworkPlan::plain(2, 16, 3, 3);
        let full = PatchSpec { patch: [1, 64, 64], pool: [1; 3], batch: 10 };
        let schedule = Schedule::new(CaseOrder::Ranked, 6, &[(0, 2), (3, 6)], 2, full, 1).unwrap();
        let steps = |line: &str| {
            let settings = settings(line);
            let parts = settings.parts(&network, [1, 64, 64], 10);
            let seconds = |part: &TimedSegment| if part.grain.pool == [1; 3] { 0.3 } else { 0.1 };
            let timed = parts.iter().map(|part| TimedPart { part: *part, seconds: seconds(part) });
            settings.horizon(&schedule, &parts, Some(&Speed { parts: timed.collect() }))
        };
        assert_eq!(steps("--steps 7"), 7);
        assert_eq!(steps("--samples 41"), 5);
        assert_eq!(steps("--samples 42 --batch-start 5 --batch-share 0.6"), 6);
        assert_eq!(steps("--epochs 5"), 3 + 2 * 3);
        // One patch per step, hence one case instead of two, for the first quarter: 2 + 2 + 1, then
        // 3 + 3.
        assert_eq!(steps("--epochs 5 --batch-start 1"), 11);
        assert_eq!(steps("--seconds 60"), 200);
        assert_eq!(steps("--seconds 60 --coarse-share 0.5"), 300);
    }

    #[test]
    fn batches_double_while_samples_grow_finer_and_larger() {
        let (coarse, full, network) = ([1, 2, 2], [1; 3], NetworkPlan::plain(2, 16, 3, 3));
        let parts = |line: &str| -> Vec<(f64, [usize; 3], usize)> {
            let parts = settings(line).parts(&network, [1, 52, 36], 20);
            assert!(parts.iter().all(|part| part.grain.patch == [1, 52, 36]));
            parts.into_iter().map(|part| (part.from, part.grain.pool, part.grain.batch)).collect()
        };
        assert_eq!(parts(""), [(0.0, full, 20)]);
        assert_eq!(parts("--coarse-share 1"), [(0.0, coarse, 20)]);
        assert_eq!(parts("--batch-start 10"), [(0.0, full, 10)]);
        assert_eq!(parts("--batch-start 20"), [(0.0, full, 20)]);
        assert_eq!(
            parts("--batch-start 5 --batch-share 0.75 --coarse-share 0.5"),
            [(0.0, coarse, 5), (0.375, coarse, 10), (0.5, full, 10), (0.75, full, 20)]
        );
        let small = settings("--patch-share 0.3 --coarse-share 0.6").parts(&network, [1, 52, 36], 20);
        let sides: Vec<_> = small.iter().map(|part| (part.from, part.grain.patch, part.grain.pool)).collect();
        assert_eq!(sides, [(0.0, [1, 28, 20], coarse), (0.3, [1, 52, 36], coarse), (0.6, [1, 52, 36], full)]);
    }

    #[test]
    fn parts_become_phases() {
        let spec = |batch| PatchSpec { patch: [1, 8, 8], pool: [1; 3], batch };
        let parts =
            [(0.0, 2), (0.2, 4), (0.21, 8)].map(|(from, batch)| TimedSegment { from, grain: spec(batch) });
        let firsts =
            |steps| phases(&parts, steps).iter().map(|p| (p.first_step, p.grain.batch)).collect::<Vec<_>>();
        assert_eq!(firsts(100), [(0, 2), (20, 4), (21, 8)]);
        assert_eq!(firsts(10), [(0, 2), (2, 8)]);
        assert_eq!(firsts(1), [(0, 8)]);
    }

    #[test]
    fn sided_labels_are_not_mirrored_unless_asked_for_and_then_swapped() {
        let names = ["left lung", "right lung"].map(str::to_owned);
        let by = |line: &str, names: &[String], positions: &[[u8; 2]]| {
            let settings = settings(line);
            settings.mirrored(settings.augment.unwrap_or(Augment::None), names, positions)
        };
        let mirrored = |line: &str| by(line, &names, &[]);
        assert_eq!(mirrored("--augment light"), ([false, true, false], vec![]));
        assert_eq!(mirrored("--augment light --mirror x"), ([false, false, true], vec![[1, 2]]));
        assert_eq!(mirrored("--mirror x").0, [false; 3], "nothing is mirrored without augmentation");
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
        let phase = |first_step, batch| ResolutionPhase { first_step, grain: spec(batch) };
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
