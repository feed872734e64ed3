//! Tuning of a comparison: target Dice, and learning rate and length of every arm, before any
//! reported run.

use std::path::Path;

use pdl_store::{StoreError, fault, json};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::data::dataset::Dataset;
use crate::error::{self, FitError, Record, Result};
use crate::experiment::compare::protocol::{Arm, Choice, Protocol};
use crate::experiment::run_record::Programs;
use crate::experiment::runner::{Finished, RunEvent, Runs};
use crate::plan::run_plan::Speed;
use crate::plan::settings::Settings;
use crate::train::early_stop::{self, Reached};

/// Name of the file in the folder of a comparison.
pub const FILE: &str = "tuned.json";
/// Name of the file with the speed of steps in the same folder.
const SPEED_FILE: &str = "speed.json";
/// Version of the file format.
const SCHEMA_VERSION: u32 = 3;
/// Version of the format of the file with the speed of steps.
const SPEED_VERSION: u32 = 1;

/// Result of the runs on tuning seeds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Tuned {
    /// Version of the file format.
    pub schema_version: u32,
    /// Protocol of the comparison.
    pub protocol: Protocol,
    /// BLAKE3 of `manifest.parquet`.
    pub manifest_blake3: String,
    /// Versions and device of the runs.
    pub programs: Programs,
    /// Seconds per step of each arm, in the protocol's order, measured once. They convert lengths
    /// into steps, and steps into seconds, so that other load on the machine does not affect the
    /// selection.
    pub speeds: Vec<Speed>,
    /// Conventional runs that define the target.
    pub reference: Vec<ArmTrial>,
    /// Target Dice.
    pub target: f64,
    /// Runs from which every arm selects; each stops early at the target.
    pub trials: Vec<ArmTrial>,
    /// Selection of each arm, in the protocol's order.
    pub chosen: Vec<Choice>,
    /// Seconds to the target of each arm with its selection, mean over the tuning seeds; null if a
    /// seed missed it.
    pub seconds_to_target: Vec<Option<f64>>,
    /// Arm with the shortest time to the target.
    pub best: String,
}

/// Measured speed of steps, saved before the first run.
#[derive(Serialize, Deserialize)]
struct Timed {
    /// 0 in files before the field was written.
    #[serde(default)]
    schema_version: u32,
    protocol: Protocol,
    manifest_blake3: String,
    speeds: Vec<Speed>,
    programs: Programs,
}

/// One tuning run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ArmTrial {
    /// Name of the arm.
    pub arm: String,
    /// Learning rate and length.
    #[serde(flatten)]
    pub choice: Choice,
    /// Seed of the run.
    pub seed: u64,
    /// Highest running median of five evaluations, up to early stopping; null if the run diverged.
    pub highest: Option<f64>,
    /// Time to the target, in seconds at the measured speed; null if the run missed it.
    pub reached: Option<Reached>,
}

/// Selects target, learning rates and lengths, or reads those of `file` for the same protocol and
/// manifest.
///
/// # Errors
/// As [`crate::train::training::train`]; [`FitError::NothingLearnt`] if every conventional run
/// diverges.
pub fn tune(protocol: &Protocol, file: &Path, runs: &mut Runs<'_>) -> Result<Tuned> {
    let manifest_blake3 = Dataset::open(runs.out())?.manifest.info.hashes.manifest;
    if let Some(tuned) = earlier::<Tuned>(file, SCHEMA_VERSION)?
        && tuned.protocol == *protocol
        && tuned.manifest_blake3 == manifest_blake3
    {
        return Ok(tuned);
    }
    let timed = timed(protocol, &manifest_blake3, &file.with_file_name(SPEED_FILE), runs)?;
    let (speeds, programs) = (timed.speeds, timed.programs);
    let mut tuning = Tuning { protocol, speeds: &speeds, runs };
    let reference = tuning.reference()?;
    let target = protocol.target_share * best_reference(&reference)?;
    tuning.runs.notify(&RunEvent::Target(target));
    let trials = tuning.trials(target)?;
    let chosen = protocol.arms.iter().map(|arm| choose(arm, &trials)).collect::<Result<Vec<_>>>()?;
    let (chosen, seconds_to_target): (Vec<Choice>, Vec<Option<f64>>) = chosen.into_iter().unzip();
    let soonest = (0..chosen.len()).min_by(|&a, &b| {
        let seconds = |arm: usize| seconds_to_target[arm].unwrap_or(f64::INFINITY);
        seconds(a).total_cmp(&seconds(b))
    });
    let best = soonest.map_or(String::new(), |arm| protocol.arms[arm].name.clone());
    let protocol = protocol.clone();
    let tuned = Tuned {
        schema_version: SCHEMA_VERSION,
        protocol,
        manifest_blake3,
        programs,
        speeds,
        reference,
        target,
        trials,
        chosen,
        seconds_to_target,
        best,
    };
    json::write(file, &tuned)?;
    Ok(tuned)
}

