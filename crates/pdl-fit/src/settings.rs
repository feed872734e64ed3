//! What a run is asked to do, and the plan that follows from it and from the cohort.

use clap::ValueEnum;
use pdl_curriculum::manifest::Manifest;
use pdl_curriculum::pace::{self, Share, Stage};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{FitError, Result};
use crate::network::NetworkPlan;
use crate::schedule::{Schedule, Step};

/// Sample voxels that a step aims at: enough to keep two cores busy, few enough for many steps.
const STEP_VOXELS: usize = 65_536;
/// The longest side of a planned sample, in voxels: of planes and of blocks.
const LONGEST_SIDE: [usize; 2] = [128, 64];
/// The coarsest level of a planned network keeps at least so many voxels a side.
const COARSEST_SIDE: usize = 4;
/// A run has at least so many steps ...
const LEAST_STEPS: u64 = 400;
/// ... at least so many passes over all training cases ...
const LEAST_PASSES: u64 = 60;
/// ... and so many times the steps after which all cases have joined.
const AFTER_JOINING: f64 = 1.5;

/// The order in which cases come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum ScheduleKind {
    /// The manifest's stages: ranked cases join step by step.
    Pdl,
    /// All training cases from the start.
    Conventional,
}

/// Where the network runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum DeviceChoice {
    /// The first CUDA device when there is one, else the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// The first CUDA device.
    Cuda,
}

/// Everything that a user can choose about a training run; what is left open is planned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, clap::Args)]
pub struct Settings {
    /// In which order cases come in.
    #[arg(long, value_enum, default_value_t = ScheduleKind::Pdl)]
    pub schedule: ScheduleKind,
    /// Training cases that begin, such as 12 or 20%; overrides the manifest.
    #[arg(long, value_name = "CASES|SHARE")]
    pub start: Option<Share>,
    /// Training cases that join at each further stage, such as 12 or 20%; overrides the manifest.
    #[arg(long, value_name = "CASES|SHARE")]
    pub add: Option<Share>,
    /// Epochs between stages; overrides the manifest.
    #[arg(long, value_name = "EPOCHS", value_parser = clap::value_parser!(u32).range(1..))]
    pub every: Option<u32>,
    /// 2 for a network on axial planes, 3 for one on blocks.
    #[arg(long, default_value_t = 2, value_parser = parse_dims)]
    pub dims: usize,
    /// Channels of the network's finest level.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(i64).range(1..=1024))]
    pub width: i64,
    /// Levels of the network; fewer when the samples are too small for them [default: 3].
    #[arg(long, value_parser = parse_depth)]
    pub depth: Option<usize>,
    /// Sides of a sample in voxels: Y,X for planes or Z,Y,X for blocks [default: the median case's].
    #[arg(long, value_name = "SIDES", value_delimiter = ',')]
    pub patch: Option<Vec<usize>>,
    /// Samples in a step [default: so that they hold about 65,000 voxels].
    #[arg(long, value_name = "SAMPLES")]
    pub batch: Option<usize>,
    /// Cases that the samples of a step come from.
    #[arg(long, value_name = "CASES", default_value_t = 4)]
    pub cases_per_step: usize,
    /// Steps of the run [default: 400, 60 passes over all training cases, or 1.5 times the steps until all
    /// cases have joined, whichever is most].
    #[arg(long, value_name = "STEPS")]
    pub steps: Option<u64>,
    /// Steps between evaluations on the validation split [default: a tenth of the run].
    #[arg(long, value_name = "STEPS")]
    pub eval_every: Option<u64>,
    /// AdamW's rate at the start; it falls to zero over the run.
    #[arg(long, default_value_t = 0.003)]
    pub rate: f64,
    /// AdamW's weight decay.
    #[arg(long, default_value_t = 0.01)]
    pub weight_decay: f64,
    /// Gradients are scaled down to this norm.
    #[arg(long, value_name = "NORM", default_value_t = 12.0)]
    pub clip: f64,
    /// Seed of everything that is drawn at random.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Where the network runs.
    #[arg(long, value_enum, default_value_t = DeviceChoice::Auto)]
    pub device: DeviceChoice,
    /// Threads [default: all cores].
    #[arg(long)]
    pub threads: Option<usize>,
}

