//! AdamW, SGD and Muon on the flat buffer of the parameters, with gradient clipping, and the EMA of
//! the weights.
//!
//! libtorch's optimisers do not expose their state for a checkpoint.

use clap::ValueEnum;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::error::{FitError, Result};
use crate::model::device::ComputeDevice;
use crate::model::weights::Weights;
use crate::optim::muon::InnerKernels;

/// Decay of AdamW's mean of gradients.
const BETA1: f64 = 0.9;
/// Decay of AdamW's mean of squared gradients.
const BETA2: f64 = 0.999;
/// Added to the root of AdamW's mean of squared gradients.
const EPSILON: f64 = 1e-8;

/// Optimisation method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// AdamW (Loshchilov and Hutter 2019).
    Adamw,
    /// Stochastic gradient descent with Nesterov momentum, as nnU-Net.
    Sgd,
    /// Muon (Jordan et al. 2024) for the kernels between the first convolution and the heads, AdamW
    /// for all other parameters.
    Muon,
}

impl Method {
    /// Default peak learning rate.
    pub fn default_lr(self) -> f64 {
        match self {
            Self::Adamw => 0.003,
            Self::Sgd => 0.01,
            Self::Muon => 0.006,
        }
    }

    /// Default weight decay: PyTorch's for AdamW, also for Muon; nnU-Net's for SGD.
    pub fn default_weight_decay(self) -> f64 {
        match self {
            Self::Adamw | Self::Muon => 0.01,
            Self::Sgd => 3e-5,
        }
    }

    /// Default Nesterov momentum: nnU-Net's for SGD, Jordan's for Muon; `None` for AdamW, which has
    /// none.
    pub fn default_momentum(self) -> Option<f64> {
        match self {
            Self::Adamw => None,
            Self::Sgd => Some(0.99),
            Self::Muon => Some(0.95),
        }
    }
}

/// Method and hyperparameters of an optimiser.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OptimiserConfig {
    /// AdamW, SGD or Muon.
    pub method: Method,
    /// Nesterov momentum of SGD and Muon; AdamW ignores it.
    pub momentum: f64,
    /// Weight decay of kernels; biases and norms have none.
    pub weight_decay: f64,
    /// Maximum gradient norm; larger gradients are scaled down to it.
    pub clip: f64,
}

/// An optimiser with its state.
#[derive(Debug)]
pub struct Optimiser {
    config: OptimiserConfig,
    /// Tensors by name: AdamW's `mean` and `square` (P), SGD's `velocity` (P); Muon's `mean` and
    /// `square` (Q) of the elements outside of the inner kernels, and `momentum` (P).
    state: Vec<(&'static str, Tensor)>,
    /// Weight decay of each element (P): zero for biases and norms.
    decay: Tensor,
    /// Kernels that Muon updates; `None` for the other methods.
    inner: Option<InnerKernels>,
    step: u64,
}

impl Optimiser {
    /// An optimiser for the parameters of `weights`.
    ///
    /// # Errors
    /// [`FitError::Torch`] if libtorch fails.
    pub fn new(weights: &Weights, config: OptimiserConfig) -> Result<Self> {
        let flat = weights.flat();
        let part = |p: &crate::model::weights::Parameter| {
            let decay = if p.decays() { config.weight_decay } else { 0.0 };
            Tensor::f_full([p.len()], decay, ComputeDevice::of(&flat).options(Kind::Float))
        };
        let parts = weights.parameters().iter().map(part).collect::<std::result::Result<Vec<_>, _>>()?;
        let inner = match config.method {
            Method::Muon => Some(InnerKernels::new(weights.parameters(), ComputeDevice::of(&flat))?),
            Method::Adamw | Method::Sgd => None,
        };
        let zeros = |name: &'static str| Ok::<_, FitError>((name, flat.f_zeros_like()?));
        let state = match &inner {
            Some(inner) => {
                let others = inner.others_of(&flat)?;
                let (mean, square) = (others.f_zeros_like()?, others.f_zeros_like()?);
                vec![("mean", mean), ("square", square), zeros("momentum")?]
            }
            None if config.method == Method::Sgd => vec![zeros("velocity")?],
            None => vec![zeros("mean")?, zeros("square")?],
        };
        Ok(Self { config, state, decay: Tensor::f_cat(&parts, 0)?, inner, step: 0 })
    }

    /// Updates the weights with `gradient` (P) at learning rate `rate`; returns the gradient norm
    /// before clipping. A norm that is not finite leaves weights and state unchanged.
    ///
    /// # Errors
    /// [`FitError::Torch`] if libtorch fails.
    pub fn step(&mut self, weights: &Weights, gradient: &Tensor, rate: f64) -> Result<f64> {
        let _no_grad = tch::no_grad_guard();
        let norm = gradient.f_norm()?.f_double_value(&[])?;
        if !norm.is_finite() {
            return Ok(norm);
        }
        self.step += 1;
        let gradient = gradient.f_mul_scalar((self.config.clip / (norm + 1e-6)).min(1.0))?;
        let mut flat = weights.flat();
        let decay = flat.f_mul(&self.decay)?;
        let change = match self.config.method {
            Method::Adamw => self.adamw(&gradient)?.f_add(&decay)?,
            Method::Sgd => self.sgd(&gradient.f_add(&decay)?)?,
            Method::Muon => self.muon(&gradient)?.f_add(&decay)?,
        };
        let _ = flat.f_sub_(&change.f_mul_scalar(rate)?)?;
        Ok(norm)
    }

