//! Which cases a run learns from at which time.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{FitError, Result};

/// From an epoch on, so many cases are active.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    /// The first epoch (from 0) at which it holds.
    pub first_epoch: u32,
    /// How many cases of the joining order are active.
    pub active_cases: usize,
}

/// A growing set of active cases.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    order: Vec<usize>,
    steps: Vec<Step>,
}

impl Schedule {
    /// All of `cases` from the start.
    pub fn conventional(cases: usize) -> Self {
        Self { order: (0..cases).collect(), steps: vec![Step { first_epoch: 0, active_cases: cases }] }
    }

    /// `order` lists the cases in the order in which they join; `steps` say when.
    ///
    /// # Errors
    /// [`FitError::Folder`] when the table is empty, does not begin at epoch 0 with a case, shrinks, or does
    /// not end with all cases.
    pub fn growing(order: Vec<usize>, steps: Vec<Step>) -> Result<Self> {
        let wrong = |problem: String| {
            let help = "make the manifest anew with `pdl rank`, or give --start, --add and --every";
            Err(FitError::Folder(format!("the stage table cannot be followed: {problem}; {help}")))
        };
        let (Some(first), Some(last)) = (steps.first(), steps.last()) else {
            return wrong("it is empty".into());
        };
        if first.first_epoch != 0 || first.active_cases == 0 {
            return wrong("its first stage must begin at epoch 0 with at least one case".into());
        }
        for pair in steps.windows(2) {
            let (a, b) = (pair[0], pair[1]);
            if b.first_epoch <= a.first_epoch || b.active_cases < a.active_cases {
                return wrong(format!(
                    "it goes from {} cases at epoch {} to {} at epoch {}",
                    a.active_cases, a.first_epoch, b.active_cases, b.first_epoch
                ));
            }
        }
        if last.active_cases != order.len() {
            let (end, all) = (last.active_cases, order.len());
            return wrong(format!("it ends with {end} active cases, but there are {all} training cases"));
        }
        Ok(Self { order, steps })
    }

    /// The cases that are active at an epoch, as indices of the training cases.
    pub fn active(&self, epoch: u32) -> &[usize] {
        let step = self.steps.iter().rev().find(|step| step.first_epoch <= epoch);
        &self.order[..step.map_or(0, |step| step.active_cases)]
    }

    /// The table it follows.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// How many optimiser steps pass until the last cases join, at `cases_per_step`.
    pub fn steps_until_all(&self, cases_per_step: usize) -> u64 {
        let joined = self.steps.last().map_or(0, |step| step.first_epoch);
        (0..joined).map(|epoch| self.active(epoch).len().div_ceil(cases_per_step) as u64).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[(u32, usize)]) -> Vec<Step> {
        rows.iter().map(|&(first_epoch, active_cases)| Step { first_epoch, active_cases }).collect()
    }

    #[test]
    fn follows_the_table_and_never_shrinks() {
        let schedule = Schedule::growing(vec![3, 1, 4, 0, 2], table(&[(0, 2), (10, 3), (20, 5)])).unwrap();
        assert_eq!(schedule.active(0), [3, 1]);
        assert_eq!(schedule.active(9), [3, 1]);
        assert_eq!(schedule.active(10), [3, 1, 4]);
        assert_eq!(schedule.active(1000), [3, 1, 4, 0, 2]);
        for epoch in 0..30 {
            let (before, after) = (schedule.active(epoch), schedule.active(epoch + 1));
            assert_eq!(before, &after[..before.len()], "epoch {epoch}");
        }
        assert_eq!(schedule.steps_until_all(2), 10 + 10 * 2);
    }

    #[test]
    fn conventional_has_all_from_the_start() {
        let schedule = Schedule::conventional(3);
        assert_eq!(schedule.active(0), [0, 1, 2]);
        assert_eq!(schedule.steps_until_all(1), 0);
    }

    #[test]
    fn refuses_tables_that_cannot_be_followed() {
        for wrong in [
            table(&[]),
            table(&[(1, 3)]),
            table(&[(0, 0), (1, 3)]),
            table(&[(0, 2), (10, 1), (20, 3)]),
            table(&[(0, 2), (0, 3)]),
            table(&[(0, 2)]),
        ] {
            let refused = Schedule::growing(vec![0, 1, 2], wrong.clone());
            assert!(matches!(refused, Err(FitError::Folder(_))), "{wrong:?}");
        }
    }
}
