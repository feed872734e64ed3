//! Pacing: how many cases are active at which epoch.

pub(crate) mod parameters;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use crate::pacing::parameters::{Pacing, Preset, Share};
use crate::parameters::RankParameters;

/// A stage of the curriculum: from its first epoch on, the first `active_cases` of the ranking are
/// active.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Stage")]
pub struct CurriculumStage {
    /// Index of the stage, from 0.
    pub stage: u32,
    /// First epoch of the stage, from 0; an epoch is one pass over the active cases.
    pub first_epoch: u32,
    /// Number of active cases.
    pub active_cases: u32,
}

/// The published pacing: `start` cases are active at first, and `add` more after every `every`
/// epochs until all are.
///
/// ```
/// use pdl_curriculum::pacing::{Share, fixed};
/// let stages = fixed(10, Share::Percent(20.0), Share::Cases(4), 10);
/// let active: Vec<u32> = stages.iter().map(|stage| stage.active_cases).collect();
/// assert_eq!(active, [2, 6, 10]);
/// assert_eq!(stages[2].first_epoch, 20);
/// ```
pub fn fixed(cases: usize, start: Share, add: Share, every: u32) -> Vec<CurriculumStage> {
    let add = add.of(cases).max(1);
    let mut stages = Vec::new();
    let mut active = start.of(cases);
    loop {
        let stage = stages.len() as u32;
        stages.push(CurriculumStage {
            stage,
            first_epoch: stage * every.max(1),
            active_cases: active as u32,
        });
        if active >= cases {
            return stages;
        }
        active = (active + add).min(cases);
    }
}

/// The stages of `cases` training cases; `every` is the number of epochs between stages of fixed
/// and two-stage pacing.
pub fn stages(cases: usize, parameters: &RankParameters, every: u32) -> Vec<CurriculumStage> {
    let RankParameters { start, add, epochs, full_at, power, .. } = *parameters;
    let curve =
        |grown: fn(f64, f64) -> f64| function(cases, start, f64::from(epochs) * full_at, |t| grown(t, power));
    match parameters.pacing {
        Pacing::Fixed => fixed(cases, start, add, every),
        Pacing::TwoStage => fixed(cases, start, Share::Percent(100.0), every),
        Pacing::Polynomial => curve(|t, power| t.powf(power)),
        Pacing::Exponential => curve(|t, _| ((10.0 * t).exp() - 1.0) / (10.0_f64.exp() - 1.0)),
        Pacing::Logarithmic => curve(|t, _| 1.0 + 0.1 * (t + (-10.0_f64).exp()).ln()),
        Pacing::Step => curve(|t, _| t.floor()),
    }
}

/// A stage at each epoch at which the integer part of bN + N (1 - b) `grown`(t / aT) grows; `grown`
/// runs from 0 to 1. All cases are active from epoch aT (rounded up) on.
fn function(cases: usize, start: Share, full: f64, grown: impl Fn(f64) -> f64) -> Vec<CurriculumStage> {
    let first = start.of(cases);
    let rest = (cases - first) as f64;
    let mut stages = vec![CurriculumStage { stage: 0, first_epoch: 0, active_cases: first as u32 }];
    let last_epoch = full.ceil() as u32;
    let mut active = first;
    for epoch in 1..=last_epoch {
        // The margin absorbs the rounding of whole numbers.
        let joined = (rest * grown(f64::from(epoch) / full) + 1e-9).floor().clamp(0.0, rest) as usize;
        let now = if epoch == last_epoch { cases } else { first + joined };
        if now > active {
            active = now;
            let stage = stages.len() as u32;
            stages.push(CurriculumStage { stage, first_epoch: epoch, active_cases: active as u32 });
        }
    }
    stages
}

