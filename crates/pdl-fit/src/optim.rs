//! Optimisation: loss, learning-rate schedule, optimiser and EMA.

pub mod loss;
pub mod lr_schedule;
pub mod optimiser;
