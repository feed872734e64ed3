//! Settings of a training run: one field is one flag and one key of `run.json`.

use bytesize::ByteSize;
use clap::{Args, Command, FromArgMatches, ValueEnum};
use pdl_curriculum::pacing::{Pacing, Share};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::error::{FitError, Result};
use crate::model::device::DeviceChoice;
use crate::model::unet::Norm;
use crate::optim::lr_schedule::Curve;
use crate::optim::optimiser::{Method, OptimiserConfig};

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

/// Settings of a training run. Planning derives those that are unset from the cohort.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, clap::Args)]
pub struct Settings {
    /// Order in which training cases become active.
    #[arg(long, value_enum, default_value_t = ScheduleKind::Pdl, help_heading = "Curriculum")]
    pub schedule: ScheduleKind,
    /// Growth of the number of active cases over the epochs [default: the manifest's].
    #[arg(long, value_enum, help_heading = "Curriculum")]
    pub pacing: Option<Pacing>,
    /// Training cases that are active in the first stage, such as 12 or 20% [default: the
    /// manifest's].
    #[arg(long, value_name = "CASES|SHARE", help_heading = "Curriculum")]
    pub start: Option<Share>,
    /// Training cases that each further stage adds, such as 12 or 20% [default: the manifest's].
    #[arg(long, value_name = "CASES|SHARE", help_heading = "Curriculum")]
    pub add: Option<Share>,
    /// Epochs between two stages [default: the manifest's].
    #[arg(long, value_name = "EPOCHS", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Curriculum")]
    pub every: Option<u32>,
    /// Epochs over which a pacing that is a function of time runs [default: the manifest's].
    #[arg(long, value_name = "EPOCHS", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Curriculum")]
    pub pacing_epochs: Option<u32>,
    /// Fraction of the pacing's epochs, from 0 to 1, after which all cases are active [default: the
    /// manifest's].
    #[arg(long, value_name = "SHARE", help_heading = "Curriculum")]
    pub full_at: Option<f64>,
    /// Exponent of the polynomial pacing [default: the manifest's].
    #[arg(long, value_name = "P", help_heading = "Curriculum")]
    pub power: Option<f64>,
    /// Rescale the stages so that all cases are active after this fraction of the run's steps, such
    /// as 0.4 [default: the stages keep their epochs].
    #[arg(long, value_name = "SHARE", help_heading = "Curriculum")]
    pub grow_share: Option<f64>,
    /// Fraction of the run's steps, from the start, with patches of a lower resolution, such as
    /// 0.4; 0 disables it.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, help_heading = "Curriculum")]
    pub coarse_share: f64,
    /// Factor by which the resolution of coarse patches is reduced along each axis.
    #[arg(long, value_name = "VOXELS", default_value_t = 2, value_parser = parse_factor, help_heading = "Curriculum")]
    pub coarse_factor: usize,
    /// Fraction of the run's steps, from the start, with smaller patches, such as 0.5; 0 disables
    /// it.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, help_heading = "Curriculum")]
    pub patch_share: f64,
    /// Divisor of the patch size while patches are small.
    #[arg(long, value_name = "DIVISOR", default_value_t = 2, value_parser = parse_factor, help_heading = "Curriculum")]
    pub patch_factor: usize,
    /// Patch sizes of the run, from the small one to the full one in equal differences; the smaller
    /// ones share the steps of --patch-share. 8 of them over 0.875 of the run from an eighth of the
    /// size grow as in PGPS (Progressive Growing of Patch Size; Fischer et al., arXiv 2510.23241).
    #[arg(long, value_name = "SIZES", default_value_t = TWO_SIZES, value_parser = parse_patch_steps, help_heading = "Curriculum")]
    #[serde(default = "two_sizes")]
    pub patch_steps: usize,
    /// Preference for early ranks: the first active case is drawn e^WEIGHT times as often as the
    /// last. 0 draws all cases equally often.
    #[arg(long, value_name = "WEIGHT", default_value_t = 0.0, help_heading = "Curriculum")]
    pub rank_weight: f64,
    /// Dimensions of the network: 2 for axial planes, 3 for volumes.
    #[arg(long, value_name = "2|3", default_value_t = 2, value_parser = parse_dims, help_heading = "Network")]
    pub dims: usize,
    /// Channels of the network's finest level, doubled at each coarser level. More channels raise
    /// capacity and the time of a step.
    #[arg(long, value_name = "CHANNELS", default_value_t = 16, value_parser = clap::value_parser!(i64).range(1..=1024), help_heading = "Network")]
    pub width: i64,
    /// Levels of the network; fewer if the patch is too small for them [default: 3].
    #[arg(long, value_name = "LEVELS", value_parser = parse_depth, help_heading = "Network")]
    pub depth: Option<usize>,
    /// Normalisation layer of the network.
    #[arg(long, value_enum, default_value_t = Norm::Instance, help_heading = "Network")]
    pub norm: Norm,
    /// Use residual blocks (each block's input is added to its output).
    #[arg(long, help_heading = "Network")]
    pub residual: bool,
    /// Use deep supervision: coarser levels of the decoder contribute to the loss.
    #[arg(long, help_heading = "Network")]
    pub deep_supervision: bool,
    /// Patch size in voxels: Y,X for planes or Z,Y,X for volumes [default: the median image size,
    /// at most 128 per side for planes and 64 for volumes, less if memory requires].
    #[arg(long, value_name = "SIDES", value_delimiter = ',', help_heading = "Patches")]
    pub patch: Option<Vec<usize>>,
    /// Patches per step (batch size) [default: about 65,000 voxels per step, fewer if memory
    /// requires].
    #[arg(long, value_name = "SAMPLES", help_heading = "Patches")]
    pub batch: Option<usize>,
    /// Batch size of the first steps; it doubles at equal intervals until it reaches the full batch
    /// size.
    #[arg(long, value_name = "SAMPLES", help_heading = "Curriculum")]
    pub batch_start: Option<usize>,
    /// Fraction of the run's steps, above 0 and at most 1, after which a growing batch has its full
    /// size.
    #[arg(long, value_name = "SHARE", default_value_t = 1.0, help_heading = "Curriculum")]
    pub batch_share: f64,
    /// Estimated memory that the activations of one step may use; the patch and batch size are
    /// planned to fit.
    #[arg(long, value_name = "SIZE", default_value = "2GiB", value_parser = parse_memory, help_heading = "Patches")]
    #[serde(alias = "memory")]
    pub activation_memory: u64,
    /// Cases from which the patches of a step are drawn; fewer if the step has fewer patches. An
    /// epoch draws equally many patches, within one, from every active case.
    #[arg(long, value_name = "CASES", default_value_t = 4, help_heading = "Patches")]
    pub cases_per_step: usize,
    /// Fraction of patches that are placed on a label (foreground oversampling).
    #[arg(long, value_name = "SHARE", default_value_t = 1.0 / 3.0, help_heading = "Patches")]
    pub foreground: f64,
    /// Augmentation of training patches [default: light for a run whose patches cover the training
    /// images 100 times or more, none for a shorter one].
    #[arg(long, value_enum, help_heading = "Patches")]
    #[serde(default)]
    pub augment: Option<Augment>,
    /// Axes of mirror augmentation: z, y, x, several separated by commas, or none [default: all
    /// axes, x only if no label has a laterality].
    #[arg(long, value_name = "AXES", value_parser = parse_axes, help_heading = "Patches")]
    pub mirror: Option<Axes>,
    /// Length of the run in steps [default: the largest of 400, 60 epochs over all training cases,
    /// and 1.5 times the steps until all cases are active].
    #[arg(long, value_name = "STEPS", group = "horizon", help_heading = "Length and evaluation")]
    pub steps: Option<u64>,
    /// Length of the run in seconds of training. It is converted into steps after timing some of
    /// them, and again while the run gets slower or faster.
    #[arg(long, value_name = "SECONDS", group = "horizon", help_heading = "Length and evaluation")]
    pub seconds: Option<f64>,
    /// Length of the run in training patches.
    #[arg(long, value_name = "SAMPLES", group = "horizon", help_heading = "Length and evaluation")]
    pub samples: Option<u64>,
    /// Length of the run in epochs (passes over the active cases).
    #[arg(long, value_name = "EPOCHS", group = "horizon", help_heading = "Length and evaluation")]
    pub epochs: Option<u32>,
    /// Steps between evaluations on the validation set [default: a tenth of the run].
    #[arg(long, value_name = "STEPS", help_heading = "Length and evaluation")]
    pub eval_every: Option<u64>,
    /// Stop early once the median of three consecutive evaluations reaches this mean validation
    /// Dice. The learning rate and the stages still follow the full length.
    #[arg(long, value_name = "DICE", help_heading = "Length and evaluation")]
    pub until_dice: Option<f64>,
    /// Stop early once the median of three consecutive evaluations has not risen for this many
    /// evaluations. The weights are those of the last step, not of the best evaluation.
    #[arg(long, value_name = "EVALUATIONS", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Length and evaluation")]
    #[serde(default)]
    pub patience: Option<u32>,
    /// Optimisation method; it determines the default learning rate and weight decay.
    #[arg(long, value_enum, default_value_t = Method::Adamw, help_heading = "Optimisation")]
    pub optimiser: Method,
    /// Peak learning rate [default: 0.003 for adamw, 0.01 for sgd, 0.006 for muon].
    #[arg(long, value_name = "LR", help_heading = "Optimisation")]
    #[serde(alias = "rate")]
    pub lr: Option<f64>,
    /// Learning-rate schedule: the factor of the peak at each step of the run.
    #[arg(long, value_enum, default_value_t = Curve::Poly, help_heading = "Optimisation")]
    #[serde(alias = "rate_curve")]
    pub lr_schedule: Curve,
    /// Warm-up: steps over which the learning rate rises linearly from near 0.
    #[arg(long, value_name = "STEPS", default_value_t = 0, help_heading = "Optimisation")]
    pub warm_up: u64,
    /// Restart the learning-rate schedule whenever cases are added.
    #[arg(long, help_heading = "Optimisation")]
    #[serde(alias = "restart_rate")]
    pub restart_lr: bool,
    /// Nesterov momentum of sgd and muon [default: 0.99 for sgd, 0.95 for muon].
    #[arg(long, value_name = "MOMENTUM", help_heading = "Optimisation")]
    pub momentum: Option<f64>,
    /// Weight decay of kernels; biases and normalisation layers have none [default: 0.01 for adamw
    /// and muon, 0.00003 for sgd].
    #[arg(long, value_name = "DECAY", help_heading = "Optimisation")]
    pub weight_decay: Option<f64>,
    /// Maximum gradient norm; larger gradients are scaled down to it.
    #[arg(long, value_name = "NORM", default_value_t = 12.0, help_heading = "Optimisation")]
    pub clip: f64,
    /// Decay of the exponential moving average (EMA) of the weights. The EMA is evaluated and
    /// saved; 0 disables it.
    #[arg(long, value_name = "SHARE", default_value_t = 0.99, help_heading = "Optimisation")]
    pub ema: f64,
    /// Seed of all random numbers. Runs with one seed on one machine give identical results.
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Machine")]
    pub seed: u64,
    /// Device on which the network runs.
    #[arg(long, value_enum, default_value_t = DeviceChoice::Auto, help_heading = "Machine")]
    pub device: DeviceChoice,
    /// CPU threads of the network [default: all cores].
    #[arg(long, value_name = "N", help_heading = "Machine")]
    pub threads: Option<usize>,
    /// Data-loader threads; their number does not change the patches.
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Machine")]
    pub workers: usize,
}

