//! What a step minimises, and how it changes the weights.

pub mod loss;
pub mod lr_schedule;
pub mod optimiser;
