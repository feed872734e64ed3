//! Validates a run's plan that was read from a file and may have been edited or damaged.

use crate::model::unet::NetworkPlan;
use crate::plan::curriculum_schedule::{PatchSpec, Schedule, check};
use crate::plan::run_plan::RunPlan;

/// Maximum number of levels of a network.
const MOST_LEVELS: usize = 12;
/// Maximum number of channels of the finest level of a network.
const MOST_CHANNELS: i64 = 4096;
/// Maximum number of patches of a step, and of cases of a schedule.
const MOST_CASES: usize = 1 << 24;
/// Maximum number of voxels of a patch.
const MOST_VOXELS: usize = 1 << 40;

impl RunPlan {
    /// Why this is not a valid plan for `labels` labels; `None` if it is.
    pub(crate) fn problem(&self, labels: usize) -> Option<&'static str> {
        let classes = if self.regions.is_empty() { labels + 1 } else { self.regions.len() };
        let channels = self.network.classes == classes as i64
            && self.regions.iter().all(|region| region.fits(labels))
            && self.swapped.iter().flatten().all(|channel| usize::from(*channel) <= labels);
        if !channels {
            return Some("its network has other channels than it has labels");
        }
        if !self.spacing_mm.iter().all(|side| (1e-6..=1e6).contains(side)) {
            return Some("its spacing is not positive");
        }
        if !self.rates.highest.is_finite() || self.rates.restarts.first() != Some(&0) {
            return Some("its learning rates cannot be");
        }
        self.network.problem().or_else(|| self.schedule.problem())
    }
}

impl NetworkPlan {
    fn problem(&self) -> Option<&'static str> {
        if !(2..=3).contains(&self.dims) || !(1..=MOST_LEVELS).contains(&self.depth) {
            return Some("its network has neither 2 nor 3 dimensions, or too many levels");
        }
        let is_small = (0..3).all(|axis| self.first_halved[axis].max(self.halvings[axis]) <= MOST_LEVELS);
        let fits = |axis: usize| self.first_halved[axis] + self.halvings[axis] <= self.depth;
        if !is_small || !self.axes().all(fits) {
            return Some("its network halves an axis more often than it has levels");
        }
        let channels = [self.width, self.inputs].iter().all(|count| (1..=MOST_CHANNELS).contains(count));
        let classes = (1..=1 + i64::from(u8::MAX)).contains(&self.classes);
        (!channels || !classes).then_some("its network has no, or too many, channels")
    }
}

impl Schedule {
    fn problem(&self) -> Option<&'static str> {
        let starts = |first: Option<u64>| first == Some(0);
        let phases = starts(self.phases.first().map(|phase| phase.first_step))
            && self.phases.windows(2).all(|pair| pair[0].first_step <= pair[1].first_step)
            && self.phases.iter().all(|phase| phase.spec.is_plausible());
        if !phases {
            return Some("the phases of its schedule do not ascend from step 0, or their patches cannot be");
        }
        let table: Vec<(u32, usize)> =
            self.stages.iter().map(|stage| (stage.first_epoch, stage.active_cases)).collect();
        let stages = starts(self.stages.first().map(|stage| stage.first_step))
            && self.stages.windows(2).all(|pair| pair[0].first_step <= pair[1].first_step)
            && check(&table, self.cases).is_ok();
        let drawn = (1..=MOST_CASES).contains(&self.cases_per_step) && self.cases <= MOST_CASES;
        (!stages || !drawn || !self.rank_weight.is_finite()).then_some("the stages of its schedule cannot be")
    }
}

impl PatchSpec {
    fn is_plausible(&self) -> bool {
        let sides = self.patch.iter().chain(&self.pool).all(|side| *side > 0);
        let voxels = self.patch.iter().try_fold(1_usize, |all, side| all.checked_mul(*side));
        sides && voxels.is_some_and(|voxels| voxels <= MOST_VOXELS) && (1..=MOST_CASES).contains(&self.batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::unet::Norm;
    use crate::plan::curriculum_schedule::CaseOrder;

    #[test]
    fn a_network_that_cannot_be_is_told() {
        let plan = NetworkPlan::plain(3, 16, 3, 2);
        assert_eq!(plan.problem(), None);
        assert_eq!(NetworkPlan { norm: Norm::Batch, residual: true, ..plan }.problem(), None);
        let wrong = [
            NetworkPlan { dims: 4, ..plan },
            NetworkPlan { dims: 0, ..plan },
            NetworkPlan { depth: 0, ..plan },
            NetworkPlan { depth: usize::MAX, ..plan },
            NetworkPlan { halvings: [usize::MAX; 3], ..plan },
            NetworkPlan { first_halved: [0, 0, 3], ..plan },
            NetworkPlan { width: 0, ..plan },
            NetworkPlan { width: i64::MAX, ..plan },
            NetworkPlan { inputs: -1, ..plan },
            NetworkPlan { classes: 0, ..plan },
        ];
        assert!(wrong.iter().all(|plan| plan.problem().is_some()));
    }

    #[test]
    fn a_schedule_that_cannot_be_is_told() {
        let spec = PatchSpec { patch: [8; 3], pool: [1; 3], batch: 2 };
        let schedule = Schedule::new(CaseOrder::Ranked, 4, &[(0, 2), (1, 4)], 2, spec, 1).unwrap();
        assert_eq!(schedule.problem(), None);
        let edited = |edit: &dyn Fn(&mut Schedule)| {
            let mut schedule = schedule.clone();
            edit(&mut schedule);
            schedule.problem().is_some()
        };
        assert!(edited(&|schedule| schedule.phases.clear()));
        assert!(edited(&|schedule| schedule.phases[0].first_step = 1));
        assert!(edited(&|schedule| schedule.phases[0].spec.batch = 0));
        assert!(edited(&|schedule| schedule.phases[0].spec.patch = [usize::MAX; 3]));
        assert!(edited(&|schedule| schedule.phases[0].spec.pool[1] = 0));
        assert!(edited(&|schedule| schedule.stages.clear()));
        assert!(edited(&|schedule| schedule.stages[1].active_cases = 1));
        assert!(edited(&|schedule| schedule.cases_per_step = 0));
        assert!(edited(&|schedule| schedule.cases = usize::MAX));
        assert!(edited(&|schedule| schedule.rank_weight = f64::INFINITY));
    }
}