/// Values of settings by their names in `run.json`.
pub type Values = Map<String, Value>;

/// Settings that decide in which order cases become active, and when.
pub(crate) const CURRICULUM: [&str; 10] = [
    "schedule",
    "pacing",
    "start",
    "add",
    "every",
    "pacing_epochs",
    "full_at",
    "power",
    "grow_share",
    "rank_weight",
];

/// Settings of a run's length and evaluations, besides `steps`.
pub(crate) const LENGTH: [&str; 6] = ["seconds", "samples", "epochs", "eval_every", "until_dice", "patience"];

/// Renamed settings: the old name and the present one. Records and checkpoints are read with
/// either; a protocol with an old name is refused.
pub(crate) const RENAMED: [(&str, &str); 4] = [
    ("rate", "lr"),
    ("rate_curve", "lr_schedule"),
    ("restart_rate", "restart_lr"),
    ("memory", "activation_memory"),
];

/// Deserialises settings under their present names.
pub(crate) fn renamed_values<'de, D: Deserializer<'de>>(source: D) -> std::result::Result<Values, D::Error> {
    let mut values = Values::deserialize(source)?;
    for (old, new) in RENAMED {
        if let Some(value) = values.remove(old) {
            values.insert(new.to_owned(), value);
        }
    }
    Ok(values)
}