/// The stage at which the case of `rank` (1 is first) joins.
pub fn stage_of(rank: u32, stages: &[CurriculumStage]) -> u32 {
    stages.iter().find(|stage| rank <= stage.active_cases).map_or(0, |stage| stage.stage)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn active(pacing: Pacing, power: f64) -> Vec<(u32, u32)> {
        let parameters =
            RankParameters { pacing, power, epochs: 10, full_at: 0.8, ..RankParameters::default() };
        let stages = stages(100, &parameters, 5);
        stages.iter().map(|stage| (stage.first_epoch, stage.active_cases)).collect()
    }

    /// Values by hand from the formulas, with N = 100, b = 0.2, aT = 8.
    #[test]
    fn pacings_follow_their_formulas() {
        assert_eq!(active(Pacing::TwoStage, 1.0), [(0, 20), (5, 100)]);
        assert_eq!(active(Pacing::Step, 1.0), [(0, 20), (8, 100)]);
        let linear: Vec<(u32, u32)> = (0..=8).map(|epoch| (epoch, 20 + 10 * epoch)).collect();
        assert_eq!(active(Pacing::Polynomial, 1.0), linear);
        assert_eq!(active(Pacing::Polynomial, 2.0)[..5], [(0, 20), (1, 21), (2, 25), (3, 31), (4, 40)]);
        assert_eq!(active(Pacing::Polynomial, 0.5)[..3], [(0, 20), (1, 48), (2, 60)]);
        // 80 (e^(10 t / 8) - 1) / (e^10 - 1) is 1.87 at t = 5, 6.56 at 6, 22.92 at 7.
        assert_eq!(active(Pacing::Exponential, 1.0), [(0, 20), (5, 21), (6, 26), (7, 42), (8, 100)]);
        // 80 (1 + 0.1 ln(t / 8 + e^-10)) is 63.37 at t = 1, 68.91 at 2, 72.15 at 3.
        assert_eq!(active(Pacing::Logarithmic, 1.0)[..4], [(0, 20), (1, 83), (2, 88), (3, 92)]);
    }

    proptest! {
        #[test]
        fn every_pacing_never_shrinks_and_reaches_all(
            cases in 1_usize..2000, start in 1_usize..3000, epochs in 1_u32..300, full_at in 0.001_f64..=1.0,
            power in 0.1_f64..4.0, every in 0_u32..50,
        ) {
            use Pacing::{Exponential, Fixed, Logarithmic, Polynomial, Step, TwoStage};
            for pacing in [Fixed, TwoStage, Polynomial, Exponential, Logarithmic, Step] {
                let start = Share::Cases(start);
                let given =
                    RankParameters { pacing, start, epochs, full_at, power, ..RankParameters::default() };
                let stages = stages(cases, &given, every);
                prop_assert!(stages.windows(2).all(|w| w[0].active_cases < w[1].active_cases));
                prop_assert!(stages.windows(2).all(|w| w[0].first_epoch < w[1].first_epoch));
                prop_assert!(stages.iter().enumerate().all(|(i, stage)| stage.stage as usize == i));
                prop_assert_eq!(stages.first().map(|stage| stage.first_epoch), Some(0));
                prop_assert_eq!(stages.last().map(|stage| stage.active_cases as usize), Some(cases));
            }
        }

        #[test]
        fn pacing_never_shrinks_and_reaches_all(
            cases in 1_usize..2000, start in 1_usize..3000, add in 0.1_f64..100.0, every in 0_u32..50
        ) {
            let stages = fixed(cases, Share::Cases(start), Share::Percent(add), every);
            prop_assert!(stages.windows(2).all(|w| w[0].active_cases < w[1].active_cases));
            prop_assert!(stages.windows(2).all(|w| w[0].first_epoch < w[1].first_epoch));
            prop_assert_eq!(stages.last().map(|stage| stage.active_cases as usize), Some(cases));
            for rank in 1..=cases as u32 {
                let stage = stage_of(rank, &stages) as usize;
                prop_assert!(rank <= stages[stage].active_cases);
                prop_assert!(stage == 0 || rank > stages[stage - 1].active_cases);
            }
        }
    }
}
