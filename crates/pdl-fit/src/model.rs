//! Network: architecture, layers, weights, device, memory format and export.

pub(crate) mod device;
pub(crate) mod instance_norm;
pub(crate) mod memory_format;
pub(crate) mod onnx;
mod onnx_messages;
pub(crate) mod torchscript;
pub(crate) mod unet;
pub(crate) mod weights;