/// Augmentation of training patches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Augment {
    /// No augmentation.
    None,
    /// Mirroring, noise, brightness, contrast and gamma.
    Light,
    /// The changes of `light` and rotation, scaling, elastic deformation, blur and low resolution.
    Full,
}

impl Augment {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Light => "light",
            Self::Full => "full",
        }
    }
}

/// Axes in the order z, y, x: true for those that are selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Axes(pub [bool; 3]);

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

/// A number of bytes, such as `8GiB`.
///
/// # Errors
/// A sentence on what is wrong with the text.
pub fn parse_memory(text: &str) -> std::result::Result<u64, String> {
    text.parse::<ByteSize>().map(|size| size.as_u64())
}

/// Axes such as `z,y`, or `none`.
///
/// # Errors
/// A sentence on what is wrong with the text.
pub fn parse_axes(text: &str) -> std::result::Result<Axes, String> {
    let mut axes = [false; 3];
    for name in text.split(',').filter(|name| *name != "none") {
        let axis = ["z", "y", "x"].iter().position(|axis| *axis == name);
        axes[axis.ok_or("write z, y, x, several of them with commas, or none")?] = true;
    }
    Ok(Axes(axes))
}

impl Settings {
    /// The settings of a command line without flags.
    ///
    /// # Errors
    /// [`FitError::DefaultSettings`] if the flags' own defaults do not parse.
    pub fn defaults() -> Result<Self> {
        let matches = Self::augment_args(Command::new("pdl-fit")).try_get_matches_from(["pdl-fit"]);
        let settings = matches.and_then(|matches| Self::from_arg_matches(&matches));
        settings.map_err(FitError::DefaultSettings)
    }

