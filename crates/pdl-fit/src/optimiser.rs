//! AdamW on the flat buffer of the parameters, with a poly rate, clipped gradients and a running average.
//!
//! Kept here and not taken from libtorch because its state must be ours to save.

use tch::{Kind, Tensor};

use crate::error::Result;
use crate::weights::Weights;

/// Decay of the running mean of gradients.
const BETA1: f64 = 0.9;
/// Decay of the running mean of squared gradients.
const BETA2: f64 = 0.999;
/// Added to the root of the squared gradients.
const EPSILON: f64 = 1e-8;
/// The power of the poly rate (nnU-Net's).
const POLY_POWER: f64 = 0.9;
/// The largest decay of the running average of weights: it looks back over about 100 steps.
const AVERAGE_DECAY: f64 = 0.99;

/// The rate at a step of a run of `horizon` steps: `rate (1 - step / horizon)^0.9`.
pub fn poly_rate(rate: f64, step: u64, horizon: u64) -> f64 {
    rate * (1.0 - step as f64 / horizon as f64).max(0.0).powf(POLY_POWER)
}

/// AdamW (Loshchilov and Hutter 2019).
#[derive(Debug)]
pub struct AdamW {
    mean: Tensor,
    square: Tensor,
    /// Weight decay for each number: zero for biases and norms.
    decay: Tensor,
    clip: f64,
    step: i32,
}

impl AdamW {
    /// For the parameters of `weights`; gradients are scaled down to the norm `clip` at most.
    ///
    /// # Errors
    /// [`crate::FitError::Torch`] when libtorch refuses.
    pub fn new(weights: &Weights, weight_decay: f64, clip: f64) -> Result<Self> {
        let flat = weights.flat();
        let part = |p: &crate::weights::Parameter| {
            let decay = if p.decays() { weight_decay } else { 0.0 };
            Tensor::f_full([p.len()], decay, (Kind::Float, flat.device()))
        };
        let parts = weights.parameters().iter().map(part).collect::<std::result::Result<Vec<_>, _>>()?;
        let (mean, square) = (flat.f_zeros_like()?, flat.f_zeros_like()?);
        Ok(Self { mean, square, decay: Tensor::f_cat(&parts, 0)?, clip, step: 0 })
    }

    /// One step against `gradient` (P) at `rate`.
    ///
    /// # Errors
    /// [`crate::FitError::Torch`] when libtorch refuses.
    pub fn step(&mut self, weights: &Weights, gradient: &Tensor, rate: f64) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        self.step += 1;
        let norm = gradient.f_norm()?.f_double_value(&[])?;
        let gradient = gradient.f_mul_scalar((self.clip / (norm + 1e-6)).min(1.0))?;
        let _ = self.mean.f_lerp_(&gradient, 1.0 - BETA1)?;
        let _ = self.square.f_lerp_(&gradient.f_square()?, 1.0 - BETA2)?;
        let mean = self.mean.f_div_scalar(1.0 - BETA1.powi(self.step))?;
        let square = self.square.f_div_scalar(1.0 - BETA2.powi(self.step))?;
        let mut flat = weights.flat();
        let change = mean.f_div(&square.f_sqrt()?.f_add_scalar(EPSILON)?)?;
        let change = change.f_add(&flat.f_mul(&self.decay)?)?;
        let _ = flat.f_sub_(&change.f_mul_scalar(rate)?)?;
        Ok(())
    }
}

/// A running average of the weights, which evaluations use: it is steadier than the weights themselves.
#[derive(Debug)]
pub struct Average {
    weights: Weights,
}

impl Average {
    /// Begins at `weights`.
    ///
    /// # Errors
    /// [`crate::FitError::Torch`] when libtorch refuses.
    pub fn new(weights: &Weights) -> Result<Self> {
        Ok(Self { weights: weights.duplicate()? })
    }

    /// Takes in the weights after `step` steps (from 1); early on it looks back less far.
    ///
    /// # Errors
    /// [`crate::FitError::Torch`] when libtorch refuses.
    pub fn update(&mut self, weights: &Weights, step: u64) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        let step = step as f64;
        let decay = AVERAGE_DECAY.min((1.0 + step) / (10.0 + step));
        let _ = self.weights.flat().f_lerp_(&weights.flat(), 1.0 - decay)?;
        Ok(())
    }

    /// The averaged weights.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::{Init, Parameter};
    use tch::Device;

    fn one_number(value: f64, shape: Vec<i64>) -> Weights {
        let parameter = Parameter { name: "a".into(), shape, init: Init::Constant(value) };
        Weights::new(vec![parameter], 1, Device::Cpu).unwrap()
    }

    #[test]
    fn the_rate_falls_to_zero() {
        assert_eq!(poly_rate(0.1, 0, 10), 0.1);
        assert!((poly_rate(0.1, 5, 10) - 0.1 * 0.5_f64.powf(0.9)).abs() < 1e-12);
        assert_eq!(poly_rate(0.1, 10, 10), 0.0);
    }

    #[test]
    fn the_first_step_moves_by_the_rate_and_decays_kernels_only() {
        for (shape, expected) in [(vec![1], 2.0 - 0.1), (vec![1, 1], 2.0 - 0.1 - 0.1 * 0.5 * 2.0)] {
            let weights = one_number(2.0, shape);
            let mut optimiser = AdamW::new(&weights, 0.5, 1e9).unwrap();
            optimiser.step(&weights, &Tensor::from_slice(&[3.0_f32]), 0.1).unwrap();
            assert!((weights.flat().double_value(&[0]) - expected).abs() < 1e-5);
        }
    }

    #[test]
    fn the_average_follows_from_behind() {
        let weights = one_number(0.0, vec![1]);
        let mut average = Average::new(&weights).unwrap();
        let _ = weights.flat().fill_(1.0);
        average.update(&weights, 1).unwrap();
        let value = average.weights().flat().double_value(&[0]);
        assert!((value - 9.0 / 11.0).abs() < 1e-6);
    }
}
