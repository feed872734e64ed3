//! Protocol of a comparison: levels, folds, grid, seeds, orders and arms, read from a TOML file.

use std::collections::BTreeMap;
use std::path::Path;

use pdl_curriculum::parameters::{Order, RankParameters};
use pdl_store::hash::Key;
use pdl_store::safe_name;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{FitError, Result};
use crate::plan::settings::{
    Augment, CurriculumSettings, LENGTH, RENAMED, ScheduleKind, Settings, Values, renamed_values,
};

/// Default protocol.
const DEFAULT: &str = include_str!("protocol.toml");
/// Protocol of `--protocol quick`: 15 minutes on two cores for the sample cohort.
const QUICK: &str = include_str!("quick.toml");
/// Name of the built-in quick protocol.
pub const QUICK_NAME: &str = "quick";
/// Name of the order of arms that are conventional or random, which read no similarities.
pub const PLAIN_ORDER: &str = "plain";

/// Settings that the protocol determines, beside those of [`LENGTH`]; neither the shared settings
/// nor an arm may contain them.
const OWN: [&str; 6] = ["lr", "steps", "seed", "device", "threads", "workers"];

/// Protocol of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Protocol {
    /// Target levels, ascending, as fractions of the fold's plateau.
    pub levels: Vec<f64>,
    /// The level of the headline, one of `levels`; arms are tuned for it.
    pub headline: f64,
    /// Parts into which all labelled cases are divided by patient, at least 3.
    pub folds: u32,
    /// Peak learning rates of the grid.
    pub lrs: Vec<f64>,
    /// Lengths of the grid in seconds of training; converted into steps by the timing before the
    /// first run.
    pub seconds: Vec<f64>,
    /// Length of the conventional runs that define the plateau, in seconds of training.
    pub reference_seconds: f64,
    /// Seed of the runs that choose; no reported seed.
    pub tuning_seed: u64,
    /// Seeds of the long runs whose final test Dice is the plateau; no reported ones.
    pub plateau_seeds: Vec<u64>,
    /// Seeds of the reported runs; a seed's fold is the seed modulo the folds.
    pub seeds: Vec<u64>,
    /// Evaluations in the shortest length of the grid; all runs are evaluated at this interval of
    /// seconds.
    pub evaluations: u64,
    /// Rounds in which all kinds of step are timed in turn.
    pub timing_rounds: usize,
    /// Seconds of comparing the cohort, part of the time of arms with an order from similarities;
    /// measured if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compare_seconds: Option<f64>,
    /// Arms of the headline.
    pub roles: Roles,
    /// Further ratios of arms to show.
    #[serde(default, rename = "ratio", skip_serializing_if = "Vec::is_empty")]
    pub ratios: Vec<NamedRatio>,
    /// Orders of training cases by name: parameters of `pdl rank`.
    #[serde(default)]
    pub orders: BTreeMap<String, RankParameters>,
    /// Settings of all arms that differ from the defaults, by their names in `run.json`.
    #[serde(default, deserialize_with = "renamed_values")]
    pub shared: Values,
    /// Arms of the comparison.
    #[serde(rename = "arm")]
    pub arms: Vec<Arm>,
}

/// Names of the arms whose ratios are the headline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Roles {
    /// Baseline A: conventional, one fixed patch and batch. The plateau is that of its long runs.
    pub baseline_a: String,
    /// Baseline B: A with every factor but the order.
    pub baseline_b: String,
    /// The best recipe.
    pub best: String,
    /// The best recipe without its order: random growing, or all cases at once.
    pub unordered: String,
}

/// The ratio of the seconds of two arms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NamedRatio {
    /// Name in tables.
    pub name: String,
    /// The arm whose seconds are divided.
    pub slower: String,
    /// The arm by whose seconds they are divided.
    pub faster: String,
}

