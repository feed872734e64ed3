//! Search space of a tuning.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::random::{Purpose, Random};
use crate::error::{FitError, Result};
use crate::plan::planner::Planner;
use crate::plan::run_plan::{Cohort, RunPlan};
use crate::plan::settings::{Augment, CURRICULUM, LENGTH, ScheduleKind, Settings};

/// Default learning rates as multiples of the one of the settings.
const LR_FACTORS: [f64; 3] = [1.0 / 3.0, 1.0, 3.0];
/// Settings that a tuning determines; the command line may not contain them.
pub fn own_settings() -> Vec<&'static str> {
    [&CURRICULUM[..], &LENGTH, &["steps"]].concat()
}

/// Search space and budget of a tuning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, clap::Args)]
#[command(next_help_heading = "Search")]
pub struct Search {
    /// Budget in seconds: loading, timing of steps, training and evaluation. The rungs share the
    /// remaining time equally; a trial has at least 20 steps.
    #[arg(long, value_name = "SECONDS", default_value_t = 300.0)]
    pub budget: f64,
    /// Candidates of the first rung: the settings that `train` would use, and others drawn at
    /// random from the grid of the lists below.
    #[arg(long, value_name = "N", default_value_t = 9)]
    pub candidates: usize,
    /// Reduction factor of successive halving: one of this many candidates advances to the next
    /// rung, where it trains from the start and longer.
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub one_of: usize,
    /// Peak learning rates [default: a third of --lr, --lr, and three times that].
    #[arg(long, value_name = "LRS", value_delimiter = ',')]
    #[serde(alias = "rates")]
    pub lrs: Option<Vec<f64>>,
    /// Channels of the network's finest level [default: half of --width, --width, and twice that].
    #[arg(long, value_name = "CHANNELS", value_delimiter = ',', value_parser = clap::value_parser!(i64).range(1..=1024))]
    pub widths: Option<Vec<i64>>,
    /// Levels of the network [default: one fewer than `train` plans, as many, and one more].
    #[arg(long, value_name = "LEVELS", value_delimiter = ',')]
    pub depths: Option<Vec<usize>>,
    /// Patch sizes, such as 48x48,32x48 for planes [default: the one that `train` plans, and half
    /// of it].
    #[arg(long, value_name = "SIDES", value_delimiter = ',')]
    pub patches: Option<Vec<Sides>>,
    /// Batch sizes in patches per step [default: half of what `train` plans, as many, and twice
    /// that].
    #[arg(long, value_name = "PATCHES", value_delimiter = ',')]
    pub batches: Option<Vec<usize>>,
}

/// Patch size in voxels: y, x of planes or z, y, x of volumes; written 48x48.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sides(pub Vec<usize>);

impl FromStr for Sides {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let sides: std::result::Result<Vec<usize>, _> = text.split('x').map(str::parse).collect();
        match sides {
            Ok(sides) if (2..=3).contains(&sides.len()) => Ok(Self(sides)),
            _ => Err("write sides as 48x48 (y, x) or 32x48x48 (z, y, x), several with commas".to_owned()),
        }
    }
}

impl fmt::Display for Sides {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sides: Vec<String> = self.0.iter().map(usize::to_string).collect();
        formatter.write_str(&sides.join("x"))
    }
}

/// Tuned settings of a candidate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Candidate {
    /// The peak learning rate.
    #[serde(alias = "rate")]
    pub lr: f64,
    /// Channels of the network's finest level.
    pub width: i64,
    /// Levels of the network.
    pub depth: usize,
    /// Patch size in voxels: y, x of planes or z, y, x of volumes.
    pub patch: Vec<usize>,
    /// Patches per step (batch size).
    pub batch: usize,
}

impl Candidate {
    /// The candidate that corresponds to `settings` and their plan.
    fn of(settings: &Settings, plan: &RunPlan) -> Self {
        Self {
            lr: settings.optimisation.peak_lr(),
            width: plan.network.width,
            depth: plan.network.depth,
            patch: plan.patch[3 - plan.network.dims..].to_vec(),
            batch: plan.batch,
        }
    }

    /// The settings with the candidate's values.
    #[must_use]
    pub fn applied(&self, settings: &Settings) -> Settings {
        settings.with(|settings| {
            settings.optimisation.lr = Some(self.lr);
            settings.network.width = self.width;
            settings.network.depth = Some(self.depth);
            settings.patches.patch = Some(self.patch.clone());
            settings.patches.batch = Some(self.batch);
        })
    }

    /// The settings of its trials. Trials of any length are augmented alike.
    #[must_use]
    pub fn trial(&self, settings: &Settings) -> Settings {
        let augment = settings.patches.augment.or(Some(Augment::None));
        self.applied(settings).with(|settings| settings.patches.augment = augment)
    }
}

impl Search {
    /// Validates search space and settings.
    ///
    /// # Errors
    /// [`FitError::InvalidOption`] if a value is out of range or a setting is not for a tuning.
    pub fn check(&self, settings: &Settings) -> Result<()> {
        let (given, defaults) = (settings.values()?, Settings::defaults()?.values()?);
        if let Some(name) = own_settings().into_iter().find(|name| given.get(*name) != defaults.get(*name)) {
            let problem = "is not for a tuning: trials are conventional, and budget limits their length";
            return Err(FitError::option(name, problem));
        }
        if !(self.budget > 0.0 && self.budget.is_finite()) {
            return Err(FitError::option("budget", "must be above 0"));
        }
        for (name, number) in [("candidates", self.candidates), ("one_of", self.one_of)] {
            if number < 2 {
                return Err(FitError::option(name, "must be at least 2"));
            }
        }
        let lists = [
            ("lrs", self.lrs.as_ref().map(Vec::len)),
            ("widths", self.widths.as_ref().map(Vec::len)),
            ("depths", self.depths.as_ref().map(Vec::len)),
            ("patches", self.patches.as_ref().map(Vec::len)),
            ("batches", self.batches.as_ref().map(Vec::len)),
        ];
        if let Some((name, _)) = lists.into_iter().find(|(_, length)| *length == Some(0)) {
            return Err(FitError::option(name, "must have at least one value"));
        }
        Ok(())
    }

