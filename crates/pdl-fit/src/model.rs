//! Network: architecture, layers, weights, memory format and export as TorchScript.

pub mod instance_norm;
pub mod memory_format;
pub mod torchscript;
pub mod unet;
pub mod weights;