/// Arm of a comparison: one recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Arm {
    /// Name in tables.
    pub name: String,
    /// Name of the order of its training cases, for the schedule `pdl`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<String>,
    /// Factor of the best recipe that the arm changes; derived from the settings if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factor: Option<String>,
    /// A fixed learning rate and length instead of trials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub untuned: Option<Untuned>,
    /// The arm's own grid, with as many trials as the others; only baseline A may have more, so
    /// that it can choose its batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grid: Option<ArmGrid>,
    /// Settings besides the shared ones.
    #[serde(flatten, deserialize_with = "renamed_values")]
    pub settings: Values,
}

/// Learning rate and length of an arm that is not tuned.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Untuned {
    /// Peak learning rate.
    pub lr: f64,
    /// Length in steps.
    pub steps: u64,
}

/// The grid of one arm; what is absent is the protocol's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ArmGrid {
    /// Peak learning rates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lrs: Option<Vec<f64>>,
    /// Lengths in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<Vec<f64>>,
    /// Batch sizes, one of which the arm keeps throughout.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub batches: Vec<usize>,
}

/// One point of the grid that an arm may choose from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Choice {
    /// Peak learning rate.
    pub lr: f64,
    /// Length in seconds by the timing before the first run; null for an arm that is not tuned.
    pub seconds: Option<f64>,
    /// Length in steps, where it is fixed.
    pub steps: Option<u64>,
    /// Batch size, where the arm chooses it.
    pub batch: Option<usize>,
}

impl Protocol {
    /// Reads and validates a protocol: the default one, the built-in `quick`, or that of a file.
    ///
    /// # Errors
    /// [`FitError::InvalidFile`] if it cannot be read or is invalid.
    pub fn read(source: Option<&Path>) -> Result<Self> {
        let wrong = |problem: &dyn std::fmt::Display| FitError::InvalidFile {
            problem: format!("invalid protocol: {problem}"),
            path: source.unwrap_or(Path::new("protocol.toml")).to_owned(),
        };
        let text = match source {
            None => DEFAULT.to_owned(),
            Some(name) if name == Path::new(QUICK_NAME) => QUICK.to_owned(),
            Some(path) => std::fs::read_to_string(path).map_err(|error| wrong(&error))?,
        };
        if let Some((old, new)) = old_key(&text) {
            return Err(wrong(&format!("the key {old} is now called {new}")));
        }
        let protocol: Self = toml::from_str(&text).map_err(|error| wrong(&error))?;
        protocol.check().map_err(|error| wrong(&error))?;
        Ok(protocol)
    }

    /// BLAKE3 of the protocol, which is part of the result.
    pub fn hash(&self) -> String {
        Key::new("protocol 1").part("protocol", self).finish()
    }

    fn check(&self) -> Result<()> {
        let wrong = |name: &'static str, problem: &str| Err(FitError::option(name, problem));
        let above_0 = |values: &[f64]| values.iter().all(|value| *value > 0.0 && value.is_finite());
        let numbers = [
            ("levels", self.levels.as_slice()),
            ("lrs", &self.lrs),
            ("seconds", &self.seconds),
            ("reference_seconds", std::slice::from_ref(&self.reference_seconds)),
        ];
        for (name, values) in numbers {
            if values.is_empty() || !above_0(values) {
                return wrong(name, "must have at least one value, each above 0");
            }
        }
        if !self.levels.is_sorted_by(|a, b| a < b) || self.levels.iter().any(|level| *level > 1.0) {
            return wrong("levels", "must ascend and be at most 1");
        }
        if !self.levels.contains(&self.headline) {
            return wrong("headline", "must be one of the levels");
        }
        if self.folds < 3 {
            return wrong("folds", "must be at least 3: one part each to train, to validate and to test");
        }
        if self.seeds.is_empty() || self.plateau_seeds.is_empty() {
            return wrong("seeds", "must have at least one value, as must plateau_seeds");
        }
        let tuning = [self.tuning_seed];
        let mut all: Vec<u64> =
            self.seeds.iter().chain(&self.plateau_seeds).chain(&tuning).copied().collect();
        all.sort_unstable();
        if all.windows(2).any(|pair| pair[0] == pair[1]) {
            return wrong("seeds", "must be given once each: those that choose are not reported");
        }
        if self.evaluations < 5 || self.timing_rounds == 0 {
            return wrong("evaluations", "must be at least 5, and timing_rounds at least 1");
        }
        if !self.compare_seconds.is_none_or(|seconds| seconds >= 0.0 && seconds.is_finite()) {
            return wrong("compare_seconds", "must be at least 0");
        }
        if let Some(name) = self.orders.keys().find(|name| !safe_name::is_safe(name) || *name == PLAIN_ORDER)
        {
            return wrong("orders", &format!("must be named by letters, digits, '-' and '_', found {name}"));
        }
        self.check_arms()
    }