    /// Candidates: the planned settings first, then others of the grid, drawn with the settings'
    /// seed.
    ///
    /// # Errors
    /// As [`Planner::plan`] if the settings cannot be planned; [`FitError::NoCandidates`] if the
    /// grid has no other valid candidate.
    pub fn draw(&self, settings: &Settings, cohort: &Cohort<'_>) -> Result<Vec<Candidate>> {
        let first = explicit(settings, cohort)?;
        let (mut others, refusal) = self.grid(settings, &first, cohort);
        if others.is_empty() {
            return Err(refusal.unwrap_or(FitError::NoCandidates));
        }
        Random::new(settings.machine.seed, Purpose::Tuning, 0).shuffle(&mut others);
        others.truncate(self.candidates - 1);
        Ok([first].into_iter().chain(others).collect())
    }

    /// All valid candidates of the grid other than `first`, and why the last invalid one is
    /// refused.
    fn grid(
        &self,
        settings: &Settings,
        first: &Candidate,
        cohort: &Cohort<'_>,
    ) -> (Vec<Candidate>, Option<FitError>) {
        let lrs =
            self.lrs.clone().unwrap_or_else(|| LR_FACTORS.map(|factor| rounded(factor * first.lr)).into());
        let widths = self.widths.clone().unwrap_or_else(|| halved_and_doubled(first.width));
        let depths = self
            .depths
            .clone()
            .unwrap_or_else(|| (first.depth.saturating_sub(1).max(1)..=first.depth + 1).collect());
        let (mut all, mut refusal) = (vec![first.clone()], None);
        for (&width, &depth) in widths.iter().flat_map(|width| depths.iter().map(move |depth| (width, depth)))
        {
            let network = settings.with(|settings| {
                (settings.network.width, settings.network.depth) = (width, Some(depth));
            });
            for sized in self.sized(&network, cohort, &mut refusal) {
                for &lr in &lrs {
                    let one = sized.with(|settings| settings.optimisation.lr = Some(lr));
                    match explicit(&one, cohort) {
                        Ok(candidate) if !all.contains(&candidate) => all.push(candidate),
                        Ok(_) => {}
                        Err(error) => refusal = Some(error),
                    }
                }
            }
        }
        (all.split_off(1), refusal)
    }

    /// Settings of a network with every patch and batch size.
    fn sized(
        &self,
        network: &Settings,
        cohort: &Cohort<'_>,
        refusal: &mut Option<FitError>,
    ) -> Vec<Settings> {
        let mut sized = Vec::new();
        let patches = match &self.patches {
            Some(patches) => patches.iter().map(|sides| Some(sides.0.clone())).collect(),
            None => vec![network.patches.patch.clone(), halved(network, cohort)],
        };
        for patch in patches {
            let of_patch = network.with(|settings| settings.patches.patch = patch);
            match planned(&of_patch, cohort) {
                Ok(plan) => {
                    let batches = self.batches.clone().unwrap_or_else(|| halved_and_doubled(plan.batch));
                    let with_batch = |batch| of_patch.with(|settings| settings.patches.batch = Some(batch));
                    sized.extend(batches.into_iter().map(with_batch));
                }
                Err(error) => *refusal = Some(error),
            }
        }
        sized
    }
}

/// The settings with the conventional schedule, for trials.
pub fn conventional(settings: &Settings) -> Settings {
    settings.with(|settings| settings.curriculum.schedule = ScheduleKind::Conventional)
}

/// The plan before steps are timed.
fn planned(settings: &Settings, cohort: &Cohort<'_>) -> Result<RunPlan> {
    Planner { settings, cohort, speed: None }.plan()
}

/// Candidate of a run with these settings, with every planned value explicit.
fn explicit(settings: &Settings, cohort: &Cohort<'_>) -> Result<Candidate> {
    let first = Candidate::of(settings, &planned(settings, cohort)?);
    let again = first.applied(settings);
    Ok(Candidate::of(&again, &planned(&again, cohort)?))
}

/// Half of the planned patch size, rounded up to the network's stride; `None` if it cannot be
/// planned.
fn halved(network: &Settings, cohort: &Cohort<'_>) -> Option<Vec<usize>> {
    let plan = planned(network, cohort).ok()?;
    let side = |axis: usize| plan.patch[axis].div_ceil(2).next_multiple_of(1 << plan.network.halvings[axis]);
    Some((3 - plan.network.dims..3).map(side).collect())
}

fn halved_and_doubled<T>(value: T) -> Vec<T>
where
    T: Copy + From<u8> + std::ops::Div<Output = T> + std::ops::Mul<Output = T> + Ord,
{
    vec![(value / T::from(2)).max(T::from(1)), value, value * T::from(2)]
}

/// Rounds to two significant digits.
fn rounded(lr: f64) -> f64 {
    format!("{lr:.1e}").parse().unwrap_or(lr)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_are_read_and_written() {
        assert_eq!("48x32".parse(), Ok(Sides(vec![48, 32])));
        assert_eq!(Sides(vec![8, 48, 32]).to_string(), "8x48x32");
        assert!("48".parse::<Sides>().is_err() && "48x".parse::<Sides>().is_err());
    }

    #[test]
    fn learning_rates_are_short() {
        assert_eq!(LR_FACTORS.map(|factor| rounded(factor * 0.003)), [0.001, 0.003, 0.009]);
    }
}
