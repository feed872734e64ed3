//! What a tuning chooses from.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::random::{Purpose, Random};
use crate::error::{FitError, Result};
use crate::plan::run_plan::{Cohort, RunPlan};
use crate::plan::settings::{ScheduleKind, Settings};

/// Learning rates that are tried, as factors of the one that `train` would take.
const LR_FACTORS: [f64; 3] = [1.0 / 3.0, 1.0, 3.0];
/// Settings that a tuning decides itself, and a command line may not.
pub const OWN: [&str; 16] = [
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
    "steps",
    "seconds",
    "samples",
    "epochs",
    "eval_every",
    "until_dice",
];

/// What is tried, and for how long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, clap::Args)]
#[command(next_help_heading = "Search")]
pub struct Search {
    /// Seconds that the tuning takes, about: loading, timing steps, training and evaluation. The
    /// rungs share evenly what timing leaves; a trial has at least 20 steps.
    #[arg(long, value_name = "SECONDS", default_value_t = 300.0)]
    pub budget: f64,
    /// Settings that begin: those that `train` would take, and others drawn at random from the grid of the lists below.
    #[arg(long, value_name = "N", default_value_t = 9)]
    pub candidates: usize,
    /// Of so many candidates of a rung one goes on to the next, where it trains anew and longer; the best of the last
    /// rung wins.
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub one_of: usize,
    /// Peak learning rates to try [default: a third of --lr, --lr, and three times that].
    #[arg(long, value_name = "LRS", value_delimiter = ',')]
    #[serde(alias = "rates")]
    pub lrs: Option<Vec<f64>>,
    /// Channels of the network's finest level [default: half of --width, --width, and twice that].
    #[arg(long, value_name = "CHANNELS", value_delimiter = ',', value_parser = clap::value_parser!(i64).range(1..=1024))]
    pub widths: Option<Vec<i64>>,
    /// Levels of the network [default: one fewer than `train` plans, as many, and one more].
    #[arg(long, value_name = "LEVELS", value_delimiter = ',')]
    pub depths: Option<Vec<usize>>,
    /// Sides of samples, such as 48x48,32x48 for planes [default: as `train` plans them, and half as long].
    #[arg(long, value_name = "SIDES", value_delimiter = ',')]
    pub patches: Option<Vec<Sides>>,
    /// Samples in a step [default: half of what `train` plans, as many, and twice that].
    #[arg(long, value_name = "SAMPLES", value_delimiter = ',')]
    pub batches: Option<Vec<usize>>,
}

/// Sides of a sample in voxels: y, x of planes or z, y, x of blocks; written 48x48.
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

/// What is tuned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Candidate {
    /// The peak learning rate.
    #[serde(alias = "rate")]
    pub lr: f64,
    /// Channels of the network's finest level.
    pub width: i64,
    /// Levels of the network.
    pub depth: usize,
    /// Sides of a sample in voxels: y, x of planes or z, y, x of blocks.
    pub patch: Vec<usize>,
    /// Samples in a step.
    pub batch: usize,
}

impl Candidate {
    /// What a run that was planned from `settings` does.
    fn of(settings: &Settings, plan: &RunPlan) -> Self {
        Self {
            lr: settings.peak_lr(),
            width: plan.network.width,
            depth: plan.network.depth,
            patch: plan.patch[3 - plan.network.dims..].to_vec(),
            batch: plan.batch,
        }
    }

    /// These settings with the candidate's values.
    #[must_use]
    pub fn applied(&self, settings: &Settings) -> Settings {
        Settings {
            lr: Some(self.lr),
            width: self.width,
            depth: Some(self.depth),
            patch: Some(self.patch.clone()),
            batch: Some(self.batch),
            ..settings.clone()
        }
    }
}

impl Search {
    /// Refuses what cannot be searched.
    ///
    /// # Errors
    /// [`FitError::InvalidOption`].
    pub fn check(&self, settings: &Settings) -> Result<()> {
        let (given, defaults) = (settings.values()?, Settings::defaults()?.values()?);
        if let Some(name) = OWN.into_iter().find(|name| given.get(*name) != defaults.get(*name)) {
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

    /// The candidates: first what these settings plan, then others of the grid, drawn by the settings' seed.
    ///
    /// # Errors
    /// [`FitError`] when the settings cannot be planned; [`FitError::NoCandidates`].
    pub fn draw(&self, settings: &Settings, cohort: &Cohort<'_>) -> Result<Vec<Candidate>> {
        let first = explicit(settings, cohort)?;
        let (mut others, refusal) = self.grid(settings, &first, cohort);
        if others.is_empty() {
            return Err(refusal.unwrap_or(FitError::NoCandidates));
        }
        Random::new(settings.seed, Purpose::Tuning, 0).shuffle(&mut others);
        others.truncate(self.candidates - 1);
        Ok([first].into_iter().chain(others).collect())
    }

    /// All that can be tried beside `first`, and why the last of the rest cannot.
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
            let network = Settings { width, depth: Some(depth), ..settings.clone() };
            for sized in self.sized(&network, cohort, &mut refusal) {
                for &lr in &lrs {
                    let one = Settings { lr: Some(lr), ..sized.clone() };
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

    /// A network's settings with every sample and batch that can be tried.
    fn sized(
        &self,
        network: &Settings,
        cohort: &Cohort<'_>,
        refusal: &mut Option<FitError>,
    ) -> Vec<Settings> {
        let mut sized = Vec::new();
        let patches = match &self.patches {
            Some(patches) => patches.iter().map(|sides| Some(sides.0.clone())).collect(),
            None => vec![network.patch.clone(), halved(network, cohort)],
        };
        for patch in patches {
            let of_patch = Settings { patch, ..network.clone() };
            match of_patch.plan(cohort, None) {
                Ok(plan) => {
                    let batches = self.batches.clone().unwrap_or_else(|| halved_and_doubled(plan.batch));
                    sized
                        .extend(batches.into_iter().map(|n| Settings { batch: Some(n), ..of_patch.clone() }));
                }
                Err(error) => *refusal = Some(error),
            }
        }
        sized
    }
}

/// The settings of trials: conventional.
pub fn conventional(settings: &Settings) -> Settings {
    Settings { schedule: ScheduleKind::Conventional, ..settings.clone() }
}

/// What a run with these settings does, so written that it is planned in the same way anywhere.
fn explicit(settings: &Settings, cohort: &Cohort<'_>) -> Result<Candidate> {
    let planned = Candidate::of(settings, &settings.plan(cohort, None)?);
    let again = planned.applied(settings);
    Ok(Candidate::of(&again, &again.plan(cohort, None)?))
}

/// Sides half as long as planned, rounded up to what the network can halve; nothing when it cannot be planned.
fn halved(network: &Settings, cohort: &Cohort<'_>) -> Option<Vec<usize>> {
    let plan = network.plan(cohort, None).ok()?;
    let side = |axis: usize| plan.patch[axis].div_ceil(2).next_multiple_of(1 << plan.network.halvings[axis]);
    Some((3 - plan.network.dims..3).map(side).collect())
}

fn halved_and_doubled<T>(value: T) -> Vec<T>
where
    T: Copy + From<u8> + std::ops::Div<Output = T> + std::ops::Mul<Output = T> + Ord,
{
    vec![(value / T::from(2)).max(T::from(1)), value, value * T::from(2)]
}

/// Rounded to two significant digits.
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