    fn check_arms(&self) -> Result<()> {
        let wrong = |problem: String| Err(FitError::option("arm", problem));
        for (number, arm) in self.arms.iter().enumerate() {
            if self.arms[..number].iter().any(|other| other.name == arm.name) {
                return wrong(format!("must have a name of its own, found two called {}", arm.name));
            }
            let settings = self.settings(arm)?;
            settings.check()?;
            match (settings.curriculum.schedule, &arm.order) {
                (ScheduleKind::Pdl, Some(order)) if self.orders.contains_key(order) => {}
                (ScheduleKind::Pdl, _) => {
                    let names: Vec<&str> = self.orders.keys().map(String::as_str).collect();
                    return wrong(format!(
                        "must have an order, one of [{}], with the schedule pdl: {}",
                        names.join(", "),
                        arm.name
                    ));
                }
                (_, Some(_)) => {
                    return wrong(format!("may have an order only with the schedule pdl: {}", arm.name));
                }
                (_, None) => {}
            }
            let own = self.grid(arm).len();
            // The baseline may choose its batch, too.
            let fair = own == self.trials() || arm.name == self.roles.baseline_a && own > self.trials();
            if arm.untuned.is_none() && !fair {
                return wrong(format!(
                    "must have {} trials as the others, found {own}: {}",
                    self.trials(),
                    arm.name
                ));
            }
            if arm.untuned.is_some_and(|fixed| fixed.steps == 0 || fixed.lr <= 0.0 || arm.grid.is_some()) {
                return wrong(format!(
                    "must have untuned values above 0 and no grid beside them: {}",
                    arm.name
                ));
            }
        }
        let Roles { baseline_a, baseline_b, best, unordered } = &self.roles;
        let of_ratios = self.ratios.iter().flat_map(|ratio| [&ratio.slower, &ratio.faster]);
        for name in [baseline_a, baseline_b, best, unordered].into_iter().chain(of_ratios) {
            if self.arm(name).is_none() {
                return wrong(format!(
                    "must have the names of the roles and ratios, found no arm called {name}"
                ));
            }
        }
        let is_plain = |own: &CurriculumSettings| {
            let grows = own.patch_share > 0.0 || own.coarse_share > 0.0 || own.batch_start.is_some();
            own.schedule == ScheduleKind::Conventional && !grows
        };
        let is_baseline = |arm: &Arm| {
            arm.untuned.is_none() && self.settings(arm).is_ok_and(|own| is_plain(&own.curriculum))
        };
        if !self.arm(baseline_a).is_some_and(is_baseline) {
            let what = "conventional, with one patch and batch throughout, and tuned";
            return wrong(format!("must be {what} as the baseline: {baseline_a}"));
        }
        Ok(())
    }

    /// Number of trials of every arm.
    pub fn trials(&self) -> usize {
        self.lrs.len() * self.seconds.len()
    }

    /// The arm of a name.
    pub fn arm(&self, name: &str) -> Option<&Arm> {
        self.arms.iter().find(|arm| arm.name == name)
    }

