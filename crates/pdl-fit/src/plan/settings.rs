//! Settings of a training run: one field is one flag and one key of `run.json`.

mod checks;
mod curriculum;
mod length;
mod machine;
mod network;
mod optimisation;
mod patches;

use clap::{Args, Command, FromArgMatches};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

pub use self::curriculum::{CurriculumSettings, ScheduleKind};
pub use self::length::LengthSettings;
pub(crate) use self::machine::MOST_THREADS;
pub use self::machine::MachineSettings;
pub use self::network::NetworkSettings;
pub use self::optimisation::OptimisationSettings;
pub use self::patches::{Augment, Axes, PatchSettings, parse_axes, parse_memory};
use crate::error::{FitError, Result};

/// Settings of a training run. Planning derives those that are unset from the cohort.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, clap::Args)]
pub struct Settings {
    /// Which cases, patch sizes, resolutions and batch sizes the steps have.
    #[command(flatten)]
    #[serde(flatten)]
    pub curriculum: CurriculumSettings,
    /// Architecture of the network.
    #[command(flatten)]
    #[serde(flatten)]
    pub network: NetworkSettings,
    /// Training patches: size, number, position and augmentation.
    #[command(flatten)]
    #[serde(flatten)]
    pub patches: PatchSettings,
    /// Length of the run, its evaluations, and when it stops early.
    #[command(flatten)]
    #[serde(flatten)]
    pub length: LengthSettings,
    /// Optimiser and learning rate.
    #[command(flatten)]
    #[serde(flatten)]
    pub optimisation: OptimisationSettings,
    /// Random numbers, device and threads.
    #[command(flatten)]
    #[serde(flatten)]
    pub machine: MachineSettings,
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
pub(crate) const LENGTH: [&str; 6] =
    ["seconds", "patch_count", "epochs", "eval_every", "until_dice", "patience"];

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

    /// A copy that `change` has changed.
    #[must_use]
    pub fn with(&self, change: impl FnOnce(&mut Self)) -> Self {
        let mut settings = self.clone();
        change(&mut settings);
        settings
    }

    /// Whether two runs have the same settings: an option that is set to the default of the
    /// optimisation method equals one that is not set.
    pub fn same_as(&self, other: &Self) -> bool {
        self.with_method_defaults() == other.with_method_defaults()
    }

    /// The same with the defaults of the optimisation method written out.
    pub(crate) fn with_method_defaults(&self) -> Self {
        Self { optimisation: self.optimisation.with_method_defaults(), ..self.clone() }
    }

    /// Validates everything that does not depend on the cohort.
    ///
    /// # Errors
    /// [`FitError::InvalidOption`] if a value is out of range or contradicts another.
    pub(crate) fn check(&self) -> Result<()> {
        self.curriculum.check()?;
        self.patches.check()?;
        self.length.check()?;
        self.optimisation.check()?;
        self.machine.check()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::optim::optimiser::OptimiserConfig;
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
            let OptimiserConfig { momentum, weight_decay, clip, .. } =
                settings(line).optimisation.optimiser_config();
            [settings(line).optimisation.peak_lr(), momentum, weight_decay, clip]
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
        assert_eq!(settings("--mirror z,x").patches.mirror, Some(Axes([true, false, true])));
        assert_eq!(settings("--mirror none").patches.mirror, Some(Axes([false; 3])));
        assert_eq!(settings("--activation-memory 1MiB").patches.activation_memory, 1 << 20);
    }
}
