//! SSIM, UQI and MSE of two volumes; arrays only, no files.

mod driver;
mod filter;
mod memory_layout;
mod mse;
mod setup;
mod simd;
mod statistics;
mod window;

pub use setup::{K1, K2, Kernel, Similarity, VolumeView};
pub use window::SsimWindow;