    /// Baseline A, whose long runs are the reference.
    ///
    /// # Errors
    /// [`FitError::NoCandidates`] without it; [`Protocol::read`] refuses such a protocol.
    pub fn baseline(&self) -> Result<&Arm> {
        self.arm(&self.roles.baseline_a).ok_or(FitError::NoCandidates)
    }

    /// The points of an arm's grid: its trials, or its fixed values.
    pub fn grid(&self, arm: &Arm) -> Vec<Choice> {
        if let Some(Untuned { lr, steps }) = arm.untuned {
            return vec![Choice { lr, seconds: None, steps: Some(steps), batch: None }];
        }
        let (mut lrs, mut seconds, mut batches) = (&self.lrs, &self.seconds, Vec::new());
        if let Some(grid) = &arm.grid {
            lrs = grid.lrs.as_ref().unwrap_or(lrs);
            seconds = grid.seconds.as_ref().unwrap_or(seconds);
            batches = grid.batches.iter().copied().map(Some).collect();
        }
        let batches = if batches.is_empty() { vec![None] } else { batches };
        let mut points = Vec::new();
        for &batch in &batches {
            for &seconds in seconds {
                points.extend(lrs.iter().map(|&lr| Choice {
                    lr,
                    seconds: Some(seconds),
                    steps: None,
                    batch,
                }));
            }
        }
        points
    }

    /// The points of the long runs: those of the baseline's grid at the reference length.
    ///
    /// # Errors
    /// As [`Protocol::baseline`].
    pub fn reference_grid(&self) -> Result<Vec<Choice>> {
        let at_length = |point: Choice| Choice { seconds: Some(self.reference_seconds), ..point };
        let mut points: Vec<Choice> = Vec::new();
        for point in self.grid(self.baseline()?).into_iter().map(at_length) {
            if !points.contains(&point) {
                points.push(point);
            }
        }
        Ok(points)
    }

    /// Seconds after which a run counts as having missed a level: the longest length that an arm
    /// may choose.
    pub fn limit_seconds(&self) -> f64 {
        let points = self.arms.iter().flat_map(|arm| self.grid(arm));
        points.filter_map(|point| point.seconds).fold(0.0, f64::max)
    }

    /// Seconds between evaluations of a run, whatever its arm and length.
    pub fn evaluation_gap(&self) -> f64 {
        let points = self.arms.iter().flat_map(|arm| self.grid(arm));
        points.filter_map(|point| point.seconds).fold(f64::INFINITY, f64::min) / self.evaluations as f64
    }

    /// Settings of an arm, without those that the protocol determines.
    ///
    /// # Errors
    /// [`FitError::Arm`] if a setting is unknown, has the wrong type or is not for an arm.
    pub fn settings(&self, arm: &Arm) -> Result<Settings> {
        let wrong = |error| FitError::Arm { name: arm.name.clone(), error: Box::new(error) };
        let changes = self.shared.iter().chain(&arm.settings);
        if let Some(name) =
            LENGTH.into_iter().chain(OWN).find(|own| changes.clone().any(|(name, _)| name == own))
        {
            return Err(wrong(FitError::option(name, "is for the protocol to decide")));
        }
        base()?.changed(changes).map_err(wrong)
    }

    /// Name and parameters of every order that a manifest is made for.
    pub fn all_orders(&self) -> Vec<(&str, RankParameters)> {
        let plain = RankParameters { order: Order::Random, ..RankParameters::default() };
        let used = |name: &&String| self.arms.iter().any(|arm| arm.order.as_ref() == Some(*name));
        let named = self.orders.iter().filter(|(name, _)| used(name));
        let named = named.map(|(name, parameters)| (name.as_str(), parameters.clone()));
        [(PLAIN_ORDER, plain)].into_iter().chain(named).collect()
    }
}

/// The settings from which those of an arm differ. Arms of any length are augmented alike.
fn base() -> Result<Settings> {
    Ok(Settings::defaults()?.with(|settings| settings.patches.augment = Some(Augment::None)))
}

