//! Seeded random numbers. Each purpose has its own stream, so that no draw depends on the number of
//! draws before it.

use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64;

/// Purpose of a random stream; its number is part of the stream's seed.
#[derive(Clone, Copy, Debug)]
pub enum Purpose {
    /// Order of the cases in an epoch; the index is the epoch.
    Order = 1,
    /// Position of a patch in its case; the index is the number of the patch in the run.
    Patches = 2,
    /// Initial weights; the index is 0.
    Weights = 3,
    /// Cases of a step with a preference for early ranks; the index is the step.
    Ranks = 4,
    /// Random order in which cases become active; the index is 0.
    CaseOrder = 5,
    /// Augmentation of a patch; the index is the number of the patch in the run.
    Augmentation = 6,
    /// Cases or seeds of a bootstrap; the index is 0.
    Resampling = 7,
    /// Settings that tuning tries; the index is 0.
    Tuning = 8,
}

/// The random stream of one purpose and index.
#[derive(Debug)]
pub struct Random(Pcg64);

impl Random {
    /// The stream for a run's seed, a purpose and an index (epoch, step or patch).
    pub fn new(seed: u64, purpose: Purpose, index: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        bytes[8..16].copy_from_slice(&index.to_le_bytes());
        bytes[16] = purpose as u8;
        let mut generator = Pcg64::from_seed(bytes);
        for _ in 0..4 {
            generator.next_u64(); // the first output still resembles the seed
        }
        Self(generator)
    }

    /// Uniform integer from 0 to `limit` - 1; `limit` is at least 1.
    pub fn below(&mut self, limit: usize) -> usize {
        // High half of a 128-bit product; its bias is below limit / 2^64.
        ((u128::from(self.0.next_u64()) * limit as u128) >> 64) as usize
    }

    /// Uniform in (0, 1].
    pub fn unit(&mut self) -> f64 {
        ((self.0.next_u64() >> 11) as f64 + 1.0) / (1_u64 << 53) as f64
    }

    /// Uniform between `low` (excluded) and `high`.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// True with this probability.
    pub fn happens(&mut self, probability: f64) -> bool {
        self.unit() <= probability
    }

    /// Standard normal (Box and Muller 1958).
    pub fn normal(&mut self) -> f64 {
        let (radius, turn) = (self.unit(), self.unit());
        (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * turn).cos()
    }

    /// Permutes the items at random (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_repeat_and_differ() {
        let draw = |seed, purpose, index| Random::new(seed, purpose, index).below(1 << 40);
        assert_eq!(draw(1, Purpose::Order, 2), draw(1, Purpose::Order, 2));
        assert_ne!(draw(1, Purpose::Order, 2), draw(1, Purpose::Patches, 2));
        assert_ne!(draw(1, Purpose::Order, 2), draw(1, Purpose::Order, 3));
        assert_ne!(draw(1, Purpose::Order, 2), draw(2, Purpose::Order, 2));
    }

    #[test]
    fn normal_numbers_have_mean_0_and_deviation_1() {
        let mut random = Random::new(5, Purpose::Weights, 0);
        let numbers: Vec<f64> = (0..10_000).map(|_| random.normal()).collect();
        let mean = numbers.iter().sum::<f64>() / 1e4;
        let variance = numbers.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 1e4;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
    }

    #[test]
    fn draws_are_even() {
        let mut random = Random::new(5, Purpose::Patches, 0);
        let mut counts = [0; 7];
        (0..7000).for_each(|_| counts[random.below(7)] += 1);
        assert!(counts.iter().all(|&n| (850..1150).contains(&n)), "{counts:?}");
    }
}
