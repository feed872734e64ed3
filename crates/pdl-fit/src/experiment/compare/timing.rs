//! Times of the kinds of steps, measured apart from the runs, so that runs may share the machine.
//!
//! A kind of step is a network, the size, resolution and number of its patches, an optimiser and an
//! augmentation. All kinds are timed in turn, several rounds, so that a slow minute of the machine
//! meets all alike.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::Path;

use pdl_cohort::attributes::Split;
use pdl_store::memory::MemoryLimit;
use pdl_volume::statistics::median;

use crate::data::dataset::{Dataset, Loaded};
use crate::data::subset::Subset;
use crate::error::{FitError, Result};
use crate::experiment::compare::folds::{Folds, PlannedDataset};
use crate::experiment::compare::protocol::{PLAIN_ORDER, Protocol};
use crate::experiment::rows::{Row, RowFile, Rows, StepRow, Timing, step_key};
use crate::experiment::run_record::Programs;
use crate::model::device::ComputeDevice;
use crate::plan::growth::Growth;
use crate::plan::planner::Planner;
use crate::plan::run_plan::RunPlan;
use crate::plan::settings::{Augment, Settings};
use crate::plan::speed::{Speed, TimedPart, TimedSegment};
use crate::train::trainer::Trainer;
use crate::train::training;

/// A run whose steps are of equal kinds at equal fractions of its length: an arm by its number, a
/// fold, and the batch size where the arm chooses it.
pub type Variant = (usize, u32, Option<usize>);

/// A kind of step, with a run that has it.
struct Kind {
    key: String,
    fold: u32,
    settings: Settings,
    plan: RunPlan,
    part: TimedSegment,
}

/// The kinds of steps of all arms.
pub struct StepKinds {
    kinds: Vec<Kind>,
    parts: BTreeMap<Variant, Vec<(TimedSegment, String)>>,
}

impl StepKinds {
    /// Plans every arm on every fold.
    ///
    /// # Errors
    /// As [`Settings::plan`].
    pub fn of(protocol: &Protocol, folds: &Folds, memory: Option<u64>) -> Result<Self> {
        let mut all = Self { kinds: Vec::new(), parts: BTreeMap::new() };
        for (order, _) in protocol.all_orders() {
            for fold in 0..folds.count {
                let planned = PlannedDataset::open(&folds.of(order, fold)?.folder, memory)?;
                for (number, arm) in protocol.arms.iter().enumerate() {
                    if arm.order_name() != order {
                        continue;
                    }
                    for point in protocol.grid(arm) {
                        let settings = protocol.settings(arm)?.with(|settings| {
                            settings.patches.batch = point.batch.or(settings.patches.batch);
                        });
                        all.add((number, fold, point.batch), &settings, &planned)?;
                    }
                }
            }
        }
        Ok(all)
    }

    fn add(&mut self, variant: Variant, settings: &Settings, planned: &PlannedDataset) -> Result<()> {
        if self.parts.contains_key(&variant) {
            return Ok(());
        }
        let images = planned.images(settings)?;
        let plan = Planner { settings, cohort: &planned.dataset.with(&images), speed: None }.plan()?;
        let augment = plan.augment.unwrap_or(Augment::None);
        let mut parts = Vec::new();
        for part in Growth::of(&settings.curriculum, &plan).segments() {
            let key = step_key(&plan.network, &part.spec, settings.optimisation.optimiser, augment);
            if !self.kinds.iter().any(|kind| kind.key == key) {
                let (settings, plan) = (settings.clone(), plan.clone());
                self.kinds.push(Kind { key: key.clone(), fold: variant.1, settings, plan, part });
            }
            parts.push((part, key));
        }
        self.parts.insert(variant, parts);
        Ok(())
    }

    /// Number of kinds.
    pub fn count(&self) -> usize {
        self.kinds.len()
    }