/// The first key of a protocol that was renamed, and its present name.
fn old_key(text: &str) -> Option<(&'static str, &'static str)> {
    let protocol: toml::Table = toml::from_str(text).ok()?;
    let arms = protocol.get("arm").and_then(toml::Value::as_array).into_iter().flatten();
    let tables = arms.chain(protocol.get("shared")).filter_map(toml::Value::as_table);
    tables.flat_map(|table| RENAMED.into_iter().filter(|(old, _)| table.contains_key(*old))).next()
}

impl Arm {
    /// Name of the order of its training cases.
    pub fn order_name(&self) -> &str {
        self.order.as_deref().unwrap_or(PLAIN_ORDER)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn refusal(change: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("protocol.toml");
        std::fs::write(&path, format!("{DEFAULT}\n{change}")).unwrap();
        Protocol::read(Some(&path)).unwrap_err().to_string()
    }

    #[test]
    fn built_in_and_committed_protocols_are_valid_and_give_every_arm_six_trials() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/schedules");
        let files = [None, Some(folder.join("mr.toml")), Some(folder.join("ct.toml"))];
        for file in files {
            let protocol = Protocol::read(file.as_deref()).unwrap();
            assert_eq!((protocol.trials(), protocol.folds, protocol.headline), (6, 5, 0.97));
            let others = protocol.arms.iter().filter(|arm| arm.name != protocol.roles.baseline_a);
            let mut tuned = others.filter(|arm| arm.untuned.is_none());
            assert!(tuned.all(|arm| protocol.grid(arm).len() == 6), "{file:?}");
            assert_eq!(protocol.grid(protocol.baseline().unwrap()).len(), 12);
            assert!(protocol.limit_seconds() > protocol.evaluation_gap());
            assert_eq!(protocol.hash(), Protocol::read(file.as_deref()).unwrap().hash());
        }
        assert!(Protocol::read(Some(Path::new(QUICK_NAME))).unwrap().folds >= 3);
    }

    #[test]
    fn unknown_settings_and_arms_without_an_order_are_refused() {
        let arm = |rest: &str| refusal(&format!("[[arm]]\nname = \"x\"\n{rest}"));
        assert!(arm("speed = 3").contains("unknown setting speed"));
        assert!(arm("rate_curve = \"cosine\"").contains("the key rate_curve is now called lr_schedule"));
        assert!(arm("seed = 3").contains("seed is for the protocol to decide"));
        assert!(arm("threads = 3").contains("threads is for the protocol to decide"));
        assert!(arm("schedule = \"pdl\"").contains("must have an order"));
        assert!(arm("schedule = \"random\"\norder = \"typical\"").contains("only with the schedule pdl"));
        let grid = arm("schedule = \"conventional\"\ngrid = { batches = [8, 16] }");
        assert!(grid.contains("must have 6 trials as the others, found 12"), "{grid}");
        let same = refusal("[[arm]]\nname = \"A: conventional\"\nschedule = \"conventional\"");
        assert!(same.contains("found two called"), "{same}");
    }

    #[test]
    fn a_grid_with_batches_has_equally_many_trials() {
        let protocol = Protocol::read(None).unwrap();
        let mut arm = protocol.baseline().unwrap().clone();
        arm.grid = Some(ArmGrid { lrs: None, seconds: Some(vec![7.0]), batches: vec![8, 16] });
        let points = protocol.grid(&arm);
        assert_eq!((points.len(), points[0].batch, points[5].batch), (6, Some(8), Some(16)));
        assert!(points.iter().all(|point| point.seconds == Some(7.0)));
        arm.untuned = Some(Untuned { lr: 0.1, steps: 9 });
        assert_eq!(protocol.grid(&arm), [Choice { lr: 0.1, seconds: None, steps: Some(9), batch: None }]);
    }
}
