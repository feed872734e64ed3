//! Application of a trained network to whole images.

pub(crate) mod domain_shift;
pub mod model;
pub mod predict;
pub mod resample;
pub mod sliding_window;
