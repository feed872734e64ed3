//! What a run does, after everything that was left open has been planned from the cohort.

use pdl_curriculum::manifest::ManifestInfo;
use pdl_curriculum::pace;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{FitError, Result};
use crate::network::NetworkPlan;
use crate::rate::Rates;
use crate::schedule::{Joining, Schedule};
use crate::settings::{Augment, ScheduleKind, Settings};
use crate::sides;

/// Sample voxels that a step aims at: enough to keep two cores busy, few enough for many steps.
const STEP_VOXELS: usize = 65_536;
/// The longest side of a planned sample, in voxels: of planes and of blocks.
const LONGEST_SIDE: [usize; 2] = [128, 64];
/// The coarsest level of a planned network keeps at least so many voxels a side.
const COARSEST_SIDE: usize = 4;
/// Levels of a network when nothing else is said.
const DEPTH: usize = 3;
/// An axis whose voxels are this much longer than the shortest is not halved yet (nnU-Net).
const ANISOTROPIC: f64 = 2.0;
/// Numbers that a network's finest level keeps for a voxel and channel until the gradients are made: the
/// outputs of four convolutions, their norms, the transposed one and the concatenation; and their gradients.
const NUMBERS_KEPT: usize = 22;
/// A run has at least so many steps ...
const LEAST_STEPS: u64 = 400;
/// ... at least so many passes over all training cases ...
const LEAST_PASSES: u64 = 60;
/// ... and so many times the steps after which all cases have joined.
const AFTER_JOINING: f64 = 1.5;

/// What a run does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunPlan {
    /// The network.
    pub network: NetworkPlan,
    /// Sides of a sample along z, y, x in voxels; z is 1 for planes.
    pub patch: [usize; 3],
    /// Samples in a step.
    pub batch: usize,
    /// Estimated bytes that the activations of a step take.
    pub activation_bytes: u64,
    /// Sides of a voxel along z, y, x in mm.
    pub spacing_mm: [f64; 3],
    /// Along z, y, x: whether samples are mirrored.
    pub mirror: [bool; 3],
    /// Pairs of channels that change places when samples are mirrored along x.
    pub swapped: Vec<[u8; 2]>,
    /// Whether the stages are the run's own and not the manifest's.
    pub stages_overridden: bool,
    /// Which cases are learnt from at which scale at which step.
    pub schedule: Schedule,
    /// The rate of every step.
    pub rates: Rates,
    /// Steps of the run.
    pub steps: u64,
    /// Steps after which all cases have joined.
    pub steps_until_all_joined: u64,
    /// Steps between evaluations.
    pub eval_every: u64,
}

/// What is known of a cohort when a run is planned.
#[derive(Clone, Copy, Debug)]
pub struct Cohort<'a> {
    /// Its manifest.
    pub info: &'a ManifestInfo,
    /// Voxels along z, y, x of the prepared training images.
    pub shapes: &'a [[usize; 3]],
    /// Names of the labels in channel order, from channel 1.
    pub names: &'a [String],
}

/// Seconds that steps were seen to take.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Speed {
    /// At the coarse scale.
    pub coarse: f64,
    /// At full resolution.
    pub full: f64,
}

impl Speed {
    /// The steps that take so many seconds when this share of them is coarse; at least one.
    pub fn steps(&self, seconds: f64, coarse_share: f64) -> u64 {
        let step = coarse_share * self.coarse + (1.0 - coarse_share) * self.full;
        ((seconds / step).round() as u64).max(1)
    }
}

