//! Ranges that settings must be in.

use crate::error::{FitError, Result};

/// Whether a value is a fraction, from 0 to 1.
pub(super) fn share(value: f64) -> bool {
    (0.0..=1.0).contains(&value)
}

/// Whether a value, where it is set, is a fraction above 0.
pub(super) fn share_above_0(value: Option<f64>) -> bool {
    value.is_none_or(|value| value > 0.0 && value <= 1.0)
}

/// Refuses the first option for which its condition does not hold.
pub(super) fn require(conditions: &[(&'static str, bool)], problem: &str) -> Result<()> {
    match conditions.iter().find(|(_, holds)| !holds) {
        Some((name, _)) => Err(FitError::option(name, problem)),
        None => Ok(()),
    }
}
