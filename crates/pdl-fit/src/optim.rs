//! Optimisation: loss, learning-rate schedule, optimiser and EMA.

pub(crate) mod loss;
pub(crate) mod lr_schedule;
pub(crate) mod muon;
pub(crate) mod optimiser;
