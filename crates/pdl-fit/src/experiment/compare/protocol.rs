//! Protocol of a comparison: arms and grids, read from a TOML file.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{FitError, Result};
use crate::plan::settings::{Augment, RENAMED, ScheduleKind, Settings, Values, renamed_values};

/// Default protocol.
const DEFAULT: &str = include_str!("protocol.toml");

/// Settings that the protocol determines; neither the shared settings nor an arm may contain them.
const OWN: [&str; 9] =
    ["lr", "steps", "seconds", "samples", "epochs", "eval_every", "until_dice", "patience", "seed"];

/// Protocol of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Protocol {
    /// Target Dice as a fraction of the best Dice of long conventional runs.
    pub target_share: f64,
    /// Seeds for tuning; none of them is reported.
    pub tuning_seeds: Vec<u64>,
    /// Peak learning rates from which every arm selects.
    #[serde(alias = "rates")]
    pub lrs: Vec<f64>,
    /// Lengths from which every arm selects, in seconds of training; converted into steps by the
    /// speed measured before the first run.
    pub seconds: Vec<f64>,
    /// Length of the conventional runs that define the target, in seconds of training.
    pub reference_seconds: f64,
    /// Evaluations per tuning run.
    pub tuning_evaluations: u64,
    /// Settings of all arms that differ from the defaults, by their names in `run.json`.
    #[serde(default, deserialize_with = "renamed_values")]
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
    #[serde(flatten, deserialize_with = "renamed_values")]
    pub settings: Values,
}

/// Selection of an arm.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Choice {
    /// Peak learning rate.
    #[serde(alias = "rate")]
    pub lr: f64,
    /// Length in seconds at the measured speed.
    pub seconds: f64,
    /// Length in steps.
    pub steps: u64,
}

impl Protocol {
    /// Reads and validates the file (`None`: the default protocol).
    ///
    /// # Errors
    /// [`FitError::InvalidFile`] if it cannot be read or is invalid.
    pub fn read(path: Option<&Path>) -> Result<Self> {
        let wrong = |problem: &dyn std::fmt::Display| FitError::InvalidFile {
            problem: format!("invalid protocol: {problem}"),
            path: path.unwrap_or(Path::new("protocol.toml")).to_owned(),
        };
        let text = match path {
            Some(path) => std::fs::read_to_string(path).map_err(|error| wrong(&error))?,
            None => DEFAULT.to_owned(),
        };
        if let Some((old, new)) = old_key(&text) {
            return Err(wrong(&format!("the key {old} is now called {new}")));
        }
        let protocol: Self = toml::from_str(&text).map_err(|error| wrong(&error))?;
        protocol.check().map_err(|error| wrong(&error))?;
        Ok(protocol)
    }

    fn check(&self) -> Result<()> {
        let wrong = |name: &'static str, problem: &str| Err(FitError::option(name, problem));
        if self.tuning_seeds.is_empty() {
            return wrong("tuning_seeds", "must have at least one value");
        }
        let reference = vec![self.reference_seconds];
        let numbers = [("lrs", &self.lrs), ("seconds", &self.seconds), ("reference_seconds", &reference)];
        for (name, values) in numbers {
            if values.is_empty() {
                return wrong(name, "must have at least one value");
            }
            if !values.iter().all(|value| *value > 0.0 && value.is_finite()) {
                return wrong(name, "must be above 0");
            }
        }
        if !(self.target_share > 0.0 && self.target_share <= 1.0) {
            return wrong("target_share", "must be above 0 and at most 1");
        }
        if self.tuning_evaluations < 5 {
            return wrong("tuning_evaluations", "must be at least 5");
        }
        for (number, arm) in self.arms.iter().enumerate() {
            if self.arms[..number].iter().any(|other| other.file_name() == arm.file_name()) {
                return wrong("arm", &format!("must have a name of its own, found two called {}", arm.name));
            }
            self.settings(arm)?.check()?;
        }
        match self.arms.iter().filter(|arm| self.is_baseline(arm)).count() {
            1 => Ok(()),
            n => wrong(
                "arm",
                &format!(
                    "must be plain conventional training exactly once, as the baseline; found {n} of them"
                ),
            ),
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
        let shared = base().and_then(|base| base.changed(&self.shared));
        shared.map(plain).ok().is_some_and(|plain| self.settings(arm).is_ok_and(|settings| settings == plain))
    }

    /// Settings of an arm, without those that the protocol determines.
    ///
    /// # Errors
    /// [`FitError::Arm`] if a setting is unknown, has the wrong type or is not for an arm.
    pub fn settings(&self, arm: &Arm) -> Result<Settings> {
        let wrong = |error| FitError::Arm { name: arm.name.clone(), error: Box::new(error) };
        let changes = self.shared.iter().chain(&arm.settings);
        if let Some(name) = OWN.into_iter().find(|own| changes.clone().any(|(name, _)| name == own)) {
            return Err(wrong(FitError::option(name, "is for the protocol to decide")));
        }
        base()?.changed(changes).map_err(wrong)
    }
}

/// The settings from which those of an arm differ. Arms of any length are augmented alike.
fn base() -> Result<Settings> {
    Ok(Settings { augment: Some(Augment::None), ..Settings::defaults()? })
}

/// The first key of a protocol that was renamed, and its present name.
fn old_key(text: &str) -> Option<(&'static str, &'static str)> {
    let protocol: toml::Table = toml::from_str(text).ok()?;
    if protocol.contains_key("rates") {
        return Some(("rates", "lrs"));
    }
    let arms = protocol.get("arm").and_then(toml::Value::as_array).into_iter().flatten();
    let tables = arms.chain(protocol.get("shared")).filter_map(toml::Value::as_table);
    tables.flat_map(|table| RENAMED.into_iter().filter(|(old, _)| table.contains_key(*old))).next()
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

    /// A comparison that an earlier version tuned is read; its protocol equals that of the new
    /// names.
    #[test]
    fn the_record_of_a_protocol_with_old_names_is_read() {
        let protocol = Protocol::read(None).unwrap();
        let new = serde_json::to_string(&protocol).unwrap();
        let old = new.replace("\"lrs\"", "\"rates\"").replace("\"lr_schedule\"", "\"rate_curve\"");
        assert_ne!(old, new);
        assert_eq!(serde_json::from_str::<Protocol>(&old).unwrap(), protocol);
    }

    #[test]
    fn unknown_settings_and_two_baselines_are_refused() {
        let refusal = |change: &str| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("protocol.toml");
            std::fs::write(&path, format!("{DEFAULT}\n{change}")).unwrap();
            Protocol::read(Some(&path)).unwrap_err().to_string()
        };
        assert!(refusal("[[arm]]\nname = \"x\"\nspeed = 3").contains("unknown setting speed"));
        let refusal_of_old = refusal("[[arm]]\nname = \"x\"\nrate_curve = \"cosine\"");
        assert!(refusal_of_old.contains("the key rate_curve is now called lr_schedule"), "{refusal_of_old}");
        assert!(refusal("[[arm]]\nname = \"x\"\nseed = 3").contains("seed is for the protocol to decide"));
        assert!(refusal("[[arm]]\nname = \"x\"\nschedule = \"conventional\"").contains("found 2 of them"));
        assert!(refusal("[[arm]]\nname = \"Conventional\"\nrank_weight = 1.0").contains("found two called"));
    }
}
