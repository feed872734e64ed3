//! Device that a network runs on: the one place that chooses it, names it, and moves tensors to it.

use clap::ValueEnum;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Cuda, Device, Kind, Tensor};

use crate::error::{FitError, Result};

/// Choice of the device on which the network runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum DeviceChoice {
    /// The first CUDA device if there is one, else the CPU.
    Auto,
    /// Every operation on the CPU.
    Cpu,
    /// The first CUDA device; an error if there is none.
    Cuda,
}

/// Device of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ComputeDevice(Device);

impl ComputeDevice {
    /// The processor.
    pub const CPU: Self = Self(Device::Cpu);

    /// The device of a choice.
    ///
    /// # Errors
    /// [`FitError::InvalidOption`] if there is no such device.
    pub fn choose(choice: DeviceChoice) -> Result<Self> {
        match (choice, Self::other_than_cpu()) {
            (DeviceChoice::Cpu, _) | (DeviceChoice::Auto, None) => Ok(Self::CPU),
            (DeviceChoice::Auto | DeviceChoice::Cuda, Some(other)) => Ok(other),
            (DeviceChoice::Cuda, None) => {
                Err(FitError::option("device", "is cuda, but libtorch finds no CUDA device"))
            }
        }
    }

    /// The first CUDA device, if libtorch finds one.
    pub fn other_than_cpu() -> Option<Self> {
        Cuda::is_available().then_some(Self(Device::Cuda(0)))
    }

    /// The name in `run.json`: "cpu", or "cuda" and a number.
    pub fn name(self) -> String {
        match self.0 {
            Device::Cuda(number) => format!("cuda {number}"),
            _ => "cpu".to_owned(),
        }
    }

    /// The device of a tensor.
    pub fn of(tensor: &Tensor) -> Self {
        Self(tensor.device())
    }

    /// Number format and device of new tensors.
    pub(crate) fn options(self, kind: Kind) -> (Kind, Device) {
        (kind, self.0)
    }

    /// Number format of convolutions: bfloat16 on CUDA devices; elsewhere that of their input.
    pub(crate) fn convolution_kind(self) -> Option<Kind> {
        matches!(self.0, Device::Cuda(_)).then_some(Kind::BFloat16)
    }

    /// A tensor of host memory on this device. CUDA devices copy from pinned memory while the
    /// processor goes on.
    ///
    /// # Errors
    /// [`FitError::Torch`] if libtorch fails.
    pub(crate) fn upload(self, host: &Tensor) -> Result<Tensor> {
        Ok(match self.0 {
            Device::Cuda(_) => {
                let pinned = host.f_pin_memory(self.0)?;
                pinned.f_to_device_(self.0, host.kind(), true, false)?
            }
            device => host.f_to_device(device)?,
        })
    }

    /// A tensor of any device in host memory.
    ///
    /// # Errors
    /// [`FitError::Torch`] if libtorch fails.
    pub(crate) fn download(tensor: &Tensor) -> Result<Tensor> {
        Ok(tensor.f_to_device(Self::CPU.0)?)
    }
}
