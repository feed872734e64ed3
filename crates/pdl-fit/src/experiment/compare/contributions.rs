//! What each factor of the best recipe contributes: arms that differ from it in one factor.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::experiment::compare::comparison_row::ComparisonRow;
use crate::experiment::compare::protocol::{Arm, Protocol};
use crate::experiment::compare::ratio::{RatioPoint, point};
use crate::plan::settings::CURRICULUM;

/// Settings of each factor.
const FACTORS: [(&str, &[&str]); 5] = [
    ("order", &CURRICULUM),
    ("order", &["restart_lr"]),
    ("growth", &["coarse_share", "coarse_factor", "patch_share", "patch_factor", "patch_steps"]),
    ("batch", &["batch", "batch_start", "batch_share", "cases_per_step"]),
    ("optimiser", &["optimiser", "momentum", "weight_decay", "clip", "lr_schedule", "warm_up", "ema"]),
];

/// Seconds of an arm over those of the best, which it differs from in one factor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Contribution {
    /// The factor: order, growth, batch, optimiser, tuning, or the arm's own word.
    pub factor: String,
    /// The arm that differs.
    pub arm: String,
    /// Seconds over those of the best, at the headline: above 1 where the best recipe's value of
    /// the factor helps.
    #[serde(flatten)]
    pub point: RatioPoint,
}

/// Factors in which an arm differs from the best; what is in no factor counts as `other`.
///
/// # Errors
/// As [`Protocol::settings`].
pub fn factors(protocol: &Protocol, arm: &Arm, best: &Arm) -> Result<BTreeSet<&'static str>> {
    let (own, others) = (protocol.settings(arm)?.values()?, protocol.settings(best)?.values()?);
    let differs = own.iter().filter(|(name, value)| others.get(*name) != Some(value));
    let of_setting = |name: &String| {
        let factor = FACTORS.iter().find(|(_, settings)| settings.contains(&name.as_str()));
        factor.map_or("other", |(factor, _)| *factor)
    };
    let mut factors: BTreeSet<&'static str> = differs.map(|(name, _)| of_setting(name)).collect();
    if arm.order != best.order {
        factors.insert("order");
    }
    if arm.grid.as_ref().is_some_and(|grid| !grid.batches.is_empty()) {
        factors.insert("batch");
    }
    if arm.untuned.is_some() != best.untuned.is_some() {
        factors.insert("tuning");
    }
    Ok(factors)
}

/// The contribution of every arm that differs from the best in one factor, or names its factor.
///
/// # Errors
/// As [`point`].
pub fn contributions(protocol: &Protocol, rows: &[ComparisonRow]) -> Result<Vec<Contribution>> {
    let Some(best) = protocol.arm(&protocol.roles.best) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for arm in protocol.arms.iter().filter(|arm| arm.name != best.name) {
        let derived = factors(protocol, arm, best)?;
        let factor = match (&arm.factor, derived.len()) {
            (Some(factor), _) => factor.clone(),
            (None, 1) => derived.into_iter().collect(),
            _ => continue,
        };
        let point = point(rows, (&arm.name, &best.name), protocol.headline)?;
        found.push(Contribution { factor, arm: arm.name.clone(), point });
    }
    found.sort_by(|a, b| a.factor.cmp(&b.factor));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::compare::comparison_row::tests::row;

    #[test]
    fn arms_of_the_default_protocol_differ_from_the_best_in_one_factor() {
        let protocol = Protocol::read(None).unwrap();
        let rows: Vec<ComparisonRow> =
            protocol.arms.iter().map(|arm| row(&arm.name, 1, protocol.headline, Some(5.0))).collect();
        let found = contributions(&protocol, &rows).unwrap();
        let factors: Vec<(&str, &str)> =
            found.iter().map(|own| (own.factor.as_str(), own.arm.as_str())).collect();
        assert_eq!(
            factors,
            [
                ("batch", "best, small batch"),
                ("batch", "best, large batch"),
                ("growth", "best, fixed patch"),
                ("growth", "best, linear patches (PGPS)"),
                ("optimiser", "best, AdamW"),
                ("order", "B: without the order"),
                ("order", "best, random order"),
                ("order", "best, typical first"),
            ]
        );
        let baseline = protocol.baseline().unwrap();
        let best = protocol.arm(&protocol.roles.best).unwrap();
        assert!(super::factors(&protocol, baseline, best).unwrap().len() > 1);
    }
}
