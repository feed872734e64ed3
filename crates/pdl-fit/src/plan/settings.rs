//! What a run is asked to do.

use bytesize::ByteSize;
use clap::{Args, Command, FromArgMatches, ValueEnum};
use pdl_curriculum::pacing::{Pacing, Share};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::error::{FitError, Result};
use crate::model::unet::Norm;
use crate::optim::lr_schedule::Curve;
use crate::optim::optimiser::{Method, OptimiserConfig};

/// The order in which cases come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum ScheduleKind {
    /// The manifest's stages: ranked cases join step by step.
    Pdl,
    /// All training cases from the start.
    Conventional,
    /// The manifest's stages, but cases join in random order: what growth alone does.
    Random,
}

impl ScheduleKind {
    /// As it is written on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pdl => "pdl",
            Self::Conventional => "conventional",
            Self::Random => "random",
        }
    }
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
    /// In which order training cases join.
    #[arg(long, value_enum, default_value_t = ScheduleKind::Pdl, help_heading = "Curriculum")]
    pub schedule: ScheduleKind,
    /// How the number of active cases grows; without it as in the manifest.
    #[arg(long, value_enum, help_heading = "Curriculum")]
    pub pacing: Option<Pacing>,
    /// Training cases that begin, such as 12 or 20%; without it as in the manifest.
    #[arg(long, value_name = "CASES|SHARE", help_heading = "Curriculum")]
    pub start: Option<Share>,
    /// Training cases that join at each further stage, such as 12 or 20%; without it as in the manifest.
    #[arg(long, value_name = "CASES|SHARE", help_heading = "Curriculum")]
    pub add: Option<Share>,
    /// Epochs between stages; without it as in the manifest.
    #[arg(long, value_name = "EPOCHS", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Curriculum")]
    pub every: Option<u32>,
    /// Epochs of the pacings that are functions of time; without it as in the manifest.
    #[arg(long, value_name = "EPOCHS", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Curriculum")]
    pub pacing_epochs: Option<u32>,
    /// The share of these epochs, from 0 to 1, after which all cases are active; without it as in the manifest.
    #[arg(long, value_name = "SHARE", help_heading = "Curriculum")]
    pub full_at: Option<f64>,
    /// The power of the polynomial pacing; without it as in the manifest.
    #[arg(long, value_name = "P", help_heading = "Curriculum")]
    pub power: Option<f64>,
    /// Stretches or shortens the stages so that all cases have joined after this share of the run's steps, such
    /// as 0.4; without it they keep their epochs.
    #[arg(long, value_name = "SHARE", help_heading = "Curriculum")]
    pub grow_share: Option<f64>,
    /// Takes samples at a lower resolution over this first share of the run's steps, such as 0.4; 0 is never.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, help_heading = "Curriculum")]
    pub coarse_share: f64,
    /// Voxels along an axis that become one while samples are coarse.
    #[arg(long, value_name = "VOXELS", default_value_t = 2, value_parser = parse_factor, help_heading = "Curriculum")]
    pub coarse_factor: usize,
    /// Takes smaller samples over this first share of the run's steps, such as 0.5; 0 is never.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, help_heading = "Curriculum")]
    pub patch_share: f64,
    /// By how much the sides of samples are divided while they are small.
    #[arg(long, value_name = "DIVISOR", default_value_t = 2, value_parser = parse_factor, help_heading = "Curriculum")]
    pub patch_factor: usize,
    /// Draws early cases more often: the first active one e^WEIGHT times as often as the last. 0 passes over all
    /// alike.
    #[arg(long, value_name = "WEIGHT", default_value_t = 0.0, help_heading = "Curriculum")]
    pub rank_weight: f64,
    /// 2 for a network on axial planes, 3 for one on blocks.
    #[arg(long, value_name = "2|3", default_value_t = 2, value_parser = parse_dims, help_heading = "Network")]
    pub dims: usize,
    /// Channels of the network's finest level: more learn more, and take longer.
    #[arg(long, value_name = "CHANNELS", default_value_t = 16, value_parser = clap::value_parser!(i64).range(1..=1024), help_heading = "Network")]
    pub width: i64,
    /// Levels of the network; fewer when the samples are too small for them [default: 3].
    #[arg(long, value_name = "LEVELS", value_parser = parse_depth, help_heading = "Network")]
    pub depth: Option<usize>,
    /// Over what activations are normalised.
    #[arg(long, value_enum, default_value_t = Norm::Instance, help_heading = "Network")]
    pub norm: Norm,
    /// Adds what every level of the network gets to what it makes.
    #[arg(long, help_heading = "Network")]
    pub residual: bool,
    /// Lets coarser levels of the network learn from the labels directly, too.
    #[arg(long, help_heading = "Network")]
    pub deep_supervision: bool,
    /// Sides of a sample in voxels: Y,X for planes or Z,Y,X for blocks [default: the median case's].
    #[arg(long, value_name = "SIDES", value_delimiter = ',', help_heading = "Patches")]
    pub patch: Option<Vec<usize>>,
    /// Samples in a step [default: so that they hold about 65,000 voxels, or fewer that fit --memory].
    #[arg(long, value_name = "SAMPLES", help_heading = "Patches")]
    pub batch: Option<usize>,
    /// Samples of the first steps; their number doubles at even distances until it is that of --batch.
    #[arg(long, value_name = "SAMPLES", help_heading = "Curriculum")]
    pub batch_start: Option<usize>,
    /// The share of the run's steps, above 0 and at most 1, after which a step has --batch samples where --batch-start is
    /// given.
    #[arg(long, value_name = "SHARE", default_value_t = 1.0, help_heading = "Curriculum")]
    pub batch_share: f64,
    /// Memory that a step's activations may take, by an estimate; smaller samples and batches are planned for
    /// less.
    #[arg(long, value_name = "SIZE", default_value = "2GiB", value_parser = parse_memory, help_heading = "Patches")]
    pub memory: u64,
    /// Cases that the patches of a step come from; fewer where it has fewer patches. Whatever it
    /// is, an epoch has equally many patches of every active case, within one.
    #[arg(long, value_name = "CASES", default_value_t = 4, help_heading = "Patches")]
    pub cases_per_step: usize,
    /// The share of samples that are placed on a label.
    #[arg(long, value_name = "SHARE", default_value_t = 1.0 / 3.0, help_heading = "Patches")]
    pub foreground: f64,
    /// How samples are changed before they are learnt from.
    #[arg(long, value_enum, default_value_t = Augment::None, help_heading = "Patches")]
    pub augment: Augment,
    /// Axes along which samples are mirrored when they are augmented: z, y, x, several with commas, or none
    /// [default: all, but x only where no label is on a side of the body].
    #[arg(long, value_name = "AXES", value_parser = parse_axes, help_heading = "Patches")]
    pub mirror: Option<Axes>,
    /// Steps of the run [default: 400, 60 passes over all training cases, or 1.5 times the steps until all
    /// cases have joined, whichever is most].
    #[arg(long, value_name = "STEPS", group = "horizon", help_heading = "Length and evaluation")]
    pub steps: Option<u64>,
    /// The run's length in seconds of training: turned into steps after a warm-up, and not looked at again; instead of
    /// --steps.
    #[arg(long, value_name = "SECONDS", group = "horizon", help_heading = "Length and evaluation")]
    pub seconds: Option<f64>,
    /// The run's length in samples learnt from, instead of --steps.
    #[arg(long, value_name = "SAMPLES", group = "horizon", help_heading = "Length and evaluation")]
    pub samples: Option<u64>,
    /// The run's length in epochs, passes over the active cases, instead of --steps.
    #[arg(long, value_name = "EPOCHS", group = "horizon", help_heading = "Length and evaluation")]
    pub epochs: Option<u32>,
    /// Steps between evaluations on the validation split [default: a tenth of the run].
    #[arg(long, value_name = "STEPS", help_heading = "Length and evaluation")]
    pub eval_every: Option<u64>,
    /// Ends the run as soon as the median of three evaluations in a row is at or above this mean validation Dice; the
    /// learning rate and the stages follow the run's length all the same.
    #[arg(long, value_name = "DICE", help_heading = "Length and evaluation")]
    pub until_dice: Option<f64>,
    /// How weights follow their gradients.
    #[arg(long, value_enum, default_value_t = Method::Adamw, help_heading = "Optimisation")]
    pub optimiser: Method,
    /// Peak learning rate [default: 0.003 for adamw, 0.01 for sgd].
    #[arg(long, value_name = "LR", help_heading = "Optimisation")]
    #[serde(alias = "rate")]
    pub lr: Option<f64>,
    /// Learning-rate schedule: the factor of the peak at each step of the run.
    #[arg(long, value_enum, default_value_t = Curve::Poly, help_heading = "Optimisation")]
    #[serde(alias = "rate_curve")]
    pub lr_schedule: Curve,
    /// Steps at the start over which the learning rate rises from near 0.
    #[arg(long, value_name = "STEPS", default_value_t = 0, help_heading = "Optimisation")]
    pub warm_up: u64,
    /// Restart the learning-rate schedule whenever cases join.
    #[arg(long, help_heading = "Optimisation")]
    #[serde(alias = "restart_rate")]
    pub restart_lr: bool,
    /// Momentum of sgd.
    #[arg(long, default_value_t = 0.99, help_heading = "Optimisation")]
    pub momentum: f64,
    /// Weight decay of kernels; biases and norms have none [default: 0.01 for adamw, 0.00003 for
    /// sgd].
    #[arg(long, value_name = "DECAY", help_heading = "Optimisation")]
    pub weight_decay: Option<f64>,
    /// Gradients are scaled down to this norm.
    #[arg(long, value_name = "NORM", default_value_t = 12.0, help_heading = "Optimisation")]
    pub clip: f64,
    /// What the running average of the weights, which is evaluated and saved, keeps at each step; 0 is the
    /// weights themselves.
    #[arg(long, value_name = "SHARE", default_value_t = 0.99, help_heading = "Optimisation")]
    pub ema: f64,
    /// Seed of everything that is drawn at random; one seed gives one result on one machine.
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Machine")]
    pub seed: u64,
    /// Where the network runs.
    #[arg(long, value_enum, default_value_t = DeviceChoice::Auto, help_heading = "Machine")]
    pub device: DeviceChoice,
    /// Threads of the network [default: all cores].
    #[arg(long, value_name = "N", help_heading = "Machine")]
    pub threads: Option<usize>,
    /// Threads that prepare samples ahead; any number gives the same samples.
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Machine")]
    pub workers: usize,
}