    /// All settings by name.
    ///
    /// # Errors
    /// [`FitError::InvalidSettings`] if a value has no JSON form, such as a learning rate of NaN.
    pub fn values(&self) -> Result<Values> {
        let values = serde_json::to_value(self).and_then(serde_json::from_value);
        values.map_err(FitError::InvalidSettings)
    }

    /// A copy with the values of `changes`.
    ///
    /// # Errors
    /// [`FitError::UnknownSetting`] if a name is unknown, [`FitError::InvalidSettings`] if a value
    /// has the wrong type.
    pub fn changed<'a>(&self, changes: impl IntoIterator<Item = (&'a String, &'a Value)>) -> Result<Self> {
        let mut values = self.values()?;
        for (name, value) in changes {
            match values.get_mut(name) {
                Some(place) => *place = value.clone(),
                None => return Err(FitError::UnknownSetting { name: name.clone() }),
            }
        }
        serde_json::from_value(Value::Object(values)).map_err(FitError::InvalidSettings)
    }

    /// Whether two runs have the same settings: an option that is set to the default of the
    /// optimisation method equals one that is not set.
    pub fn same_as(&self, other: &Self) -> bool {
        self.with_method_defaults() == other.with_method_defaults()
    }

    /// The same with the defaults of the optimisation method written out.
    pub(crate) fn with_method_defaults(&self) -> Self {
        let OptimiserConfig { method, momentum, weight_decay, .. } = self.optimiser_config();
        Self {
            lr: Some(self.peak_lr()),
            weight_decay: Some(weight_decay),
            momentum: method.default_momentum().map(|_| momentum),
            ..self.clone()
        }
    }

    /// The optimiser's configuration; what is unset is the default of the method.
    pub fn optimiser_config(&self) -> OptimiserConfig {
        let Self { optimiser: method, clip, .. } = *self;
        let momentum = self.momentum.or(method.default_momentum()).unwrap_or(0.0);
        let weight_decay = self.weight_decay.unwrap_or_else(|| method.default_weight_decay());
        OptimiserConfig { method, momentum, weight_decay, clip }
    }

    /// Peak learning rate, before schedule and warm-up; unset, it is the default of the optimiser.
    pub fn peak_lr(&self) -> f64 {
        self.lr.unwrap_or_else(|| self.optimiser.default_lr())
    }

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
    ///
    /// # Errors
    /// [`FitError::InvalidOption`] if a value is out of range or contradicts another.
    pub(crate) fn check(&self) -> Result<()> {
        let share = |share: f64| (0.0..=1.0).contains(&share);
        let share_above_0 = |share: Option<f64>| share.is_none_or(|share| share > 0.0 && share <= 1.0);
        let at_least_1 = [
            ("batch", self.batch != Some(0)),
            ("batch_start", self.batch_start != Some(0)),
            ("cases_per_step", self.cases_per_step != 0),
            ("steps", self.steps != Some(0)),
            ("samples", self.samples != Some(0)),
            ("epochs", self.epochs != Some(0)),
            ("eval_every", self.eval_every != Some(0)),
            ("threads", self.threads != Some(0)),
            ("workers", self.workers != 0),
        ];
        require(&at_least_1, "must be at least 1")?;
        require(
            &[("patch_steps", (TWO_SIZES..=MOST_SIZES).contains(&self.patch_steps))],
            &format!("must be from {TWO_SIZES} to {MOST_SIZES}"),
        )?;
        require(&[("workers", self.workers <= MOST_THREADS)], "is more than a machine has use for")?;
        let above_0 = [
            ("seconds", self.seconds.is_none_or(|seconds| seconds > 0.0 && seconds.is_finite())),
            ("lr", self.peak_lr() > 0.0),
            ("clip", self.clip > 0.0),
            ("power", self.power.is_none_or(|power| power > 0.0)),
        ];
        require(&above_0, "must be above 0")?;
        require(&[("weight_decay", self.optimiser_config().weight_decay >= 0.0)], "must be at least 0")?;
        let below_1 = [("ema", Some(self.ema)), ("momentum", self.momentum)]
            .map(|(name, value)| (name, value.is_none_or(|v| (0.0..1.0).contains(&v))));
        require(&below_1, "must be at least 0 and below 1")?;
        let shares = [
            ("coarse_share", share(self.coarse_share)),
            ("patch_share", share(self.patch_share)),
            ("foreground", share(self.foreground)),
        ];
        require(&shares, "must be from 0 to 1")?;
        let shares_above_0 = [
            ("until_dice", share_above_0(self.until_dice)),
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

/// More are a mistake: to start them alone would take the machine.
pub(crate) const MOST_THREADS: usize = 1024;

/// Refuses the first option for which its condition does not hold.
fn require(conditions: &[(&'static str, bool)], problem: &str) -> Result<()> {
    match conditions.iter().find(|(_, holds)| !holds) {
        Some((name, _)) => Err(FitError::option(name, problem)),
        None => Ok(()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        settings: Settings,
    }

    /// Parses the flags of `line`.
    pub(crate) fn settings(line: &str) -> Settings {
        Line::try_parse_from(["x"].into_iter().chain(line.split_whitespace())).unwrap().settings
    }

    #[test]
    fn choices_that_cannot_work_are_refused() {
        for line in [
            "--batch 0",
            "--lr 0",
            "--schedule conventional --start 20%",
            "--schedule conventional --grow-share 0.5",
            "--eval-every 0",
            "--ema 1",
            "--seconds 0",
            "--until-dice 1.1",
            "--coarse-share 1.5",
            "--patch-share 1.1",
            "--batch-start 0",
            "--batch-share 0",
            "--grow-share 0",
            "--workers 0",
        ] {
            let refused = settings(line).check().unwrap_err();
            let FitError::InvalidOption { name, .. } = refused else { panic!("{line}: {refused}") };
            assert!(line.contains(&format!("--{}", name.replace('_', "-"))), "{line}: {name}");
        }
        assert!(settings("--start 20% --every 3").check().is_ok());
        let two = ["x", "--steps", "3", "--seconds", "4"];
        assert!(Line::try_parse_from(two).is_err(), "a run has one length");
    }

    /// nnU-Net's SGD: learning rate 0.01, momentum 0.99, weight decay 3e-5, gradient norm 12.
    #[test]
    fn every_optimiser_has_its_own_defaults() {
        let defaults = |line: &str| {
            let OptimiserConfig { momentum, weight_decay, clip, .. } = settings(line).optimiser_config();
            [settings(line).peak_lr(), momentum, weight_decay, clip]
        };
        assert_eq!(defaults("--optimiser sgd"), [0.01, 0.99, 3e-5, 12.0]);
        assert_eq!(defaults("--optimiser muon"), [0.006, 0.95, 0.01, 12.0]);
        assert_eq!(defaults("")[2], 0.01);
        assert_eq!(defaults("--optimiser sgd --weight-decay 0")[2], 0.0);
        assert!(settings("--weight-decay=-1").check().is_err());
    }

    /// Records of earlier versions hold the default momentum of SGD whatever the method.
    #[test]
    fn a_default_that_is_written_out_is_the_same_setting() {
        let same = |a: &str, b: &str| settings(a).same_as(&settings(b));
        assert!(same("", "--momentum 0.99 --lr 0.003 --weight-decay 0.01"));
        assert!(same("--optimiser sgd", "--optimiser sgd --momentum 0.99"));
        assert!(!same("--optimiser muon", "--optimiser muon --momentum 0.9"));
        assert!(!same("", "--lr 0.004"));
    }

    /// Records and checkpoints of earlier versions have the old names.
    #[test]
    fn old_names_are_read_and_new_ones_written() {
        let settings = settings("--lr 0.5 --lr-schedule cosine --restart-lr");
        let mut values = settings.values().unwrap();
        for (old, new) in RENAMED {
            let value = values.remove(new).unwrap();
            values.insert(old.to_owned(), value);
        }
        assert_eq!(serde_json::from_value::<Settings>(Value::Object(values.clone())).unwrap(), settings);
        assert_eq!(renamed_values(Value::Object(values)).unwrap(), settings.values().unwrap());
    }

    #[test]
    fn axes_and_sizes_are_read() {
        assert_eq!(settings("--mirror z,x").mirror, Some(Axes([true, false, true])));
        assert_eq!(settings("--mirror none").mirror, Some(Axes([false; 3])));
        assert_eq!(settings("--activation-memory 1MiB").activation_memory, 1 << 20);
    }
}
