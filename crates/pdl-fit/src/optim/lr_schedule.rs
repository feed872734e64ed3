//! Learning-rate schedules: the learning rate as a function of the step alone.

use clap::ValueEnum;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Exponent of the polynomial schedule (nnU-Net).
const POLY_POWER: f64 = 0.9;
/// Fraction of a one-cycle run in which the learning rate rises (Smith and Topin 2019; PyTorch's
/// default).
const RISE: f64 = 0.3;
/// Ratio of the highest to the initial learning rate of a one-cycle run (PyTorch's default).
const RISE_FROM: f64 = 25.0;

/// Learning-rate schedule; t rises from 0 to 1 over the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum LrSchedule {
    /// Polynomial decay (1 - t)^0.9, as nnU-Net.
    Poly,
    /// Cosine decay (1 + cos(pi t)) / 2.
    Cosine,
    /// Rise from 1/25 over the first 30% of the steps, then decay to 0, both along a cosine.
    OneCycle,
    /// Constant learning rate.
    Constant,
}

impl LrSchedule {
    /// Multiple of the peak learning rate at `t` from 0 to 1.
    fn at(self, t: f64) -> f64 {
        let cosine = |t: f64| 0.5 * (1.0 + (std::f64::consts::PI * t).cos());
        match self {
            Self::Poly => (1.0 - t).powf(POLY_POWER),
            Self::Cosine => cosine(t),
            Self::OneCycle if t < RISE => {
                let low = 1.0 / RISE_FROM;
                low + (1.0 - low) * (1.0 - cosine(t / RISE))
            }
            Self::OneCycle => cosine((t - RISE) / (1.0 - RISE)),
            Self::Constant => 1.0,
        }
    }
}

/// Learning rates of all steps of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LearningRates {
    /// Peak learning rate.
    pub highest: f64,
    /// Schedule between restarts.
    pub curve: LrSchedule,
    /// Warm-up steps: the learning rate of the schedule is multiplied by a factor that rises
    /// linearly from near 0 to 1.
    pub warm_up: u64,
    /// Steps (from 0) at which the schedule restarts, ascending; the first is 0.
    pub restarts: Vec<u64>,
    /// Length of the run in steps.
    pub steps: u64,
}

impl LearningRates {
    /// Learning rate of a step (from 0).
    pub fn at(&self, step: u64) -> f64 {
        let next = self.restarts.partition_point(|&first| first <= step);
        let first = next.checked_sub(1).map_or(0, |last| self.restarts[last]);
        let end = self.restarts.get(next).copied().unwrap_or(self.steps).min(self.steps).max(first + 1);
        let t = ((step - first) as f64 / (end - first) as f64).min(1.0);
        let warm = if step < self.warm_up { (step + 1) as f64 / (self.warm_up + 1) as f64 } else { 1.0 };
        self.highest * self.curve.at(t) * warm
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(curve: LrSchedule, warm_up: u64, restarts: &[u64]) -> LearningRates {
        LearningRates { highest: 0.1, curve, warm_up, restarts: restarts.to_vec(), steps: 100 }
    }

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-12, "{a} is not {b}");
    }

    #[test]
    fn curves_follow_their_formulas() {
        close(rates(LrSchedule::Poly, 0, &[0]).at(0), 0.1);
        close(rates(LrSchedule::Poly, 0, &[0]).at(50), 0.1 * 0.5_f64.powf(0.9));
        close(rates(LrSchedule::Cosine, 0, &[0]).at(50), 0.05);
        close(rates(LrSchedule::Constant, 0, &[0]).at(99), 0.1);
        for curve in [LrSchedule::Poly, LrSchedule::Cosine, LrSchedule::OneCycle] {
            close(rates(curve, 0, &[0]).at(100), 0.0);
        }
    }

    /// As in Smith and Topin 2019 and PyTorch: from 1/25 up and down along half cosines.
    #[test]
    fn one_cycle_begins_low_and_peaks_at_three_tenths() {
        let rates = rates(LrSchedule::OneCycle, 0, &[0]);
        close(rates.at(0), 0.004);
        close(rates.at(15), (0.004 + 0.1) / 2.0);
        close(rates.at(30), 0.1);
        close(rates.at(65), 0.05);
    }

    #[test]
    fn warm_up_rises_and_restarts_begin_anew() {
        let warm = rates(LrSchedule::Constant, 4, &[0]);
        close(warm.at(0), 0.02);
        close(warm.at(3), 0.08);
        close(warm.at(4), 0.1);
        let restarted = rates(LrSchedule::Cosine, 0, &[0, 20, 60]);
        close(restarted.at(20), 0.1);
        close(restarted.at(40), 0.05);
        close(restarted.at(60), 0.1);
        close(restarted.at(80), 0.05);
        close(rates(LrSchedule::Cosine, 0, &[0, 50, 200]).at(75), 0.05);
    }
}
