//! Seeded randomness that is the same on every machine.

use rand_core::Rng;
use rand_pcg::Pcg32;

/// A sequence of random numbers, fixed by a seed and the number of the stream.
///
/// Floating-point results use only additions, multiplications and conversions, which IEEE 754
/// defines to the last bit; a platform's logarithm or sine would not be.
#[derive(Clone, Debug)]
pub struct RandomSource(Pcg32);

impl RandomSource {
    /// The stream of this number under this seed.
    pub fn new(seed: u64, stream: u64) -> Self {
        // PCG streams that share a state are correlated at first, so that the state depends on
        // both.
        Self(Pcg32::new(mixed(seed ^ mixed(stream)), stream))
    }

    /// Uniform in [0, 1).
    pub fn uniform(&mut self) -> f64 {
        f64::from(self.0.next_u32()) / 4_294_967_296.0
    }

    /// Uniform from `low` (included) to `high` (excluded).
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// Nearly normal with mean 0 and standard deviation 1: four uniforms added up (Irwin-Hall), so
    /// never beyond 3.47.
    pub fn normal(&mut self) -> f64 {
        const SQRT_3: f64 = 1.732_050_807_568_877_2;
        let sum = self.uniform() + self.uniform() + self.uniform() + self.uniform();
        (sum - 2.0) * SQRT_3
    }
}

/// SplitMix64's finaliser: neighbouring numbers become unrelated ones.
fn mixed(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_numbers_have_mean_zero_and_deviation_one() {
        let mut source = RandomSource::new(7, 3);
        let values: Vec<f64> = (0..20_000).map(|_| source.normal()).collect();
        let mean = values.iter().sum::<f64>() / 20_000.0;
        let square = values.iter().map(|v| v * v).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 0.02, "{mean}");
        assert!((square - 1.0).abs() < 0.03, "{square}");
    }

    #[test]
    fn streams_differ() {
        let first = |seed, stream| RandomSource::new(seed, stream).uniform();
        assert_ne!(first(1, 1), first(1, 2));
        assert_ne!(first(1, 1), first(2, 1));
        assert_eq!(first(1, 1), first(1, 1));
    }
}