/// The content of an earlier file; `None` if there is none, or it is damaged or of an earlier
/// version, and so is replaced.
fn earlier<T: DeserializeOwned>(file: &Path, supported: u32) -> Result<Option<T>> {
    match json::read_versioned(file, supported) {
        Ok(read) => Ok(Some(read)),
        Err(error @ StoreError::NewerFormat { .. }) => Err(error.into()),
        Err(error) if fault::machine_error(&error).is_some() => Err(error.into()),
        Err(_) => Ok(None),
    }
}

/// Seconds per step, measured once: an interrupted tuning resumes with the same lengths.
fn timed(protocol: &Protocol, manifest_blake3: &str, file: &Path, runs: &mut Runs<'_>) -> Result<Timed> {
    // One process measures; others that share the work read its result.
    let _lock = runs.wait_for(file.parent().unwrap_or(file))?;
    if let Some(timed) = earlier::<Timed>(file, SPEED_VERSION)?
        && timed.protocol == *protocol
        && timed.manifest_blake3 == manifest_blake3
    {
        return Ok(timed);
    }
    let settings = protocol.arms.iter().map(|arm| protocol.settings(arm)).collect::<Result<Vec<_>>>()?;
    let (speeds, programs) = runs.speeds(&settings)?;
    let manifest_blake3 = manifest_blake3.to_owned();
    let protocol = protocol.clone();
    let timed = Timed { schema_version: SPEED_VERSION, protocol, manifest_blake3, speeds, programs };
    json::write(file, &timed)?;
    Ok(timed)
}

impl Tuned {
    /// Reads the file of another comparison.
    ///
    /// # Errors
    /// [`FitError::UnreadableRecord`] if the file is missing, damaged or of an earlier version;
    /// [`FitError::Store`] if it is of a newer one, or the machine failed.
    pub fn read(path: &Path) -> Result<Self> {
        json::read_versioned(path, SCHEMA_VERSION)
            .map_err(|error| error::record(Record::Comparison, error, path))
    }

    /// Removes all arms but those of `names` and the conventional one; without names all stay.
    ///
    /// # Errors
    /// [`FitError::InvalidOption`] if there is no arm of a name.
    pub fn keep_arms(&mut self, names: &[String]) -> Result<()> {
        let arms = &self.protocol.arms;
        if let Some(name) = names.iter().find(|name| !arms.iter().any(|arm| arm.name == **name)) {
            let known: Vec<&str> = arms.iter().map(|arm| arm.name.as_str()).collect();
            let problem = format!("must be one of: {}; found {name}", known.join("; "));
            return Err(FitError::option("arm", problem));
        }
        if names.is_empty() {
            return Ok(());
        }
        let baseline = self.protocol.baseline();
        let kept: Vec<usize> =
            (0..arms.len()).filter(|&n| n == baseline || names.contains(&arms[n].name)).collect();
        self.protocol.arms = kept.iter().map(|&n| self.protocol.arms[n].clone()).collect();
        self.chosen = kept.iter().map(|&n| self.chosen[n]).collect();
        self.speeds = kept.iter().map(|&n| self.speeds[n].clone()).collect();
        self.seconds_to_target = kept.iter().map(|&n| self.seconds_to_target[n]).collect();
        Ok(())
    }

    /// Seconds of training between evaluations of a reported run: `share` of the conventional arm's
    /// time to the target.
    pub fn gap_seconds(&self, share: f64) -> f64 {
        let baseline = self.protocol.baseline();
        share * self.seconds_to_target[baseline].unwrap_or(self.chosen[baseline].seconds)
    }

