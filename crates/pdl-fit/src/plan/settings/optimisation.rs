//! Optimiser and learning rate.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::checks::require;
use crate::error::Result;
use crate::optim::lr_schedule::LrSchedule;
use crate::optim::optimiser::{Method, OptimiserConfig};

/// Optimiser and learning rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, clap::Args)]
#[command(next_help_heading = "Optimisation")]
pub struct OptimisationSettings {
    /// Optimisation method; it determines the default learning rate and weight decay.
    #[arg(long, value_enum, default_value_t = Method::Adamw)]
    pub optimiser: Method,
    /// Peak learning rate [default: 0.003 for adamw, 0.01 for sgd, 0.006 for muon].
    #[arg(long, value_name = "LR")]
    #[serde(alias = "rate")]
    pub lr: Option<f64>,
    /// Learning-rate schedule: the factor of the peak at each step of the run.
    #[arg(long, value_enum, default_value_t = LrSchedule::Poly)]
    #[serde(alias = "rate_curve")]
    pub lr_schedule: LrSchedule,
    /// Warm-up: steps over which the learning rate rises linearly from near 0.
    #[arg(long, value_name = "STEPS", default_value_t = 0)]
    pub warm_up: u64,
    /// Restart the learning-rate schedule whenever cases are added.
    #[arg(long)]
    #[serde(alias = "restart_rate")]
    pub restart_lr: bool,
    /// Nesterov momentum of sgd and muon [default: 0.99 for sgd, 0.95 for muon].
    #[arg(long, value_name = "MOMENTUM")]
    pub momentum: Option<f64>,
    /// Weight decay of kernels; biases and normalisation layers have none [default: 0.01 for adamw
    /// and muon, 0.00003 for sgd].
    #[arg(long, value_name = "DECAY")]
    pub weight_decay: Option<f64>,
    /// Maximum gradient norm; larger gradients are scaled down to it.
    #[arg(long, value_name = "NORM", default_value_t = 12.0)]
    pub clip: f64,
    /// Decay of the exponential moving average (EMA) of the weights. The EMA is evaluated and
    /// saved; 0 disables it.
    #[arg(long, value_name = "DECAY", default_value_t = 0.99)]
    pub ema: f64,
}

impl OptimisationSettings {
    /// The same with the defaults of the optimisation method written out.
    pub(super) fn with_method_defaults(&self) -> Self {
        let OptimiserConfig { method, momentum, weight_decay, .. } = self.optimiser_config();
        Self {
            lr: Some(self.peak_lr()),
            weight_decay: Some(weight_decay),
            momentum: method.default_momentum().map(|_| momentum),
            ..self.clone()
        }
    }

    /// The optimiser's configuration; what is unset is the default of the method.
    pub fn optimiser_config(&self) -> OptimiserConfig {
        let Self { optimiser: method, clip, .. } = *self;
        let momentum = self.momentum.or(method.default_momentum()).unwrap_or(0.0);
        let weight_decay = self.weight_decay.unwrap_or_else(|| method.default_weight_decay());
        OptimiserConfig { method, momentum, weight_decay, clip }
    }

    /// Peak learning rate, before schedule and warm-up; unset, it is the default of the optimiser.
    pub fn peak_lr(&self) -> f64 {
        self.lr.unwrap_or_else(|| self.optimiser.default_lr())
    }

    /// Validates everything that does not depend on the cohort.
    pub(super) fn check(&self) -> Result<()> {
        require(&[("lr", self.peak_lr() > 0.0), ("clip", self.clip > 0.0)], "must be above 0")?;
        require(&[("weight_decay", self.optimiser_config().weight_decay >= 0.0)], "must be at least 0")?;
        let below_1 = [("ema", Some(self.ema)), ("momentum", self.momentum)]
            .map(|(name, value)| (name, value.is_none_or(|v| (0.0..1.0).contains(&v))));
        require(&below_1, "must be at least 0 and below 1")
    }
}
