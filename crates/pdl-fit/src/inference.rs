//! Application of a trained network to whole images.

pub(crate) mod channel_files;
pub(crate) mod domain_shift;
pub(crate) mod model;
pub(crate) mod predict;
pub(crate) mod resample;
pub(crate) mod slab;
pub(crate) mod sliding_window;
pub(crate) mod tiling;

pub use model::Model;
pub use predict::{Prediction, PredictionStatus, find as find_images, predict};