    /// Steps of an arm that take at most `seconds` even if all are the slowest; at least one.
    pub fn steps_within(&self, arm: usize, seconds: f64) -> u64 {
        ((seconds / self.speeds[arm].slowest()).floor() as u64).max(1)
    }
}

/// Settings of an arm with its selection, on a seed.
///
/// # Errors
/// [`FitError::Arm`] if the arm's settings are invalid.
pub fn settings(
    protocol: &Protocol,
    arm: &Arm,
    choice: Choice,
    seed: u64,
    eval_every: u64,
) -> Result<Settings> {
    let mut settings = protocol.settings(arm)?;
    settings.lr = Some(choice.lr);
    settings.steps = Some(choice.steps);
    settings.eval_every = Some(eval_every);
    settings.seed = seed;
    Ok(settings)
}

struct Tuning<'a, 'b> {
    protocol: &'a Protocol,
    speeds: &'a [Speed],
    runs: &'a mut Runs<'b>,
}

/// A tuning run before training.
struct Planned {
    arm: usize,
    choice: Choice,
    seed: u64,
    name: String,
    settings: Settings,
}

impl Tuning<'_, '_> {
    /// Long conventional runs with every learning rate.
    fn reference(&mut self) -> Result<Vec<ArmTrial>> {
        let Protocol { lrs, tuning_seeds, reference_seconds, .. } = self.protocol;
        let arm = self.protocol.baseline();
        let mut planned = Vec::new();
        for &lr in lrs {
            for &seed in tuning_seeds {
                planned.push(self.planned(arm, "reference", (lr, *reference_seconds), seed)?);
            }
        }
        self.made(&planned, None)
    }

    fn trials(&mut self, target: f64) -> Result<Vec<ArmTrial>> {
        let Protocol { lrs, seconds, tuning_seeds, arms, .. } = self.protocol;
        let mut planned = Vec::new();
        for &seed in tuning_seeds {
            for &seconds in seconds {
                for &lr in lrs {
                    for (number, arm) in arms.iter().enumerate() {
                        let mut trial = self.planned(number, &arm.file_name(), (lr, seconds), seed)?;
                        trial.settings.until_dice = Some(target);
                        planned.push(trial);
                    }
                }
            }
        }
        self.made(&planned, Some(target))
    }

    fn planned(&self, arm: usize, name: &str, (lr, seconds): (f64, f64), seed: u64) -> Result<Planned> {
        let steps = self.speeds[arm].steps(seconds);
        let choice = Choice { lr, seconds, steps };
        let eval_every = steps.div_ceil(self.protocol.tuning_evaluations);
        let settings = settings(self.protocol, &self.protocol.arms[arm], choice, seed, eval_every)?;
        Ok(Planned { arm, choice, seed, name: format!("{name}-rate{lr}-steps{steps}-seed{seed}"), settings })
    }

    fn made(&mut self, planned: &[Planned], target: Option<f64>) -> Result<Vec<ArmTrial>> {
        let wanted: Vec<_> = planned.iter().map(|run| (run.name.clone(), run.settings.clone())).collect();
        let made = self.runs.make_all(&wanted)?;
        Ok(planned
            .iter()
            .zip(made)
            .map(|(planned, made)| self.trial(planned, made.as_ref(), target))
            .collect())
    }

    fn trial(&self, planned: &Planned, made: Option<&Finished>, target: Option<f64>) -> ArmTrial {
        let Planned { arm, choice, seed, .. } = *planned;
        let dice = made.map(Finished::dice);
        let reached = made.zip(dice.as_ref()).zip(target);
        let reached =
            reached.and_then(|((run, dice), target)| early_stop::reached(&run.history, dice, target));
        let at_speed = |reached: Reached| {
            let seconds = self.speeds[arm].seconds_until(reached.steps, choice.steps as f64);
            Reached { seconds, ..reached }
        };
        ArmTrial {
            arm: self.protocol.arms[arm].name.clone(),
            choice,
            seed,
            highest: dice.and_then(|dice| early_stop::highest(&dice)),
            reached: reached.map(at_speed),
        }
    }
}