fn parse_dims(text: &str) -> std::result::Result<usize, String> {
    match text {
        "2" => Ok(2),
        "3" => Ok(3),
        _ => Err("write 2 or 3".to_owned()),
    }
}

fn parse_depth(text: &str) -> std::result::Result<usize, String> {
    match text.parse() {
        Ok(depth) if (1..=8).contains(&depth) => Ok(depth),
        _ => Err("write a number from 1 to 8".to_owned()),
    }
}

/// What a run does, after everything that was left open has been planned from the cohort.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunPlan {
    /// The network.
    pub network: NetworkPlan,
    /// Sides of a sample along z, y, x in voxels; z is 1 for planes.
    pub patch: [usize; 3],
    /// Samples in a step.
    pub batch: usize,
    /// Cases that the samples of a step come from.
    pub cases_per_step: usize,
    /// Whether the stages are the run's own and not the manifest's.
    pub stages_overridden: bool,
    /// The stages that are followed.
    pub stages: Vec<Step>,
    /// Steps of the run.
    pub steps: u64,
    /// Steps after which all cases have joined.
    pub steps_until_all_joined: u64,
    /// Steps between evaluations.
    pub eval_every: u64,
}

impl Settings {
    /// Plans a run for `training` cases whose prepared images have these shapes (z, y, x), with `channels`
    /// output channels.
    ///
    /// # Errors
    /// [`FitError::Setting`] when a choice cannot work, [`FitError::Folder`] when the stages cannot.
    pub fn plan(
        &self,
        manifest: &Manifest,
        shapes: &[[usize; 3]],
        channels: usize,
    ) -> Result<(RunPlan, Schedule)> {
        self.check()?;
        let (schedule, stages_overridden) = self.schedule_for(manifest, shapes.len())?;
        let (patch, depth) = self.patch_and_depth(median_shape(shapes))?;
        let voxels = patch.iter().product::<usize>();
        let batch = self.batch.unwrap_or((STEP_VOXELS / voxels).max(2));
        let joined = schedule.steps_until_all(self.cases_per_step);
        let steps = self.steps.unwrap_or_else(|| default_steps(shapes.len(), self.cases_per_step, joined));
        let network =
            NetworkPlan { dims: self.dims, width: self.width, depth, inputs: 1, classes: channels as i64 };
        let plan = RunPlan {
            network,
            patch,
            batch,
            cases_per_step: self.cases_per_step,
            stages_overridden,
            stages: schedule.steps().to_vec(),
            steps,
            steps_until_all_joined: joined,
            eval_every: self.eval_every.unwrap_or(steps.div_ceil(10)),
        };
        Ok((plan, schedule))
    }

    fn check(&self) -> Result<()> {
        let wrong = |problem: &str| Err(FitError::Setting(problem.to_owned()));
        let zero = [self.batch == Some(0), self.cases_per_step == 0, self.threads == Some(0)];
        if zero.contains(&true) || self.steps == Some(0) || self.eval_every == Some(0) {
            return wrong(
                "--batch, --cases-per-step, --steps, --eval-every and --threads must be at least 1",
            );
        }
        if !(self.rate > 0.0 && self.clip > 0.0 && self.weight_decay >= 0.0) {
            return wrong("--rate and --clip must be above 0, --weight-decay at least 0");
        }
        if self.schedule == ScheduleKind::Conventional && self.overrides_stages() {
            return wrong(
                "--start, --add and --every go with --schedule pdl: conventional training has no stages",
            );
        }
        Ok(())
    }

    fn overrides_stages(&self) -> bool {
        self.start.is_some() || self.add.is_some() || self.every.is_some()
    }