    fn adamw(&mut self, gradient: &Tensor) -> Result<Tensor> {
        let correction = |beta: f64, step: u64| 1.0 - beta.powf(step as f64);
        let _ = self.state[0].1.f_lerp_(gradient, 1.0 - BETA1)?;
        let _ = self.state[1].1.f_lerp_(&gradient.f_square()?, 1.0 - BETA2)?;
        let mean = self.state[0].1.f_div_scalar(correction(BETA1, self.step))?;
        let square = self.state[1].1.f_div_scalar(correction(BETA2, self.step))?;
        Ok(mean.f_div(&square.f_sqrt()?.f_add_scalar(EPSILON)?)?)
    }

    /// v = momentum v + g; the update is g + momentum v, as PyTorch's SGD with `nesterov`.
    fn sgd(&mut self, gradient: &Tensor) -> Result<Tensor> {
        let momentum = self.config.momentum;
        let velocity = &mut self.state[0].1;
        let _ = velocity.f_mul_scalar_(momentum)?;
        let _ = velocity.f_add_(gradient)?;
        Ok(gradient.f_add(&velocity.f_mul_scalar(momentum)?)?)
    }

    /// m = momentum m + (1 - momentum) g; inner kernels move by the orthogonalised momentum m +
    /// (1 - momentum) g, all other parameters as AdamW's.
    fn muon(&mut self, gradient: &Tensor) -> Result<Tensor> {
        let Some(inner) = self.inner.take() else { return self.adamw(gradient) };
        let others = self.adamw(&inner.others_of(gradient)?);
        let momentum = &mut self.state[2].1;
        let _ = momentum.f_lerp_(gradient, 1.0 - self.config.momentum)?;
        let mut update = gradient.f_lerp(momentum, self.config.momentum)?;
        inner.orthogonalise(&update)?;
        inner.set_others(&mut update, &others?)?;
        self.inner = Some(inner);
        Ok(update)
    }

    /// State for a checkpoint: tensors by name.
    pub fn state(&self) -> &[(&'static str, Tensor)] {
        &self.state
    }

    /// Restores the state after `step` steps; `saved` returns the tensor of a name.
    ///
    /// # Errors
    /// Errors of `saved`, and [`FitError::Weights`] if a shape differs.
    pub fn restore(&mut self, step: u64, saved: impl Fn(&str) -> Result<Tensor>) -> Result<()> {
        for (name, tensor) in &mut self.state {
            copy_into(tensor, &saved(name)?, name)?;
        }
        self.step = step;
        Ok(())
    }
}

/// Exponential moving average (EMA) of the weights, which is evaluated and saved.
#[derive(Debug)]
pub struct Ema {
    weights: Weights,
    decay: f64,
}

impl Ema {
    /// Starts at `weights`. `decay` is the weight of the old average in each update, after the
    /// first steps.
    ///
    /// # Errors
    /// [`FitError::Torch`] if libtorch fails.
    pub fn new(weights: &Weights, decay: f64) -> Result<Self> {
        Ok(Self { weights: weights.duplicate()?, decay })
    }

    /// Adds the weights after `step` steps (from 1). The decay is at most (1 + step) / (10 + step),
    /// so that the initial weights fade early on.
    ///
    /// # Errors
    /// [`FitError::Torch`] if libtorch fails.
    pub fn update(&mut self, weights: &Weights, step: u64) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        let step = step as f64;
        let decay = self.decay.min((1.0 + step) / (10.0 + step));
        let _ = self.weights.flat().f_lerp_(&weights.flat(), 1.0 - decay)?;
        Ok(())
    }