/// Highest mean over the seeds among the learning rates.
fn best_reference(reference: &[ArmTrial]) -> Result<f64> {
    let groups = groups(reference);
    let means = groups.iter().filter_map(|trials| {
        let values: Option<Vec<f64>> = trials.iter().map(|trial| trial.highest).collect();
        values.map(|values| values.iter().sum::<f64>() / values.len() as f64)
    });
    let best = means.max_by(f64::total_cmp).filter(|dice| *dice > 0.0);
    best.ok_or(FitError::NothingLearnt)
}

/// Learning rate and length with which an arm reaches the target on most seeds, then with the
/// shortest mean time; if no run reaches it, those with the highest Dice. Also the seconds to the
/// target if all seeds reach it.
fn choose(arm: &Arm, trials: &[ArmTrial]) -> Result<(Choice, Option<f64>)> {
    let own: Vec<ArmTrial> = trials.iter().filter(|trial| trial.arm == arm.name).cloned().collect();
    let worth = |trials: &Vec<&ArmTrial>| {
        let seconds: Vec<f64> = trials.iter().filter_map(|t| t.reached).map(|r| r.seconds).collect();
        let missed = trials.len() - seconds.len();
        let mean = match seconds.len() {
            0 => -trials.iter().filter_map(|trial| trial.highest).sum::<f64>(),
            n => seconds.iter().sum::<f64>() / n as f64,
        };
        (missed, mean)
    };
    let groups = groups(&own);
    let best = groups.iter().min_by(|a, b| {
        let ((a_missed, a_mean), (b_missed, b_mean)) = (worth(a), worth(b));
        a_missed.cmp(&b_missed).then(a_mean.total_cmp(&b_mean))
    });
    let best = best.ok_or(FitError::NoCandidates)?;
    let (missed, mean) = worth(best);
    Ok((best[0].choice, (missed == 0).then_some(mean)))
}

/// Trials grouped by learning rate and length, in order of first occurrence.
fn groups(trials: &[ArmTrial]) -> Vec<Vec<&ArmTrial>> {
    let mut groups: Vec<Vec<&ArmTrial>> = Vec::new();
    for trial in trials {
        match groups.iter_mut().find(|group| group[0].choice == trial.choice) {
            Some(group) => group.push(trial),
            None => groups.push(vec![trial]),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(lr: f64, seed: u64, highest: f64, seconds: Option<f64>) -> ArmTrial {
        let reached = seconds.map(|seconds| Reached { seconds, steps: seconds, samples: seconds });
        let choice = Choice { lr, seconds: 10.0, steps: 10 };
        ArmTrial { arm: "a".into(), choice, seed, highest: Some(highest), reached }
    }

    fn arm() -> Arm {
        Arm { name: "a".into(), settings: serde_json::Map::new() }
    }

    #[test]
    fn an_arm_takes_what_reaches_the_target_on_all_seeds_then_what_does_soonest() {
        let trials = [
            trial(0.1, 1, 0.9, Some(1.0)),
            trial(0.1, 2, 0.9, None),
            trial(0.2, 1, 0.9, Some(5.0)),
            trial(0.2, 2, 0.9, Some(7.0)),
            trial(0.3, 1, 0.9, Some(4.0)),
            trial(0.3, 2, 0.9, Some(6.0)),
        ];
        let (choice, seconds) = choose(&arm(), &trials).unwrap();
        assert_eq!((choice.lr, seconds), (0.3, Some(5.0)));
        let none = [trial(0.1, 1, 0.5, None), trial(0.2, 1, 0.6, None)];
        let (choice, seconds) = choose(&arm(), &none).unwrap();
        assert_eq!((choice.lr, seconds), (0.2, None));
    }

    #[test]
    fn the_target_is_the_best_mean_over_seeds_and_not_the_best_run() {
        let trials = [
            trial(0.1, 1, 0.9, None),
            trial(0.1, 2, 0.5, None),
            trial(0.2, 1, 0.8, None),
            trial(0.2, 2, 0.7, None),
        ];
        assert!((best_reference(&trials).unwrap() - 0.75).abs() < 1e-12);
        assert!(best_reference(&[]).is_err());
    }
}
