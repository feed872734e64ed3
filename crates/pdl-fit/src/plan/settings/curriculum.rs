//! Which cases, patch sizes, resolutions and batch sizes the steps have.

use clap::ValueEnum;
use pdl_curriculum::pacing::{Pacing, Share};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::checks::{require, share, share_above_0};
use crate::error::{FitError, Result};

/// Order in which training cases become active.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum ScheduleKind {
    /// Ranked order in the stages of the manifest (curriculum learning).
    Pdl,
    /// All training cases are active from the first step.
    Conventional,
    /// Random order in the stages of the manifest: the control for the effect of growth alone.
    Random,
}

impl ScheduleKind {
    /// The value's spelling on the command line and in `run.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pdl => "pdl",
            Self::Conventional => "conventional",
            Self::Random => "random",
        }
    }
}

/// Patch sizes of a run whose patches grow once, the default.
const TWO_SIZES: usize = 2;

/// Most patch sizes of a run.
const MOST_SIZES: usize = 32;

fn two_sizes() -> usize {
    TWO_SIZES
}

/// Which cases, patch sizes, resolutions and batch sizes the steps have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, clap::Args)]
#[command(next_help_heading = "Curriculum")]
pub struct CurriculumSettings {
    /// Order in which training cases become active.
    #[arg(long, value_enum, default_value_t = ScheduleKind::Pdl)]
    pub schedule: ScheduleKind,
    /// Growth of the number of active cases over the epochs [default: the manifest's].
    #[arg(long, value_enum)]
    pub pacing: Option<Pacing>,
    /// Training cases that are active in the first stage, such as 12 or 20% [default: the
    /// manifest's].
    #[arg(long, value_name = "CASES|SHARE")]
    pub start: Option<Share>,
    /// Training cases that each further stage adds, such as 12 or 20% [default: the manifest's].
    #[arg(long, value_name = "CASES|SHARE")]
    pub add: Option<Share>,
    /// Epochs between two stages [default: the manifest's].
    #[arg(long, value_name = "EPOCHS", value_parser = clap::value_parser!(u32).range(1..))]
    pub every: Option<u32>,
    /// Epochs over which a pacing that is a function of time runs [default: the manifest's].
    #[arg(long, value_name = "EPOCHS", value_parser = clap::value_parser!(u32).range(1..))]
    pub pacing_epochs: Option<u32>,
    /// Fraction of the pacing's epochs, from 0 to 1, after which all cases are active [default: the
    /// manifest's].
    #[arg(long, value_name = "SHARE")]
    pub full_at: Option<f64>,
    /// Exponent of the polynomial pacing [default: the manifest's].
    #[arg(long, value_name = "P")]
    pub power: Option<f64>,
    /// Rescale the stages so that all cases are active after this fraction of the run's steps, such
    /// as 0.4 [default: the stages keep their epochs].
    #[arg(long, value_name = "SHARE")]
    pub grow_share: Option<f64>,
    /// Fraction of the run's steps, from the start, with patches of a lower resolution, such as
    /// 0.4; 0 disables it.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub coarse_share: f64,
    /// Factor by which the resolution of coarse patches is reduced along each axis.
    #[arg(long, value_name = "VOXELS", default_value_t = 2, value_parser = parse_factor)]
    pub coarse_factor: usize,
    /// Fraction of the run's steps, from the start, with smaller patches, such as 0.5; 0 disables
    /// it.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub patch_share: f64,
    /// Divisor of the patch size while patches are small.
    #[arg(long, value_name = "DIVISOR", default_value_t = 2, value_parser = parse_factor)]
    pub patch_factor: usize,
    /// Patch sizes of the run, from the small one to the full one in equal differences; the smaller
    /// ones share the steps of --patch-share. 8 of them over 0.875 of the run from an eighth of the
    /// size grow as in PGPS (Progressive Growing of Patch Size; Fischer et al., arXiv 2510.23241).
    #[arg(long, value_name = "SIZES", default_value_t = TWO_SIZES, value_parser = parse_patch_steps)]
    #[serde(default = "two_sizes")]
    pub patch_steps: usize,
    /// Preference for early ranks: the first active case is drawn e^WEIGHT times as often as the
    /// last. 0 draws all cases equally often.
    #[arg(long, value_name = "WEIGHT", default_value_t = 0.0)]
    pub rank_weight: f64,
    /// Batch size of the first steps; it doubles at equal intervals until it reaches the full batch
    /// size.
    #[arg(long, value_name = "PATCHES")]
    pub batch_start: Option<usize>,
    /// Fraction of the run's steps, above 0 and at most 1, after which a growing batch has its full
    /// size.
    #[arg(long, value_name = "SHARE", default_value_t = 1.0)]
    pub batch_share: f64,
}

impl CurriculumSettings {
    /// Whether any setting replaces the stages of the manifest.
    pub fn overrides_stages(&self) -> bool {
        self.stage_option().is_some()
    }

    /// The first option that is given and overrides the manifest's stages.
    fn stage_option(&self) -> Option<&'static str> {
        let options = [
            ("pacing", self.pacing.is_some()),
            ("start", self.start.is_some()),
            ("add", self.add.is_some()),
            ("every", self.every.is_some()),
            ("pacing_epochs", self.pacing_epochs.is_some()),
            ("full_at", self.full_at.is_some()),
            ("power", self.power.is_some()),
            ("grow_share", self.grow_share.is_some()),
        ];
        options.into_iter().find(|(_, given)| *given).map(|(name, _)| name)
    }

    /// Validates everything that does not depend on the cohort.
    pub(super) fn check(&self) -> Result<()> {
        require(&[("batch_start", self.batch_start != Some(0))], "must be at least 1")?;
        require(
            &[("patch_steps", (TWO_SIZES..=MOST_SIZES).contains(&self.patch_steps))],
            &format!("must be from {TWO_SIZES} to {MOST_SIZES}"),
        )?;
        require(&[("power", self.power.is_none_or(|power| power > 0.0))], "must be above 0")?;
        let shares = [("coarse_share", share(self.coarse_share)), ("patch_share", share(self.patch_share))];
        require(&shares, "must be from 0 to 1")?;
        let shares_above_0 = [
            ("grow_share", share_above_0(self.grow_share)),
            ("full_at", share_above_0(self.full_at)),
            ("batch_share", share_above_0(Some(self.batch_share))),
        ];
        require(&shares_above_0, "must be above 0 and at most 1")?;
        require(&[("rank_weight", (0.0..=20.0).contains(&self.rank_weight))], "must be from 0 to 20")?;
        match self.stage_option() {
            Some(name) if self.schedule == ScheduleKind::Conventional => Err(FitError::option(
                name,
                "needs schedule pdl or random: conventional training has no stages",
            )),
            _ => Ok(()),
        }
    }
}

fn parse_factor(text: &str) -> std::result::Result<usize, String> {
    match text.parse() {
        Ok(factor) if (2..=8).contains(&factor) => Ok(factor),
        _ => Err("write a number from 2 to 8".to_owned()),
    }
}

fn parse_patch_steps(text: &str) -> std::result::Result<usize, String> {
    match text.parse() {
        Ok(sizes) if (TWO_SIZES..=MOST_SIZES).contains(&sizes) => Ok(sizes),
        _ => Err(format!("write a number from {TWO_SIZES} to {MOST_SIZES}")),
    }
}