    /// The EMA of the weights.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }
}

/// Overwrites `target` with the saved values of `name`.
///
/// # Errors
/// [`FitError::Weights`] if the shapes differ, [`FitError::Torch`] if libtorch fails.
pub fn copy_into(target: &mut Tensor, saved: &Tensor, name: &str) -> Result<()> {
    if target.size() != saved.size() {
        return Err(FitError::Weights { name: name.to_owned(), shape: target.size() });
    }
    let _no_grad = tch::no_grad_guard();
    target.f_copy_(saved)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::weights::{Init, Parameter, Role};

    fn one_number(value: f64, shape: Vec<i64>) -> Weights {
        let role = if shape.len() > 2 { Role::Inner } else { Role::Outer };
        let init = Init::Constant(value);
        let parameter = Parameter { name: "a".into(), shape, init, trained: true, role };
        Weights::new(vec![parameter], 1, ComputeDevice::CPU).unwrap()
    }

    fn config(method: Method) -> OptimiserConfig {
        OptimiserConfig { method, momentum: 0.9, weight_decay: 0.5, clip: 1e9 }
    }

    #[test]
    fn adamw_moves_by_the_rate_at_first_and_decays_kernels_only() {
        for (shape, expected) in [(vec![1], 2.0 - 0.1), (vec![1, 1], 2.0 - 0.1 - 0.1 * 0.5 * 2.0)] {
            let weights = one_number(2.0, shape);
            let mut optimiser = Optimiser::new(&weights, config(Method::Adamw)).unwrap();
            optimiser.step(&weights, &Tensor::from_slice(&[3.0_f32]), 0.1).unwrap();
            assert!((weights.flat().double_value(&[0]) - expected).abs() < 1e-5);
        }
    }

    /// By hand: g = 3; v = 3, update 3 + 0.9 * 3 = 5.7; then v = 0.9 * 3 + 3 = 5.7, update 3 + 0.9
    /// * 5.7 = 8.13.
    #[test]
    fn sgd_gathers_momentum() {
        let weights = one_number(2.0, vec![1]);
        let mut optimiser = Optimiser::new(&weights, config(Method::Sgd)).unwrap();
        for expected in [2.0 - 0.57, 2.0 - 0.57 - 0.813] {
            optimiser.step(&weights, &Tensor::from_slice(&[3.0_f32]), 0.1).unwrap();
            assert!((weights.flat().double_value(&[0]) - expected).abs() < 1e-5);
        }
    }

    #[test]
    fn gradients_are_scaled_down_to_the_norm() {
        let weights = one_number(0.0, vec![1]);
        let clipped = OptimiserConfig { clip: 0.5, momentum: 0.0, ..config(Method::Sgd) };
        let mut optimiser = Optimiser::new(&weights, clipped).unwrap();
        optimiser.step(&weights, &Tensor::from_slice(&[-8.0_f32]), 1.0).unwrap();
        assert!((weights.flat().double_value(&[0]) - 0.5).abs() < 1e-5);
    }

    #[test]
    fn a_gradient_that_is_no_number_changes_nothing() {
        let weights = one_number(2.0, vec![1]);
        let mut optimiser = Optimiser::new(&weights, config(Method::Adamw)).unwrap();
        for wrong in [f32::NAN, f32::INFINITY] {
            let norm = optimiser.step(&weights, &Tensor::from_slice(&[wrong]), 0.1).unwrap();
            assert!(!norm.is_finite());
        }
        assert_eq!(weights.flat().double_value(&[0]), 2.0);
        assert_eq!(optimiser.state()[0].1.double_value(&[0]), 0.0);
    }

    #[test]
    fn a_restored_optimiser_makes_the_same_next_step() {
        let methods = [Method::Adamw, Method::Sgd, Method::Muon, Method::Muon];
        for (method, shape) in methods.into_iter().zip([vec![1], vec![1], vec![1], vec![1, 1, 1, 1]]) {
            let (weights, other) = (one_number(2.0, shape.clone()), one_number(2.0, shape));
            let mut optimiser = Optimiser::new(&weights, config(method)).unwrap();
            optimiser.step(&weights, &Tensor::from_slice(&[3.0_f32]), 0.1).unwrap();
            let mut restored = Optimiser::new(&other, config(method)).unwrap();
            let saved = |name: &str| Ok(optimiser.state().iter().find(|(n, _)| *n == name).unwrap().1.copy());
            restored.restore(1, saved).unwrap();
            other.flat().copy_(&weights.flat());
            for (weights, optimiser) in [(&weights, &mut optimiser), (&other, &mut restored)] {
                optimiser.step(weights, &Tensor::from_slice(&[-1.0_f32]), 0.1).unwrap();
            }
            assert!(weights.flat().equal(&other.flat()), "{method:?}");
        }
    }

    #[test]
    fn the_state_of_another_method_is_refused_by_name() {
        let weights = one_number(2.0, vec![1, 1, 1, 1]);
        let adamw = Optimiser::new(&weights, config(Method::Adamw)).unwrap();
        let mut muon = Optimiser::new(&weights, config(Method::Muon)).unwrap();
        let missing = |name: &str| FitError::Weights { name: name.to_owned(), shape: vec![] };
        let saved = |name: &str| match adamw.state().iter().find(|(found, _)| *found == name) {
            Some((_, tensor)) => Ok(tensor.narrow(0, 0, 0)),
            None => Err(missing(name)),
        };
        let refused = muon.restore(1, saved).unwrap_err();
        assert!(matches!(&refused, FitError::Weights { name, .. } if name == "momentum"), "{refused}");
    }

    #[test]
    fn the_ema_lags_behind_the_weights() {
        let weights = one_number(0.0, vec![1]);
        let mut ema = Ema::new(&weights, 0.99).unwrap();
        let _ = weights.flat().fill_(1.0);
        ema.update(&weights, 1).unwrap();
        let value = ema.weights().flat().double_value(&[0]);
        assert!((value - 9.0 / 11.0).abs() < 1e-6);
    }
}
