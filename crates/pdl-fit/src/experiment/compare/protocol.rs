//! Protocol of a comparison: arms and grids, read from a TOML file.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{FitError, Result};
use crate::plan::settings::{ScheduleKind, Settings, Values};

/// Default protocol.
const DEFAULT: &str = include_str!("protocol.toml");

/// Settings that the protocol determines; neither the shared settings nor an arm may contain them.
const OWN: [&str; 8] = ["rate", "steps", "seconds", "samples", "epochs", "eval_every", "until_dice", "seed"];

/// Protocol of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Protocol {
    /// Target Dice as a fraction of the best Dice of long conventional runs.
    pub target_share: f64,
    /// Seeds for tuning; none of them is reported.
    pub tuning_seeds: Vec<u64>,
    /// Learning rates from which every arm selects.
    pub rates: Vec<f64>,
    /// Lengths from which every arm selects, in seconds of training; converted into steps by the
    /// speed measured before the first run.
    pub seconds: Vec<f64>,
    /// Length of the conventional runs that define the target, in seconds of training.
    pub reference_seconds: f64,
    /// Evaluations per tuning run.
    pub tuning_evaluations: u64,
    /// Settings of all arms that differ from the defaults, by their names in `run.json`.
    #[serde(default)]
    pub shared: Values,
    /// Arms. Exactly one of them is plain conventional training, the baseline.
    #[serde(rename = "arm")]
    pub arms: Vec<Arm>,
}

/// Arm of a comparison: one schedule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Arm {
    /// Name in tables.
    pub name: String,
    /// Settings besides the shared ones.
    #[serde(flatten)]
    pub settings: Values,
}

/// Selection of an arm.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Choice {
    /// Highest learning rate.
    pub rate: f64,
    /// Length in seconds at the measured speed.
    pub seconds: f64,
    /// Length in steps.
    pub steps: u64,
}

impl Protocol {
    /// Reads and validates the file (`None`: the default protocol).
    ///
    /// # Errors
    /// [`FitError::Setting`] if it cannot be read or is invalid.
    pub fn read(path: Option<&Path>) -> Result<Self> {
        let wrong = |problem: &dyn std::fmt::Display| {
            let place = path.map_or(String::new(), |path| format!(": {}", path.display()));
            FitError::Setting(format!("the protocol cannot be followed: {problem}{place}"))
        };
        let text = match path {
            Some(path) => std::fs::read_to_string(path).map_err(|error| wrong(&error))?,
            None => DEFAULT.to_owned(),
        };
        let protocol: Self = toml::from_str(&text).map_err(|error| wrong(&error))?;
        protocol.check().map_err(|error| wrong(&error))?;
        Ok(protocol)
    }

    fn check(&self) -> Result<()> {
        let wrong = |problem: String| Err(FitError::Setting(problem));
        if self.tuning_seeds.is_empty() || self.rates.is_empty() || self.seconds.is_empty() {
            return wrong("it needs tuning_seeds, rates and seconds".to_owned());
        }
        let lengths = self.seconds.iter().chain([&self.reference_seconds]);
        if !lengths.chain(&self.rates).all(|value| *value > 0.0 && value.is_finite()) {
            return wrong("rates and seconds must be above 0".to_owned());
        }
        if !(self.target_share > 0.0 && self.target_share <= 1.0) || self.tuning_evaluations < 5 {
            return wrong(
                "target_share must be above 0, at most 1, and tuning_evaluations at least 5".to_owned(),
            );
        }
        for (number, arm) in self.arms.iter().enumerate() {
            if self.arms[..number].iter().any(|other| other.file_name() == arm.file_name()) {
                return wrong(format!("two arms are called {}", arm.name));
            }
            self.settings(arm)?.check()?;
        }
        match self.arms.iter().filter(|arm| self.is_baseline(arm)).count() {
            1 => Ok(()),
            n => wrong(format!(
                "{n} of its arms are conventional and nothing else, and one must be: the others are held against it"
            )),
        }
    }

    /// Index of the baseline arm.
    pub fn baseline(&self) -> usize {
        self.arms.iter().position(|arm| self.is_baseline(arm)).unwrap_or(0)
    }

    /// Whether an arm is conventional, at full resolution and with the planned batch size from the
    /// start.
    fn is_baseline(&self, arm: &Arm) -> bool {
        let plain = |shared: Settings| Settings { schedule: ScheduleKind::Conventional, ..shared };
        let shared = Settings::defaults().and_then(|defaults| defaults.changed(&self.shared));
        shared.map(plain).ok().is_some_and(|plain| self.settings(arm).is_ok_and(|settings| settings == plain))
    }

    /// Settings of an arm, without those that the protocol determines.
    ///
    /// # Errors
    /// [`FitError::Setting`] if a setting is unknown or has the wrong type.
    pub fn settings(&self, arm: &Arm) -> Result<Settings> {
        let wrong = |problem: String| FitError::Setting(format!("arm {}: {problem}", arm.name));
        let changes = self.shared.iter().chain(&arm.settings);
        if let Some((name, _)) = changes.clone().find(|(name, _)| OWN.contains(&name.as_str())) {
            return Err(wrong(format!("{name} is for the protocol to decide")));
        }
        Settings::defaults()?.changed(changes).map_err(|error| wrong(error.to_string()))
    }
}

impl Arm {
    /// The arm's name as part of a run's name.
    pub fn file_name(&self) -> String {
        let safe = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        let name: String = self.name.chars().map(safe).collect();
        let parts: Vec<&str> = name.split('-').filter(|part| !part.is_empty()).collect();
        parts.join("-")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_has_the_arms_of_a_fair_comparison() {
        let protocol = Protocol::read(None).unwrap();
        let kinds: Vec<(ScheduleKind, bool)> = protocol
            .arms
            .iter()
            .map(|arm| protocol.settings(arm).unwrap())
            .map(|settings| (settings.schedule, settings.coarse_share > 0.0))
            .collect();
        for kind in [ScheduleKind::Conventional, ScheduleKind::Random, ScheduleKind::Pdl] {
            assert!(kinds.contains(&(kind, false)) && kinds.contains(&(kind, true)), "{kind:?}");
        }
        assert_eq!(protocol.baseline(), 0);
    }

    #[test]
    fn unknown_settings_and_two_baselines_are_refused() {
        let refusal = |change: &str| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("protocol.toml");
            std::fs::write(&path, format!("{DEFAULT}\n{change}")).unwrap();
            Protocol::read(Some(&path)).unwrap_err().to_string()
        };
        assert!(refusal("[[arm]]\nname = \"x\"\nspeed = 3").contains("there is no setting speed"));
        assert!(refusal("[[arm]]\nname = \"x\"\nseed = 3").contains("seed is for the protocol to decide"));
        assert!(refusal("[[arm]]\nname = \"x\"\nschedule = \"conventional\"").contains("2 of its arms"));
        assert!(
            refusal("[[arm]]\nname = \"Conventional\"\nrank_weight = 1.0").contains("two arms are called")
        );
    }
}
