//! SSIM, UQI and MSE of two volumes; arrays only, no files.

pub(crate) mod driver;
mod filter;
pub(crate) mod memory_layout;
mod mse;
pub(crate) mod setup;
mod simd;
mod statistics;
mod tiling;
pub(crate) mod views;
pub(crate) mod window;

pub use memory_layout::ChunkedView;
pub use setup::{K1, K2, Kernel};
pub use views::{Similarity, VolumeView};
pub use window::SsimWindow;

#[cfg(test)]
mod tests;
