//! The network: layers, weights, memory format, and the form that other programs run.

pub mod instance_norm;
pub mod memory_format;
pub mod torchscript;
pub mod unet;
pub mod weights;