    /// The schedule over the training cases in the order of their ranks, and whether it is not the manifest's.
    fn schedule_for(&self, manifest: &Manifest, cases: usize) -> Result<(Schedule, bool)> {
        if self.schedule == ScheduleKind::Conventional {
            return Ok((Schedule::conventional(cases), false));
        }
        let info = &manifest.info;
        let overridden = self.overrides_stages();
        let stages = if overridden {
            let of_manifest = &info.parameters;
            let (start, add) = (self.start.unwrap_or(of_manifest.start), self.add.unwrap_or(of_manifest.add));
            pace::fixed(cases, start, add, self.every.unwrap_or(of_manifest.every(info.modality)))
        } else {
            info.stages.clone()
        };
        let step = |s: &Stage| Step { first_epoch: s.first_epoch, active_cases: s.active_cases as usize };
        let schedule = Schedule::growing((0..cases).collect(), stages.iter().map(step).collect())?;
        Ok((schedule, overridden))
    }

    /// The sides (z, y, x) of a sample and the levels of a network that fits it.
    fn patch_and_depth(&self, median: [usize; 3]) -> Result<([usize; 3], usize)> {
        let wish = self.depth.unwrap_or(3);
        let Some(sides) = &self.patch else {
            let smallest = median[3 - self.dims..].iter().copied().min().unwrap_or(1);
            let fits = |depth: &usize| smallest.div_ceil(1 << (depth - 1)) >= COARSEST_SIDE;
            let depth = (1..=wish).rev().find(fits).unwrap_or(1);
            let stride = 1 << (depth - 1);
            let side = |n: usize| n.next_multiple_of(stride).min(LONGEST_SIDE[self.dims - 2]);
            let [z, y, x] = median.map(side);
            return Ok(([if self.dims == 2 { 1 } else { z }, y, x], depth));
        };
        let patch = match (self.dims, sides.as_slice()) {
            (2, &[y, x]) => [1, y, x],
            (3, &[z, y, x]) => [z, y, x],
            _ => {
                return Err(FitError::Setting(
                    "--patch takes Y,X with --dims 2 and Z,Y,X with --dims 3".into(),
                ));
            }
        };
        let stride = 1 << (wish - 1);
        if patch[3 - self.dims..].iter().any(|&side| side == 0 || side % stride != 0) {
            return Err(FitError::Setting(format!(
                "the sides of --patch must be multiples of {stride} for {wish} levels"
            )));
        }
        Ok((patch, wish))
    }
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
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        settings: Settings,
    }

    fn settings(line: &str) -> Settings {
        Line::try_parse_from(["x"].into_iter().chain(line.split_whitespace())).unwrap().settings
    }

    #[test]
    fn samples_take_the_size_of_the_median_case() {
        assert_eq!(settings("").patch_and_depth([35, 50, 34]).unwrap(), ([1, 52, 36], 3));
        assert_eq!(settings("").patch_and_depth([128, 300, 140]).unwrap(), ([1, 128, 128], 3));
        assert_eq!(settings("").patch_and_depth([35, 9, 34]).unwrap(), ([1, 10, 34], 2));
        assert_eq!(settings("--dims 3").patch_and_depth([35, 50, 34]).unwrap(), ([36, 52, 36], 3));
        assert_eq!(settings("--patch 16,24").patch_and_depth([35, 50, 34]).unwrap(), ([1, 16, 24], 3));
        assert!(settings("--patch 16,25").patch_and_depth([35, 50, 34]).is_err());
        assert!(settings("--patch 16,24,8").patch_and_depth([35, 50, 34]).is_err());
    }

    #[test]
    fn the_horizon_follows_its_three_rules() {
        assert_eq!(default_steps(17, 4, 110), 400);
        assert_eq!(default_steps(70, 4, 400), 60 * 18);
        assert_eq!(default_steps(126, 4, 1300), 1950);
    }

    #[test]
    fn choices_that_cannot_work_are_refused() {
        for wrong in ["--batch 0", "--rate 0", "--schedule conventional --start 20%", "--eval-every 0"] {
            assert!(matches!(settings(wrong).check(), Err(FitError::Setting(_))), "{wrong}");
        }
        assert!(settings("--start 20% --every 3").check().is_ok());
    }
}
