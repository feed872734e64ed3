//! Measured seconds of a run's steps, by which lengths in seconds become steps.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::plan::curriculum_schedule::PatchSpec;

/// Part of a run with one patch size, resolution and batch size.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TimedSegment {
    /// Start as a fraction of the run's steps, from 0 to below 1.
    pub from: f64,
    /// Patches of its steps.
    #[serde(flatten)]
    pub spec: PatchSpec,
}

/// Part of a run with the measured time of its steps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TimedPart {
    /// Start and its patches.
    #[serde(flatten)]
    pub part: TimedSegment,
    /// Median seconds of one step.
    pub seconds: f64,
}

/// Measured speed of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Speed {
    /// Parts in ascending order of their start; the first starts at 0.
    pub parts: Vec<TimedPart>,
}

impl Speed {
    /// Number of steps that take `seconds` in all, at least 1.
    pub fn steps(&self, seconds: f64) -> u64 {
        ((seconds / self.seconds_until(1.0, 1.0)).round() as u64).max(1)
    }

    /// Seconds that the first `step` of `steps` steps take.
    pub fn seconds_until(&self, step: f64, steps: f64) -> f64 {
        let ends = self.parts.iter().skip(1).map(|timed| timed.part.from * steps).chain([f64::INFINITY]);
        let of_part = |(timed, end): (&TimedPart, f64)| {
            (step.min(end) - timed.part.from * steps).max(0.0) * timed.seconds
        };
        self.parts.iter().zip(ends).map(of_part).sum()
    }

    /// Seconds of the slowest step.
    pub fn slowest(&self) -> f64 {
        self.parts.iter().map(|timed| timed.seconds).fold(0.0, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_become_seconds() {
        let spec = |batch| PatchSpec { patch: [1, 8, 8], pool: [1; 3], batch };
        let parts =
            [(0.0, 2), (0.2, 4), (0.21, 8)].map(|(from, batch)| TimedSegment { from, spec: spec(batch) });
        let timed = parts.map(|part| TimedPart { part, seconds: part.spec.batch as f64 });
        let speed = Speed { parts: timed.to_vec() };
        assert!((speed.seconds_until(20.5, 100.0) - (40.0 + 0.5 * 4.0)).abs() < 1e-9);
        assert_eq!((speed.slowest(), speed.steps(100.0 * (0.4 + 0.04 + 0.79 * 8.0))), (8.0, 100));
    }
}
