//! Metrics of predictions: Dice, surface distances, and the evaluation of a split.

pub mod detection;
pub mod dice;
pub mod evaluate;
pub mod surface;
mod surface_elements;