impl Settings {
    /// Plans a run. A length in seconds needs the `speed`; without it, as before the warm-up that measures it,
    /// the default number of steps stands in its place.
    ///
    /// # Errors
    /// [`FitError::Setting`] when a choice cannot work, [`FitError::Folder`] when the stages cannot.
    pub fn plan(&self, cohort: &Cohort<'_>, speed: Option<Speed>) -> Result<RunPlan> {
        self.check()?;
        let cases = cohort.shapes.len();
        let [x, y, z] = cohort.info.plan.spacing_mm;
        let spacing_mm = [z, y, x];
        let (patch, network) = self.network(cohort, spacing_mm)?;
        let (patch, batch, activation_bytes) = self.fitted(patch, &network)?;
        let table = self.stage_table(cohort.info, cases);
        let joining = if self.schedule == ScheduleKind::Random { Joining::Random } else { Joining::Ranked };
        let schedule = Schedule::new(joining, cases, &table, self.cases_per_step, self.seed)?
            .weighted_by_rank(self.rank_weight);
        let steps = self.horizon(&schedule, batch, speed);
        let schedule = match self.grow_share {
            Some(share) => schedule.joined_after((share * steps as f64).round() as u64),
            None => schedule,
        };
        let coarse = (self.coarse_share * steps as f64).round() as u64;
        let schedule = schedule.coarse_until(coarse, self.pool(&network, patch));
        let (mirror, swapped) = self.mirrored(cohort.names);
        Ok(RunPlan {
            network,
            patch,
            batch,
            activation_bytes,
            spacing_mm,
            mirror,
            swapped,
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
            stages = pace::stages(cases, &parameters, every);
        }
        stages.iter().map(|stage| (stage.first_epoch, stage.active_cases as usize)).collect()
    }

    /// The steps of the run.
    fn horizon(&self, schedule: &Schedule, batch: usize, speed: Option<Speed>) -> u64 {
        let timed = self.seconds.zip(speed).map(|(seconds, speed)| speed.steps(seconds, self.coarse_share));
        let samples = self.samples.map(|samples| samples.div_ceil(batch as u64));
        let epochs = self.epochs.map(|epochs| schedule.steps_of_epochs(epochs));
        let given = self.steps.or(timed).or(samples).or(epochs).map(|steps| steps.max(1));
        given
            .unwrap_or_else(|| default_steps(schedule.cases, self.cases_per_step, schedule.steps_until_all()))
    }

    fn rates(&self, schedule: &Schedule, steps: u64) -> Rates {
        let firsts = schedule.stages.iter().map(|stage| stage.first_step).filter(|&first| first < steps);
        let restarts = if self.restart_rate { firsts.collect() } else { vec![0] };
        Rates { highest: self.highest_rate(), curve: self.rate_curve, warm_up: self.warm_up, restarts, steps }
    }

    /// The voxels along each axis that become one while samples are coarse: an axis that would leave the
    /// coarsest level of the network without a voxel stays as it is.
    fn pool(&self, network: &NetworkPlan, patch: [usize; 3]) -> [usize; 3] {
        std::array::from_fn(|axis| {
            let least = self.coarse_factor << network.halvings[axis];
            let used = axis >= 3 - self.dims && patch[axis] >= least && network.first_halved[axis] == 0;
            if used { self.coarse_factor } else { 1 }
        })
    }

    /// Along which axes samples are mirrored, and which channels then change places.
    fn mirrored(&self, names: &[String]) -> ([bool; 3], Vec<[u8; 2]>) {
        let plane = self.dims == 2;
        let planned = || [true, true, !sides::may_be_sided(names)];
        let mut mirror = match self.augment {
            Augment::None => [false; 3],
            _ => self.mirror.map_or_else(planned, |axes| axes.0),
        };
        mirror[0] &= !plane; // a plane has one voxel along z
        (mirror, if mirror[2] { sides::pairs(names) } else { Vec::new() })
    }

    /// The sides (z, y, x) of a sample and a network that fits it.
    fn network(&self, cohort: &Cohort<'_>, spacing_mm: [f64; 3]) -> Result<([usize; 3], NetworkPlan)> {
        let wish = self.depth.unwrap_or(DEPTH);
        let size = match &self.patch {
            Some(sides) => match (self.dims, sides.as_slice()) {
                (2, &[y, x]) => [1, y, x],
                (3, &[z, y, x]) => [z, y, x],
                _ => {
                    let problem = "--patch takes Y,X with --dims 2 and Z,Y,X with --dims 3";
                    return Err(FitError::Setting(problem.into()));
                }
            },
            None => median_shape(cohort.shapes),
        };
        let (depth, first_halved, halvings) = topology(size, spacing_mm, self.dims, wish);
        let network = NetworkPlan {
            norm: self.norm,
            residual: self.residual,
            deep_supervision: self.deep_supervision,
            first_halved,
            halvings,
            ..NetworkPlan::plain(self.dims, self.width, depth, cohort.names.len() as i64 + 1)
        };
        let axes = 3 - self.dims..3;
        if self.patch.is_some() {
            let fits = |axis: usize| size[axis] > 0 && size[axis].is_multiple_of(1 << halvings[axis]);
            if !axes.clone().all(fits) {
                let strides: Vec<usize> = axes.map(|axis| 1 << halvings[axis]).collect();
                return Err(FitError::Setting(format!(
                    "the sides of --patch must be multiples of {strides:?} for {depth} levels"
                )));
            }
            return Ok((size, network));
        }
        let planned = |axis: usize| {
            let longest = LONGEST_SIDE[self.dims - 2];
            if axis < axes.start { 1 } else { size[axis].next_multiple_of(1 << halvings[axis]).min(longest) }
        };
        Ok((std::array::from_fn(planned), network))
    }

    /// The sample and the batch that fit the memory, and the bytes that they take: a planned batch shrinks
    /// first, then the longest side of a planned sample.
    fn fitted(&self, mut patch: [usize; 3], network: &NetworkPlan) -> Result<([usize; 3], usize, u64)> {
        let bytes = |patch: [usize; 3], batch: usize| {
            (patch.iter().product::<usize>() * batch) as u64 * bytes_per_voxel(network)
        };
        loop {
            let wish = self.batch.unwrap_or((STEP_VOXELS / patch.iter().product::<usize>()).max(2));
            let least = self.batch.unwrap_or(2);
            let batch = (least..=wish).rev().find(|&batch| bytes(patch, batch) <= self.memory);
            if let Some(batch) = batch {
                return Ok((patch, batch, bytes(patch, batch)));
            }
            let longest = (0..3).rev().max_by_key(|&axis| patch[axis]).unwrap_or(2);
            let stride = 1 << network.halvings[longest];
            let shorter = (patch[longest] / 2).next_multiple_of(stride);
            if self.patch.is_some() || shorter < COARSEST_SIDE * stride || shorter >= patch[longest] {
                let needed = bytesize::ByteSize(bytes(patch, least));
                return Err(FitError::Setting(format!(
                    "a step of {least} samples of {patch:?} voxels (z, y, x) takes about {needed}: give more \
                     --memory, or a smaller --patch, --batch or --width"
                )));
            }
            patch[longest] = shorter;
        }
    }
}

/// Levels, and along z, y, x the first level that is halved and how often, for samples of about `size` voxels:
/// an axis is halved while its voxels are not much longer than the shortest and its side stays long enough.
fn topology(
    size: [usize; 3],
    spacing: [f64; 3],
    dims: usize,
    most: usize,
) -> (usize, [usize; 3], [usize; 3]) {
    let axes = 3 - dims..3;
    let (mut size, mut spacing) = (size, spacing);
    let (mut first, mut halvings) = ([0; 3], [0; 3]);
    let mut depth = 1;
    while depth < most {
        let long_enough = |axis: &usize| size[*axis].div_ceil(2) >= COARSEST_SIDE;
        let fine: Vec<usize> = axes.clone().filter(long_enough).collect();
        let shortest = fine.iter().map(|&axis| spacing[axis]).fold(f64::INFINITY, f64::min);
        let (now, later): (Vec<usize>, Vec<usize>) =
            fine.iter().partition(|&&axis| spacing[axis] < ANISOTROPIC * shortest || halvings[axis] > 0);
        if now.is_empty() {
            break;
        }
        for axis in now {
            size[axis] = size[axis].div_ceil(2);
            spacing[axis] *= 2.0;
            halvings[axis] += 1;
        }
        later.into_iter().for_each(|axis| first[axis] = depth);
        depth += 1;
    }
    (depth, first, halvings)
}

/// Estimated bytes of activations and their gradients for a voxel of the finest level; every coarser level has
/// twice the channels on a fraction of the voxels.
fn bytes_per_voxel(network: &NetworkPlan) -> u64 {
    let finest = (NUMBERS_KEPT * size_of::<f32>()) as f64 * network.width as f64;
    let mut share = 1.0;
    let mut total = finest;
    for level in 0..network.depth - 1 {
        share *= 2.0 / network.strides(level).iter().product::<i64>() as f64;
        total += finest * share;
    }
    total.ceil() as u64
}

/// The default horizon: see the constants at the top.
fn default_steps(cases: usize, cases_per_step: usize, joined: u64) -> u64 {
    let passes = LEAST_PASSES * cases.div_ceil(cases_per_step) as u64;
    LEAST_STEPS.max(passes).max((AFTER_JOINING * joined as f64).ceil() as u64)
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
    use crate::settings::tests::settings;

    #[test]
    fn isotropic_samples_are_halved_alike_and_short_sides_less_often() {
        let flat = [1.0; 3];
        assert_eq!(topology([35, 50, 34], flat, 3, 3), (3, [0; 3], [2; 3]));
        assert_eq!(topology([35, 50, 34], flat, 2, 3), (3, [0; 3], [0, 2, 2]));
        assert_eq!(topology([35, 9, 34], flat, 2, 3), (3, [0; 3], [0, 1, 2]));
        assert_eq!(topology([64, 64, 64], flat, 3, 8), (5, [0; 3], [4; 3]));
        assert_eq!(topology([3, 3, 3], flat, 3, 3), (1, [0; 3], [0; 3]));
    }

    /// nnU-Net, too, gives 5 mm slices of 0.8 mm pixels 1 x 3 x 3 kernels on the two finest levels.
    #[test]
    fn thick_slices_are_halved_once_pixels_have_caught_up() {
        let (depth, first, halvings) = topology([20, 256, 224], [5.0, 0.8, 0.8], 3, 5);
        assert_eq!((depth, first, halvings), (5, [2, 0, 0], [2, 4, 4]));
    }

    #[test]
    fn a_small_memory_makes_the_batch_and_then_the_sample_smaller() {
        let network = NetworkPlan::plain(3, 16, 3, 3);
        let fitted = |line: &str| settings(line).fitted([64, 64, 64], &network);
        let (patch, batch, bytes) = fitted("--dims 3 --memory 4GiB").unwrap();
        assert_eq!((patch, batch), ([64; 3], 2));
        let (smaller, _, fewer) = fitted("--dims 3 --memory 400MiB").unwrap();
        assert!(smaller.iter().product::<usize>() < 64 * 64 * 64 && fewer < bytes && fewer <= 400 << 20);
        assert!(smaller.iter().all(|side| side % 4 == 0));
        let refusal = fitted("--dims 3 --memory 1MiB").unwrap_err().to_string();
        assert!(refusal.contains("--memory"), "{refusal}");
    }

    #[test]
    fn lengths_become_steps_once() {
        let schedule = Schedule::new(Joining::Ranked, 6, &[(0, 2), (3, 6)], 2, 1).unwrap();
        let steps =
            |line: &str| settings(line).horizon(&schedule, 10, Some(Speed { coarse: 0.1, full: 0.3 }));
        assert_eq!(steps("--steps 7"), 7);
        assert_eq!(steps("--samples 41"), 5);
        assert_eq!(steps("--epochs 5"), 3 + 2 * 3);
        assert_eq!(steps("--seconds 60"), 200);
        assert_eq!(steps("--seconds 60 --coarse-share 0.5"), 300);
    }

    #[test]
    fn sided_labels_are_not_mirrored_unless_asked_for_and_then_swapped() {
        let names = ["left lung", "right lung"].map(str::to_owned);
        let mirrored = |line: &str| settings(line).mirrored(&names);
        assert_eq!(mirrored("--augment light"), ([false, true, false], vec![]));
        assert_eq!(mirrored("--augment light --mirror x"), ([false, false, true], vec![[1, 2]]));
        assert_eq!(mirrored("--mirror x").0, [false; 3], "nothing is mirrored without augmentation");
        let heart = ["heart".to_owned()];
        assert_eq!(settings("--augment light --dims 3").mirrored(&heart).0, [true; 3]);
    }

    #[test]
    fn the_horizon_follows_its_three_rules() {
        assert_eq!(default_steps(17, 4, 110), 400);
        assert_eq!(default_steps(70, 4, 400), 60 * 18);
        assert_eq!(default_steps(126, 4, 1300), 1950);
    }
}