    /// Times the kinds that have no time of this kind yet, or all again; other processes that need
    /// times wait meanwhile.
    ///
    /// # Errors
    /// As [`training::train`].
    pub fn measure(
        &self,
        timing: Timing,
        (protocol, folds): (&Protocol, &Folds),
        rows: &RowFile,
        memory: Option<u64>,
    ) -> Result<Rows> {
        let _lock = rows.lock()?;
        let known = rows.read()?;
        let is_due = |kind: &&Kind| timing == Timing::Again || known.step(&kind.key, timing).is_none();
        let due: Vec<&Kind> = self.kinds.iter().filter(is_due).collect();
        let Some(first) = due.first() else { return Ok(known) };
        let programs = training::prepare_libtorch(&first.settings)?;
        let seconds = in_turn(&due, protocol.timing_rounds, folds, memory)?;
        let timed = due.iter().zip(seconds);
        rows.add_locked(
            timed.map(|(kind, seconds)| Row::Step(kind.row(timing, seconds, &programs))).collect(),
        )
    }

    /// The seconds of a variant's steps, as `seconds` gives them for the key of a kind.
    ///
    /// # Errors
    /// [`FitError::NoCandidates`] if there is no such variant or time.
    pub fn speed(&self, variant: Variant, seconds: impl Fn(&str) -> Option<f64>) -> Result<Speed> {
        let parts = self.parts.get(&variant).ok_or(FitError::NoCandidates)?;
        let timed = |(part, key): &(TimedSegment, String)| {
            Ok(TimedPart { part: *part, seconds: seconds(key).ok_or(FitError::NoCandidates)? })
        };
        Ok(Speed { parts: parts.iter().map(timed).collect::<Result<_>>()? })
    }

    /// The times that the result uses, one for each kind: those measured again, else the mean of
    /// before and after.
    pub fn times(&self, rows: &Rows) -> Vec<(StepRow, f64)> {
        let of_kind = |kind: &Kind| {
            let row = |timing| rows.step(&kind.key, timing);
            let latest = row(Timing::Again).or(row(Timing::After)).or(row(Timing::Before))?;
            Some((latest.clone(), final_seconds(rows, &kind.key)?))
        };
        self.kinds.iter().filter_map(of_kind).collect()
    }
}

/// Seconds of a kind of step in the result: measured again, else the mean of before and after.
pub fn final_seconds(rows: &Rows, key: &str) -> Option<f64> {
    let seconds = |timing| rows.step(key, timing).map(|row| row.seconds);
    let twice = seconds(Timing::Before).into_iter().chain(seconds(Timing::After));
    seconds(Timing::Again).or_else(|| pdl_metrics::dice::mean(twice))
}

impl Kind {
    fn row(&self, timing: Timing, seconds: f64, programs: &Programs) -> StepRow {
        StepRow {
            key: self.key.clone(),
            timing,
            patches: self.part.spec,
            optimiser: self.settings.optimisation.optimiser,
            seconds,
            programs: programs.clone(),
        }
    }
}

/// Median seconds of each kind over `rounds` rounds, in each of which all are timed in turn.
fn in_turn(kinds: &[&Kind], rounds: usize, folds: &Folds, memory: Option<u64>) -> Result<Vec<f64>> {
    let mut loaded: BTreeMap<u32, Loaded> = BTreeMap::new();
    for kind in kinds {
        if let Entry::Vacant(place) = loaded.entry(kind.fold) {
            place.insert(load(&folds.of(PLAIN_ORDER, kind.fold)?.folder, memory)?);
        }
    }
    let mut seconds = vec![Vec::new(); kinds.len()];
    for _ in 0..rounds {
        for (kind, seconds) in kinds.iter().zip(&mut seconds) {
            let Some(cases) = loaded.get(&kind.fold) else { continue };
            let device = ComputeDevice::choose(kind.settings.machine.device)?;
            let trainer = Trainer::new(&kind.settings, &kind.plan, device)?;
            seconds.push(trainer.seconds_of_step(cases, kind.part.spec)?);
        }
    }
    Ok(seconds.iter_mut().map(|own| median(own)).collect())
}

fn load(folder: &Path, memory: Option<u64>) -> Result<Loaded> {
    let limit = MemoryLimit::or_half_of_free(memory);
    Dataset::open(folder)?.load(folder, (Subset::All, Split::Val), true, &limit)
}