/// Settings by the names that `run.json` gives them.
pub type Values = Map<String, Value>;

/// Renamed settings: the old name and the present one. Records and checkpoints are read with
/// either; a protocol with an old name is refused.
pub(crate) const RENAMED: [(&str, &str); 3] =
    [("rate", "lr"), ("rate_curve", "lr_schedule"), ("restart_rate", "restart_lr")];

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

/// How samples are changed before they are learnt from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Augment {
    /// Not at all.
    None,
    /// Mirrored; now and then noisier, brighter or darker, of another contrast or gamma.
    Light,
    /// Now and then also turned, scaled, bent, blurred, or of a lower resolution.
    Full,
}

/// For z, y, x: whether something is done along it.
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

fn parse_memory(text: &str) -> std::result::Result<u64, String> {
    text.parse::<ByteSize>().map(|size| size.as_u64())
}

fn parse_axes(text: &str) -> std::result::Result<Axes, String> {
    let mut axes = [false; 3];
    for name in text.split(',').filter(|name| *name != "none") {
        let axis = ["z", "y", "x"].iter().position(|axis| *axis == name);
        axes[axis.ok_or("write z, y, x, several of them with commas, or none")?] = true;
    }
    Ok(Axes(axes))
}

impl Settings {
    /// What a command line without any flag says.
    ///
    /// # Errors
    /// None that this program's flags could give.
    pub fn defaults() -> Result<Self> {
        let matches = Self::augment_args(Command::new("pdl-fit")).try_get_matches_from(["pdl-fit"]);
        let settings = matches.and_then(|matches| Self::from_arg_matches(&matches));
        settings.map_err(FitError::DefaultSettings)
    }

