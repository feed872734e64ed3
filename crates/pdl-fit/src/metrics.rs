//! How predictions are measured.

pub mod dice;
pub mod evaluate;
pub mod surface;
