//! Network: architecture, layers, weights, memory format and export as TorchScript.

pub(crate) mod instance_norm;
pub(crate) mod memory_format;
pub(crate) mod torchscript;
pub(crate) mod unet;
pub(crate) mod weights;

pub use torchscript::{FILE as TORCHSCRIPT_FILE, write as write_torchscript};
