//! SSIM, UQI and MSE of pairs of volumes; works on arrays, reads no files.
//!
//! A pair costs one fused pass (`simd`) over what it does not share with other pairs. With d
//! = a - b,
//!
//! ```text
//! 2 cov(a, b) = var(a) + var(b) - var(d)
//! 2 mean(a) mean(b) = mean(a)^2 + mean(b)^2 - mean(d)^2
//! ```
//!
//! so only the windowed sum of d^2 belongs to the pair. In this form rounding is relative to the
//! difference of two volumes: near-duplicates keep their true distance in float32, and identical
//! volumes have SSIM 1.
//!
//! From the bottom up: `window`, `filter` and `tiling` describe windows and how a volume is
//! divided; `setup` holds what all pairs share; `statistics` and `memory_layout` prepare a volume;
//! `simd` and `mse` are the passes; `driver` runs them on all cores.

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