    /// All settings by name.
    ///
    /// # Errors
    /// [`FitError::InvalidSettings`].
    pub fn values(&self) -> Result<Values> {
        let values = serde_json::to_value(self).and_then(serde_json::from_value);
        values.map_err(FitError::InvalidSettings)
    }

    /// These settings with some of them changed.
    ///
    /// # Errors
    /// [`FitError::UnknownSetting`], [`FitError::InvalidSettings`].
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

    /// What the optimiser is told.
    pub fn choice(&self) -> OptimiserConfig {
        let Self { optimiser: method, momentum, clip, .. } = *self;
        let weight_decay = self.weight_decay.unwrap_or_else(|| method.default_weight_decay());
        OptimiserConfig { method, momentum, weight_decay, clip }
    }

    /// The peak learning rate.
    pub fn peak_lr(&self) -> f64 {
        self.lr.unwrap_or_else(|| self.optimiser.default_lr())
    }

    /// Whether the manifest's stages are not to be followed as they are.
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

    /// # Errors
    /// [`FitError::InvalidOption`] for a value that is invalid in every cohort.
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
        let above_0 = [
            ("seconds", self.seconds.is_none_or(|seconds| seconds > 0.0 && seconds.is_finite())),
            ("lr", self.peak_lr() > 0.0),
            ("clip", self.clip > 0.0),
            ("power", self.power.is_none_or(|power| power > 0.0)),
        ];
        require(&above_0, "must be above 0")?;
        require(&[("weight_decay", self.choice().weight_decay >= 0.0)], "must be at least 0")?;
        let below_1 =
            [("ema", (0.0..1.0).contains(&self.ema)), ("momentum", (0.0..1.0).contains(&self.momentum))];
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

    /// The settings of a command line.
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

    /// nnU-Net's SGD: a learning rate of 0.01, momentum 0.99, weight decay 3e-5, gradients of norm
    /// 12.
    #[test]
    fn every_optimiser_has_its_own_defaults() {
        let defaults = |line: &str| {
            let OptimiserConfig { momentum, weight_decay, clip, .. } = settings(line).choice();
            [settings(line).peak_lr(), momentum, weight_decay, clip]
        };
        assert_eq!(defaults("--optimiser sgd"), [0.01, 0.99, 3e-5, 12.0]);
        assert_eq!(defaults("")[2], 0.01);
        assert_eq!(defaults("--optimiser sgd --weight-decay 0")[2], 0.0);
        assert!(settings("--weight-decay=-1").check().is_err());
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
        assert_eq!(settings("--memory 1MiB").memory, 1 << 20);
    }
}
