//! The length of a run that is given in seconds: the number of steps is recomputed during the run,
//! as the speed measured before may change on a machine with other work.

/// Fractions of the seconds at which the remaining steps are recomputed.
const MILESTONES: [f64; 6] = [0.1, 0.25, 0.5, 0.75, 0.9, 0.97];
/// A run that has finished its steps ends if at most this fraction of its seconds is left.
const TOLERANCE: f64 = 0.01;

/// Seconds of training that a run is to take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimeBudget {
    seconds: f64,
    /// First step of the phase of patches that lasts to the end: only its speed determines how many
    /// steps remain.
    last_phase: u64,
    /// Seconds of training before the run, or its extension, started.
    began: f64,
    /// Steps and seconds since which the speed is measured.
    since: Option<(u64, f64)>,
}

impl TimeBudget {
    /// A run of `seconds` whose last phase of patches starts at step `last_phase`.
    pub fn new(seconds: f64, last_phase: u64) -> Self {
        Self { seconds, last_phase, began: 0.0, since: None }
    }

    /// An extension of `seconds` of a run that has taken `began` seconds for `done` steps.
    pub fn after(done: u64, began: f64, seconds: f64) -> Self {
        Self { seconds, last_phase: done, began, since: None }
    }

    /// Updates the length of the run in steps: `done` have taken `seconds`, and `planned` was the
    /// length so far.
    pub fn steps(&mut self, done: u64, seconds: f64, planned: u64) -> u64 {
        let seconds = seconds - self.began;
        if seconds >= self.seconds {
            return done;
        }
        let Some((first, began)) = self.since.filter(|_| done > self.last_phase) else {
            self.since = (done >= self.last_phase).then_some((done, seconds));
            return planned.max(done + 1);
        };
        let left = self.seconds - seconds;
        let passed = |at: f64| MILESTONES.iter().filter(|share| **share * self.seconds <= at).count();
        let ended = done >= planned;
        if ended && left <= TOLERANCE * self.seconds || !ended && passed(seconds) == passed(began) {
            return planned;
        }
        let step = (seconds - began) / (done - first) as f64;
        self.since = Some((done, seconds));
        done + ((left / step).round() as u64).max(u64::from(!ended || left > step / 2.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds at which a run ends whose step `n` takes `step(n)` seconds.
    fn ends(seconds: f64, planned: u64, last_phase: u64, step: impl Fn(u64) -> f64) -> f64 {
        let mut budget = TimeBudget::new(seconds, last_phase);
        let (mut steps, mut done, mut passed) = (planned, 0, 0.0);
        while done < steps {
            passed += step(done);
            done += 1;
            steps = budget.steps(done, passed, steps);
        }
        passed
    }

    #[test]
    fn a_run_ends_within_three_percent_of_its_seconds_whatever_the_speed() {
        let within = |found: f64| assert!((found - 100.0).abs() <= 3.0, "{found}");
        // Planned for 1000 steps of 0.1 s; each takes half or three times as long, or changes.
        for factor in [0.5, 0.97, 1.0, 1.1, 3.0] {
            within(ends(100.0, 1000, 0, |_| 0.1 * factor));
        }
        within(ends(100.0, 1000, 0, |n| if n < 300 { 0.05 } else { 0.2 }));
        within(ends(100.0, 1000, 0, |n| if n < 300 { 0.2 } else { 0.05 }));
        // Small patches in the first half, whose speed says nothing of the rest.
        within(ends(100.0, 1000, 500, |n| if n < 500 { 0.02 } else { 0.2 }));
        within(ends(100.0, 1000, 500, |n| if n < 500 { 0.02 } else { 0.1 }));
        let mut extension = TimeBudget::after(500, 70.0, 10.0);
        let (mut steps, mut done) = (550, 500);
        while done < steps {
            done += 1;
            steps = extension.steps(done, 70.0 + 0.1 * (done - 500) as f64, steps);
        }
        assert_eq!(done, 600);
        assert_eq!(ends(1.0, 5, 0, |_| 2.0), 2.0, "at least one step");
    }
}
